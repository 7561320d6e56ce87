// Shared by the benchmarks: how time is taken, and how a program ends.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "kernels/memory.h"
#include "kernels/parallel.h"
#include "kernels/recording.h"

namespace nat::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// Calls body(begin, end) for equal shares of [0, bytes), one a thread of the CPU.
template <class Body>
void for_share_of_each_thread(std::int64_t bytes, Body&& body) {
  const cpu::Chunks shares(bytes, cpu::thread_count());
  cpu::parallel_for(shares.count, bytes,
                    [&](std::int64_t share) { body(shares.begin(share), shares.end(share)); });
}

// Overwrites more memory than the caches hold, so that the next operation finds nothing there; on
// the CPU by all threads, since each processor has caches of its own.
class CacheScrub {
 public:
  explicit CacheScrub(Device device)
      : memory_(device, bytes(device), "cache scrub"),
        view_(memory_.data(), DType::u8, Shape(static_cast<std::int64_t>(memory_.bytes()))) {}
  void operator()(Context& ctx) const {
    if (ctx.device == Device::cuda) return fill_zero(ctx, view_);
    for_share_of_each_thread(view_.shape[0], [&](std::int64_t begin, std::int64_t end) {
      std::memset(view_.as<char>() + begin, 0, static_cast<std::size_t>(end - begin));
    });
  }

 private:
  static std::size_t bytes(Device device) {
    constexpr long kLeast = 64 << 20, kMost = 256 << 20;
    const long shared_cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or -1: unknown
    return static_cast<std::size_t>(
        device == Device::cuda ? kMost : std::clamp(shared_cache, kLeast, kMost));
  }

  Buffer memory_;
  View view_;
};

// Takes the time of operations with cold caches.
//
// On CUDA a recorded sequence of several repetitions, each behind a scrub, is timed as a whole, and
// so is the same sequence of scrubs alone; the difference belongs to the operation. The host waits
// once a sequence, and what it costs to start one cancels out.
class Timer {
 public:
  explicit Timer(Context& ctx, int samples = 7)
      : ctx_(ctx), scrub_(ctx.device), samples_(samples) {}

  // Median seconds of one call of `enqueue`, which must be fit for a Recording. 0 when it is too
  // short to be told from the jitter of the scrubs.
  double seconds(const std::function<void()>& enqueue) {
    return ctx_.device == Device::cuda ? seconds_on_cuda(enqueue) : seconds_on_cpu(enqueue);
  }

  // The same where each call finds in the caches what the call before has left there.
  double warm_seconds(const std::function<void()>& enqueue) {
    Recording recording;
    const int repeats = repeats_for(enqueue);
    const auto sequence = [&] {
      for (int i = 0; i < repeats; ++i) enqueue();
    };
    for (int i = 0; i < kUntilReplayed; ++i) recording.run(ctx_, sequence);
    std::vector<double> times(static_cast<std::size_t>(samples_));
    for (double& time : times) time = time_of(recording, sequence) / repeats;
    return median(times);
  }

 private:
  static constexpr int kUntilReplayed = 3;  // kernels/recording.h: plain, recorded, replayed

  double seconds_on_cpu(const std::function<void()>& run) {
    run();
    std::vector<double> times;
    for (int i = 0; i < samples_; ++i) {
      scrub_(ctx_);
      const double began = now();
      run();
      times.push_back(now() - began);
    }
    return median(times);
  }

  double seconds_on_cuda(const std::function<void()>& enqueue) {
    Recording with, without;
    const int repeats = repeats_for(enqueue);
    const auto sequence = [&] {
      for (int i = 0; i < repeats; ++i) {
        scrub_(ctx_);
        enqueue();
      }
    };
    const auto scrubs = [&] {
      for (int i = 0; i < repeats; ++i) scrub_(ctx_);
    };
    for (int i = 0; i < kUntilReplayed; ++i) {
      with.run(ctx_, sequence);
      without.run(ctx_, scrubs);
    }
    std::vector<double> times;
    for (int i = 0; i < samples_; ++i) {
      const double both = time_of(with, sequence), scrub = time_of(without, scrubs);
      times.push_back((both - scrub) / repeats);
    }
    return std::max(0.0, median(times));
  }

  // As many as take some milliseconds, within bounds.
  int repeats_for(const std::function<void()>& enqueue) {
    enqueue();
    synchronize(ctx_);
    const double began = now();
    enqueue();
    synchronize(ctx_);
    constexpr double kSequenceSeconds = 5e-3;
    return static_cast<int>(std::clamp(kSequenceSeconds / (now() - began), 2.0, 200.0));
  }

  double time_of(Recording& recording, const std::function<void()>& enqueue) {
    synchronize(ctx_);
    const double began = now();
    recording.run(ctx_, enqueue);
    synchronize(ctx_);
    return now() - began;
  }

  Context& ctx_;
  CacheScrub scrub_;
  int samples_;
};

inline Device device_of(const std::string& word) {
  return word == "cuda" ? Device::cuda : Device::cpu;
}
inline Math math_of(const std::string& word) {
  return word == "bf16" ? Math::bf16 : word == "tf32" ? Math::tf32 : Math::f32;
}

// What training takes on a device unless asked otherwise (tools/session.cpp).
inline std::string usual_dtype(const std::string& device) {
  return device == "cuda" ? "bf16" : "f32";
}

// The name that a table of results begins with.
inline std::string device_name(Device device) {
  return device == Device::cuda ? cuda_device().name : "cpu";
}

inline void add_device(CLI::App& app, std::string& device) {
  app.add_option("--device", device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
}

inline void write_json(const std::string& path, const nlohmann::json& json) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << json.dump(1) << "\n";
  file.close();
  NAT_CHECK(file, ErrorKind::io, path, ": cannot be written");
}

// Runs a benchmark; errors become one line and an exit code.
template <class Run>
int guarded(const char* program, Run&& run) {
  try {
    run();
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return static_cast<int>(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace nat::bench
