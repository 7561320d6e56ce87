// nat lap on numbers that no floating-point sum holds together: the answers are compared exactly.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/reference/lap.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// Entries are m 2^e with whole m, |m| <= 9, and e one of these: so far apart that sums are ordered
// like these counts of each of them, the first that differs deciding.
constexpr std::array kExponents = {980, 300, 0, -300, -1000};
using Counts = std::array<int, kExponents.size()>;

struct Entry {
  std::size_t scale;
  int multiple;

  double value() const { return std::ldexp(multiple, kExponents[scale]); }
};

std::uint32_t draw(std::uint64_t index) {
  return nat::philox(31, nat::RandomStream::synthetic, 6, index).value[0];
}

std::vector<Entry> make_entries(std::size_t n, std::uint64_t problem) {
  std::vector<Entry> entries(n * n);
  std::uint64_t index = problem << 16;
  for (Entry& entry : entries) {
    entry.scale = draw(index++) % kExponents.size();
    entry.multiple = static_cast<int>(draw(index++) % 19) - 9;
  }
  return entries;
}

Counts sum_of(std::size_t n, const std::vector<Entry>& entries,
              const std::vector<std::size_t>& column) {
  Counts sum{};
  for (std::size_t i = 0; i < n; ++i) {
    const Entry& entry = entries[i * n + column[i]];
    sum[entry.scale] += entry.multiple;
  }
  return sum;
}

Counts largest_sum(std::size_t n, const std::vector<Entry>& entries) {
  std::vector<std::size_t> column(n);
  std::iota(column.begin(), column.end(), std::size_t{0});
  Counts largest = sum_of(n, entries, column);
  while (std::next_permutation(column.begin(), column.end())) {
    largest = std::max(largest, sum_of(n, entries, column));
  }
  return largest;
}

std::string npy(std::size_t n, const std::vector<double>& values) {
  const std::string size = std::to_string(n);
  std::string header =
      "{'descr': '<f8', 'fortran_order': False, 'shape': (" + size + ", " + size + "), }";
  header.resize(117, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\0\x76\0", 10);
  file += header;
  return file.append(reinterpret_cast<const char*>(values.data()), 8 * values.size());
}

struct Answer {
  nlohmann::json report;
  std::vector<std::size_t> column;
};

Answer assign(const Workspace& workspace, std::size_t n, const std::vector<double>& values,
              const char* goal) {
  const std::string matrix = workspace.at("m.npy"), columns = workspace.at("columns");
  write_file(matrix, npy(n, values));
  const Outcome outcome =
      nat::tools::nat(workspace, {"lap", matrix, goal, "--json", "--out", columns});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  Answer answer{nlohmann::json::parse(outcome.out), {}};
  std::istringstream lines(read_file(columns));
  for (std::size_t column = 0; lines >> column;) answer.column.push_back(column);
  REQUIRE(answer.column.size() == n);
  return answer;
}

}  // namespace

TEST_CASE("numbers of 600 decimal places have the sum that trying everything finds") {
  const Workspace workspace;
  int solves = 0;
  for (std::uint64_t problem = 0; problem < 120; ++problem) {
    const std::size_t n = 2 + problem % 5;
    const std::vector<Entry> entries = make_entries(n, problem);
    std::vector<double> values;
    for (const Entry& entry : entries) values.push_back(entry.value());
    const Answer answer = assign(workspace, n, values, "--max");
    CAPTURE(problem);
    CHECK(answer.report.at("status") == "optimal");
    CHECK(answer.report.at("gap") == 0);
    CHECK(sum_of(n, entries, answer.column) == largest_sum(n, entries));
    solves = std::max(solves, answer.report.at("solves").get<int>());
  }
  CHECK(solves > 4);  // a level of one solution is far above what the next one tells apart
}

TEST_CASE("huge numbers that stand for 'never' do not hide what the others differ by") {
  const Workspace workspace;
  for (const double never : {1e12, 1e30, 0x1.fffffep+127, 1e100, 1e300}) {
    for (const std::size_t n : {5, 40}) {
      CAPTURE(never);
      CAPTURE(n);
      std::vector<double> values(n * n);
      std::vector<std::int64_t> gains(n * n);  // what the reference maximises
      for (std::size_t k = 0; k < n * n; ++k) {
        const std::size_t row = k / n, column = k % n;
        // One permutation is always allowed.
        const bool is_allowed = column == (row + 1) % n || draw(2 * k) % 2 == 0;
        const auto cost = static_cast<int>(draw(2 * k + 1) % 100000);
        values[k] = is_allowed ? std::ldexp(cost, -17) : never;
        gains[k] = is_allowed ? -cost : -(std::int64_t{1} << 40);
      }
      const Answer answer = assign(workspace, n, values, "--min");
      std::int64_t gain = 0;
      for (std::size_t i = 0; i < n; ++i) gain += gains[i * n + answer.column[i]];
      CHECK(gain == nat::reference::best_by_augmenting_paths(n, gains));
      CHECK(answer.report.at("value").get<double>() == std::ldexp(-static_cast<double>(gain), -17));
      CHECK(answer.report.at("gap") == 0);
    }
  }
}
