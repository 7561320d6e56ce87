#include "tools/matrix_file.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string_view>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::tools {

namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // of UTF-8, as spreadsheets write it
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
  source.require(data::exists(path),
                 "no such file; give a square matrix: csv, .npy or OR-Library text");
  source.require(data::is_file(path),
                 "is a folder, a pipe or a device; write the matrix to a file");
  data::GzReader reader(path);
  constexpr std::size_t kChunk = 1 << 20;
  for (std::size_t got = kChunk; got == kChunk;) {
    const std::size_t size = source.bytes.size();
    source.bytes.resize(size + kChunk);
    got = reader.read(source.bytes.data() + size, kChunk);
    source.bytes.resize(size + got);
  }
  if (source.bytes.starts_with(kByteOrderMark)) source.bytes.erase(0, kByteOrderMark.size());
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

constexpr const char* kPlainNumbers =
    "; give numbers alone, without a heading, and separate them by commas";

// Whether a whole number became another one. Fractions of ten are rounded by nature.
bool is_rounded(std::string_view digits, double value) {
  if (digits.starts_with('-')) digits.remove_prefix(1);
  constexpr std::size_t kAlwaysExact = 15;
  if (digits.size() <= kAlwaysExact) return false;
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) return false;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  char exact[320];  // the largest double has 309 digits
  const auto end =
      std::to_chars(exact, std::end(exact), std::abs(value), std::chars_format::fixed, 0).ptr;
  return digits != std::string_view(exact, static_cast<std::size_t>(end - exact));
}

double parse_number(const Source& source, std::int64_t line, std::string_view text,
                    const char* fix = kPlainNumbers) {
  double value = 0;
  const bool has_plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  const std::string_view digits = text.substr(has_plus ? 1 : 0);
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
  source.require(error == std::errc{} && end == digits.end(), "line ", line, ": '",
                 data::printable(text.substr(0, 40)), "' is not a number",
                 error == std::errc::result_out_of_range ? " that a double can hold" : fix);
  source.require(!is_rounded(digits, value), "line ", line, ": ", text.substr(0, 40),
                 " has no exact double, as whole numbers beyond 2^53 need not; scale them down");
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
                 " rows, so ", matrix.n * matrix.n, " numbers, and has ", matrix.values.size(),
                 "; a matrix without its size in front is csv: separate numbers by commas");
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
  std::vector<double> sizes;
  std::string_view rest = shape.substr(shape.empty() ? 0 : 1);
  while (!rest.empty()) {
    const std::string_view size = trimmed(take_until(rest, ','));
    if (!size.empty()) sizes.push_back(parse_number(source, 1, size, ""));
  }
  source.require(sizes.size() == 2, "has shape ", data::printable(shape),
                 "), which is not two dimensions; give one square matrix");
  source.require(sizes[0] == sizes[1], "has shape ", sizes[0], " x ", sizes[1],
                 "; an assignment needs a square matrix, so pad it with a constant");
  source.require(sizes[0] == std::floor(sizes[0]), "has shape ", sizes[0], " x ", sizes[1],
                 ", which is no number of rows");
  require_rows(source, sizes[0]);
  return static_cast<std::int64_t>(sizes[0]);
}

// How NumPy writes one number: '<f8', '>i4', '|u1', ...
struct NpyType {
  bool is_big_endian = false;
  char kind = 'f';  // f, i or u
  std::size_t size = 8;
};

NpyType npy_type(const Source& source, std::string_view text) {
  const bool has_form = text.size() == 5 && text.front() == text.back() &&
                        std::string_view("'\"").find(text[0]) != std::string_view::npos &&
                        std::string_view("<>|").find(text[1]) != std::string_view::npos;
  const std::string_view number = has_form ? text.substr(2, 2) : "";
  constexpr std::string_view kKnown[] = {"f2", "f4", "f8", "i1", "i2", "i4",
                                         "i8", "u1", "u2", "u4", "u8"};
  const bool is_known = std::find(std::begin(kKnown), std::end(kKnown), number) != std::end(kKnown);
  source.require(is_known, "holds numbers of type ", data::printable(text),
                 "; known are f2, f4, f8, i1 to i8 and u1 to u8 of either byte order");
  return {text[1] == '>', number[0], static_cast<std::size_t>(number[1] - '0')};
}

std::uint64_t npy_bits(const NpyType& type, const char* bytes) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < type.size; ++i) {
    const char byte = bytes[type.is_big_endian ? i : type.size - 1 - i];
    bits = bits << 8 | static_cast<unsigned char>(byte);
  }
  return bits;
}

// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction.
double half_value(std::uint64_t bits) {
  const auto exponent = static_cast<int>(bits >> 10 & 31);
  const auto fraction = static_cast<int>(bits & 1023);
  double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) magnitude = fraction == 0 ? HUGE_VAL : NAN;
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

double float_value(std::size_t size, std::uint64_t bits) {
  if (size == 2) return half_value(bits);
  return size == 4 ? static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)))
                   : std::bit_cast<double>(bits);
}

std::int64_t sign_extended(std::size_t size, std::uint64_t bits) {
  const std::size_t unused = 64 - 8 * size;
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

// Error(data) where rounding to a double would change the problem.
double whole_value(const Source& source, const NpyType& type, std::uint64_t bits) {
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  const bool is_negative = type.kind == 'i' && sign_extended(type.size, bits) < 0;
  const std::uint64_t magnitude =
      is_negative ? -static_cast<std::uint64_t>(sign_extended(type.size, bits)) : bits;
  source.require(magnitude <= kExact, "holds ", is_negative ? "-" : "", magnitude,
                 "; whole numbers beyond 2^53 have no exact double, so scale them down");
  return is_negative ? -static_cast<double>(magnitude) : static_cast<double>(magnitude);
}

bool is_fortran_order(const Source& source, std::string_view text) {
  source.require(text == "True" || text == "False", "damaged .npy header, fortran_order is ",
                 data::printable(text));
  return text == "True";
}

struct NpyFile {
  std::string_view header, data;
};

NpyFile split_npy(const Source& source) {
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
  return {bytes.substr(begin, length), bytes.substr(begin + length)};
}

SquareMatrix read_npy(const Source& source) {
  const auto [header, data] = split_npy(source);
  const NpyType type = npy_type(source, header_entry(source, header, "descr"));
  const bool by_columns = is_fortran_order(source, header_entry(source, header, "fortran_order"));
  SquareMatrix matrix{npy_rows(source, header_entry(source, header, "shape")), {}};
  const auto n = static_cast<std::size_t>(matrix.n), count = n * n;
  source.require(data.size() == count * type.size, "should hold ", count, " numbers of ", type.size,
                 " bytes after its header, and has ", data.size(), " bytes");
  matrix.values.resize(count);
  for (std::size_t k = 0; k < count; ++k) {
    const std::uint64_t bits = npy_bits(type, data.data() + k * type.size);
    matrix.values[by_columns ? k % n * n + k / n : k] =
        type.kind == 'f' ? float_value(type.size, bits) : whole_value(source, type, bits);
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
