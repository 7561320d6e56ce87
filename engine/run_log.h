// MetricsLog: the numbers of a run, one row at a time, as CSV and as JSON lines side by side.
//
//   MetricsLog metrics("runs/a/metrics", {"epoch", "loss", "knn"});   // metrics.csv, metrics.jsonl
//   metrics.append({{"epoch", 3}, {"loss", 1.53}});   // knn absent: empty cell, null
//
// A number is printed with the fewest digits that read back to the same double, so equal runs give
// equal bytes. For the same reason wall-clock values belong in a second log (timing.csv), never in
// this one. NaN counts as absent; JSON has no infinity, so a line holds null where the CSV has inf.
//
// A run that goes on from a checkpoint cuts the logs back to the sizes the checkpoint remembers:
// uninterrupted and resumed runs leave the same files.
//
// A row is written to the CSV first, so the CSV counts: of existing files an unfinished last line
// goes, and JSON lines that are missing are made from the CSV, byte for byte. The other way round
// it is not possible (null may be an absent value or an infinity): one more JSON line than rows
// goes, as rows that were not on disk yet may be lost in a power cut, and more of them are an
// error.
//
// Errors: ErrorKind::io when writing fails (the row is then in neither file); ErrorKind::checkpoint
// when existing files do not belong to this run, or when the CSV is missing or short: nothing is
// then created or changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/log_file.h"

namespace nat {

// One row of numbers by column name.
using MetricsRow = std::map<std::string, double>;

struct LogSizes {
  std::uint64_t rows = 0, csv_bytes = 0, jsonl_bytes = 0;
  friend bool operator==(const LogSizes&, const LogSizes&) = default;
};
std::string to_string(const LogSizes& sizes);  // "12 845 1290", for a checkpoint's metadata
LogSizes parse_log_sizes(const std::string& text);

class MetricsLog {
 public:
  // Opens stem.csv and stem.jsonl, or creates them. Existing files must have the same columns.
  MetricsLog(const std::filesystem::path& stem, std::vector<std::string> columns);

  void append(const MetricsRow& row);  // every name must be a column
  void flush();                        // returns once everything is on disk

  LogSizes sizes() const { return sizes_; }
  // {} = no rows: only the CSV's header line stays. Error(checkpoint) where the files do not have
  // just these rows in so many bytes.
  void truncate_to(const LogSizes& sizes);
  void truncate_to_rows(std::uint64_t rows);  // the first of them, or all where there are fewer

 private:
  void adopt();
  std::string csv_line(const MetricsRow& row) const;
  std::string json_line(const MetricsRow& row) const;

  std::vector<std::string> columns_;
  std::string header_;  // first line of the CSV
  LogFile csv_, jsonl_;
  LogSizes sizes_;
};

// All rows of a CSV file that MetricsLog wrote; absent values have no entry. An unfinished last
// line (the program was killed while writing) is left out.
std::vector<MetricsRow> read_csv(const std::filesystem::path& path);

// The shortest text that reads back to the same double: "0.1", "1200000", "1e-09", "inf".
std::string shortest(double value);

}  // namespace nat
