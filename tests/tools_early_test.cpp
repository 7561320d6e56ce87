// What can be refused before the work is refused then: before pictures are read, before a step.
#include <csignal>
#include <cstdlib>

#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// Pictures that take seconds to open, and no place on the disk.
std::string slow_pictures(const Workspace& workspace) {
  constexpr std::uintmax_t kSide = 9000;
  const std::string folder = workspace.at("slow");
  for (int i = 0; i < 64; ++i) {
    const std::string file = folder + "/" + std::to_string(i) + ".pgm";
    const std::string header = "P5 9000 9000 255\n";
    write_file(file, header);
    std::filesystem::resize_file(file, header.size() + kSide * kSide);
  }
  return folder;
}

// nat on a disk of one MiB, its stderr; nothing where this user may not have one.
std::string on_small_disk(const Workspace& workspace, const std::vector<std::string>& arguments,
                          const std::string& disk) {
  std::filesystem::create_directories(disk);
  const std::string err = workspace.at("err");
  std::string command = "mount -t tmpfs -o size=1m tmpfs '" + disk + "' && '" + nat_program() + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  setenv("ON_SMALL_DISK", (command + " > /dev/null 2> '" + err + "'").c_str(), 1);
  const int status = std::system("unshare -rm sh -c \"$ON_SMALL_DISK\" 2> /dev/null");
  if (!std::filesystem::exists(err)) return "";
  CHECK(WEXITSTATUS(status) == 8);
  return read_file(err);
}

}  // namespace

TEST_CASE("a folder that cannot take the run is found before the pictures are opened") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string none = workspace.at("no-pictures");
  write_file(none + "/train-images-idx3-ubyte", "no pictures");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  check_refused(workspace, small_run(none, run), 2, {"--out " + run, "already holds a run"});
  write_file(workspace.at("file"), "not a folder");
  check_refused(workspace, small_run(none, workspace.at("file/run")), 8,
                {"--out ", "file/run", "Not a directory", "choose a folder"});
  check_refused(workspace, small_run(none, workspace.at("new/run")), 3, {"no-pictures"});
  CHECK_FALSE(std::filesystem::exists(workspace.at("new")));
}

TEST_CASE("what training takes is compared with the memory before it is taken") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::vector<std::string> large = {"--batch",       "512", "--size",  "96",
                                          "--stored-size", "96",  "--width", "2"};
  constexpr rlim_t kMemory = rlim_t{1} << 30;
  const Outcome outcome =
      Process(workspace, small_run(data, run, large), Limit{RLIMIT_AS, kMemory}).wait();
  CAPTURE(outcome.err);
  CHECK(outcome.code == 7);
  CHECK(outcome.err.find("training takes ") != std::string::npos);
  CHECK(outcome.err.find("there are 1024; activations take --batch 512: ") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(run));
}

TEST_CASE("a signal ends the program at once as long as there is no run") {
  const Workspace workspace;
  const std::string data = slow_pictures(workspace), run = workspace.at("run");
  for (const int signal : {SIGINT, SIGTERM}) {
    Process process(workspace, small_run(data, run, {"--crop", "none", "--epochs", "1"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    process.send(signal);
    CHECK(process.wait().code == -signal);
    CHECK_FALSE(std::filesystem::exists(run));
  }
}

TEST_CASE("a disk without room for a checkpoint is found before the first step") {
  const Workspace workspace;
  const std::string data = make_data(workspace), disk = workspace.at("disk");
  const std::string err = on_small_disk(workspace, small_run(data, disk + "/run"), disk);
  if (err.empty()) {
    MESSAGE("skipped: this user may not mount a disk");
    return;
  }
  CAPTURE(err);
  CHECK(err.find(" MiB are needed and 0 MiB are free; free some disk space") != std::string::npos);
  CHECK(err.find("epoch 1/") == std::string::npos);
}
