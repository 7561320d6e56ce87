#include "tools/left_out.h"

#include <algorithm>

#include "data/files.h"
#include "kernels/check.h"
#include "nat/evaluate/retrieval.h"
#include "tools/features.h"

namespace nat::tools {

namespace {

// How many usable pictures each class has.
std::vector<std::int64_t> class_sizes(const data::Dataset& pictures) {
  std::vector<std::int64_t> count(static_cast<std::size_t>(std::max(1, pictures.classes())));
  for (const std::int32_t id : pictures.usable_ids()) {
    ++count[static_cast<std::size_t>(pictures.label(id))];
  }
  return count;
}

bool shows(const data::Dataset& pictures, std::size_t c) {
  return std::any_of(pictures.usable_ids().begin(), pictures.usable_ids().end(),
                     [&](std::int32_t id) { return pictures.flags(id)[c] == 1; });
}

// "a, b and 3 more": the names of the classes for which `is_missing` says so, five at most.
template <class IsMissing>
std::string names_of(const data::Dataset& pictures, IsMissing&& is_missing) {
  constexpr int kMost = 5;
  std::string names;
  int count = 0;
  for (std::size_t c = 0; c < pictures.catalog().class_names.size(); ++c) {
    if (!is_missing(c)) continue;
    if (++count <= kMost) names += (count == 1 ? "" : ", ") + pictures.catalog().class_names[c];
  }
  return count <= kMost ? names : str(names, " and ", count - kMost, " more");
}

}  // namespace

std::int64_t pixels_of(int side, const data::Dataset& pictures) {
  return std::int64_t{side} * side * pictures.shape().channels;
}

std::vector<std::string> few_remarks(const data::Dataset& pictures) {
  constexpr std::size_t kMost = 5;
  std::vector<std::string> remarks = pictures.catalog().remarks;
  if (const std::size_t count = remarks.size(); count > kMost) {
    remarks.resize(kMost);
    remarks.push_back(str("and ", count - kMost, " more, which 'nat inspect' lists"));
  }
  return remarks;
}

std::string remark_lines(const data::Dataset& pictures) {
  std::string lines;
  for (const std::string& remark : few_remarks(pictures)) lines += "remark: " + remark + '\n';
  return lines;
}

std::string unreadable(const data::Dataset& pictures, const std::string& fate) {
  const std::vector<data::BadPicture> bad = pictures.bad_pictures();
  if (bad.empty()) return "";
  return str(bad.size(), " of ", pictures.size(), " pictures cannot be read and ", fate,
             " (first: ", pictures.name(bad.front().id), ": ", data::printable(bad.front().reason),
             ")");
}

std::string unreadable_line(const data::Dataset& pictures) {
  const std::string clause = unreadable(pictures);
  return clause.empty() ? "" : "remark: " + clause + '\n';
}

std::string too_few_labels(const data::Dataset& train) {
  const std::vector<std::int64_t> count = class_sizes(train);
  const std::int64_t needed = (kFewLabels + std::ssize(count) - 1) / std::ssize(count);
  const std::int64_t least = *std::min_element(count.begin(), count.end());
  if (least >= needed) return "";
  return str("linear_1k is left out: a class has ", least, " training pictures, its ", kFewLabels,
             " labels take ", needed, " of each");
}

std::string without_label(const data::Dataset& train) {
  if (train.multi_label()) return "";
  const std::vector<std::int64_t> count = class_sizes(train);
  const std::string names = names_of(train, [&](std::size_t c) { return count[c] == 0; });
  return names.empty() ? "" : "no label is given for " + names;
}

std::string alone_in_class(const data::Dataset& test) {
  const std::vector<std::int64_t> count = class_sizes(test);
  const auto alone = std::count(count.begin(), count.end(), 1);
  NAT_CHECK(alone < std::ssize(test.usable_ids()), ErrorKind::data, test.catalog().source,
            ": no class has two test pictures, so that retrieval can find nothing");
  if (alone == 0) return "";
  return str("retrieval leaves out ", alone, " of ", test.usable_ids().size(),
             " test pictures, each the only one of its class");
}

std::string too_few_to_recall(const data::Dataset& test) {
  const std::int64_t pictures = std::ssize(test.usable_ids());
  NAT_CHECK(pictures >= 2, ErrorKind::data, test.catalog().source,
            ": retrieval needs two test pictures or more");
  std::string names;
  for (const int k : RetrievalOptions().k) {
    if (k >= pictures) names += str(names.empty() ? "" : ", ", "recall_", k);
  }
  return names.empty() ? "" : str(names, " left out: there are only ", pictures, " test pictures");
}

std::string never_shown(const data::Dataset& test) {
  if (!test.multi_label()) return "";
  bool any_shown = false;
  const std::string names = names_of(test, [&](std::size_t c) {
    const bool shown = shows(test, c);
    any_shown = any_shown || shown;
    return !shown;
  });
  NAT_CHECK(any_shown, ErrorKind::data, test.catalog().source,
            ": no test picture shows any of the ", test.classes(),
            " classes; judging needs some that do");
  return names.empty() ? "" : "the mean leaves out " + names + ", which no test picture shows";
}

std::string too_much_memory(std::size_t needed) {
  if (needed <= feature_room()) return "";
  return str("raw pixels are left out: judging them takes ", needed >> 20, " MiB, and there are ",
             feature_room() >> 20, " for that");
}

std::string too_many_pixels(int side, const data::Dataset& pictures) {
  constexpr std::int64_t kMost = 16384;  // numbers a picture: 64 x 64 in colour
  const std::int64_t numbers = pixels_of(side, pictures);
  if (numbers <= kMost) return "";
  return str("raw pixels are left out: ", numbers, " numbers a picture are too many for an MLP (",
             kMost, " at most)");
}

}  // namespace nat::tools
