// How long does the exact assignment of one batch take?
//
//   bench_lap [--n N]... [--d D]... [--json PATH] [--dump DIR]
//
// For each batch size n, dimension d and kind of features: the median time of lap_solve on the
// centred scores, of the whole re-assignment (centring, score product, lap_solve), and the counts
// of the solver. --dump writes each score matrix as raw float32 for bench/peers/lap_peers.py.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/gemm.h"
#include "kernels/lap.h"
#include "kernels/reduce.h"
#include "nat/assigner.h"
#include "tests/opcases/lap_instances.h"

namespace nat {
namespace {

struct BenchOptions {
  std::vector<std::int64_t> n, d;
  std::string json, dump;
};

BenchOptions parse(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    NAT_CHECK(i + 1 < argc, ErrorKind::usage, flag, ": a value is missing");
    const std::string value = argv[i + 1];
    if (flag == "--n") {
      options.n.push_back(std::stoll(value));
    } else if (flag == "--d") {
      options.d.push_back(std::stoll(value));
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--dump") {
      options.dump = value;
    } else {
      throw Error(ErrorKind::usage, flag + " is not one of --n --d --json --dump");
    }
  }
  if (options.n.empty()) options.n = {64, 128, 256, 512, 1024, 2048};
  if (options.d.empty()) options.d = {128, 2048};
  return options;
}

// Of at least 5 calls and at least 0.3 seconds. The least time is the one that other work on the
// machine has not disturbed.
struct Milliseconds {
  double median = 0, least = 0;
};

template <class F>
Milliseconds measure_time(F&& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  call();
  for (double total = 0; times.size() < 5 || total < 300; total += times.back()) {
    const auto start = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

std::vector<float> centred_scores(Context& ctx, ConstView z, ConstView targets) {
  const std::int64_t n = z.shape[0], d = z.shape[1];
  std::vector<float> mean(static_cast<std::size_t>(d)), centred(static_cast<std::size_t>(n * d));
  std::vector<float> scores(static_cast<std::size_t>(n * n));
  column_mean(ctx, z, View(mean.data(), DType::f32, Shape(d)));
  center_rows(ctx, z, View(mean.data(), DType::f32, Shape(d)),
              View(centred.data(), DType::f32, z.shape));
  gemm(ctx, Transpose::no, Transpose::yes, 0, View(centred.data(), DType::f32, z.shape), targets,
       View(scores.data(), DType::f32, Shape(n, n)));
  return scores;
}

nlohmann::json measure(Context& ctx, const test::LapInstance& instance, std::int64_t n,
                       std::int64_t d, const std::string& dump) {
  auto made =
      test::make_features(instance, static_cast<std::size_t>(n), static_cast<std::size_t>(d), 1);
  const View z(made.z.data(), DType::f32, Shape(n, d));
  const View targets(made.targets.data(), DType::f32, Shape(n, d));
  const std::vector<float> scores = centred_scores(ctx, z, targets);

  std::vector<std::int32_t> column(static_cast<std::size_t>(n)), price(column.size());
  LapReport report;
  const Milliseconds solve = measure_time([&] {
    lap_solve(ctx, LapOptions{}, ConstView(scores.data(), DType::f32, Shape(n, n)),
              View(column.data(), DType::i32, Shape(n)), View(price.data(), DType::i32, Shape(n)),
              &report);
  });
  Assigner assigner(ctx, n, d);
  LapReport assigned;
  float cosine_sum = 0;
  const Assignment result{.column_of_row = View(column.data(), DType::i32, Shape(n)),
                          .cosine_sum = View(&cosine_sum, DType::f32, Shape(1)),
                          .lap = &assigned};
  const Milliseconds assign = measure_time([&] { assigner.assign(ctx, z, targets, result); });

  nlohmann::json row = {{"kind", instance.name},
                        {"n", n},
                        {"d", d},
                        {"solve_ms", solve.median},
                        {"solve_least_ms", solve.least},
                        {"assign_ms", assign.median},
                        {"bids", report.bids},
                        {"paths", report.paths},
                        {"steps", report.steps},
                        {"gap_quanta", report.gap()},
                        {"quantum", report.quantum},
                        {"value", report.value},
                        {"identity_value", report.identity_value}};
  if (!dump.empty()) {
    std::string name = str(instance.name, "-n", n, "-d", d, ".f32");
    std::replace(name.begin(), name.end(), ' ', '-');
    std::ofstream file(std::filesystem::path(dump) / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(scores.data()),
               static_cast<std::streamsize>(scores.size() * sizeof(float)));
    file.close();
    NAT_CHECK(file, ErrorKind::io, dump, "/", name, ": cannot be written");
    row["file"] = name;
  }
  return row;
}

void run(const BenchOptions& options) {
  if (!options.dump.empty()) std::filesystem::create_directories(options.dump);
  Context ctx;
  nlohmann::json rows = nlohmann::json::array();
  std::printf("%5s %5s  %-16s %9s %9s %6s %5s %7s %4s\n", "n", "d", "features", "solve ms",
              "assign ms", "bids", "paths", "steps", "gap");
  for (const std::int64_t n : options.n) {
    for (const std::int64_t d : options.d) {
      for (const test::LapInstance& instance : test::kLapInstances) {
        const nlohmann::json row = measure(ctx, instance, n, d, options.dump);
        std::printf("%5lld %5lld  %-16s %9.4f %9.4f %6lld %5lld %7lld %4lld\n",
                    static_cast<long long>(n), static_cast<long long>(d), instance.name,
                    row["solve_ms"].get<double>(), row["assign_ms"].get<double>(),
                    row["bids"].get<long long>(), row["paths"].get<long long>(),
                    row["steps"].get<long long>(), row["gap_quanta"].get<long long>());
        std::fflush(stdout);
        rows.push_back(row);
      }
    }
  }
  if (options.json.empty()) return;
  std::ofstream file(options.json);
  file << nlohmann::json{{"bench", "lap"}, {"rows", rows}}.dump(1) << "\n";
  file.close();
  NAT_CHECK(file, ErrorKind::io, options.json, ": cannot be written");
}

}  // namespace
}  // namespace nat

int main(int argc, char** argv) {
  try {
    nat::run(nat::parse(argc, argv));
    return 0;
  } catch (const nat::Error& error) {
    std::fprintf(stderr, "bench_lap: %s\n", error.what());
    return static_cast<int>(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_lap: %s\n", error.what());
    return 1;
  }
}
