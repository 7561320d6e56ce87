#include "engine/event_log.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/event_file.h"
#include "tests/process_state.h"

namespace fs = std::filesystem;
using nat::EventLog;
using nat::test::Event;
using nat::test::read_events;
using nat::test::read_file;
using nat::test::TemporaryFolder;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The rows 0, 1, 2, ...: each its own step and value.
void append_rows(EventLog& log, int from, int to) {
  for (int row = from; row < to; ++row) log.append(row, {{"train/loss", 2.0 / (row + 3)}});
}

// Sizes of the file after the version and after every row.
std::vector<std::size_t> write_rows(const std::string& path, int count) {
  EventLog log(path);
  std::vector<std::size_t> ends = {fs::file_size(path)};
  for (int row = 0; row < count; ++row) {
    append_rows(log, row, row + 1);
    ends.push_back(fs::file_size(path));
  }
  return ends;
}

void check_rows(const std::string& path, int count) {
  const std::vector<Event> events = read_events(path);
  REQUIRE(static_cast<int>(events.size()) == count);
  for (int row = 0; row < count; ++row) {
    const Event& event = events[static_cast<std::size_t>(row)];
    CHECK(event.step == row);
    CHECK(event.scalars.at("train/loss") == static_cast<float>(2.0 / (row + 3)));
  }
}

}  // namespace

TEST_CASE("CRC-32C has its published values") {
  const std::string zeros(32, '\0'), ones(32, '\xff');
  std::string up, down;
  for (int i = 0; i < 32; ++i) up.push_back(static_cast<char>(i));
  for (int i = 31; i >= 0; --i) down.push_back(static_cast<char>(i));
  // RFC 3720, B.4, and the usual check value.
  const std::vector<std::pair<std::string, std::uint32_t>> published = {
      {"", 0},          {"123456789", 0xe3069283}, {zeros, 0x8a9136aa}, {ones, 0x62a8ab43},
      {up, 0x46dd794e}, {down, 0x113fdb5c}};
  for (const auto& [bytes, crc] : published) {
    CHECK(nat::crc32c(bytes) == crc);
    CHECK(nat::test::slow_crc32c(bytes) == crc);
  }
}

TEST_CASE("rows appear as events with time, step and scalars, without those that are NaN") {
  const TemporaryFolder folder;
  const std::string path = folder.at("events.out.tfevents.nat");
  const double before = now();
  EventLog log(path);
  log.append(0, {{"train/loss", 1.953125}, {"evaluate/knn", 0.1}});
  log.append(1, {{"train/loss", kNan}, {"evaluate/knn", kInfinity}});
  log.append(std::int64_t{1} << 40, {});
  CHECK(log.rows() == 3);

  const std::vector<Event> events =
      read_events(path);  // while the log is open: nothing is buffered
  REQUIRE(events.size() == 3);
  CHECK(events[0].step == 0);
  CHECK(events[0].scalars ==
        std::map<std::string, float>{{"train/loss", 1.953125f}, {"evaluate/knn", 0.1f}});
  CHECK(events[1].step == 1);
  CHECK(events[1].scalars ==
        std::map<std::string, float>{{"evaluate/knn", static_cast<float>(kInfinity)}});
  CHECK(events[2].step == std::int64_t{1} << 40);
  CHECK(events[2].scalars.empty());
  double last = before;
  for (const Event& event : events) {
    CHECK(event.wall_time >= last);
    last = event.wall_time;
  }
  CHECK(last <= now());
}

TEST_CASE("a log that is opened again goes on behind its rows, or behind the first of them") {
  const TemporaryFolder folder;
  const std::string path = folder.at("m.tfevents");
  write_rows(path, 5);
  const std::string five = read_file(path);
  {
    EventLog log(path);
    CHECK(log.rows() == 5);
    log.truncate_to_rows(9);
    CHECK(log.rows() == 5);
    CHECK(read_file(path) == five);
    log.truncate_to_rows(2);
    CHECK(log.rows() == 2);
    check_rows(path, 2);
    append_rows(log, 2, 4);
  }
  check_rows(path, 4);
  EventLog log(path);
  log.truncate_to_rows(0);
  check_rows(path, 0);
  append_rows(log, 0, 1);
  check_rows(path, 1);
}

TEST_CASE("a log that was killed inside a record keeps all whole ones") {
  const TemporaryFolder folder;
  const std::string path = folder.at("m.tfevents");
  const std::vector<std::size_t> ends = write_rows(path, 3);
  const std::string whole = read_file(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    nat::test::write_file(path, whole.substr(0, size));
    int kept = 0;
    while (size >= ends[static_cast<std::size_t>(kept) + 1]) ++kept;
    EventLog log(path);
    REQUIRE(static_cast<int>(log.rows()) == kept);
    check_rows(path, kept);
    if (size >= ends[0]) {
      CHECK(read_file(path) == whole.substr(0, ends[static_cast<std::size_t>(kept)]));
    }
    append_rows(log, kept, 3);
    check_rows(path, 3);
  }
}

TEST_CASE("a damaged byte ends what a log keeps, wherever it is") {
  const TemporaryFolder folder;
  const std::string path = folder.at("m.tfevents");
  const std::vector<std::size_t> ends = write_rows(path, 3);
  const std::string whole = read_file(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    CAPTURE(at);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    nat::test::write_file(path, damaged);
    int kept = 0;
    while (at >= ends[static_cast<std::size_t>(kept) + 1]) ++kept;
    EventLog log(path);
    REQUIRE(static_cast<int>(log.rows()) == kept);
    check_rows(path, kept);
    append_rows(log, kept, 3);
    check_rows(path, 3);
  }
}

TEST_CASE("a file that begins with anything but the version is begun again") {
  const TemporaryFolder folder;
  const std::string path = folder.at("m.tfevents");
  const std::size_t version = write_rows(path, 2).front();
  const std::string whole = read_file(path);
  for (const std::string& content : {whole.substr(version), std::string("epoch,loss\n0,1.5\n")}) {
    nat::test::write_file(path, content);
    EventLog log(path);
    CHECK(log.rows() == 0);
    check_rows(path, 0);
  }
}

TEST_CASE("a row that does not fit on the disk is not in the file") {
  const TemporaryFolder folder;
  const std::string path = folder.at("m.tfevents");
  EventLog log(path);
  append_rows(log, 0, 1);
  const std::string one = read_file(path);

  const std::string message = nat::test::message_of(nat::ErrorKind::io, [&] {
    const nat::test::ScopedLimit full(RLIMIT_FSIZE, one.size() + 20);
    append_rows(log, 1, 2);
  });

  CHECK(message.find("m.tfevents: cannot write") != std::string::npos);
  CHECK(read_file(path) == one);
  CHECK(log.rows() == 1);
  append_rows(log, 1, 2);
  check_rows(path, 2);
}

TEST_CASE("a log that cannot be opened is a clear error") {
  const TemporaryFolder folder;
  const auto open = [](const std::string& path) {
    return nat::test::message_of(nat::ErrorKind::io, [&] { EventLog log(path); });
  };
  CHECK(open(folder.at("missing/m.tfevents")).find("create the folder first") != std::string::npos);
  CHECK(open(folder.path()).find("it is a folder") != std::string::npos);
}
