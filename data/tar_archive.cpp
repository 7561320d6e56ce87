#include "data/tar_archive.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>

#include <sys/stat.h>

#include "data/files.h"
#include "data/tar_header.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr std::size_t kMostName = 4096;                         // PATH_MAX
constexpr std::int64_t kMostMetadata = std::int64_t{16} << 20;  // a long name, or pax records

// Without empty parts and ".".
std::string plain_name(std::string_view name) {
  std::string plain;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(part.size() + 1, name.size()));
    if (part.empty() || part == ".") continue;
    if (!plain.empty()) plain += '/';
    plain += part;
  }
  return plain;
}

bool is_hidden(const std::string& name) {
  return name.starts_with('.') || name.find("/.") != std::string::npos;
}

std::int64_t padded(std::int64_t size) { return size + (kTarBlock - size % kTarBlock) % kTarBlock; }

// Members that are not read, or not as they stand there.
struct Tally {
  std::int64_t count = 0;
  std::string first;

  void add(const std::string& name) {
    if (count++ == 0) first = name;
  }
};

class Scanner {
 public:
  explicit Scanner(const std::string& path) : path_(path), file_(path) {}

  TarIndex read() {
    if (file_.size() == 0) fail("is empty");
    const std::string unpacker = unpacker_of(path_);
    NAT_CHECK(
        unpacker.empty(), ErrorKind::data, printable(path_),
        ": is compressed, so that no picture can be found in it without unpacking all before; "
        "unpack it with ",
        unpacker);
    scan(0, file_.size(), "", true);
    settle();
    note(links_, "links that are not followed ('tar -h' packs what they lead to)");
    note(sparse_, "sparse files, which are left out (pack them again without -S)");
    note(unknown_, "members of an unknown type, which are left out");
    note(nested_, "archives in archives in it, which are not read");
    note(twice_, "members that replace an earlier one of their name");
    return std::move(index_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw Error(ErrorKind::data,
                str(printable(path_), ": ", parts..., "; copy or download it again"));
  }

  void note(const Tally& tally, const char* what) {
    if (tally.count == 0) return;
    index_.remarks.push_back(str(printable(path_), ": ", what, ": ", tally.count, ", first '",
                                 printable(tally.first), "'"));
  }

  void read_at(std::int64_t offset, Bytes& bytes) const {
    try {
      file_.read(offset, bytes.data(), bytes.size());
    } catch (const Error& error) {
      fail(error.what());
    }
  }

  Bytes bytes_at(std::int64_t offset, std::int64_t count) const {
    Bytes bytes(static_cast<std::size_t>(count));
    read_at(offset, bytes);
    return bytes;
  }

  // The header at `offset`, whole in the file; valid until the next call. Small members lie so
  // close together that one read has the headers of several.
  TarHeader header_at(std::int64_t offset) {
    constexpr std::int64_t kWindow = 8 * kTarBlock;
    if (offset < window_begin_ || offset + kTarBlock > window_begin_ + std::ssize(window_)) {
      window_.resize(static_cast<std::size_t>(std::min(kWindow, file_.size() - offset)));
      window_begin_ = offset;
      read_at(offset, window_);
    }
    return TarHeader(window_.data() + (offset - window_begin_));
  }

  bool is_zero(std::int64_t offset, std::int64_t count) const {
    const Bytes bytes = bytes_at(offset, count);
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
  }

  // Does the archive that goes to `end` have no header at `offset`? `last` is the member before.
  bool is_end(std::int64_t offset, std::int64_t end, const std::string& last) {
    const std::int64_t left = end - offset;
    if (left < kTarBlock) {
      if (!is_zero(offset, left)) {
        fail("is cut off in the header behind member '", printable(last), "'");
      }
      index_.remarks.push_back(str(printable(path_), ": has no end mark behind member '",
                                   printable(last), "', see that it was not cut off there"));
      return true;
    }
    if (!header_at(offset).is_zero()) return false;
    constexpr std::int64_t kLookAhead = 1 << 16;  // more than the 10 KiB that tar pads to
    if (!is_zero(offset, std::min(left, kLookAhead))) {
      index_.remarks.push_back(str(printable(path_), ": what lies behind its end mark, from byte ",
                                   offset, " on, is not read"));
    }
    return true;
  }

  // The members of the archive at begin .. end of the file, as if they lay in `folder`.
  void scan(std::int64_t begin, std::int64_t end, const std::string& folder, bool is_outer) {
    TarExtra always, next;
    std::string last = is_outer ? "" : folder + ".tar";  // for messages
    for (std::int64_t offset = begin; !is_end(offset, end, last);) {
      const TarHeader header = header_at(offset);
      if (!header.is_sound()) fail_without_header(offset, begin, last);
      offset += kTarBlock;
      const char type = header.type();
      if (type == 'g') {
        offset = take_extra(type, offset, end, header.size(), last, always);
      } else if (type == 'L' || type == 'K' || type == 'x' || type == 'X') {
        offset = take_extra(type, offset, end, header.size(), last, next);
      } else {
        last = take_member(header, overlaid(always, next), folder, is_outer, end, offset);
        next = {};
      }
    }
  }

  [[noreturn]] void fail_without_header(std::int64_t offset, std::int64_t begin,
                                        const std::string& last) const {
    const std::string member = str("member '", printable(last), "'");
    if (offset > begin) fail("is damaged, no header behind ", member, " at byte ", offset);
    fail(begin > 0 ? str(member, " ") : "", "is not a tar archive");
  }

  // Of data that begins at `offset`, the place behind it.
  std::int64_t behind(std::int64_t offset, std::optional<std::int64_t> size, std::int64_t end,
                      const std::string& member) const {
    if (!size) fail("member '", printable(member), "' has a damaged size");
    if (*size > end - offset) {
      fail("is cut off in member '", printable(member), "', whose ", *size, " bytes begin at byte ",
           offset, " of ", end);
    }
    return std::min(offset + padded(*size), end);  // the padding of the last one may be missing
  }

  // Reads what a header of type L, K, x or g stands for; returns the place behind it.
  std::int64_t take_extra(char type, std::int64_t offset, std::int64_t end,
                          std::optional<std::int64_t> size, const std::string& last,
                          TarExtra& extra) const {
    const std::int64_t next = behind(offset, size, end, last);
    if (*size > kMostMetadata) {
      fail("has ", *size, " bytes of names behind member '", printable(last), "'");
    }
    const Bytes bytes = bytes_at(offset, *size);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (type == 'L') {
      extra.name = text.substr(0, text.find('\0'));
    } else if (type == 'K') {
      extra.target = text.substr(0, text.find('\0'));
    } else {
      if (!take_pax_records(text, extra)) {
        fail("the pax header behind member '", printable(last), "' is damaged");
      }
    }
    return next;
  }

  // Takes the member whose data begins at `offset`, which is moved behind it; returns its name.
  std::string take_member(const TarHeader& header, const TarExtra& extra, const std::string& folder,
                          bool is_outer, std::int64_t end, std::int64_t& offset) {
    const std::string raw = extra.name.value_or(header.name());
    if (raw.size() > kMostName) {
      fail("a member has a name of ", raw.size(), " bytes, '",
           printable(std::string_view(raw).substr(0, 60)), "...'");
    }
    const std::string inner = plain_name(raw);
    std::string name = inner.empty() ? folder : join(folder, inner);
    const char type = header.type();
    const std::string target = extra.target.value_or(header.target());
    // Links, folders and devices may have a size but never have data.
    const auto size = type >= '1' && type <= '6' ? std::optional<std::int64_t>(0)
                      : extra.size               ? extra.size
                                                 : header.size();
    if (type == 'S') offset = behind_map(header, offset, end, name);
    const std::int64_t data = offset;
    offset = behind(offset, size, end, name);

    if (type == 'S' || extra.is_sparse) {
      sparse_.add(name);
    } else if (type == '5' || type == 'D' || raw.ends_with('/')) {
      index_.members.push_back({name, data, 0, true});
    } else if (type == '1') {
      hard_links_.push_back({index_.members.size(), join(folder, plain_name(target))});
      index_.members.push_back({name, data, 0, false});
    } else if (type == '2') {
      if (!is_hidden(name)) links_.add(name);
    } else if (type >= 'A' && type <= 'Z') {
      if (type != 'V') unknown_.add(name);  // V is the label of the archive
    } else if (type < '3' || type > '6') {  // those are devices and pipes
      take_file({name, data, *size, false}, is_outer);
    }
    return name;
  }

  void take_file(TarMember file, bool is_outer) {
    constexpr std::string_view kEnding = ".tar";
    const bool is_archive = file.name.ends_with(kEnding) && !is_hidden(file.name);
    if (!is_outer && is_archive) nested_.add(file.name);
    if (!is_outer || !is_archive) {
      index_.members.push_back(std::move(file));
      return;
    }
    const std::string folder = file.name.substr(0, file.name.size() - kEnding.size());
    index_.members.push_back({folder, file.offset, 0, true});
    scan(file.offset, file.offset + file.size, folder, false);
  }

  // A sparse file has blocks of its map in front of its data.
  std::int64_t behind_map(const TarHeader& header, std::int64_t offset, std::int64_t end,
                          const std::string& member) {
    bool goes_on = header.has_more_map();
    while (goes_on) {
      if (end - offset < kTarBlock) fail("is cut off in member '", printable(member), "'");
      goes_on = bytes_at(offset, kTarBlock)[504] != 0;
      offset += kTarBlock;
    }
    return offset;
  }

  // Hard links get the bytes of what they lead to, names that come twice those of the last one.
  // Hidden members, which links may lead to, go.
  void settle() {
    std::vector<TarMember>& members = index_.members;
    std::unordered_map<std::string_view, std::size_t> known;
    std::vector<bool> gone(members.size());
    auto link = hard_links_.begin();
    for (std::size_t i = 0; i < members.size(); ++i) {
      TarMember& member = members[i];
      if (link != hard_links_.end() && link->member == i) {
        const auto target = known.find((link++)->target);
        if (target == known.end()) {
          links_.add(member.name);
          gone[i] = true;
          continue;
        }
        member.offset = members[target->second].offset;
        member.size = members[target->second].size;
      }
      gone[i] = is_hidden(member.name);
      if (member.is_folder) continue;
      const auto [before, is_new] = known.emplace(member.name, i);
      if (is_new) continue;
      members[before->second].offset = member.offset;
      members[before->second].size = member.size;
      if (!gone[i]) twice_.add(member.name);
      gone[i] = true;
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!gone[i] && kept++ != i) members[kept - 1] = std::move(members[i]);
    }
    members.resize(kept);
  }

  struct HardLink {
    std::size_t member;
    std::string target;
  };

  std::string path_;
  OpenFile file_;
  Bytes window_;
  std::int64_t window_begin_ = 0;
  TarIndex index_;
  std::vector<HardLink> hard_links_;
  Tally links_, sparse_, unknown_, nested_, twice_;
};

}  // namespace

bool looks_like_tar(const std::string& path) {
  try {
    const FileStart start = read_start(path, kTarBlock);
    return std::ssize(start.bytes) == kTarBlock && TarHeader(start.bytes.data()).is_sound();
  } catch (const Error&) {
    return false;  // whoever opens it says why
  }
}

std::string unpacker_of(const std::string& path) {
  struct Kind {
    std::string_view magic, unpacker;
  };
  constexpr std::array kKinds{Kind{"\x1f\x8b", "gunzip"},
                              Kind{"\xfd"
                                   "7zXZ",
                                   "unxz"},
                              Kind{"BZh", "bunzip2"}, Kind{"\x28\xb5\x2f\xfd", "unzstd"},
                              Kind{"\x04\x22\x4d\x18", "unlz4"}};
  Bytes start;
  try {
    start = read_start(path, 8).bytes;
  } catch (const Error&) {  // as above
  }
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  for (const Kind& kind : kKinds) {
    if (text.starts_with(kind.magic)) return std::string(kind.unpacker);
  }
  return "";
}

TarIndex read_tar(const std::string& path) {
  std::optional<Scanner> scanner;
  try {
    scanner.emplace(path);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::memory) throw;
    throw Error(error.kind(),
                str(printable(path), ": ", error.what(), "; check the path and its permissions"));
  }
  return scanner->read();
}

std::shared_ptr<const TarIndex> tar_index(const std::string& path) {
  struct Known {
    std::array<std::int64_t, 3> state;  // bytes and time of the last change
    std::shared_ptr<const TarIndex> index;
  };
  static std::mutex mutex;
  static std::map<FolderIdentity, Known> known;
  struct stat status {};
  ::stat(path.c_str(), &status);  // read_tar says what is wrong
  const FolderIdentity identity{status.st_dev, status.st_ino};
  const std::array<std::int64_t, 3> state{status.st_size, status.st_mtim.tv_sec,
                                          status.st_mtim.tv_nsec};
  {
    const std::lock_guard lock(mutex);
    const auto found = known.find(identity);
    if (found != known.end() && found->second.state == state) return found->second.index;
  }
  auto index = std::make_shared<const TarIndex>(read_tar(path));
  const std::lock_guard lock(mutex);
  known[identity] = {state, index};
  return index;
}

}  // namespace nat::data
