#include "engine/run_log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "engine/progress.h"
#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/process_state.h"
#include "tests/temporary_folder.h"

namespace fs = std::filesystem;
using nat::MetricsLog;
using nat::test::read_file;
using nat::test::TemporaryFolder;
using nat::test::write_file;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("rows appear in both files, absent and NaN as empty and null") {
  const TemporaryFolder folder;
  MetricsLog log(folder.at("metrics"), {"epoch", "loss", "knn"});
  log.append({{"epoch", 0}, {"loss", 1.953125}});
  log.append({{"loss", kInfinity}, {"knn", 0.1}});
  log.append({{"epoch", 100000}, {"loss", kNan}, {"knn", -2.5e-9}});
  log.flush();
  CHECK(read_file(folder.at("metrics.csv")) ==
        "epoch,loss,knn\n0,1.953125,\n,inf,0.1\n100000,,-2.5e-09\n");
  CHECK(read_file(folder.at("metrics.jsonl")) ==
        "{\"epoch\": 0, \"loss\": 1.953125, \"knn\": null}\n"
        "{\"epoch\": null, \"loss\": null, \"knn\": 0.1}\n"
        "{\"epoch\": 100000, \"loss\": null, \"knn\": -2.5e-09}\n");
  std::ifstream lines(folder.at("metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) CHECK(nlohmann::json::accept(line));

  const std::vector<nat::MetricsRow> rows = nat::read_csv(folder.at("metrics.csv"));
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == nat::MetricsRow{{"epoch", 0}, {"loss", 1.953125}});
  CHECK(rows[1] == nat::MetricsRow{{"loss", kInfinity}, {"knn", 0.1}});
  CHECK(rows[2] == nat::MetricsRow{{"epoch", 100000}, {"knn", -2.5e-9}});
}

TEST_CASE("printed numbers read back to the same double") {
  std::mt19937_64 random(7);
  std::vector<double> values = {0.1, 1e15, 1e-5, 9.999e-6, 123456789012345, 5e-324, 1.7e308, -0.0};
  while (values.size() < 20000) {
    const std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value)) values.push_back(value);
    values.push_back(static_cast<double>(static_cast<std::int64_t>(bits) >> 11) * 1e-7);
  }
  for (const double value : values) {
    const std::string text = nat::shortest(value);
    CAPTURE(text);
    CHECK(std::strtod(text.c_str(), nullptr) == value);
    CHECK(nlohmann::json::accept(text));
  }
  CHECK(nat::shortest(1200000) == "1200000");
  CHECK(nat::shortest(0.00001) == "0.00001");
  CHECK(nat::shortest(1e-9) == "1e-09");
  CHECK(nat::shortest(1e15) == "1e+15");
}

TEST_CASE("a log keeps its first rows and goes on behind them") {
  const TemporaryFolder folder;
  MetricsLog log(folder.at("m"), {"step"});
  for (int step = 0; step < 5; ++step) log.append({{"step", step}});
  log.truncate_to_rows(9);
  CHECK(log.sizes().rows == 5);
  log.truncate_to_rows(2);
  log.append({{"step", 7}});
  CHECK(read_file(folder.at("m.csv")) == "step\n0\n1\n7\n");
  CHECK(read_file(folder.at("m.jsonl")) == "{\"step\": 0}\n{\"step\": 1}\n{\"step\": 7}\n");
  log.truncate_to_rows(0);
  CHECK(read_file(folder.at("m.csv")) == "step\n");
  CHECK(read_file(folder.at("m.jsonl")).empty());
}

TEST_CASE("a resumed log equals an uninterrupted one byte for byte") {
  const TemporaryFolder folder;
  const auto row = [](int step) {
    return nat::MetricsRow{{"step", step}, {"loss", 2.0 / (step + 3)}};
  };
  {
    MetricsLog log(folder.at("whole"), {"step", "loss"});
    for (int step = 0; step < 10; ++step) log.append(row(step));
  }
  std::string saved;
  {
    MetricsLog log(folder.at("resumed"), {"step", "loss"});
    for (int step = 0; step < 4; ++step) log.append(row(step));
    log.flush();
    saved = to_string(log.sizes());
    for (int step = 4; step < 7; ++step) log.append(row(step));
  }
  std::ofstream(folder.at("resumed.csv"), std::ios::app) << "7,0.";  // killed while writing
  {
    MetricsLog log(folder.at("resumed"), {"step", "loss"});
    CHECK(log.sizes().rows == 7);
    log.truncate_to(nat::parse_log_sizes(saved));
    CHECK(to_string(log.sizes()) == saved);
    for (int step = 4; step < 10; ++step) log.append(row(step));
    CHECK(log.sizes().rows == 10);
  }
  for (const char* suffix : {".csv", ".jsonl"}) {
    CHECK(read_file(folder.at("whole" + std::string(suffix))) ==
          read_file(folder.at("resumed" + std::string(suffix))));
  }
}

TEST_CASE("a log is cut at the end of a row or not at all") {
  const TemporaryFolder folder;
  MetricsLog log(folder.at("m"), {"step"});
  for (int step = 0; step < 3; ++step) log.append({{"step", step}});
  const std::string csv = read_file(folder.at("m.csv")), jsonl = read_file(folder.at("m.jsonl"));
  const nat::LogSizes whole = log.sizes();
  log.truncate_to_rows(1);
  const nat::LogSizes first = log.sizes();
  for (int step = 1; step < 3; ++step) log.append({{"step", step}});
  for (const nat::LogSizes& sizes : {nat::LogSizes{1, first.csv_bytes + 1, first.jsonl_bytes},
                                     nat::LogSizes{1, first.csv_bytes, first.jsonl_bytes + 1},
                                     nat::LogSizes{2, first.csv_bytes, first.jsonl_bytes},
                                     nat::LogSizes{3, whole.csv_bytes + 1, whole.jsonl_bytes}}) {
    CAPTURE(to_string(sizes));
    nat::test::message_of(nat::ErrorKind::checkpoint, [&] { log.truncate_to(sizes); });
    CHECK(read_file(folder.at("m.csv")) == csv);
    CHECK(read_file(folder.at("m.jsonl")) == jsonl);
  }
  log.truncate_to(first);
  CHECK(log.sizes().rows == 1);
}

TEST_CASE("a log that was killed between its two files goes on with whole rows") {
  const TemporaryFolder folder;
  {
    MetricsLog log(folder.at("m"), {"a"});
    log.append({{"a", 1}});
    log.append({{"a", 2}});
  }
  fs::resize_file(folder.at("m.jsonl"), fs::file_size(folder.at("m.jsonl")) - 3);
  {
    MetricsLog log(folder.at("m"), {"a"});
    CHECK(log.sizes().rows == 2);  // the JSON line is made from the CSV's
    log.append({{"a", 3}});
  }
  CHECK(read_file(folder.at("m.csv")) == "a\n1\n2\n3\n");
  CHECK(read_file(folder.at("m.jsonl")) == "{\"a\": 1}\n{\"a\": 2}\n{\"a\": 3}\n");

  std::ofstream(folder.at("n.csv")) << "fir";
  MetricsLog log(folder.at("n"), {"first", "second"});
  CHECK(read_file(folder.at("n.csv")) == "first,second\n");
}

TEST_CASE("JSON lines that are missing are made from the CSV, byte for byte") {
  const TemporaryFolder folder;
  nat::LogSizes sizes;
  {
    MetricsLog log(folder.at("m"), {"a", "b", "c"});
    log.append({{"a", 0.1}, {"c", -1e300}});
    log.append({});
    log.append({{"a", kInfinity}, {"b", -kInfinity}, {"c", -0.0}});
    log.append({{"b", 1e-9}, {"c", 1.0 / 3}});
    sizes = log.sizes();
  }
  const std::string csv = read_file(folder.at("m.csv")), jsonl = read_file(folder.at("m.jsonl"));
  for (std::size_t size = 0; size < jsonl.size(); ++size) {
    CAPTURE(size);
    fs::resize_file(folder.at("m.jsonl"), size);
    const MetricsLog log(folder.at("m"), {"a", "b", "c"});
    CHECK(log.sizes() == sizes);
    CHECK(read_file(folder.at("m.jsonl")) == jsonl);
    CHECK(read_file(folder.at("m.csv")) == csv);
  }
  fs::remove(folder.at("m.jsonl"));
  CHECK(MetricsLog(folder.at("m"), {"a", "b", "c"}).sizes() == sizes);
  CHECK(read_file(folder.at("m.jsonl")) == jsonl);
}

TEST_CASE("a CSV that is missing or short is refused, and nothing is touched") {
  const TemporaryFolder folder;
  {
    MetricsLog log(folder.at("m"), {"a", "b"});
    for (int i = 0; i < 4; ++i) log.append({{"a", i}});
  }
  const std::string csv = read_file(folder.at("m.csv")), jsonl = read_file(folder.at("m.jsonl"));
  const auto refusal = [&] {
    return nat::test::message_of(nat::ErrorKind::checkpoint, [&] {
      MetricsLog(folder.at("m"), {"a", "b"});
    });
  };
  fs::remove(folder.at("m.csv"));
  CHECK(refusal() == folder.at("m.csv") + ": is missing or empty where " + folder.at("m.jsonl") +
                         " has 4 rows; put the file back or start a new run");
  CHECK(!fs::exists(folder.at("m.csv")));
  CHECK(read_file(folder.at("m.jsonl")) == jsonl);

  for (const std::string& damaged : {std::string(), csv.substr(0, 3)}) {
    write_file(folder.at("m.csv"), damaged);
    CHECK(refusal().find("m.csv: is missing or empty") != std::string::npos);
    CHECK(read_file(folder.at("m.csv")) == damaged);
    CHECK(read_file(folder.at("m.jsonl")) == jsonl);
  }

  const std::string short_csv = "a,b\n0,\n1,\n2";
  write_file(folder.at("m.csv"), short_csv);
  CHECK(refusal() == folder.at("m.csv") + ": has 2 rows where " + folder.at("m.jsonl") +
                         " has 4; put the file back or start a new run");
  CHECK(read_file(folder.at("m.csv")) == short_csv);
  CHECK(read_file(folder.at("m.jsonl")) == jsonl);

  write_file(folder.at("m.csv"), "a,b\n0,\n1,\n2,\n");  // one row behind: what was not yet on disk
  CHECK(MetricsLog(folder.at("m"), {"a", "b"}).sizes().rows == 3);
  CHECK(read_file(folder.at("m.jsonl")) == jsonl.substr(0, jsonl.size() / 4 * 3));

  write_file(folder.at("m.csv"), csv);
  CHECK(MetricsLog(folder.at("m"), {"a", "b"}).sizes().rows == 4);
  CHECK(read_file(folder.at("m.jsonl")) == jsonl);
}

TEST_CASE("a log cut back to nothing still has its header") {
  const TemporaryFolder folder;
  MetricsLog log(folder.at("m"), {"a", "b"});
  log.append({{"a", 1}});
  log.truncate_to({});
  CHECK(log.sizes() == nat::LogSizes{0, 4, 0});
  log.append({{"b", 2}});
  CHECK(read_file(folder.at("m.csv")) == "a,b\n,2\n");
  CHECK(read_file(folder.at("m.jsonl")) == "{\"a\": null, \"b\": 2}\n");
}

TEST_CASE("a log of another run is refused") {
  const TemporaryFolder folder;
  nat::LogSizes sizes;
  {
    MetricsLog log(folder.at("m"), {"a", "b"});
    log.append({{"a", 1}});
    sizes = log.sizes();
  }
  CHECK_THROWS_WITH_AS(MetricsLog(folder.at("m"), {"a", "c"}),
                       doctest::Contains("its columns are not those of this version"), nat::Error);
  MetricsLog log(folder.at("m"), {"a", "b"});
  sizes.csv_bytes += 5;
  CHECK_THROWS_WITH_AS(log.truncate_to(sizes), doctest::Contains("put the file back"), nat::Error);
  const std::string csv = read_file(folder.at("m.csv"));
  for (const nat::LogSizes& within :
       {nat::LogSizes{1, sizes.csv_bytes - 6, sizes.jsonl_bytes},
        nat::LogSizes{1, sizes.csv_bytes - 5, sizes.jsonl_bytes - 1},
        nat::LogSizes{0, sizes.csv_bytes - 5, sizes.jsonl_bytes}, nat::LogSizes{1, 0, 0}}) {
    CHECK_THROWS_WITH_AS(log.truncate_to(within), doctest::Contains("lines that the checkpoint"),
                         nat::Error);
    CHECK(read_file(folder.at("m.csv")) == csv);
  }
  CHECK_THROWS_WITH_AS(log.append({{"z", 1}}), doctest::Contains("no column 'z'"), nat::Error);
  CHECK_THROWS_AS(nat::parse_log_sizes("1 2"), nat::Error);
  CHECK_THROWS_AS(nat::parse_log_sizes("1 2 3 4"), nat::Error);
  CHECK_THROWS_AS(nat::parse_log_sizes("-1 2 3"), nat::Error);
  CHECK_THROWS_AS(nat::parse_log_sizes(" 1 2 3"), nat::Error);
  CHECK_THROWS_AS(MetricsLog(folder.at("missing/m"), {"a"}), nat::Error);
}

TEST_CASE("a row that does not fit on the disk is in neither file") {
  const TemporaryFolder folder;
  MetricsLog log(folder.at("m"), {"value"});
  log.append({{"value", 1}});
  const std::string csv = read_file(folder.at("m.csv")), jsonl = read_file(folder.at("m.jsonl"));

  // The CSV line still fits under this limit, the longer JSON line does not.
  {
    const nat::test::ScopedLimit full(RLIMIT_FSIZE, jsonl.size() + 4);
    CHECK_THROWS_WITH_AS(log.append({{"value", 2}}), doctest::Contains("m.jsonl: cannot write"),
                         nat::Error);
  }

  CHECK(read_file(folder.at("m.csv")) == csv);
  CHECK(read_file(folder.at("m.jsonl")) == jsonl);
  log.append({{"value", 3}});
  CHECK(read_file(folder.at("m.csv")) == "value\n1\n3\n");
}

TEST_CASE("reading a CSV that was edited or is missing is a clear error") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("m.csv");
  CHECK_THROWS_WITH_AS(nat::read_csv(path), doctest::Contains("cannot open"), nat::Error);
  std::ofstream(path) << "a,b\n1,x\n";
  CHECK_THROWS_WITH_AS(nat::read_csv(path), doctest::Contains("'x' is not a number"), nat::Error);
  std::ofstream(path) << "a,b\n1,\033[2J\xc3\x7f" << std::string(50, 'y') << "\n";
  CHECK_THROWS_WITH_AS(
      nat::read_csv(path),
      doctest::Contains(("'?[2J??" + std::string(34, 'y') + "...' is not a number").c_str()),
      nat::Error);
  std::ofstream(path) << "a,b\n1\n";
  CHECK_THROWS_WITH_AS(nat::read_csv(path), doctest::Contains("row 1 has 1 values for 2 columns"),
                       nat::Error);
  std::ofstream(path) << "a,b\n1,2\n3,";
  CHECK(nat::read_csv(path).size() == 1);
}

TEST_CASE("the progress line shows epoch, share, speed, remaining time and loss") {
  nat::ProgressState state{2, 12, 4300, 10000, 1.53441};
  CHECK(nat::progress_text(state, 100, 0) ==
        "epoch 3/12   43%  100 images/s  ETA 0:57  loss 1.5344");
  CHECK(nat::progress_text(state, 100, 80) ==
        "epoch 3/12 [==========>              ]  43%  100 images/s  ETA 0:57  loss 1.5344");
  CHECK(nat::progress_text(state, 100, 20) == "epoch 3/12   43%  10");
  state.loss = kNan;
  CHECK(nat::progress_text(state, 0, 0) == "epoch 3/12   43%");
  state = {12, 12, 10000, 10000, 1.5};
  CHECK(nat::progress_text(state, 2.25, 0) ==
        "epoch 12/12  100%  2.2 images/s  ETA 0:00  loss 1.5000");
  CHECK(nat::progress_text(nat::ProgressState{}, 0, 0) == "pictures    0%");  // without epochs
  for (int width = 1; width < 200; ++width) {
    CHECK(static_cast<int>(nat::progress_text(state, 1e6, width).size()) <= width);
  }
}

TEST_CASE("durations read like a clock") {
  CHECK(nat::duration_text(0) == "0:00");
  CHECK(nat::duration_text(-5) == "0:00");
  CHECK(nat::duration_text(83.4) == "1:23");
  CHECK(nat::duration_text(59.6) == "1:00");
  CHECK(nat::duration_text(7509) == "2:05:09");
}

TEST_CASE("the shown speed follows a change within about ten seconds") {
  nat::Throughput throughput;
  throughput.update(1000, 5);
  CHECK(throughput.images_per_second() == 0);
  for (int t = 1; t <= 100; ++t) throughput.update(1000 + 50 * t, 5 + 0.5 * t);
  CHECK(throughput.images_per_second() == doctest::Approx(100));
  const std::int64_t done = 6000;
  for (int t = 1; t <= 20; ++t)
    throughput.update(done + 100 * t, 55 + 0.5 * t);  // now 200 a second
  // 10 s are one averaging time: 1 - 1/e of the way from 100 to 200.
  CHECK(throughput.images_per_second() == doctest::Approx(200 - 100 * std::exp(-1.0)));
}

TEST_CASE("a count that falls begins anew, and the shown speed stays what it was") {
  nat::Throughput throughput;
  throughput.update(0, 0);
  throughput.update(500, 5);
  CHECK(throughput.images_per_second() == 100);
  throughput.update(0, 6);
  CHECK(throughput.images_per_second() == 100);
  throughput.update(100, 7);
  CHECK(throughput.images_per_second() == 100);
}

TEST_CASE("a terminal is one that can go back to the start of a line") {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) {
    MESSAGE("skipped: no pseudo-terminals");
    return;
  }
  const winsize size{.ws_row = 24, .ws_col = 123, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(::ioctl(terminal, TIOCSWINSZ, &size) == 0);
  const char* before = std::getenv("TERM");
  const std::string type = before == nullptr ? "" : before;
  ::setenv("TERM", "xterm", 1);
  CHECK(nat::detect_terminal(terminal).terminal);
  CHECK(nat::detect_terminal(terminal).width == 123);
  int pipe[2] = {-1, -1};
  REQUIRE(::pipe(pipe) == 0);
  CHECK_FALSE(nat::detect_terminal(pipe[1]).terminal);
  ::setenv("TERM", "dumb", 1);
  CHECK_FALSE(nat::detect_terminal(terminal).terminal);
  ::unsetenv("TERM");
  CHECK_FALSE(nat::detect_terminal(terminal).terminal);
  if (before != nullptr) ::setenv("TERM", type.c_str(), 1);
  for (const int descriptor : {terminal, pipe[0], pipe[1]}) ::close(descriptor);
}

TEST_CASE("off a terminal a plain line appears every five seconds, and a last one") {
  double now = 100;
  std::string out;
  nat::Progress progress(
      {false, 80}, [&](std::string_view text) { out += text; }, [&] { return now; });
  for (int second = 0; second <= 12; ++second) {
    now = 100 + second;
    progress.update({0, 1, 10 * second, 120, kNan});
  }
  progress.note("epoch 1: loss 1.5");
  progress.finish();
  CHECK(out ==
        "epoch 1/1   41%  10 images/s  ETA 0:07\n"
        "epoch 1/1   83%  10 images/s  ETA 0:02\n"
        "epoch 1: loss 1.5\n"
        "epoch 1/1  100%  10 images/s  ETA 0:00\n");
}

TEST_CASE("on a terminal one line is redrawn at most ten times a second") {
  double now = 0;
  std::vector<std::string> out;
  nat::Progress progress(
      {true, 60}, [&](std::string_view text) { out.emplace_back(text); }, [&] { return now; });
  for (int i = 0; i < 1000; ++i) {
    now = i * 0.001;
    progress.update({0, 2, i, 1000, 2.0});
  }
  CHECK(out.size() >= 8);
  CHECK(out.size() <= 10);
  for (const std::string& text : out) {
    CHECK(text.starts_with("\repoch 1/2 "));
    CHECK(text.size() <= 60);
    CHECK(text.find('\n') == std::string::npos);
  }
  out.clear();
  progress.note("a note");
  REQUIRE(out.size() == 3);  // the bar is wiped, the note printed, the bar drawn again
  CHECK(out[0].find_first_not_of("\r ") == std::string::npos);
  CHECK(out[1] == "a note\n");
  CHECK(out[2].starts_with("\repoch 1/2 "));
  progress.finish();
  CHECK(out.back() == "\n");
}
