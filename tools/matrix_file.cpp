#include "tools/matrix_file.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::tools {

namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::string_view kBlanks = " \t\r";
constexpr double kLargest = 1e300;  // sums and differences stay finite

// The whole file, unpacked, and the name to complain under.
struct Source {
  std::string name, bytes;

  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    NAT_CHECK(condition, ErrorKind::data, name, ": ", parts...);
  }
};

Source read_source(const std::string& path) {
  Source source{data::printable(path), {}};
  data::GzReader reader(path);
  constexpr std::size_t kChunk = 1 << 20;
  for (std::size_t got = kChunk; got == kChunk;) {
    const std::size_t size = source.bytes.size();
    source.bytes.resize(size + kChunk);
    got = reader.read(source.bytes.data() + size, kChunk);
    source.bytes.resize(size + got);
  }
  return source;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// The text up to the separator, which is taken away with it.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

double parse_number(const Source& source, std::int64_t line, std::string_view text) {
  double value = 0;
  const std::string_view digits = text.substr(text.size() > 1 && text[0] == '+' ? 1 : 0);
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
  source.require(error == std::errc{} && end == digits.end(), "line ", line, ": '",
                 data::printable(text.substr(0, 40)), "' is not a number",
                 error == std::errc::result_out_of_range ? " that a double can hold" : "");
  return value;
}

void require_rows(const Source& source, double rows) {
  source.require(rows >= 1 && rows <= static_cast<double>(kMostRows), rows,
                 " rows; the solver takes 1 to ", kMostRows);
}

SquareMatrix read_csv(const Source& source) {
  SquareMatrix matrix;
  std::size_t columns = 0;
  std::string_view rest = source.bytes;
  for (std::int64_t line = 1; !rest.empty(); ++line) {
    std::string_view row = trimmed(take_until(rest, '\n'));
    if (row.empty()) continue;
    const std::size_t before = matrix.values.size();
    for (bool more = true; more;) {
      more = row.find(',') != std::string_view::npos;
      matrix.values.push_back(parse_number(source, line, trimmed(take_until(row, ','))));
    }
    const std::size_t count = matrix.values.size() - before;
    if (matrix.n++ == 0) columns = count;
    source.require(count == columns, "line ", line, " has ", count, " numbers, the first has ",
                   columns);
    require_rows(source, static_cast<double>(std::max<std::size_t>(columns, 1)));
  }
  source.require(matrix.n == static_cast<std::int64_t>(columns), matrix.n, " rows of ", columns,
                 " numbers; an assignment needs a square matrix, so pad it with a constant");
  return matrix;
}

SquareMatrix read_orlib(const Source& source) {
  SquareMatrix matrix;
  bool has_rows = false;
  std::string_view rest = source.bytes;
  for (std::int64_t line = 1; !rest.empty(); ++line) {
    for (std::string_view row = trimmed(take_until(rest, '\n')); !row.empty();) {
      const std::size_t end = std::min(row.find_first_of(kBlanks), row.size());
      const double value = parse_number(source, line, row.substr(0, end));
      row = trimmed(row.substr(end));
      if (has_rows) {
        matrix.values.push_back(value);
        continue;
      }
      source.require(value == std::floor(value), "begins with ", value,
                     ", which is no number of rows; known are csv with commas, .npy, and "
                     "OR-Library text: n, then n n numbers");
      require_rows(source, value);
      matrix.n = static_cast<std::int64_t>(value);
      has_rows = true;
    }
  }
  source.require(std::ssize(matrix.values) == matrix.n * matrix.n, "announces ", matrix.n,
                 " rows, so ", matrix.n * matrix.n, " numbers, and has ", matrix.values.size());
  return matrix;
}

// The text of one entry of the header, a Python dictionary: 'descr': '<f8', 'shape': (3, 3), ...
std::string_view header_entry(const Source& source, std::string_view header, const char* key) {
  const std::string quoted = str("'", key, "':");
  const std::size_t at = header.find(quoted);
  source.require(at != std::string_view::npos, "damaged .npy header, ", key, " is missing");
  std::string_view value = trimmed(header.substr(at + quoted.size()));
  const char last = value.empty() ? ',' : value.front() == '(' ? ')' : ',';
  return trimmed(value.substr(0, value.find(last)));
}

std::int64_t npy_rows(const Source& source, std::string_view shape) {
  double sizes[2] = {0, 0};
  std::size_t count = 0;
  shape.remove_prefix(shape.empty() ? 0 : 1);
  while (!shape.empty()) {
    const std::string_view size = trimmed(take_until(shape, ','));
    if (size.empty()) continue;
    source.require(count < 2, "has more than two dimensions; give one square matrix");
    sizes[count++] = parse_number(source, 1, size);
  }
  source.require(count == 2 && sizes[0] == sizes[1], "has shape ", sizes[0], " x ", sizes[1],
                 "; an assignment needs a square matrix, so pad it with a constant");
  require_rows(source, sizes[0]);
  return static_cast<std::int64_t>(sizes[0]);
}

template <class Element>
std::vector<double> widen(const char* bytes, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) {
    Element element;
    std::memcpy(&element, bytes, sizeof element);
    bytes += sizeof element;
    value = static_cast<double>(element);
  }
  return values;
}

SquareMatrix read_npy(const Source& source) {
  const std::string_view bytes = source.bytes;
  const auto byte = [&](std::size_t i) {
    source.require(i < bytes.size(), "ends inside its .npy header");
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  // Magic, version, and the length of the header: two bytes in version 1, four later.
  const bool is_long = byte(6) > 1;
  const std::size_t begin = is_long ? 12 : 10;
  const std::size_t length =
      byte(8) + (byte(9) << 8) + (is_long ? (byte(10) << 16) + (byte(11) << 24) : 0);
  source.require(begin + length <= bytes.size(), "ends inside its .npy header");
  const std::string_view header = bytes.substr(begin, length);
  const std::string_view type = header_entry(source, header, "descr");
  source.require(header_entry(source, header, "fortran_order") == "False",
                 "is in Fortran order; save numpy.ascontiguousarray of it");
  SquareMatrix matrix{npy_rows(source, header_entry(source, header, "shape")), {}};
  const bool is_known = type == "'<f4'" || type == "'<f8'" || type == "'<i4'" || type == "'<i8'";
  source.require(is_known, "holds numbers of type ", data::printable(type),
                 "; known are '<f4', '<f8', '<i4' and '<i8'");
  const std::int64_t count = matrix.n * matrix.n, size = type[3] - '0';
  const auto present = static_cast<std::int64_t>(bytes.size() - begin - length);
  source.require(present == count * size, "should hold ", count, " numbers of ", size,
                 " bytes after its header, and has ", present, " bytes");
  const char* data = bytes.data() + begin + length;
  if (type[2] == 'f') {
    matrix.values = size == 4 ? widen<float>(data, count) : widen<double>(data, count);
  } else {
    matrix.values = size == 4 ? widen<std::int32_t>(data, count) : widen<std::int64_t>(data, count);
  }
  return matrix;
}

bool is_named_csv(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  return path.ends_with(".csv");
}

}  // namespace

SquareMatrix read_square_matrix(const std::string& path) {
  const Source source = read_source(path);
  const std::string_view bytes = source.bytes;
  source.require(bytes.find_first_not_of(" \t\r\n") != std::string_view::npos, "is empty");
  const bool is_csv = is_named_csv(path) || bytes.find(',') != std::string_view::npos;
  SquareMatrix matrix = bytes.starts_with(kNpyMagic) ? read_npy(source)
                        : is_csv                     ? read_csv(source)
                                                     : read_orlib(source);
  for (std::size_t k = 0; k < matrix.values.size(); ++k) {
    const auto n = static_cast<std::size_t>(matrix.n);
    source.require(std::abs(matrix.values[k]) <= kLargest, "row ", k / n, ", column ", k % n,
                   " (counted from 0) is ", matrix.values[k],
                   "; give every pair a number of magnitude 1e300 at most");
  }
  return matrix;
}

}  // namespace nat::tools
