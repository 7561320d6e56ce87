// Runs on pictures in tar archives are those on the unpacked pictures.
#include <nlohmann/json.hpp>

#include "tests/tar_bytes.h"
#include "tests/tools_support.h"

using namespace nat::tools;
using nat::test::TarWriter;

namespace {

// 20 x 20 grey pictures of two kinds. One of the training pictures has a whole header and is cut
// off behind it, so that it is found to be bad when an epoch decodes it.
constexpr const char* kCut = "striped/5.pgm";

std::string picture(int kind, int i) {
  std::string file = "P5 20 20 255\n";
  for (int k = 0; k < 400; ++k) {
    file.push_back(static_cast<char>(kind == 1 && k / 20 % 4 < 2 ? 200 - i : 10 + k % 7));
  }
  return file;
}

// Calls take(name, label, bytes) for the pictures of a split, kind by kind.
template <class Take>
void each_picture(const std::string& split, const Take& take) {
  for (int kind = 0; kind < 2; ++kind) {
    for (int i = 10; i < 50; ++i) {
      const std::string name = std::string(kind == 0 ? "dark" : "striped") + "/" +
                               std::to_string(i % 10) + (i < 20 ? "" : std::to_string(i / 10)) +
                               ".pgm";
      const bool is_cut = split == "train" && name == kCut;
      take(name, kind, picture(kind, i).substr(0, is_cut ? 200 : 413));
    }
  }
}

std::string make_folder(const Workspace& workspace) {
  for (const std::string split : {"train", "test"}) {
    each_picture(split, [&](const std::string& name, int, const std::string& bytes) {
      write_file(workspace.at("pictures/" + split + "/" + name), bytes);
    });
  }
  return workspace.at("pictures");
}

std::string make_archive(const Workspace& workspace) {
  TarWriter tar;
  tar.folder("./");
  for (const std::string split : {"train", "test"}) {
    each_picture(split, [&](const std::string& name, int, const std::string& bytes) {
      tar.add("./" + split + "/" + name, bytes);
    });
  }
  write_file(workspace.at("pictures.tar"), tar.ended());
  return workspace.at("pictures.tar");
}

// WebDataset: two training shards and a test shard.
std::string make_shards(const Workspace& workspace) {
  TarWriter shards[2], test;
  int count = 0;
  each_picture("train", [&](const std::string& name, int kind, const std::string& bytes) {
    const std::string key = name.substr(0, name.rfind('.'));
    shards[count++ / 40].add(key + ".pgm", bytes).add(key + ".cls", std::to_string(kind));
  });
  each_picture("test", [&](const std::string& name, int kind, const std::string& bytes) {
    test.add(name, bytes).add(name.substr(0, name.rfind('.')) + ".cls", std::to_string(kind));
  });
  write_file(workspace.at("shards/train-0.tar"), shards[0].ended());
  write_file(workspace.at("shards/train-1.tar"), shards[1].ended());
  write_file(workspace.at("shards/val-0.tar"), test.ended());
  return workspace.at("shards");
}

// Pictures larger than the crop are read from the archive in every epoch.
std::vector<std::string> disk_run(const std::string& data, const std::string& out,
                                  const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments =
      small_run(data, out, {"--crop", "shift", "--stored-size", "20", "--batch", "16"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string behind_header(const std::string& manifest) {
  const std::string text = read_file(manifest);
  return text.substr(text.find('\n') + 1);
}

// Overwrites bytes of a member in place.
void damage(const std::string& archive, const std::string& member, std::size_t offset) {
  std::string bytes = read_file(archive);
  bytes.replace(bytes.find(member) + nat::test::kTarBlock + offset, 4, "oops");
  write_file(archive, bytes);
}

}  // namespace

TEST_CASE("a folder in an archive trains as the folder, and resumes to the same end") {
  const Workspace workspace;
  const std::string unpacked = workspace.at("unpacked"), run = workspace.at("run");
  const Outcome whole =
      nat::tools::nat(workspace, disk_run("folder:" + make_folder(workspace), unpacked));
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  const std::string archive = make_archive(workspace);
  const std::vector<std::string> train =
      disk_run("tar:" + archive, run, {"--stop-after-steps", "7"});
  const Outcome part = nat::tools::nat(workspace, train);
  REQUIRE_MESSAGE(part.code == 75, part.err);

  // What becomes of a picture that the run gave up is no change of the data; another is.
  damage(archive, kCut, 0);
  const std::vector<std::string> resume = {"resume", run};
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "2"}).code == 75);
  const std::string sound = read_file(archive);
  damage(archive, "dark/0.pgm", 30);
  check_refused(workspace, resume, 3, {"pictures.tar: the data changed since the run began"});
  write_file(archive, sound.substr(0, sound.size() / 2));
  check_refused(workspace, resume, 3, {"pictures.tar: is cut off in", "download it again"});
  write_file(archive, sound);
  const Outcome end = nat::tools::nat(workspace, resume);
  REQUIRE_MESSAGE(end.code == 0, end.err);
  CHECK(end.err.find("1 of 80 pictures cannot be read") != std::string::npos);

  check_same_end(run, unpacked);
  CHECK(read_file(run + "/bad_images.jsonl") == read_file(unpacked + "/bad_images.jsonl"));
  CHECK(behind_header(run + "/manifest.jsonl") == behind_header(unpacked + "/manifest.jsonl"));
  CHECK(read_file(run + "/bad_images.jsonl").find(kCut) != std::string::npos);
  CHECK(read_file(run + "/manifest.jsonl").find(R"("format":"tar")") != std::string::npos);
}

TEST_CASE("shards train, are judged by their labels and named in the manifest") {
  const Workspace workspace;
  const std::string shards = make_shards(workspace), run = workspace.at("run");
  // Found without a prefix.
  const Outcome trained = nat::tools::nat(workspace, disk_run(shards, run, {"--knn-every", "4"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.out.find("judge it with 'nat eval all") != std::string::npos);
  const std::string manifest = read_file(run + "/manifest.jsonl");
  CHECK(manifest.find(R"("classes":["0","1"])") != std::string::npos);
  CHECK(manifest.find(R"({"id":40,"path":"train-1.tar/striped/0.pgm","label":1})") !=
        std::string::npos);
  const Outcome judged = nat::tools::nat(workspace, {"eval", "knn", run, "--k", "5", "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(nlohmann::json::parse(judged.out).at("conv").at("knn").at("n_test").get<int>() == 80);

  // A range of them is the same training set.
  const std::string ranged = workspace.at("ranged");
  REQUIRE(
      nat::tools::nat(workspace, disk_run("tar:" + shards + "/train-{0..1}.tar", ranged)).code ==
      0);
  CHECK(payload(newest_checkpoint(ranged)) == payload(newest_checkpoint(run)));
  CHECK(
      read_file(ranged + "/manifest.jsonl").find(R"("id":40,"path":"train-1.tar/striped/0.pgm")") !=
      std::string::npos);
  std::filesystem::remove(shards + "/train-1.tar");
  check_refused(workspace, {"resume", ranged}, 3, {"train-1.tar: no such file"});
}
