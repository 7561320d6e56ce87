// For tests of the program as a whole: generated pictures in IDX files, and running nat.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/run_log.h"
#include "kernels/random.h"
#include "tests/event_file.h"
#include "tests/temporary_folder.h"

namespace nat::tools {

using Workspace = test::TemporaryFolder;
using test::read_file;
using test::write_file;

// 16 x 16 pictures of four kinds (bars lying, bars standing, a disc, a cross) at random places with
// random brightness and noise: a data set with a known answer.
inline std::string idx_pictures(int count, std::uint64_t seed, std::string* labels) {
  constexpr int kSide = 16;
  const auto big_endian = [](std::uint32_t v) {
    return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16),
                       static_cast<char>(v >> 8), static_cast<char>(v)};
  };
  std::string images = big_endian(0x803) + big_endian(static_cast<std::uint32_t>(count)) +
                       big_endian(kSide) + big_endian(kSide);
  *labels = big_endian(0x801) + big_endian(static_cast<std::uint32_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto draw = philox(seed, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i));
    const auto& r = draw.value;
    const int kind = i % 4;
    const int cx = 5 + static_cast<int>(r[0] % 6), cy = 5 + static_cast<int>(r[1] % 6);
    const int bright = 120 + static_cast<int>(r[2] % 130);
    labels->push_back(static_cast<char>(kind));
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int dx = x - cx, dy = y - cy;
        const bool inside = std::abs(dx) <= 4 && std::abs(dy) <= 4;
        const bool lit = kind == 0   ? inside && (dy & 2) == 0
                         : kind == 1 ? inside && (dx & 2) == 0
                         : kind == 2 ? dx * dx + dy * dy <= 16
                                     : inside && (std::abs(dx) <= 1 || std::abs(dy) <= 1);
        const auto noise = static_cast<int>(philox(seed, RandomStream::synthetic, 1,
                                                   static_cast<std::uint64_t>(i * 256 + y * 16 + x))
                                                .value[0] %
                                            40);
        images.push_back(static_cast<char>(std::min(255, noise + (lit ? bright : 0))));
      }
    }
  }
  return images;
}

// Writes a training and a test split; returns the folder.
inline std::string make_data(const Workspace& workspace, int train = 512, int test = 128) {
  std::string labels;
  const std::string folder = workspace.at("data");
  write_file(folder + "/train-images-idx3-ubyte", idx_pictures(train, 1, &labels));
  write_file(folder + "/train-labels-idx1-ubyte", labels);
  write_file(folder + "/t10k-images-idx3-ubyte", idx_pictures(test, 2, &labels));
  write_file(folder + "/t10k-labels-idx1-ubyte", labels);
  return folder;
}

// 20 x 20 grey pictures of two kinds, and one file in each folder that is no picture.
inline std::string make_picture_folder(const Workspace& workspace) {
  const std::string root = workspace.at("pictures");
  for (const char* split : {"train", "test"}) {
    for (int kind = 0; kind < 2; ++kind) {
      const std::string folder = root + "/" + split + "/" + (kind == 0 ? "dark" : "striped") + "/";
      for (int i = 0; i < 40; ++i) {
        std::string pixels;
        for (int k = 0; k < 400; ++k) {
          pixels.push_back(static_cast<char>(kind == 1 && k / 20 % 4 < 2 ? 200 - i : 10 + k % 7));
        }
        write_file(folder + std::to_string(i) + ".pgm", "P5 20 20 255\n" + pixels);
      }
      write_file(folder + "broken.jpg", "no picture");
    }
  }
  return root;
}

struct Outcome {
  int code = 0;  // exit code, or -signal
  std::string out, err;
};

// It lies beside the test, also where both were brought along.
inline std::string nat_program() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "nat").string();
}

struct Limit {
  decltype(RLIMIT_AS) resource;
  rlim_t bytes;
};

// A running nat whose output goes to files. It does not outlive this.
class Process {
 public:
  // Beyond `limit` a file cannot grow (RLIMIT_FSIZE), as on a full disk, or the memory (RLIMIT_AS).
  Process(const Workspace& workspace, std::vector<std::string> arguments,
          std::optional<Limit> limit = {})
      : out_(workspace.at("stdout")), err_(workspace.at("stderr")) {
    const std::string program = nat_program();
    arguments.insert(arguments.begin(), program);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const int out = open(out_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      const int err = open(err_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      dup2(out, 1);
      dup2(err, 2);
      if (limit) {
        const rlimit both{limit->bytes, limit->bytes};
        setrlimit(limit->resource, &both);
      }
      unsetenv("CUDA_LAUNCH_BLOCKING");  // of gpu_main.cpp: nat runs as its users run it
      execv(program.c_str(), argv.data());
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const {
    REQUIRE(pid_ > 0);  // of what was waited for, the number may be another's by now
    kill(pid_, signal);
  }
  pid_t id() const { return pid_; }
  bool has_ended() const {
    siginfo_t ended{};
    const int flags = WEXITED | WNOHANG | WNOWAIT;
    return waitid(P_PID, static_cast<id_t>(pid_), &ended, flags) == 0 && ended.si_pid == pid_;
  }
  Outcome wait() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(out_),
            read_file(err_)};
  }

 private:
  std::string out_, err_;
  pid_t pid_ = -1;
};

// Asks again and again until it happened, for half a minute at most; whether it did.
template <typename Happened>
bool wait_until(const Happened& happened) {
  for (int i = 0; i < 3000 && !happened(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return happened();
}

inline Outcome nat(const Workspace& workspace, const std::vector<std::string>& arguments) {
  return Process(workspace, arguments).wait();
}

// Runs nat, which must fail with `code` and one line on stderr that contains every word.
inline void check_refused(const Workspace& workspace, const std::vector<std::string>& arguments,
                          int code, const std::vector<std::string>& words) {
  const Outcome outcome = nat(workspace, arguments);
  CAPTURE(outcome.err);
  CHECK(outcome.code == code);
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(outcome.err.find(word) != std::string::npos);
  }
}

// A small run of the generated pictures: 16 pixels, 4 epochs of 16 steps.
inline std::vector<std::string> small_run(const std::string& data, const std::string& out,
                                          const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {
      "train", "--data",        data, "--out",     out,  "--size",
      "16",    "--stored-size", "16", "--batch",   "32", "--dimension",
      "16",    "--epochs",      "4",  "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// The newest checkpoint file of a run.
inline std::string newest_checkpoint(const std::string& run) {
  std::string newest;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints")) {
    newest = std::max(newest, entry.path().string());
  }
  return newest;
}

// The tensors of a checkpoint: parameters, momenta, statistics, permutation, counters. Its metadata
// name the folder of the run.
inline std::string payload(const std::string& checkpoint) {
  REQUIRE(nat(Workspace(), {"inspect", checkpoint, "--json"}).code == 0);
  const std::string bytes = read_file(checkpoint);
  std::uint64_t header = 0;
  for (int i = 7; i >= 0; --i) {
    header = header << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  }
  return bytes.substr(8 + header);
}

// What TensorBoard should show of an epoch, by tag: the cells of its rows that are not empty.
inline std::map<std::string, float> expected_scalars(const MetricsRow& metrics,
                                                     const MetricsRow& timing) {
  std::map<std::string, float> scalars;
  const auto add = [&](const MetricsRow& row, const std::string& tag) {
    const auto cell = row.find(tag.substr(tag.find('/') + 1));
    if (cell != row.end()) scalars[tag] = static_cast<float>(cell->second);
  };
  for (const char* tag :
       {"train/lr", "train/loss", "train/loss_before_assignment", "train/won_by_assignment",
        "train/won_by_sgd", "train/cosine_before", "train/cosine_after", "assignment/moved",
        "assignment/reassigned", "assignment/solver_steps", "assignment/solver_paths",
        "assignment/solver_gap", "evaluate/knn"}) {
    add(metrics, tag);
  }
  for (const char* tag : {"timing/images_per_second", "timing/data_wait"}) add(timing, tag);
  return scalars;
}

// The run's events are its epochs, each once, with the numbers of metrics.csv and timing.csv.
inline void check_events(const std::string& run) {
  const std::vector<test::Event> events = test::read_events(run + "/events.out.tfevents.nat");
  const std::vector<MetricsRow> metrics = read_csv(run + "/metrics.csv");
  std::map<double, MetricsRow> timing;
  for (const MetricsRow& row : read_csv(run + "/timing.csv")) timing[row.at("epoch")] = row;
  REQUIRE(events.size() == metrics.size());
  for (std::size_t epoch = 0; epoch < events.size(); ++epoch) {
    CHECK(events[epoch].step == static_cast<std::int64_t>(epoch));
    CHECK(events[epoch].scalars ==
          expected_scalars(metrics[epoch], timing[metrics[epoch].at("epoch")]));
  }
}

// Two runs that were trained alike.
inline void check_same_end(const std::string& run, const std::string& undisturbed) {
  CHECK(read_file(run + "/metrics.csv") == read_file(undisturbed + "/metrics.csv"));
  CHECK(read_file(run + "/metrics.jsonl") == read_file(undisturbed + "/metrics.jsonl"));
  const std::string a = newest_checkpoint(run), b = newest_checkpoint(undisturbed);
  CHECK(std::filesystem::path(a).filename() == std::filesystem::path(b).filename());
  CHECK(payload(a) == payload(b));
  check_events(run);
  check_events(undisturbed);
}

}  // namespace nat::tools
