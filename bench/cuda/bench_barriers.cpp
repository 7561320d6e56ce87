// How long does a crew of threads wait for one another?
//
//   bench_barriers [--repeats N] [--json PATH]
//
// Nanoseconds a call of each kind of barrier, of a maximum over a warp, of a read of shared memory
// and of the caches, and of a step of the path search of the assignment: the difference between a
// kernel that does it many times and one that does it few times, so that the launch cancels out.
#include "bench/cuda/barriers.h"
#include "bench/measure.h"

namespace {

using namespace nat;

struct Asked {
  int repeats = 20000;
  std::string json;
};

// Median over several pairs of runs. `enqueue(count)` enqueues a kernel that does it count times.
template <class Enqueue>
double nanoseconds_each(Context& ctx, int repeats, Enqueue&& enqueue) {
  constexpr int kSamples = 7;
  const int few = std::max(1, repeats / 10);
  const auto seconds = [&](int count) {
    synchronize(ctx);
    const double began = bench::now();
    enqueue(count);
    synchronize(ctx);
    return bench::now() - began;
  };
  seconds(few);
  std::vector<double> differences;
  for (int i = 0; i < kSamples; ++i) {
    const double base = seconds(few);
    differences.push_back(seconds(few + repeats) - base);
  }
  return 1e9 * bench::median(differences) / repeats;
}

class Table {
 public:
  void add(const std::string& what, double nanoseconds) {
    std::printf("%-44s %10.1f ns\n", what.c_str(), nanoseconds);
    rows_.push_back({{"what", what}, {"ns", nanoseconds}});
  }
  const nlohmann::json& rows() const { return rows_; }

 private:
  nlohmann::json rows_ = nlohmann::json::array();
};

void time_barriers(Context& ctx, int repeats, Table& table) {
  const auto each = [&](auto&& f) {
    return nanoseconds_each(ctx, repeats, [&](int count) { f(ctx, count); });
  };
  const std::string threads = str(", ", bench::kBlockThreads, " threads each");
  table.add("maximum over a warp", each(bench::reduce_warp));
  table.add("barrier, 1 block" + threads, each(bench::sync_block));
  constexpr int kFirstWithClusters = 90;
  if (cuda_device().compute_capability >= kFirstWithClusters) {
    table.add(str("barrier, a cluster of ", bench::kClusterBlocks, threads),
              each(bench::sync_cluster));
    table.add("  without its fences", each(bench::sync_cluster_relaxed));
  }
  table.add("barrier, a block a multiprocessor" + threads, each(bench::sync_grid));
}

void time_reads(Context& ctx, int repeats, Table& table) {
  table.add("read, shared memory",
            nanoseconds_each(ctx, repeats, [&](int count) { bench::read_shared(ctx, count); }));
  for (const int kib : {16, 4096}) {  // which L1 holds, and L2 only
    bench::ReadChain chain(ctx, kib);
    table.add(str("read, one of ", kib, " KiB"),
              nanoseconds_each(ctx, repeats, [&](int count) { chain.run(count); }));
  }
}

void time_search(Context& ctx, std::int64_t n, bench::PathSearch::Scores scores,
                 const std::string& by, int repeats, Table& table) {
  bench::PathSearch search(ctx, n, scores);
  const int searches = std::max<int>(1, repeats / static_cast<int>(n));
  const double nanoseconds = nanoseconds_each(ctx, searches, [&](int count) { search.run(count); });
  NAT_CHECK(search.steps_of_last() == n, ErrorKind::unexpected, "a search over ", n,
            " columns took ", search.steps_of_last(), " steps");
  table.add(str("step of a path search, n = ", n, ", ", by), nanoseconds / static_cast<double>(n));
}

void run(const Asked& asked) {
  Context ctx(Device::cuda);
  std::printf("%s\n", bench::device_name(Device::cuda).c_str());
  Table table;
  time_barriers(ctx, asked.repeats, table);
  time_reads(ctx, asked.repeats, table);
  using Scores = bench::PathSearch::Scores;
  for (const std::int64_t n : {256, 1024}) {
    time_search(ctx, n, Scores::in_l2, "1 block", asked.repeats, table);
  }
  for (const std::int64_t n : {160, 256}) {
    if (!bench::PathSearch::scores_fit(ctx, n)) continue;
    time_search(ctx, n, Scores::in_shared_memory, "1 warp", asked.repeats, table);
  }
  bench::write_json(asked.json, {{"bench", "barriers"},
                                 {"device", bench::device_name(Device::cuda)},
                                 {"rows", table.rows()}});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("what barriers, reductions, reads and path searches cost on the device");
  Asked asked;
  app.add_option("--repeats", asked.repeats, "how often a kernel does it")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", asked.json, "write all figures to this file");
  CLI11_PARSE(app, argc, argv);
  return bench::guarded("bench_barriers", [&] { run(asked); });
}
