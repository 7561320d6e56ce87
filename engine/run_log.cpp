#include "engine/run_log.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <tuple>
#include <utility>

#include "kernels/check.h"

namespace nat {

namespace {

std::filesystem::path with_suffix(std::filesystem::path stem, const char* suffix) {
  stem += suffix;
  return stem;
}

std::string header_line(const std::vector<std::string>& columns) {
  std::string line;
  for (const std::string& column : columns) line += (line.empty() ? "" : ",") + column;
  return line + "\n";
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    const std::size_t comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

// The part of a text up to and including its last newline.
std::string_view whole_lines(std::string_view text) { return text.substr(0, text.rfind('\n') + 1); }

std::uint64_t count_lines(std::string_view text) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// Of a file that may hold anything: one line, not too long, that a terminal can show.
std::string shown(std::string_view cell) {
  constexpr std::size_t kMost = 40;
  std::string text(cell.substr(0, kMost));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return cell.size() > kMost ? text + "..." : text;
}

double parse_number(std::string_view cell, const std::filesystem::path& path) {
  double value = 0;
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  NAT_CHECK(result.ec == std::errc() && result.ptr == cell.data() + cell.size(),
            ErrorKind::checkpoint, path.string(), ": '", shown(cell),
            "' is not a number; the file was edited or damaged");
  return value;
}

}  // namespace

std::string shortest(double value) {
  char text[64];
  const double size = std::fabs(value);
  // std::to_chars alone would print 100000 as 1e+05.
  const bool plain = size == 0 || (size >= 1e-5 && size < 1e15);
  const auto result =
      std::to_chars(std::begin(text), std::end(text), value,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  return std::string(text, result.ptr);
}

std::string to_string(const LogSizes& sizes) {
  return str(sizes.rows, ' ', sizes.csv_bytes, ' ', sizes.jsonl_bytes);
}

LogSizes parse_log_sizes(const std::string& text) {
  std::istringstream in(text);
  LogSizes sizes;
  in >> sizes.rows >> sizes.csv_bytes >> sizes.jsonl_bytes;
  // Written back it is the same, or something was there that is no size: a sign, a blank, a word.
  NAT_CHECK(!in.fail() && to_string(sizes) == text, ErrorKind::checkpoint,
            "the sizes of metrics.csv and metrics.jsonl in the checkpoint are not three numbers; "
            "it comes from another version");
  return sizes;
}

MetricsLog::MetricsLog(const std::filesystem::path& stem, std::vector<std::string> columns)
    : columns_(std::move(columns)),
      header_(header_line(columns_)),
      csv_(with_suffix(stem, ".csv")),
      jsonl_(with_suffix(stem, ".jsonl")) {
  adopt();
}

// Takes over what the files hold. Nothing is written before all of it is known to be of use.
void MetricsLog::adopt() {
  const std::string csv_text = csv_.content(), jsonl_text = jsonl_.content();
  const std::string_view csv = whole_lines(csv_text), jsonl = whole_lines(jsonl_text);
  const std::uint64_t rows = csv.empty() ? 0 : count_lines(csv) - 1, copies = count_lines(jsonl);
  NAT_CHECK(!csv.empty() || copies == 0, ErrorKind::checkpoint, csv_.path().string(),
            ": is missing or empty where ", jsonl_.path().string(), " has ", copies,
            " rows; put the file back or start a new run");
  NAT_CHECK(csv.empty() || csv.substr(0, header_.size()) == header_, ErrorKind::checkpoint,
            csv_.path().string(),
            ": its columns are not those of this version; move it away or use another run folder");
  NAT_CHECK(copies <= rows + 1, ErrorKind::checkpoint, csv_.path().string(), ": has ", rows,
            " rows where ", jsonl_.path().string(), " has ", copies,
            "; put the file back or start a new run");
  std::string missing;
  if (copies < rows) {
    const std::vector<MetricsRow> all = read_csv(csv_.path());
    for (std::size_t i = copies; i < all.size(); ++i) missing += json_line(all[i]);
  }

  csv_.open();
  jsonl_.open();
  csv_.truncate(csv.size());
  jsonl_.truncate(jsonl.size());
  if (csv.empty()) csv_.append(header_);
  jsonl_.append(missing);
  truncate_to_rows(rows);
}

void MetricsLog::truncate_to_rows(std::uint64_t wanted) {
  const std::string csv = csv_.content(), jsonl = jsonl_.content();
  const std::uint64_t rows = std::min(wanted, count_lines(csv) - 1);
  const auto bytes_of = [](std::string_view text, std::uint64_t lines) {
    std::uint64_t bytes = 0;
    for (; lines > 0; --lines) bytes = text.find('\n', bytes) + 1;
    return bytes;
  };
  truncate_to({rows, bytes_of(csv, rows + 1), bytes_of(jsonl, rows)});
}

std::string MetricsLog::json_line(const MetricsRow& row) const {
  std::string members;
  for (const std::string& column : columns_) {
    const auto entry = row.find(column);
    const bool is_number = entry != row.end() && std::isfinite(entry->second);
    members += str(members.empty() ? "" : ", ", '"', column,
                   "\": ", is_number ? shortest(entry->second) : "null");
  }
  return "{" + members + "}\n";
}

std::string MetricsLog::csv_line(const MetricsRow& row) const {
  std::string cells;
  for (const std::string& column : columns_) {
    const auto entry = row.find(column);
    if (&column != &columns_.front()) cells += ',';
    if (entry != row.end() && !std::isnan(entry->second)) cells += shortest(entry->second);
  }
  return cells + "\n";
}

void MetricsLog::append(const MetricsRow& row) {
  for (const auto& [name, value] : row) {
    NAT_CHECK(std::find(columns_.begin(), columns_.end(), name) != columns_.end(),
              ErrorKind::unexpected, csv_.path().string(), ": has no column '", name, "'");
  }
  const std::string cells = csv_line(row), members = json_line(row);
  const LogSizes before = sizes_;
  try {
    csv_.append(cells);
    jsonl_.append(members);
  } catch (const Error&) {
    truncate_to(before);
    throw;
  }
  sizes_ = {before.rows + 1, before.csv_bytes + cells.size(), before.jsonl_bytes + members.size()};
}

void MetricsLog::flush() {
  csv_.sync();
  jsonl_.sync();
}

void MetricsLog::truncate_to(const LogSizes& sizes) {
  const LogSizes target{sizes.rows, std::max<std::uint64_t>(sizes.csv_bytes, header_.size()),
                        sizes.jsonl_bytes};
  for (const auto& [file, bytes, lines] :
       {std::tuple(&csv_, target.csv_bytes, target.rows + 1),  // with its header
        std::tuple(&jsonl_, target.jsonl_bytes, target.rows)}) {
    const std::string content = file->content();
    NAT_CHECK(content.size() >= bytes, ErrorKind::checkpoint, file->path().string(), ": has ",
              content.size(), " bytes where the checkpoint expects ", bytes,
              "; put the file back or start a new run");
    const std::string_view kept = std::string_view(content).substr(0, bytes);
    NAT_CHECK(whole_lines(kept).size() == bytes && count_lines(kept) == lines,
              ErrorKind::checkpoint, file->path().string(), ": its first ", bytes,
              " bytes are not the ", lines,
              " lines that the checkpoint expects; put the file back or start a new run");
  }
  csv_.truncate(target.csv_bytes);
  jsonl_.truncate(target.jsonl_bytes);
  sizes_ = target;
}

std::vector<MetricsRow> read_csv(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  NAT_CHECK(in.is_open(), ErrorKind::checkpoint, path.string(),
            ": cannot open; is this a run folder?");
  std::string line;
  std::getline(in, line);
  const std::string header = line;  // `columns` points into it
  const std::vector<std::string_view> columns = split(header);
  std::vector<MetricsRow> rows;
  while (std::getline(in, line) && !in.eof()) {  // eof: no newline, so the line is unfinished
    const std::vector<std::string_view> cells = split(line);
    NAT_CHECK(cells.size() == columns.size(), ErrorKind::checkpoint, path.string(), ": row ",
              rows.size() + 1, " has ", cells.size(), " values for ", columns.size(), " columns");
    MetricsRow& row = rows.emplace_back();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (!cells[i].empty()) row[std::string(columns[i])] = parse_number(cells[i], path);
    }
  }
  return rows;
}

}  // namespace nat
