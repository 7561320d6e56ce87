#include "tools/matrix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::tools {

namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // of UTF-8, as spreadsheets write it
constexpr std::string_view kBlanks = " \t\r", kBlanksAndEnds = " \t\r\n";
constexpr double kLargest = 1e300;  // sums and differences stay finite
// What is longer is no number, or no row of them: the largest double has 309 digits.
constexpr std::size_t kLongestWord = 4096, kLongestLine = std::size_t{512} * kMostRows;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// A descriptor of the file, the pipe or, for "-", the standard input.
int open_input(const std::string& path, const std::string& name) {
  const bool is_stdin = path == kStandardInput;
  NAT_CHECK(is_stdin || data::exists(path), ErrorKind::data, name,
            ": no such file; give a square matrix: csv, .npy or OR-Library text");
  const int descriptor = is_stdin ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                                  : ::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  NAT_CHECK(descriptor >= 0, ErrorKind::data, name, ": cannot be opened (", std::strerror(errno),
            "); give a square matrix: csv, .npy or OR-Library text");
  struct stat status {};
  const bool is_folder = ::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
  if (is_folder) ::close(descriptor);
  NAT_CHECK(!is_folder, ErrorKind::data, name, ": is a folder; give the file of the matrix");
  return descriptor;
}

// What there is to read, unpacked, from its start to its end, and the name to complain under. No
// more than a line, or what take() was asked for, is in memory at once: the input may have no end.
class Source {
 public:
  explicit Source(const std::string& path)
      : name_(path == kStandardInput ? "standard input" : data::printable(path)),
        reader_(open_input(path, name_), name_) {
    if (starts_with(kByteOrderMark)) begin_ = kByteOrderMark.size();
  }

  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    NAT_CHECK(condition, ErrorKind::data, name_, ": ", parts...);
  }

  bool starts_with(std::string_view bytes) {
    while (left().size() < bytes.size() && fill()) continue;
    return left().starts_with(bytes);
  }

  // Whether the next line that is not blank has a comma; nothing is passed but blank lines.
  bool has_comma() {
    skip_blanks();
    const std::size_t at = find(",\n", kLongestLine);
    return at < left().size() && left()[at] == ',';
  }

  bool at_end() { return left().empty() && !fill(); }

  // Go on to the next line, or word, that is not blank; false at the end.
  bool next_line() {
    const bool found = next("\n", kLongestLine);
    require(text_.size() < kLongestLine, "line ", number_, " does not end after ", text_.size(),
            " bytes; give a square matrix: csv, .npy or OR-Library text");
    return found;
  }
  bool next_word() { return next(kBlanksAndEnds, kLongestWord); }
  std::string_view text() const { return text_; }  // trimmed; until the next call
  std::int64_t number() const { return number_; }  // of its line, counted from 1

  // The next bytes, fewer at the end; until the next call.
  std::string_view take(std::size_t count) {
    while (left().size() < count && fill()) continue;
    const std::string_view taken = left().substr(0, count);
    begin_ += taken.size();
    return taken;
  }

 private:
  std::string_view left() const { return std::string_view(buffer_).substr(begin_); }

  // Where the first of these characters is, at most `most` further on or at the end.
  std::size_t find(std::string_view characters, std::size_t most) {
    const auto find_from = [&](std::size_t from) {  // one character is found much faster
      return characters.size() == 1 ? left().find(characters.front(), from)
                                    : left().find_first_of(characters, from);
    };
    std::size_t at = find_from(0);
    while (at == std::string_view::npos) {
      const std::size_t searched = left().size();
      if (searched >= most || !fill()) break;
      at = find_from(searched);
    }
    return std::min({at, most, left().size()});
  }

  void skip_blanks() {
    for (; !at_end(); ++begin_) {
      const char next = left().front();
      if (kBlanksAndEnds.find(next) == std::string_view::npos) return;
      line_ += next == '\n';
    }
  }

  bool next(std::string_view ends, std::size_t longest) {
    skip_blanks();
    number_ = line_;
    const std::size_t size = find(ends, longest);  // may move the buffer
    text_ = trimmed(left().substr(0, size));
    begin_ += size;
    return !text_.empty();
  }

  // Reads on behind what is left; false at the end.
  bool fill() {
    constexpr std::size_t kChunk = 1 << 20;
    buffer_.erase(0, std::exchange(begin_, 0));
    const std::size_t size = buffer_.size();
    buffer_.resize(size + kChunk);
    buffer_.resize(size + reader_.read(buffer_.data() + size, kChunk));
    return buffer_.size() > size;
  }

  std::string name_;
  data::GzReader reader_;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what is left in the buffer
  std::int64_t line_ = 1;  // that is left
  std::string_view text_;
  std::int64_t number_ = 0;
};

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

constexpr const char* kSquare = "; an assignment needs a square matrix, so pad it with a constant";

SquareMatrix read_csv(Source& source) {
  SquareMatrix matrix;
  std::size_t columns = 0;
  while (source.next_line()) {
    std::string_view row = source.text();
    const std::size_t before = matrix.values.size();
    for (bool more = true; more;) {
      more = row.find(',') != std::string_view::npos;
      matrix.values.push_back(parse_number(source, source.number(), trimmed(take_until(row, ','))));
    }
    const std::size_t count = matrix.values.size() - before;
    if (matrix.n++ == 0) columns = count;
    source.require(count == columns, "line ", source.number(), " has ", count,
                   " numbers, the first has ", columns);
    require_rows(source, static_cast<double>(columns));
    source.require(matrix.n <= static_cast<std::int64_t>(columns), "more than ", columns,
                   " rows of ", columns, " numbers", kSquare);
  }
  source.require(matrix.n == static_cast<std::int64_t>(columns), matrix.n, " rows of ", columns,
                 " numbers", kSquare);
  return matrix;
}

SquareMatrix read_orlib(Source& source) {
  SquareMatrix matrix;
  const auto require_numbers = [&](bool condition, const auto& has) {
    source.require(condition, "announces ", matrix.n, " rows, so ", matrix.n * matrix.n,
                   " numbers, and has ", has,
                   "; a matrix without its size in front is csv: separate numbers by commas");
  };
  while (source.next_word()) {
    const double value = parse_number(source, source.number(), source.text());
    if (matrix.n > 0) {
      require_numbers(std::ssize(matrix.values) < matrix.n * matrix.n, "more");
      matrix.values.push_back(value);
      continue;
    }
    source.require(value == std::floor(value), "begins with ", value,
                   ", which is no number of rows; known are csv with commas, .npy, and "
                   "OR-Library text: n, then n n numbers");
    require_rows(source, value);
    matrix.n = static_cast<std::int64_t>(value);
  }
  require_numbers(std::ssize(matrix.values) == matrix.n * matrix.n, matrix.values.size());
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
  source.require(sizes[0] == sizes[1], "has shape ", sizes[0], " x ", sizes[1], kSquare);
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

// Magic, version, the length of the header, two bytes in version 1 and four later, and the header.
std::string npy_header(Source& source) {
  const auto take = [&source](std::size_t count) {
    const std::string_view bytes = source.take(count);
    source.require(bytes.size() == count, "ends inside its .npy header");
    return bytes;
  };
  const bool is_long = take(8)[6] > 1;
  constexpr std::size_t kLongest = 1 << 16;
  std::size_t length = 0;
  for (const char byte : take(is_long ? 4 : 2)) {
    length = length >> 8 | static_cast<std::size_t>(static_cast<unsigned char>(byte)) << 24;
  }
  if (!is_long) length >>= 16;
  source.require(length <= kLongest, "damaged .npy header, of ", length, " bytes");
  return std::string(take(length));
}

void transpose(SquareMatrix& matrix) {
  const auto n = static_cast<std::size_t>(matrix.n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j)
      std::swap(matrix.values[i * n + j], matrix.values[j * n + i]);
  }
}

SquareMatrix read_npy(Source& source) {
  const std::string header = npy_header(source);
  const NpyType type = npy_type(source, header_entry(source, header, "descr"));
  const bool by_columns = is_fortran_order(source, header_entry(source, header, "fortran_order"));
  SquareMatrix matrix{npy_rows(source, header_entry(source, header, "shape")), {}};
  const auto n = static_cast<std::size_t>(matrix.n);
  const auto require_bytes = [&](bool condition, std::size_t has, const char* or_more) {
    source.require(condition, "should hold ", n * n, " numbers of ", type.size,
                   " bytes after its header, and has ", has, " bytes", or_more);
  };
  for (std::size_t i = 0; i < n; ++i) {  // a damaged size takes no more memory than there are bytes
    const std::string_view row = source.take(n * type.size);
    require_bytes(row.size() == n * type.size, i * n * type.size + row.size(), "");
    for (std::size_t j = 0; j < n; ++j) {
      const std::uint64_t bits = npy_bits(type, row.data() + j * type.size);
      matrix.values.push_back(type.kind == 'f' ? float_value(type.size, bits)
                                               : whole_value(source, type, bits));
    }
  }
  require_bytes(source.take(1).empty(), n * n * type.size + 1, " or more");
  if (by_columns) transpose(matrix);
  return matrix;
}

bool is_named_csv(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  return path.ends_with(".csv");
}

SquareMatrix read_text(Source& source, const std::string& path) {
  const bool is_csv = source.has_comma() || is_named_csv(path);
  source.require(!source.at_end(), "is empty");
  return is_csv ? read_csv(source) : read_orlib(source);
}

}  // namespace

SquareMatrix read_square_matrix(const std::string& path) {
  Source source(path);
  SquareMatrix matrix = source.starts_with(kNpyMagic) ? read_npy(source) : read_text(source, path);
  for (std::size_t k = 0; k < matrix.values.size(); ++k) {
    const auto n = static_cast<std::size_t>(matrix.n);
    source.require(std::abs(matrix.values[k]) <= kLargest, "row ", k / n, ", column ", k % n,
                   " (counted from 0) is ", matrix.values[k],
                   "; give every pair a number of magnitude 1e300 at most");
  }
  return matrix;
}

}  // namespace nat::tools
