// How long does the exact assignment of one batch take?
//
//   bench_lap [--n N]... [--d D]... [--kind TEXT] [--targets sphere|basis]
//             [--solver automatic|jv|auction|all]
//             [--schedule cpu|cuda] [--munkres yes] [--clock wall|thread]
//             [--json PATH] [--dump DIR]
//   bench_lap --device cuda [--crew automatic|block|cluster|grid|all] [--problems B] [--repeats R]
//             [--shared-kib K] [--n N]... [--d D]... [--kind TEXT] [--targets sphere|basis]
//             [--solver jv|auction|all] [--json PATH] [--dump DIR]
//
// For each batch size n, dimension d and kind of features: the median time of lap_solve on the
// centred scores, of the whole re-assignment (centring, score product, lap_solve), and the counts
// of the solver. `--solver all` compares jv, the auction on one thread and the auction on all of
// them; with --schedule cuda its phases are those of a GPU, which tells the counts there.
// --munkres adds the textbook method. --clock thread counts the processor time of the main
// thread, which other work on the machine disturbs less: the time on one thread, and on several the
// share of the one that also does what is serial. --dump writes each score matrix as raw float32
// for bench/peers/lap_peers.py. --kind takes only the features whose name holds the text.
// --targets basis has one-hot targets, of which a batch holds some several times: equal columns.
//
// On CUDA: microseconds from scores on the device to the permutation on the device, with cold
// caches and with warm ones, for each crew of kernels/lap.h; beside it in the same run what the CPU
// takes, by the faster of its solvers (or the one that --solver names): "copied" begins and ends on
// the device, with all threads, "one core" on the host. Ratios are against the cold time. The row
// "assigner" goes from features to permutation. --problems B solves B problems at once
// (lap_solve_batch). --shared-kib K lets a block of the crews, not of the assigner, have no more
// shared memory than that: with 64 the scores at n = 256 stay outside (kernels/cuda/lap/desk.cuh).
// The solution must be that of the CPU's auction (permutation, prices, report), proven optimal, and
// the same in all of --repeats solutions (100); where it is not, the row says so and the exit code
// is 1.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/lap_on_cuda.h"
#include "bench/peers/textbook_munkres.h"
#include "kernels/gemm.h"
#include "kernels/lap.h"
#include "kernels/lap_auction.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "nat/assigner.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/lap_instances.h"

namespace nat {
namespace {

struct BenchOptions {
  std::vector<std::int64_t> n, d;
  std::string json, dump, kind, device = "cpu", schedule = "cpu", solver = "automatic";
  std::string crew = "automatic", targets = "sphere";
  std::int64_t problems = 1;
  int repeats = 100, shared_kib = 0;
  bool munkres = false, thread_time = false;
  bool on_cuda() const { return device == "cuda"; }
  TargetKind target_kind() const {
    return targets == "basis" ? TargetKind::basis : TargetKind::sphere;
  }
};

std::optional<LapSolver> solver_named(const std::string& name) {
  if (name == "automatic") return LapSolver::automatic;
  if (name == "jv") return LapSolver::jv;
  if (name == "auction") return LapSolver::auction;
  return std::nullopt;
}

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
    } else if (flag == "--solver") {
      options.solver = value;
    } else if (flag == "--device") {
      options.device = value;
    } else if (flag == "--schedule") {
      options.schedule = value;
    } else if (flag == "--crew") {
      options.crew = value;
    } else if (flag == "--problems") {
      options.problems = std::stoll(value);
    } else if (flag == "--repeats") {
      options.repeats = std::stoi(value);
    } else if (flag == "--shared-kib") {
      options.shared_kib = std::stoi(value);
    } else if (flag == "--kind") {
      options.kind = value;
    } else if (flag == "--targets") {
      options.targets = value;
    } else if (flag == "--munkres") {
      options.munkres = value == "yes";
    } else if (flag == "--clock") {
      options.thread_time = value == "thread";
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--dump") {
      options.dump = value;
    } else {
      throw Error(ErrorKind::usage,
                  flag +
                      " is not one of --device --n --d --kind --targets --solver --schedule --crew "
                      "--problems --repeats --shared-kib --munkres --clock --json --dump");
    }
  }
  NAT_CHECK(options.device == "cpu" || options.on_cuda(), ErrorKind::usage, "--device ",
            options.device, ": not one of cpu, cuda");
  NAT_CHECK(options.schedule == "cpu" || options.schedule == "cuda", ErrorKind::usage,
            "--schedule ", options.schedule, ": not one of cpu, cuda");
  NAT_CHECK(options.targets == "sphere" || options.targets == "basis", ErrorKind::usage,
            "--targets ", options.targets, ": not one of sphere, basis");
  NAT_CHECK(options.solver == "all" || solver_named(options.solver).has_value(), ErrorKind::usage,
            "--solver ", options.solver, ": not one of automatic, jv, auction, all");
  NAT_CHECK(options.problems >= 1, ErrorKind::usage, "--problems ", options.problems,
            ": must be at least 1");
  if (options.n.empty()) {
    options.n = options.on_cuda() ? std::vector<std::int64_t>{256, 1024, 4096}
                                  : std::vector<std::int64_t>{64, 128, 256, 512, 1024, 2048};
  }
  if (options.d.empty()) {
    options.d =
        options.on_cuda() ? std::vector<std::int64_t>{128} : std::vector<std::int64_t>{128, 2048};
  }
  return options;
}

bench::LapOnCudaOptions on_cuda_options(const BenchOptions& options) {
  bench::LapOnCudaOptions chosen;
  for (const bench::NamedCrew& crew : bench::kLapCrews) {
    if (options.crew == "all" || options.crew == crew.name) chosen.crews.push_back(crew);
  }
  NAT_CHECK(!chosen.crews.empty(), ErrorKind::usage, "--crew ", options.crew,
            ": not one of automatic, block, cluster, grid, all");
  for (const char* name : {"jv", "auction"}) {
    const bool wanted =
        options.solver == name || options.solver == "all" || options.solver == "automatic";
    if (wanted) chosen.cpu_solvers.push_back({name, *solver_named(name)});
  }
  chosen.repeats = options.repeats;
  chosen.shared_kib = options.shared_kib;
  return chosen;
}

// Of at least 5 calls and at least 0.3 seconds. The least time is the one that other work on the
// machine has not disturbed.
struct Milliseconds {
  double median = 0, least = 0;
};

class Timer {
 public:
  explicit Timer(bool thread_time)
      : clock_(thread_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC) {}

  template <class F>
  Milliseconds measure(F&& call) const {
    std::vector<double> times;
    call();
    for (double total = 0; times.size() < 5 || total < 300; total += times.back()) {
      const double start = now();
      call();
      times.push_back(now() - start);
    }
    std::sort(times.begin(), times.end());
    return {times[times.size() / 2], times.front()};
  }

 private:
  double now() const {
    timespec time{};
    clock_gettime(clock_, &time);
    return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
  }
  clockid_t clock_;
};

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

// One problem, solved again and again.
class Problem {
 public:
  Problem(const Timer& timer, Device schedule, std::int64_t n, std::vector<float> scores)
      : timer_(timer),
        schedule_(schedule),
        n_(n),
        scores_(std::move(scores)),
        column_(static_cast<std::size_t>(n)),
        price_(static_cast<std::size_t>(n)) {}

  Milliseconds time(Context& ctx, LapSolver solver) {
    const LapOptions options = lap::resolved(schedule_, n_, {.solver = solver});
    return timer_.measure([&] {
      lap_solve(ctx, options, ConstView(scores_.data(), DType::f32, Shape(n_, n_)),
                View(column_.data(), DType::i32, Shape(n_)),
                View(price_.data(), DType::i32, Shape(n_)), &report_);
    });
  }
  const LapReport& report() const { return report_; }
  const std::vector<float>& scores() const { return scores_; }

  void compare_solvers(Context& ctx, nlohmann::json& row) {
    row["jv_least_ms"] = time(ctx, LapSolver::jv).least;
    test::with_threads(1, [&] { row["auction_1_least_ms"] = time(ctx, LapSolver::auction).least; });
    row["auction_least_ms"] = time(ctx, LapSolver::auction).least;
    row["threads"] = cpu::thread_count();
    row["rounds"] = report_.rounds;
    row["auction_bids"] = report_.bids;
    row["auction_paths"] = report_.paths;
    row["auction_steps"] = report_.steps;
  }

  void compare_munkres(nlohmann::json& row) const {
    const auto range = std::minmax_element(scores_.begin(), scores_.end());
    const double low{*range.first}, high{*range.second}, scale = kLapLevels / (high - low);
    std::vector<std::int64_t> quanta(scores_.size());
    std::transform(scores_.begin(), scores_.end(), quanta.begin(),
                   [&](float score) { return std::llround((double{score} - low) * scale); });
    std::vector<std::int32_t> columns;
    row["munkres_least_ms"] =
        timer_
            .measure([&] {
              columns = bench::TextbookMunkres::columns(static_cast<std::size_t>(n_), quanta);
            })
            .least;
    double value = 0;
    for (std::int64_t i = 0; i < n_; ++i) value += scores_[i * n_ + columns[i]];
    row["munkres_value"] = value;
  }

 private:
  Timer timer_;
  Device schedule_;  // of the auction
  std::int64_t n_;
  std::vector<float> scores_;
  std::vector<std::int32_t> column_, price_;
  LapReport report_;
};

void dump_scores(const std::string& folder, const std::vector<float>& scores, nlohmann::json& row) {
  std::string name = str(row["kind"].get<std::string>(), "-n", row["n"], "-d", row["d"], ".f32");
  std::replace(name.begin(), name.end(), ' ', '-');
  std::ofstream file(std::filesystem::path(folder) / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(scores.data()),
             static_cast<std::streamsize>(scores.size() * sizeof(float)));
  file.close();
  NAT_CHECK(file, ErrorKind::io, folder, "/", name, ": cannot be written");
  row["file"] = name;
}

Milliseconds time_assigner(Context& ctx, const Timer& timer, ConstView z, ConstView targets) {
  const std::int64_t n = z.shape[0];
  Assigner assigner(ctx, n, z.shape[1]);
  std::vector<std::int32_t> column(static_cast<std::size_t>(n));
  LapReport assigned;
  float cosine_sum = 0;
  const Assignment result{.column_of_row = View(column.data(), DType::i32, Shape(n)),
                          .cosine_sum = View(&cosine_sum, DType::f32, Shape(1)),
                          .lap = &assigned};
  return timer.measure([&] { assigner.assign(ctx, z, targets, result); });
}

nlohmann::json measure(Context& ctx, const test::LapInstance& instance, std::int64_t n,
                       std::int64_t d, const BenchOptions& options) {
  auto made = test::make_features(instance, static_cast<std::size_t>(n),
                                  static_cast<std::size_t>(d), 1, options.target_kind());
  const View z(made.z.data(), DType::f32, Shape(n, d));
  const View targets(made.targets.data(), DType::f32, Shape(n, d));
  const Timer timer(options.thread_time);
  const Device schedule = options.schedule == "cuda" ? Device::cuda : Device::cpu;
  Problem problem(timer, schedule, n, centred_scores(ctx, z, targets));
  const Milliseconds solve =
      problem.time(ctx, solver_named(options.solver).value_or(LapSolver::automatic));
  const LapReport report = problem.report();

  nlohmann::json row = {{"kind", instance.name},
                        {"n", n},
                        {"d", d},
                        {"solve_ms", solve.median},
                        {"solve_least_ms", solve.least},
                        {"assign_ms", time_assigner(ctx, timer, z, targets).median},
                        {"bids", report.bids},
                        {"paths", report.paths},
                        {"steps", report.steps},
                        {"gap_quanta", report.gap()},
                        {"quantum", report.quantum},
                        {"value", report.value},
                        {"identity_value", report.identity_value}};
  if (options.solver == "all") problem.compare_solvers(ctx, row);
  if (options.munkres) problem.compare_munkres(row);
  if (!options.dump.empty()) dump_scores(options.dump, problem.scores(), row);
  return row;
}

void print_comparison(const nlohmann::json& row) {
  if (row.contains("jv_least_ms")) {
    const double jv = row["jv_least_ms"], one = row["auction_1_least_ms"];
    const double all = row["auction_least_ms"];
    std::printf("             least ms: jv %.3f  auction %.3f  on %d threads %.3f (%.2fx);", jv,
                one, row["threads"].get<int>(), all, one / all);
    std::printf(" rounds %lld  bids %lld  paths %lld  steps %lld\n", row["rounds"].get<long long>(),
                row["auction_bids"].get<long long>(), row["auction_paths"].get<long long>(),
                row["auction_steps"].get<long long>());
  }
  if (row.contains("munkres_least_ms")) {
    const double munkres = row["munkres_least_ms"], ours = row["solve_least_ms"];
    std::printf("             least ms: textbook Munkres %.1f (%.0fx)\n", munkres, munkres / ours);
  }
}

// f(n, d, instance) for all that is asked for.
template <class F>
void for_each_instance(const BenchOptions& options, F&& f) {
  for (const std::int64_t n : options.n) {
    for (const std::int64_t d : options.d) {
      for (const test::LapInstance& instance : test::kLapInstances) {
        if (std::string(instance.name).find(options.kind) != std::string::npos) f(n, d, instance);
      }
    }
  }
}

nlohmann::json run_on_cpu(const BenchOptions& options) {
  Context ctx;
  nlohmann::json rows = nlohmann::json::array();
  std::printf("%5s %5s  %-16s %9s %9s %6s %5s %7s %4s\n", "n", "d", "features", "solve ms",
              "assign ms", "bids", "paths", "steps", "gap");
  for_each_instance(
      options, [&](std::int64_t n, std::int64_t d, const test::LapInstance& instance) {
        const nlohmann::json row = measure(ctx, instance, n, d, options);
        std::printf("%5lld %5lld  %-16s %9.4f %9.4f %6lld %5lld %7lld %4lld\n",
                    static_cast<long long>(n), static_cast<long long>(d), instance.name,
                    row["solve_ms"].get<double>(), row["assign_ms"].get<double>(),
                    row["bids"].get<long long>(), row["paths"].get<long long>(),
                    row["steps"].get<long long>(), row["gap_quanta"].get<long long>());
        print_comparison(row);
        std::fflush(stdout);
        rows.push_back(row);
      });
  return rows;
}

// ---- CUDA ---------------------------------------------------------------------------------------

void print_on_cuda(const nlohmann::json& row) {
  const double cold = row["cold_us"];
  std::printf("%5lld %5lld  %-15s %-9s %9.1f %9.1f", row["n"].get<long long>(),
              row["d"].get<long long>(), row["kind"].get<std::string>().c_str(),
              row["crew"].get<std::string>().c_str(), cold, row["warm_us"].get<double>());
  if (row.contains("copied_us")) {
    const double copied = row["copied_us"], one_core = row["one_core_us"];
    std::printf(" %10.1f %7s %6.2f %10.1f %7s %6.2f %5lld %6lld", copied,
                row["copied_solver"].get<std::string>().c_str(), copied / cold, one_core,
                row["one_core_solver"].get<std::string>().c_str(), one_core / cold,
                row["rounds"].get<long long>(), row["steps"].get<long long>());
  } else {
    std::printf(" %64s", "");
  }
  std::printf(" %4lld\n", row["gap_quanta"].get<long long>());
  const std::string fault = row["fault"];
  if (!fault.empty()) std::printf("             WRONG: %s\n", fault.c_str());
  std::fflush(stdout);
}

// Scores of several problems of one kind, and the features of the last.
struct MadeProblems {
  test::FeaturesAndTargets last;
  std::vector<float> scores;
};

MadeProblems make_problems(Context& ctx, const test::LapInstance& instance, std::int64_t n,
                           std::int64_t d, const BenchOptions& options) {
  MadeProblems made;
  for (std::int64_t k = 0; k < options.problems; ++k) {
    made.last =
        test::make_features(instance, static_cast<std::size_t>(n), static_cast<std::size_t>(d),
                            static_cast<std::uint64_t>(k + 1), options.target_kind());
    const std::vector<float> scores =
        centred_scores(ctx, ConstView(made.last.z.data(), DType::f32, Shape(n, d)),
                       ConstView(made.last.targets.data(), DType::f32, Shape(n, d)));
    made.scores.insert(made.scores.end(), scores.begin(), scores.end());
  }
  return made;
}

// A row for each crew that there is, and for one problem a row for the assigner.
std::vector<nlohmann::json> measure_on_cuda(Context& cuda, Context& cpu,
                                            const test::LapInstance& instance, std::int64_t n,
                                            std::int64_t d, const BenchOptions& options,
                                            const bench::LapOnCudaOptions& on_cuda) {
  const MadeProblems made = make_problems(cpu, instance, n, d, options);
  bench::LapComparison comparison(cuda, cpu, options.problems, n, made.scores, on_cuda);
  const bench::CpuTime copied = comparison.with_copies(), one_core = comparison.one_core();
  const nlohmann::json common = {
      {"kind", instance.name}, {"n", n}, {"d", d}, {"problems", options.problems}};
  std::vector<nlohmann::json> rows;
  for (const bench::NamedCrew& crew : on_cuda.crews) {
    std::optional<nlohmann::json> row = comparison.crew(crew);
    if (!row) continue;
    row->update(common);
    row->update({{"copied_us", 1e6 * copied.seconds},
                 {"copied_solver", copied.solver},
                 {"one_core_us", 1e6 * one_core.seconds},
                 {"one_core_solver", one_core.solver}});
    if (!options.dump.empty()) dump_scores(options.dump, made.scores, *row);
    rows.push_back(*row);
  }
  if (options.problems == 1) {
    rows.push_back(bench::time_assigner_on_cuda(cuda, made.last.z, made.last.targets, n, d));
    rows.back().update(common);
  }
  return rows;
}

nlohmann::json run_on_cuda(const BenchOptions& options) {
  const bench::LapOnCudaOptions on_cuda = on_cuda_options(options);
  Context cuda(Device::cuda), cpu;
  std::printf("%s, %lld at once; CPU: %d threads\n", bench::device_name(Device::cuda).c_str(),
              static_cast<long long>(options.problems), cpu::thread_count());
  std::printf("%5s %5s  %-15s %-9s %9s %9s %10s %7s %6s %10s %7s %6s %5s %6s %4s\n", "n", "d",
              "features", "crew", "cold us", "warm us", "copied us", "solver", "ratio", "1 core us",
              "solver", "ratio", "round", "steps", "gap");
  nlohmann::json rows = nlohmann::json::array();
  for_each_instance(options, [&](std::int64_t n, std::int64_t d,
                                 const test::LapInstance& instance) {
    for (const nlohmann::json& row : measure_on_cuda(cuda, cpu, instance, n, d, options, on_cuda)) {
      print_on_cuda(row);
      rows.push_back(row);
    }
  });
  return rows;
}

void run(const BenchOptions& options) {
  if (!options.dump.empty()) std::filesystem::create_directories(options.dump);
  const nlohmann::json rows = options.on_cuda() ? run_on_cuda(options) : run_on_cpu(options);
  bench::write_json(
      options.json,
      {{"bench", "lap"}, {"device", options.device}, {"targets", options.targets}, {"rows", rows}});
  const bool is_wrong = std::any_of(rows.begin(), rows.end(), [](const nlohmann::json& row) {
    return !row.value("fault", "").empty();
  });
  NAT_CHECK(!is_wrong, ErrorKind::unexpected, "solutions are WRONG, see above");
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
