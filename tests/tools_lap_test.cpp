// nat lap: every format of input, values against other solvers, and what it refuses.
#include <sys/stat.h>
#include <zlib.h>

#include <bit>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/reference/lap.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// Integers in [0, below), from the seed.
std::vector<std::int64_t> random_matrix(std::size_t n, std::uint64_t seed, std::uint32_t below) {
  std::vector<std::int64_t> values;
  for (std::uint64_t i = 0; i < n * n; ++i) {
    values.push_back(nat::philox(seed, nat::RandomStream::synthetic, 0, i).value[0] % below);
  }
  return values;
}

template <class Number>
std::string csv(std::size_t n, const std::vector<Number>& values) {
  std::ostringstream text;
  text.precision(17);
  for (std::size_t i = 0; i < values.size(); ++i) {
    text << values[i] << (i % n + 1 == n ? "\n" : ",");
  }
  return text.str();
}

std::string orlib(std::size_t n, const std::vector<std::int64_t>& values) {
  std::ostringstream text;
  text << ' ' << n << '\n';
  for (std::size_t i = 0; i < values.size(); ++i) {
    text << ' ' << values[i] << (i % 7 == 6 ? "\n" : "");
  }
  return text.str();
}

template <class Element>
std::string npy(const std::string& shape, const char* type, const std::vector<std::int64_t>& values,
                const char* order = "False") {
  std::string header = std::string("{'descr': '") + type + "', 'fortran_order': " + order +
                       ", 'shape': " + shape + ", }";
  header.resize((header.size() + 10) / 64 * 64 + 53, ' ');
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {'\1', '\0', static_cast<char>(header.size()), '\0'};
  bytes += header;
  for (const std::int64_t value : values) {
    const auto element = static_cast<Element>(value);
    bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
  }
  return bytes;
}

// The file with every number of its data turned round.
std::string big_endian(std::string file, std::size_t size, std::size_t count) {
  const auto data = file.end() - static_cast<std::ptrdiff_t>(size * count);
  for (std::size_t k = 0; k < count; ++k) {
    const auto number = data + static_cast<std::ptrdiff_t>(size * k);
    std::reverse(number, number + static_cast<std::ptrdiff_t>(size));
  }
  return file;
}

void write_gzip(const std::string& path, const std::string& text) {
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
}

nlohmann::json lap(const Workspace& workspace, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "lap");
  arguments.emplace_back("--json");
  const Outcome outcome = nat::tools::nat(workspace, arguments);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return nlohmann::json::parse(outcome.out);
}

// A command of the shell, in a process of its own.
Outcome shell(const Workspace& workspace, const std::string& command) {
  const std::string out = workspace.at("shell.out"), err = workspace.at("shell.err");
  const int status = std::system(("(" + command + ") >" + out + " 2>" + err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

// The matrix by way of a pipe.
nlohmann::json lap_of(const Workspace& workspace, const std::string& bytes,
                      const std::vector<std::string>& arguments) {
  const std::string file = workspace.at("piped");
  write_file(file, bytes);
  std::string command = "cat " + file + " | " + nat_program() + " lap --json";
  for (const std::string& argument : arguments) command += " " + argument;
  const Outcome outcome = shell(workspace, command);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return nlohmann::json::parse(outcome.out);
}

std::int64_t largest_sum(std::size_t n, const std::vector<std::int64_t>& values) {
  return nat::reference::best_by_augmenting_paths(n, values);
}

std::int64_t smallest_sum(std::size_t n, std::vector<std::int64_t> values) {
  for (std::int64_t& value : values) value = -value;
  return -largest_sum(n, values);
}

}  // namespace

TEST_CASE("one matrix in every format has one smallest and one largest sum") {
  const Workspace workspace;
  const std::size_t n = 13;
  const std::vector<std::int64_t> values = random_matrix(n, 1, 50);
  const std::string text = csv(n, values);
  write_file(workspace.at("a.csv"), text);
  write_file(workspace.at("spaced.csv"), "\n" + text.substr(0, text.find(',')) + " , \t" +
                                             text.substr(text.find(',') + 1) + "\r\n\n");
  write_file(workspace.at("no-name"), text);
  write_gzip(workspace.at("a.csv.gz"), text);
  write_file(workspace.at("a.txt"), orlib(n, values));
  write_gzip(workspace.at("b.gz"), orlib(n, values));
  write_file(workspace.at("f4.npy"), npy<float>("(13, 13)", "<f4", values));
  write_file(workspace.at("f8.npy"), npy<double>("(13, 13)", "<f8", values));
  write_file(workspace.at("i4.npy"), npy<std::int32_t>("(13, 13)", "<i4", values));
  write_file(workspace.at("i8.npy"), npy<std::int64_t>("(13, 13)", "<i8", values));
  for (const char* name : {"a.csv", "spaced.csv", "no-name", "a.csv.gz", "a.txt", "b.gz", "f4.npy",
                           "f8.npy", "i4.npy", "i8.npy"}) {
    CAPTURE(name);
    const nlohmann::json least = lap(workspace, {workspace.at(name)});
    CHECK(least.at("n") == 13);
    CHECK(least.at("value") == smallest_sum(n, values));
    CHECK(least.at("bound") == least.at("value"));
    CHECK(least.at("gap") == 0);
    CHECK(least.at("status") == "optimal");
    CHECK(least.at("seconds").get<double>() > 0);
    CHECK(lap(workspace, {workspace.at(name), "--min"}).at("value") == least.at("value"));
    CHECK(lap(workspace, {workspace.at(name), "--max"}).at("value") == largest_sum(n, values));
  }
}

TEST_CASE("an .npy file may hold any type, byte order and order of axes") {
  const Workspace workspace;
  const std::size_t n = 13;
  const std::vector<std::int64_t> values = random_matrix(n, 5, 128);
  std::vector<std::int64_t> by_columns(n * n), halves(n * n);
  for (std::size_t k = 0; k < n * n; ++k) {
    by_columns[k % n * n + k / n] = values[k];
    // 1 <= m 2^e < 2 of value = m 2^e 2^x: exponent x + 15, fraction m - 1 in units of 2^-10.
    const std::int64_t value = values[k];
    const int x =
        value == 0 ? 0 : static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value))) - 1;
    halves[k] = value == 0 ? 0 : (x + 15) * 1024 + (value << (10 - x)) - 1024;
  }
  const char* shape = "(13, 13)";
  // Version 2 of the format has four bytes for the length of its header.
  std::string version_2 = npy<double>(shape, "<f8", values);
  version_2[6] = 2;
  version_2.insert(10, 2, '\0');
  const std::pair<const char*, std::string> files[] = {
      {"f8, version 2", version_2},
      {"u1", npy<std::uint8_t>(shape, "|u1", values)},
      {"i1", npy<std::int8_t>(shape, "|i1", values)},
      {"u2", npy<std::uint16_t>(shape, "<u2", values)},
      {"i2", npy<std::int16_t>(shape, "<i2", values)},
      {"u4", npy<std::uint32_t>(shape, "<u4", values)},
      {"u8", npy<std::uint64_t>(shape, "<u8", values)},
      {"f2", npy<std::uint16_t>(shape, "<f2", halves)},
      {"i2, big-endian", big_endian(npy<std::int16_t>(shape, ">i2", values), 2, n * n)},
      {"f4, big-endian", big_endian(npy<float>(shape, ">f4", values), 4, n * n)},
      {"i8, big-endian", big_endian(npy<std::int64_t>(shape, ">i8", values), 8, n * n)},
      {"f8, by columns", npy<double>(shape, "<f8", by_columns, "True")},
      {"u2, by columns, big-endian",
       big_endian(npy<std::uint16_t>(shape, ">u2", by_columns, "True"), 2, n * n)},
  };
  const std::string file = workspace.at("a.npy"), out = workspace.at("assignment.txt");
  for (const auto& what_and_bytes : files) {
    CAPTURE(what_and_bytes.first);
    write_file(file, what_and_bytes.second);
    CHECK(lap(workspace, {file, "--max"}).at("value") == largest_sum(n, values));
    // The value alone would be that of the transposed matrix, too.
    CHECK(lap(workspace, {file, "--out", out}).at("value") == smallest_sum(n, values));
    std::istringstream columns(read_file(out));
    std::int64_t sum = 0;
    std::size_t column = 0;
    for (std::size_t i = 0; i < n && columns >> column; ++i) sum += values[i * n + column];
    CHECK(sum == smallest_sum(n, values));
  }
  // Negative and fractional: -3, 2^-24 (the smallest half), -1.5 and 65504 (the largest).
  write_file(file, npy<std::uint16_t>("(2, 2)", "<f2", {0xC200, 0x0001, 0xBE00, 0x7BFF}));
  CHECK(lap(workspace, {file}).at("value") == 0x1p-24 - 1.5);
  CHECK(lap(workspace, {file, "--max"}).at("value") == 65501);
  write_file(file, npy<std::int8_t>("(1, 1)", "|i1", {-128}));
  CHECK(lap(workspace, {file}).at("value") == -128);
  write_file(file, npy<std::int64_t>("(1, 1)", "<i8", {-(1LL << 53)}));
  CHECK(lap(workspace, {file}).at("value") == -0x1p53);
}

TEST_CASE("the assignment that is written has the value that is printed") {
  const Workspace workspace;
  const std::size_t n = 60;
  const std::vector<std::int64_t> values = random_matrix(n, 2, 1000);
  write_file(workspace.at("a.csv"), csv(n, values));
  for (const char* solver : {"auto", "jv", "auction"}) {
    CAPTURE(solver);
    const std::string out = workspace.at("assignment.txt");
    const nlohmann::json json =
        lap(workspace, {workspace.at("a.csv"), "--solver", solver, "--out", out});
    CHECK(json.at("solver") == (std::string(solver) == "auction" ? "auction" : "jv"));
    CHECK((json.at("rounds") > 0) == (std::string(solver) == "auction"));
    std::istringstream lines(read_file(out));
    std::vector<bool> taken(n, false);
    std::int64_t sum = 0;
    std::size_t i = 0;
    for (std::size_t column = 0; lines >> column; ++i) {
      REQUIRE(column < n);
      CHECK_FALSE(taken[column]);
      taken[column] = true;
      sum += values[i * n + column];
    }
    CHECK(i == n);
    CHECK(sum == smallest_sum(n, values));
    CHECK(json.at("value") == sum);
  }
}

TEST_CASE(
    "differences far below the levels of one solution decide, and the gap is proved to be 0") {
  // w = 2^29 + k 2^-16, k < 2^30: exact as doubles, and so are sums of 50. One solution tells 2^24
  // levels apart, of 2^30.
  const Workspace workspace;
  const std::size_t n = 50;
  const std::vector<std::int64_t> fine = random_matrix(n, 3, 1u << 30);
  std::vector<double> values;
  for (const std::int64_t k : fine) values.push_back(0x1p29 + static_cast<double>(k) * 0x1p-16);
  write_file(workspace.at("fine.csv"), csv(n, values));
  for (const char* solver : {"jv", "auction"}) {
    CAPTURE(solver);
    const nlohmann::json json = lap(workspace, {workspace.at("fine.csv"), "--solver", solver});
    const double exact = 50 * 0x1p29 + static_cast<double>(smallest_sum(n, fine)) * 0x1p-16;
    CHECK(json.at("value").get<double>() == exact);
    CHECK(json.at("gap") == 0);
    CHECK(json.at("solves") > 1);
  }
}

TEST_CASE("one number, equal numbers and numbers of every size are assigned") {
  const Workspace workspace;
  write_file(workspace.at("one.csv"), "-2.5\n");
  CHECK(lap(workspace, {workspace.at("one.csv")}).at("value") == -2.5);
  write_gzip(workspace.at("one.csv.gz"), "7\n");  // a name that says so, and no comma
  CHECK(lap(workspace, {workspace.at("one.csv.gz")}).at("value") == 7);
  write_file(workspace.at("equal.csv"), "3,3,3\n3,3,3\n3,3,3\n");
  CHECK(lap(workspace, {workspace.at("equal.csv")}).at("value") == 9);
  write_file(workspace.at("zero.csv"), "0,0\n0,0\n");
  const Outcome zero = nat::tools::nat(workspace, {"lap", workspace.at("zero.csv")});
  CHECK(zero.out.find("value      0\n") != std::string::npos);
  write_file(workspace.at("tiny.csv"), "1e-300,3e-300\n2e-300,1e-300\n");
  CHECK(lap(workspace, {workspace.at("tiny.csv"), "--max"}).at("value") == 3e-300 + 2e-300);
  write_file(workspace.at("huge.csv"), "1e300,-1e300\n-1e300,1e300\n");
  CHECK(lap(workspace, {workspace.at("huge.csv")}).at("value") == -2e300);
  const std::string small = workspace.at("small.txt");
  write_file(small, "2\n1 +2\n2 4\n");
  CHECK(lap(workspace, {small}).at("value") == 4);
  const Outcome printed = nat::tools::nat(workspace, {"lap", small});
  CHECK(printed.code == 0);
  for (const char* word : {"value      4\n", "bound      4\n", "gap        0\n", "seconds"}) {
    CHECK(printed.out.find(word) != std::string::npos);
  }
}

TEST_CASE("numbers of very different sizes have the sum that trying everything finds") {
  // All sums of these are exact in double.
  const std::vector<std::vector<double>> alphabets = {
      {1e9, 1, 2, -1e9}, {1e6, 0, 1, 3, -1e6}, {1e15, 1, -1}, {4, 4 + 0x1p-28, 1e6, -0x1p-28}};
  const Workspace workspace;
  std::uint64_t draw = 0;
  int large_gaps = 0;
  for (int problem = 0; problem < 240; ++problem) {
    const std::vector<double>& alphabet = alphabets[static_cast<std::size_t>(problem) % 4];
    const std::size_t n = 2 + static_cast<std::size_t>(problem) / 4 % 4;
    std::vector<double> w(n * n);
    for (double& value : w) {
      const auto word = nat::philox(11, nat::RandomStream::synthetic, 4, draw++).value[0];
      value = alphabet[word % alphabet.size()];
    }
    std::vector<std::size_t> column(n);
    std::iota(column.begin(), column.end(), std::size_t{0});
    double best = std::numeric_limits<double>::infinity();
    do {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += w[i * n + column[i]];
      best = std::min(best, sum);
    } while (std::next_permutation(column.begin(), column.end()));
    write_file(workspace.at("wide.csv"), csv(n, w));
    const auto found = lap(workspace, {workspace.at("wide.csv")});
    CAPTURE(csv(n, w));
    CHECK(found.at("value").get<double>() == best);
    CHECK(found.at("status") == "optimal");
    large_gaps += found.at("solves").get<int>() > 1;
  }
  CHECK(large_gaps > 40);  // the levels of one solution were not enough for these

  // Large numbers that cancel do not take the small one with them.
  write_file(workspace.at("wide.csv"), "0.1,0.10000000000000002,1e9\n0.1,0.1,1e9\n-1e9,-1e9,0\n");
  CHECK(lap(workspace, {workspace.at("wide.csv")}).at("value").get<double>() ==
        doctest::Approx(0.1).epsilon(1e-15));
}

TEST_CASE("the public instances beside the source tree reach their published optima") {
  const std::filesystem::path data =
      std::filesystem::path(NAT_SOURCE_DIR) / ".." / "shared" / "data";
  if (!std::filesystem::exists(data / "orlib-assign")) {
    MESSAGE("skipped: no OR-Library files beside the source tree");
    return;
  }
  const Workspace workspace;
  const std::int64_t optima[] = {305, 475, 626, 804, 991, 1176, 1362, 1552};
  for (int k = 0; k < 8; ++k) {
    const std::string name = "assign" + std::to_string(100 * (k + 1)) + ".txt";
    const nlohmann::json json = lap(workspace, {(data / "orlib-assign" / name).string()});
    CHECK(json.at("value") == optima[k]);
    CHECK(json.at("bound") == optima[k]);
    CHECK(json.at("gap") == 0);
  }
  for (const char* solver : {"jv", "auction"}) {
    const nlohmann::json json =
        lap(workspace, {(data / "lap-eps-368" / "cost_eps.csv.gz").string(), "--solver", solver});
    // The order of a sum of 368 doubles may move its last digit.
    CHECK(json.at("value").get<double>() == doctest::Approx(224.8899507294651).epsilon(1e-14));
    CHECK(json.at("gap") == 0);
  }
}

TEST_CASE("what is no square matrix of numbers is refused in one line with exit code 3") {
  const Workspace workspace;
  const std::vector<std::int64_t> four = {1, 2, 3, 4};
  const std::string good = npy<double>("(2, 2)", "<f8", four);
  struct Case {
    const char* name;
    std::string bytes;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {
      {"empty.csv", "", {"is empty"}},
      {"blank.txt", " \n\n", {"is empty"}},
      {"wide.csv", "1,2,3\n4,5,6\n", {"2 rows of 3", "square"}},
      {"ragged.csv", "1,2\n3,4,5\n", {"line 2 has 3", "2"}},
      {"word.csv", "1,2\n3,four\n", {"line 2", "'four'"}},
      {"semicolons.csv", "1;2\n3;4\n", {"line 1", "separate them by commas"}},
      {"semicolons.txt", "1;2\n3;4\n", {"line 1", "separate them by commas"}},
      {"tabs.csv", "1\t2\n3\t4\n", {"line 1", "separate them by commas"}},
      {"tabs.txt", "1\t2\n3\t4\n", {"announces 1 rows", "separate numbers by commas"}},
      {"heading.csv", "x,y\n1,2\n3,4\n", {"line 1", "'x'", "without a heading"}},
      {"hole.csv", "1,2\n3,\n", {"line 2", "''"}},
      {"nan.csv", "1,2\n3,nan\n", {"row 1, column 1", "nan"}},
      {"inf.csv", "1,-inf\n3,4\n", {"row 0, column 1", "inf"}},
      {"large.csv", "1,1e301\n3,4\n", {"row 0, column 1", "1e+301"}},
      {"overflow.csv", "1,1e999\n3,4\n", {"line 1", "1e999"}},
      {"signs.csv", "1,+-5\n3,4\n", {"line 1", "'+-5'"}},
      {"whole.csv", "9007199254740993,0\n0,1\n", {"line 1", "9007199254740993", "2^53"}},
      {"whole.txt", "1\n-18446744073709551617\n", {"line 2", "-18446744073709551617", "2^53"}},
      {"half.npy", npy<double>("(2.5, 2.5)", "<f8", four), {"2.5 x 2.5", "number of rows"}},
      {"short.txt", "3\n1 2 3\n4 5 6\n", {"announces 3 rows", "9", "6"}},
      {"long.txt", "1\n1 2\n", {"announces 1 rows", "has more"}},
      {"tall.csv", "1,2\n3,4\n5,6\n", {"more than 2 rows of 2", "square"}},
      {"matrix.txt", "0.5 2\n3 4\n", {"0.5", "OR-Library", ".npy"}},
      {"prose.txt", "assign these\n", {"line 1", "'assign'"}},
      {"binary.dat", std::string("\x89PNG\r\n\x1a\n\0\0", 10), {"line 1", "is not a number"}},
      {"many.txt", "40000\n1 2\n", {"40000", "32768"}},
      {"none.txt", "0\n", {"0 rows"}},
      {"cut.npy", good.substr(0, good.size() - 1), {"4 numbers of 8 bytes", "31 bytes"}},
      {"header.npy", good.substr(0, 40), {"ends inside its .npy header"}},
      {"magic.npy", good.substr(0, 6), {"ends inside its .npy header"}},
      {"more.npy", good + "x", {"33 bytes"}},
      {"cube.npy", npy<double>("(2, 2, 1)", "<f8", four), {"two dimensions"}},
      {"vector.npy", npy<double>("(4,)", "<f8", four), {"shape (4,)", "two dimensions"}},
      {"number.npy", npy<double>("()", "<f8", {1}), {"shape ()", "two dimensions"}},
      {"rectangle.npy", npy<double>("(1, 4)", "<f8", four), {"1 x 4", "square"}},
      {"large.npy", npy<double>("(99999, 99999)", "<f8", four), {"99999", "32768"}},
      {"complex.npy", npy<double>("(2, 2)", "<c8", four), {"'<c8'", "f8"}},
      {"bool.npy", npy<std::int8_t>("(2, 2)", "|b1", four), {"'|b1'"}},
      {"f1.npy", npy<std::int8_t>("(2, 2)", "<f1", four), {"'<f1'"}},
      {"order.npy", npy<double>("(2, 2)", "<f8", four, "Maybe"), {"fortran_order", "Maybe"}},
      {"halves.npy", npy<std::int16_t>("(2, 2)", "<f2", {0, 0, 0, 0x7C00}), {"row 1", "inf"}},
      {"nans.npy", npy<std::int16_t>("(2, 2)", "<f2", {0, 0x7E00, 0, 0}), {"column 1", "nan"}},
      {"i8.npy",
       npy<std::int64_t>("(2, 2)", "<i8", {0, -(1LL << 53) - 1, 2, 3}),
       {"-9007199254740993", "2^53"}},
      {"least.npy",
       npy<std::int64_t>("(2, 2)", "<i8", {0, std::numeric_limits<std::int64_t>::min(), 2, 3}),
       {"-9223372036854775808", "2^53"}},
      {"u8.npy",
       npy<std::int64_t>("(2, 2)", "<u8", {0, 1, -1, 3}),
       {"18446744073709551615", "2^53"}},
  };
  for (const Case& bad : cases) {
    CAPTURE(bad.name);
    write_file(workspace.at(bad.name), bad.bytes);
    const Outcome outcome = nat::tools::nat(workspace, {"lap", workspace.at(bad.name)});
    CAPTURE(outcome.err);
    CHECK(outcome.code == 3);
    CHECK(outcome.out.empty());
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    CHECK(outcome.err.find(bad.name) != std::string::npos);
    for (const std::string& word : bad.words) {
      CAPTURE(word);
      CHECK(outcome.err.find(word) != std::string::npos);
    }
  }
  write_gzip(workspace.at("cut.csv.gz"), csv(20, random_matrix(20, 4, 1000)));
  const std::string packed = read_file(workspace.at("cut.csv.gz"));
  write_file(workspace.at("cut.csv.gz"), packed.substr(0, packed.size() / 2));
  CHECK(nat::tools::nat(workspace, {"lap", workspace.at("cut.csv.gz")}).code == 3);
  check_refused(workspace, {"lap", workspace.at("nowhere.csv")}, 3,
                {"nowhere.csv: no such file; give a square matrix"});
}

TEST_CASE("a matrix may come through a pipe, in every format") {
  const Workspace workspace;
  const std::size_t n = 200;  // more than a pipe holds at once
  const std::vector<std::int64_t> values = random_matrix(n, 6, 1000);
  write_gzip(workspace.at("packed"), csv(n, values));
  const std::pair<const char*, std::string> inputs[] = {
      {"csv", csv(n, values)},
      {"OR-Library", orlib(n, values)},
      {"npy", npy<double>("(200, 200)", "<f8", values)},
      {"gzip", read_file(workspace.at("packed"))}};
  const std::string pipe = workspace.at("pipe"), stdin_link = workspace.at("stdin");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  std::filesystem::create_symlink("/dev/stdin", stdin_link);
  for (const auto& input : inputs) {
    CAPTURE(input.first);
    for (const std::string& name : {std::string("-"), std::string("/dev/stdin"), stdin_link}) {
      CAPTURE(name);
      const nlohmann::json json = lap_of(workspace, input.second, {name});
      CHECK(json.at("value") == smallest_sum(n, values));
      CHECK(json.at("file") == name);
    }
    const Outcome outcome =
        shell(workspace, "timeout 60 sh -c 'cat " + workspace.at("piped") + " >" + pipe + "' & " +
                             nat_program() + " lap --json --max " + pipe);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(nlohmann::json::parse(outcome.out).at("value") == largest_sum(n, values));
  }
}

TEST_CASE("OR-Library text may be a single line, longer than a row may be") {
  const Workspace workspace;
  const std::size_t n = 300;
  std::string line = "300";
  // Numbers of 200 digits: 18 MB, more than 512 bytes for each of 32,768 numbers.
  const std::string one = "0." + std::string(197, '0') + "1",
                    two = "0." + std::string(197, '0') + "2";
  for (std::size_t k = 0; k < n * n; ++k) line += " " + (k / n == k % n ? one : two);
  write_file(workspace.at("line.txt"), line);
  CHECK(lap(workspace, {workspace.at("line.txt")}).at("value").get<double>() ==
        doctest::Approx(300e-198).epsilon(1e-12));
}

TEST_CASE("a pipe that does not end, or holds no matrix, is refused before memory is full") {
  const Workspace workspace;
  const auto refused = [&](const std::string& endless, const std::vector<std::string>& words) {
    CAPTURE(endless);
    const Outcome outcome = shell(workspace, endless + " | (ulimit -v 2000000; exec " +
                                                 nat_program() + " lap - --threads 1)");
    CAPTURE(outcome.err);
    CHECK(outcome.code == 3);
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    for (const std::string& word : words) {
      CAPTURE(word);
      CHECK(outcome.err.find(word) != std::string::npos);
    }
  };
  refused("yes 1,2", {"standard input: more than 2 rows of 2"});
  refused("yes 3", {"announces 3 rows", "has more"});
  refused("yes", {"line 1", "'y' is not a number"});
  refused("cat /dev/zero", {"line 1: '\\x00", "is not a number"});
  refused("tr '\\0' , </dev/zero", {"line 1 does not end after 16777216"});
  const std::string file = workspace.at("long.npy");
  write_file(file, npy<double>("(2, 2)", "<f8", {1, 2, 3, 4}));
  refused("cat " + file + " /dev/zero", {"4 numbers of 8 bytes", "33 bytes or more"});
  write_file(file, npy<double>("(32768, 32768)", "<f8", {1, 2, 3, 4}));  // 8 GiB
  refused("cat " + file, {"has 32 bytes"});
  refused("true", {"is empty"});
  check_refused(workspace, {"lap", workspace.path()}, 3, {"is a folder"});
  const Outcome closed = shell(workspace, nat_program() + " lap - <&-");
  CHECK(closed.code == 3);
  CHECK(closed.err.find("standard input: is empty") != std::string::npos);
}

TEST_CASE("wrong arguments are exit code 2, a result that cannot be written is 8") {
  const Workspace workspace;
  const std::string file = workspace.at("a.csv");
  write_file(file, "1,2\n3,4\n");
  CHECK(nat::tools::nat(workspace, {"lap"}).code == 2);
  CHECK(nat::tools::nat(workspace, {"lap", file, "--min", "--max"}).code == 2);
  CHECK(nat::tools::nat(workspace, {"lap", file, "--solver", "munkres"}).code == 2);
  CHECK(nat::tools::nat(workspace, {"lap", file, "--out", file + "/b"}).code == 8);
  std::filesystem::create_symlink("a.csv", workspace.at("link"));
  for (const std::string& out : {file, workspace.at("link")}) {
    check_refused(workspace, {"lap", file, "--out", out}, 2, {"--out", out, "the matrix itself"});
  }
  const Outcome redirected = shell(workspace, nat_program() + " lap - --out " + file + " <" + file);
  CHECK(redirected.code == 2);
  CHECK(redirected.err.find("the matrix itself") != std::string::npos);
  CHECK(read_file(file) == "1,2\n3,4\n");
  const std::string other = workspace.at("out.tmp");
  write_file(other, "precious");
  CHECK(nat::tools::nat(workspace, {"lap", file, "--out", workspace.at("out")}).code == 0);
  CHECK(read_file(other) == "precious");
}

TEST_CASE("numbers are those that are written, signs, marks and whole numbers of any size") {
  const Workspace workspace;
  const std::string file = workspace.at("a.csv");
  const auto value_of = [&](const std::string& text) {
    write_file(file, text);
    return lap(workspace, {file, "--max"}).at("value").get<double>();
  };
  CHECK(value_of("\xef\xbb\xbf"
                 "1,+5\n-3,4\n") == 5);                         // a byte order mark
  CHECK(value_of("9007199254740993.5") == 9007199254740994.0);  // a fraction is rounded
  CHECK(value_of("0009007199254740994") == 9007199254740994.0);
  CHECK(value_of("-36893488147419103232") == -0x1p65);
  CHECK(value_of("1000000000000000000") == 1e18);
}

TEST_CASE("the assignment goes through links, and straight to what cannot be replaced") {
  const Workspace workspace;
  const std::string file = workspace.at("a.csv"), out = workspace.at("out.txt");
  write_file(file, "1,2,9\n9,1,2\n2,9,1\n");
  std::filesystem::create_symlink("out.txt", workspace.at("link"));
  lap(workspace, {file, "--max", "--out", workspace.at("link")});
  CHECK(std::filesystem::is_symlink(workspace.at("link")));
  CHECK(read_file(out) == "2\n0\n1\n");

  // Links of our own: a program that replaced them would spoil nothing of the machine's.
  std::filesystem::create_symlink("/proc/self/fd/1", workspace.at("printed"));
  const Outcome printed =
      nat::tools::nat(workspace, {"lap", file, "--out", workspace.at("printed")});
  CHECK(printed.code == 0);
  CHECK(printed.out.starts_with("0\n1\n2\nfile "));
  CHECK(std::filesystem::is_symlink(workspace.at("printed")));
  std::filesystem::create_symlink("/dev/full", workspace.at("full"));
  check_refused(workspace, {"lap", file, "--out", workspace.at("full")}, 8, {"No space left"});
}
