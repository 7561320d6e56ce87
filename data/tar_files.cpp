#include "data/tar_files.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <set>
#include <string_view>

#include "data/class_folders.h"
#include "data/files.h"
#include "data/tar_archive.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr std::string_view kEnding = ".tar";

bool is_archive_name(const std::string& name) { return name.ends_with(kEnding); }

bool is_packed_name(const std::string& name) {
  for (const char* ending : {".tgz", ".txz", ".tbz2"}) {
    if (name.ends_with(ending)) return true;
  }
  const auto dot = name.rfind('.');
  return dot != std::string::npos && is_archive_name(name.substr(0, dot));
}

struct Range {
  std::string_view before, first, last, behind;
};

std::optional<Range> parse_range(std::string_view path) {
  const std::size_t open = path.rfind('{'), dots = path.find("..", open),
                    close = path.find('}', dots);
  if (open == std::string_view::npos || dots == std::string_view::npos ||
      close == std::string_view::npos) {
    return {};
  }
  const Range range{path.substr(0, open), path.substr(open + 1, dots - open - 1),
                    path.substr(dots + 2, close - dots - 2), path.substr(close + 1)};
  for (const std::string_view number : {range.first, range.last}) {
    const bool is_number = !number.empty() && number.size() <= 9 &&
                           number.find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_number) return {};
  }
  return range;
}

TarFiles expand(const std::string& path, const Range& range) {
  int first = 0, last = 0;
  std::from_chars(range.first.data(), range.first.data() + range.first.size(), first);
  std::from_chars(range.last.data(), range.last.data() + range.last.size(), last);
  constexpr int kMost = 1'000'000;
  NAT_CHECK(first <= last && last - first < kMost, ErrorKind::usage, printable(path), ": from ",
            first, " to ", last, " is no range of archives; give {FIRST..LAST}, such as ",
            "{000000..000146}");
  const bool has_zeros = (range.first.front() == '0' && range.first.size() > 1) ||
                         (range.last.front() == '0' && range.last.size() > 1);
  const std::size_t width = has_zeros ? std::max(range.first.size(), range.last.size()) : 0;
  const auto slash = range.before.rfind('/');
  const std::size_t folder = slash == std::string_view::npos ? 0 : slash + 1;
  TarFiles found;
  found.root = range.before.substr(0, folder);
  found.hold_all_splits = true;
  for (int i = first; i <= last; ++i) {
    std::string number = std::to_string(i);
    if (number.size() < width) number.insert(0, width - number.size(), '0');
    found.names.push_back(str(range.before.substr(folder), number, range.behind));
    NAT_CHECK(is_file(found.path(found.names.size() - 1)), ErrorKind::data,
              printable(found.path(found.names.size() - 1)),
              ": no such file; complete the archives or correct the range ", printable(path));
  }
  return found;
}

std::vector<std::string> archives_in(const Listing& listing) {
  std::vector<std::string> names;
  std::copy_if(listing.files.begin(), listing.files.end(), std::back_inserter(names),
               is_archive_name);
  return names;
}

// Is `word` a run of letters of the name?
bool has_word(const std::string& name, std::string_view word) {
  const auto is_letter = [&](std::size_t i) {
    return i < name.size() && std::isalpha(static_cast<unsigned char>(name[i])) != 0;
  };
  for (std::size_t at = name.find(word); at != std::string::npos; at = name.find(word, at + 1)) {
    if ((at == 0 || !is_letter(at - 1)) && !is_letter(at + word.size())) return true;
  }
  return false;
}

// "train", "test" or "val"; "" for an archive of all splits.
std::string split_in_name(const std::string& archive) {
  const std::string name = in_small_letters(archive.substr(0, archive.size() - kEnding.size()));
  if (has_word(name, "train")) return "train";
  if (has_word(name, "test")) return "test";
  const auto has = [&](const char* word) { return has_word(name, word); };
  return has("val") || has("valid") || has("validation") ? "val" : "";
}

// Of the archives in one folder. Nothing when their names tell splits, but not this one.
std::optional<TarFiles> choose(const std::string& folder, const std::vector<std::string>& archives,
                               Split split) {
  std::set<std::string> kinds;
  for (const std::string& archive : archives) kinds.insert(split_in_name(archive));
  const std::vector<std::string> sorted(kinds.begin(), kinds.end());
  if (split_folder(sorted, Split::train)->empty()) return TarFiles{folder, archives, true, {}};
  const std::optional<std::string> wanted = split_folder(sorted, split);
  if (!wanted) return {};
  TarFiles found{folder, {}, false, {}};
  std::copy_if(archives.begin(), archives.end(), std::back_inserter(found.names),
               [&](const std::string& archive) { return split_in_name(archive) == *wanted; });
  if (kinds.contains("")) {
    found.remarks.push_back(
        "archives are left out that have none of the words train, test, val, valid and "
        "validation in their names");
  }
  return found;
}

std::optional<TarFiles> in_folder(const std::string& path, Split split) {
  const Listing top = list_folder(path);
  const std::string training = *split_folder(top.folders, Split::train);
  if (training.empty() || archives_in(list_folder(join(path, training))).empty()) {
    return choose(path, archives_in(top), split);
  }
  const std::optional<std::string> folder = split_folder(top.folders, split);
  if (!folder) return {};
  const std::string root = join(path, *folder);
  return TarFiles{root, archives_in(list_folder(root)), false, {}};
}

std::string no_archives(const std::string& folder) {
  const Listing listing = list_folder(folder);
  const auto packed = std::find_if(listing.files.begin(), listing.files.end(), is_packed_name);
  if (packed == listing.files.end()) return "holds no .tar files; check the path";
  return str("holds compressed archives, in which pictures cannot be found without unpacking all ",
             "before; unpack them first, such as '", printable(*packed), "' with ",
             unpacker_of(join(folder, *packed)));
}

}  // namespace

bool is_tar_range(const std::string& path) { return !exists(path) && parse_range(path); }

bool looks_like_tar_files(const std::string& path) {
  const auto is_archive = [](const std::string& name) {
    return is_archive_name(name) || is_packed_name(name);
  };
  if (is_file(path)) {
    return looks_like_tar(path) || (is_archive(path) && !unpacker_of(path).empty());
  }
  const auto holds_archives = [&](const std::string& folder) {
    const Listing listing = list_folder(folder);
    return listing.folders.empty() &&
           std::any_of(listing.files.begin(), listing.files.end(), is_archive) &&
           std::none_of(listing.files.begin(), listing.files.end(), has_picture_name);
  };
  const std::string training = *split_folder(list_folder(path).folders, Split::train);
  return holds_archives(training.empty() ? path : join(path, training));
}

std::optional<TarFiles> find_tar_files(const std::string& path, Split split) {
  if (is_folder(path)) {
    std::optional<TarFiles> found = in_folder(path, split);
    NAT_CHECK(!found || !found->names.empty(), ErrorKind::data, printable(found->root), ": ",
              no_archives(found->root));
    return found;
  }
  if (is_tar_range(path)) return expand(path, *parse_range(path));
  return TarFiles{"", {path}, true, {}};
}

}  // namespace nat::data
