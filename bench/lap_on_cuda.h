// bench_lap --device cuda: the assignment where scores and result stay on the device, beside what
// the solvers of the CPU cost there, copies included; and whether both find the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/tensors.h"
#include "kernels/lap.h"
#include "kernels/lap_auction.h"
#include "nat/assigner.h"
#include "tests/opcases/determinism.h"

namespace nat::bench {

struct NamedCrew {
  const char* name;
  LapCrew crew;
};
inline constexpr NamedCrew kLapCrews[] = {{"automatic", LapCrew::automatic},
                                          {"block", LapCrew::block},
                                          {"cluster", LapCrew::cluster},
                                          {"grid", LapCrew::grid}};

struct NamedSolver {
  const char* name;
  LapSolver solver;
};

// What is the same for all instances of a run.
struct LapOnCudaOptions {
  std::vector<NamedCrew> crews;
  std::vector<NamedSolver> cpu_solvers;  // the fastest counts
  int repeats = 100;                     // solutions that must be the same bytes
  int shared_kib = 0;                    // of a block, at most; 0: what the device has
};

// One or several problems of n rows, one below the other, and their solutions, in the memory of a
// context.
class LapProblems {
 public:
  struct Solution {
    std::vector<std::int32_t> column, price;
    std::vector<LapReport> reports;
    friend bool operator==(const Solution&, const Solution&) = default;
  };

  LapProblems(Context& ctx, std::int64_t count, std::int64_t n, const std::vector<float>& scores)
      : ctx_(ctx),
        count_(count),
        n_(n),
        scores_(ctx.device, scores.size() * sizeof(float), "scores"),
        column_(ctx.device, vector_bytes(), "columns"),
        price_(ctx.device, vector_bytes(), "prices"),
        reports_(ctx.device, static_cast<std::size_t>(count) * sizeof(LapReport), "reports") {
    copy_to_device(ctx, ConstView(scores.data(), DType::f32, this->scores().shape), this->scores());
    synchronize(ctx);
  }

  std::int64_t count() const { return count_; }
  std::int64_t n() const { return n_; }
  View scores() const { return {scores_.data(), DType::f32, Shape(count_ * n_, n_)}; }
  View column() const { return {column_.data(), DType::i32, Shape(count_ * n_)}; }

  // Enqueued, as operations are.
  void solve(const LapOptions& options) { solve(options, scores(), column()); }
  void solve(const LapOptions& options, ConstView scores, View column) {
    const View prices(price_.data(), DType::i32, column.shape);
    const auto& solver = count_ == 1 ? lap_solve : lap_solve_batch;
    solver(ctx_, options, scores, column, prices, reports_.as<LapReport>());
  }

  Solution read() {
    Solution solution;
    fetch(column_, solution.column);
    fetch(price_, solution.price);
    fetch(reports_, solution.reports);
    synchronize(ctx_);
    return solution;
  }

 private:
  std::size_t vector_bytes() const {
    return static_cast<std::size_t>(count_ * n_) * sizeof(std::int32_t);
  }
  template <class T>
  void fetch(const Buffer& from, std::vector<T>& to) {
    const Shape bytes(static_cast<std::int64_t>(from.bytes()));
    to.resize(from.bytes() / sizeof(T));
    copy_to_host(ctx_, ConstView(from.data(), DType::u8, bytes), View(to.data(), DType::u8, bytes));
  }

  Context& ctx_;
  std::int64_t count_, n_;
  Buffer scores_, column_, price_, reports_;
};

// Why this is no proven optimum (kernels/lap.h); empty when it is.
inline std::string fault_of(const LapProblems::Solution& solution, std::int64_t n) {
  for (std::size_t k = 0; k < solution.reports.size(); ++k) {
    const LapReport& report = solution.reports[k];
    if (report.status != LapStatus::optimal) return str("problem ", k, " was refused");
    bool is_identity = true;
    for (std::int64_t i = 0; i < n; ++i) {
      is_identity =
          is_identity &&
          solution.column[k * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)] == i;
    }
    if (report.gap() < 0 || report.gap() > (is_identity ? n : 0)) {
      return str("problem ", k, " has a gap of ", report.gap());
    }
  }
  return "";
}

// Median of at least 5 calls and 0.1 seconds after a warm-up; a call that takes long is its own
// warm-up.
inline double wall_seconds(const std::function<void()>& call) {
  constexpr double kLong = 0.5, kEnough = 0.1;
  constexpr std::size_t kFewest = 5;
  const auto once = [&] {
    const double began = now();
    call();
    return now() - began;
  };
  const double first = once();
  if (first > kLong) return first;
  std::vector<double> times;
  for (double total = 0; times.size() < kFewest || total < kEnough; total += times.back()) {
    times.push_back(once());
  }
  return median(times);
}

struct CpuTime {
  const char* solver = "";
  double seconds = 0;
};

template <class TimeOf>
CpuTime fastest(const std::vector<NamedSolver>& solvers, TimeOf&& time_of) {
  CpuTime best;
  for (const NamedSolver& candidate : solvers) {
    const double seconds = time_of(candidate.solver);
    if (best.seconds == 0 || seconds < best.seconds) best = {candidate.name, seconds};
  }
  return best;
}

// One set of problems on both devices.
class LapComparison {
 public:
  LapComparison(Context& cuda, Context& cpu, std::int64_t count, std::int64_t n,
                const std::vector<float>& scores, const LapOnCudaOptions& options)
      : cuda_(cuda),
        options_(options),
        timer_(cuda),
        on_cuda_(cuda, count, n, scores),
        on_cpu_(cpu, count, n, scores) {
    on_cpu_.solve(lap::resolved(Device::cuda, on_cpu_.n(), {.solver = LapSolver::auction}));
    expected_ = on_cpu_.read();
  }

  // Solved on one core, from scores that the host has.
  CpuTime one_core() {
    CpuTime time;
    test::with_threads(1, [&] {
      time = fastest(options_.cpu_solvers, [&](LapSolver solver) {
        return wall_seconds([&] { on_cpu_.solve({.solver = solver}); });
      });
    });
    return time;
  }

  // Scores of the device copied to page-locked memory, solved with all threads, permutation back.
  CpuTime with_copies() {
    const HostBuffer scores(Device::cuda, on_cuda_.scores().bytes(), "scores");
    const HostBuffer column(Device::cuda, on_cuda_.column().bytes(), "columns");
    const View host_scores(scores.data(), DType::f32, on_cuda_.scores().shape);
    const View host_column(column.data(), DType::i32, on_cuda_.column().shape);
    return fastest(options_.cpu_solvers, [&](LapSolver solver) {
      return wall_seconds([&] {
        copy_to_host(cuda_, on_cuda_.scores(), host_scores);
        synchronize(cuda_);
        on_cpu_.solve({.solver = solver}, host_scores, host_column);
        copy_to_device(cuda_, host_column, on_cuda_.column());
        synchronize(cuda_);
      });
    });
  }

  // Times and faults of one crew; nothing where this device or size does not have it.
  std::optional<nlohmann::json> crew(const NamedCrew& named) {
    const LapOptions lap{
        .solver = LapSolver::auction, .crew = named.crew, .shared_kib = options_.shared_kib};
    try {
      on_cuda_.solve(lap);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::usage || options_.crews.size() == 1) throw;
      return std::nullopt;
    }
    const LapProblems::Solution first = on_cuda_.read();
    std::string fault = fault_of(first, on_cuda_.n());
    if (fault.empty() && first != expected_) fault = "differs from the CPU's auction";
    for (int i = 1; i < options_.repeats && fault.empty(); ++i) {
      on_cuda_.solve(lap);
      if (on_cuda_.read() != first) fault = str("solution ", i + 1, " differs from the first");
    }
    const LapReport& report = first.reports.front();
    return nlohmann::json{{"crew", named.name},
                          {"shared_kib", options_.shared_kib},
                          {"cold_us", 1e6 * timer_.seconds([&] { on_cuda_.solve(lap); })},
                          {"warm_us", 1e6 * timer_.warm_seconds([&] { on_cuda_.solve(lap); })},
                          {"rounds", report.rounds},
                          {"paths", report.paths},
                          {"steps", report.steps},
                          {"gap_quanta", report.gap()},
                          {"quantum", report.quantum},
                          {"value", report.value},
                          {"fault", fault}};
  }

 private:
  Context& cuda_;
  const LapOnCudaOptions& options_;
  Timer timer_;
  LapProblems on_cuda_, on_cpu_;
  LapProblems::Solution expected_;
};

// Features on the device to the permutation on the device.
inline nlohmann::json time_assigner_on_cuda(Context& cuda, const std::vector<float>& z,
                                            const std::vector<float>& targets, std::int64_t n,
                                            std::int64_t d) {
  const DeviceTensor features(cuda, Shape(n, d), DType::f32), goals(cuda, Shape(n, d), DType::f32);
  upload(cuda, z, features.view());
  upload(cuda, targets, goals.view());
  const DeviceTensor column(cuda, Shape(n), DType::i32), cosine_sum(cuda, Shape(1), DType::f32);
  const Buffer report(cuda.device, sizeof(LapReport), "report");
  Assigner assigner(cuda, n, d);
  const Assignment result{.column_of_row = column.view(),
                          .cosine_sum = cosine_sum.view(),
                          .lap = report.as<LapReport>()};
  const auto assign = [&] { assigner.assign(cuda, features.view(), goals.view(), result); };
  Timer timer(cuda);
  nlohmann::json row = {{"crew", "assigner"}, {"cold_us", 1e6 * timer.seconds(assign)}};
  row["warm_us"] = 1e6 * timer.warm_seconds(assign);

  LapProblems::Solution solution;
  solution.column.resize(static_cast<std::size_t>(n));
  solution.reports.resize(1);
  const Shape bytes(sizeof(LapReport));
  copy_to_host(cuda, column.view(), View(solution.column.data(), DType::i32, Shape(n)));
  copy_to_host(cuda, ConstView(report.data(), DType::u8, bytes),
               View(solution.reports.data(), DType::u8, bytes));
  synchronize(cuda);
  row["gap_quanta"] = solution.reports[0].gap();
  row["fault"] = fault_of(solution, n);
  return row;
}

}  // namespace nat::bench
