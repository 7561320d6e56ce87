#include "data/voc.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "data/files.h"
#include "data/text_file.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- folders ------------------------------------------------------------------------------------

constexpr const char* kPictures = "JPEGImages";
constexpr const char* kLists = "ImageSets/Main";

bool is_year(const std::string& folder) {
  return is_folder(join(folder, kPictures)) && is_folder(join(folder, kLists));
}

// The years that a path may mean.
std::vector<std::string> years_of(const std::string& path) {
  if (is_year(path)) return {path};
  std::vector<std::string> years;
  for (const std::string& holder : {path, join(path, "VOCdevkit")}) {
    if (!is_folder(holder)) continue;
    for (const std::string& folder : list_folder(holder).folders) {
      if (is_year(join(holder, folder))) years.push_back(join(holder, folder));
    }
  }
  return years;
}

std::string find_year(const std::string& path) {
  const std::vector<std::string> years = years_of(path);
  NAT_CHECK(!years.empty(), ErrorKind::data, printable(path), ": no ", kPictures, " and ", kLists,
            " in it, one folder below or in VOCdevkit/YEAR; give the folder of a year, such as "
            "VOCdevkit/VOC2007");
  NAT_CHECK(years.size() == 1, ErrorKind::data, printable(path), ": holds ", years.size(),
            " years; give one of them, for instance voc:", printable(years.front()));
  return years.front();
}

const char* split_name(Split split) { return split == Split::train ? "trainval" : "test"; }

std::string list_path(const std::string& year, Split split) {
  return join(join(year, kLists), str(split_name(split), ".txt"));
}

// ---- ids ----------------------------------------------------------------------------------------

struct Ids {
  std::vector<std::string> names;                         // in the order of the list
  std::unordered_map<std::string, std::size_t> position;  // in names
};

std::string picture_path(const std::string& id) { return join(kPictures, id + ".jpg"); }

Ids read_ids(const std::string& year, Split split) {
  const std::string path = list_path(year, split);
  NAT_CHECK(is_file(path), ErrorKind::data, printable(year), ": no ", name(split),
            " pictures (looked for ", printable(path), "); unpack that part of the data set too");
  const TextFile list(path);
  Ids ids;
  for (const Line& line : list.lines()) {
    const std::string id(line.words.front());
    NAT_CHECK(line.words.size() == 1 && id.find('/') == std::string::npos, ErrorKind::data,
              list.at(line.number), ": ", in_quotes(line.text),
              " is not a picture id, the name of a", " file in ", kPictures,
              " without .jpg; correct it or unpack the data set again");
    NAT_CHECK(ids.position.emplace(id, ids.names.size()).second, ErrorKind::data,
              list.at(line.number), ": ", in_quotes(id), " is listed a second time; remove it");
    NAT_CHECK(exists(join(year, picture_path(id))), ErrorKind::data, list.at(line.number),
              ": picture ", in_quotes(id), " has no .jpg in ", printable(join(year, kPictures)),
              "; unpack the data set again");
    ids.names.push_back(id);
  }
  NAT_CHECK(!ids.names.empty(), ErrorKind::data, printable(path),
            ": lists no pictures; unpack the data set again");
  return ids;
}

// ---- classes ------------------------------------------------------------------------------------

std::string class_file(const std::string& class_name, Split split) {
  return str(class_name, "_", split_name(split), ".txt");
}

// Sorted anew: in names of files the "_" of the ending takes part.
std::vector<std::string> classes_of(const std::string& year, Split split) {
  const std::string ending = class_file("", split);
  std::vector<std::string> names;
  for (const std::string& file : list_folder(join(year, kLists)).files) {
    if (!file.ends_with(ending) || file.size() == ending.size()) continue;
    names.push_back(file.substr(0, file.size() - ending.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void check_same_classes(const std::string& year, const std::vector<std::string>& test) {
  const std::vector<std::string> train = classes_of(year, Split::train);
  if (!train.empty() && !test.empty()) require_same_classes(year, "class files", train, test);
}

std::optional<std::int8_t> flag_of(std::string_view word) {
  if (word == "1") return std::int8_t{1};
  if (word == "0") return std::int8_t{0};
  if (word == "-1") return std::int8_t{-1};
  return {};
}

// Every `classes`-th flag from `flags` on: the column of one class.
void read_class(const std::string& path, const Ids& ids, std::size_t classes, std::int8_t* flags) {
  const TextFile file(path);
  std::vector<bool> seen(ids.names.size());
  for (const Line& line : file.lines()) {
    const std::string id(line.words.front());
    NAT_CHECK(line.words.size() == 2, ErrorKind::data, file.at(line.number), ": ",
              in_quotes(line.text),
              " is not a picture id and a flag; correct it or unpack the data set again");
    const auto found = ids.position.find(id);
    NAT_CHECK(found != ids.position.end(), ErrorKind::data, file.at(line.number), ": picture ",
              in_quotes(id),
              " is not in the list of the split; remove it or unpack the data set again");
    NAT_CHECK(!seen[found->second], ErrorKind::data, file.at(line.number), ": ", in_quotes(id),
              " is listed a second time; remove it");
    const std::optional<std::int8_t> flag = flag_of(line.words[1]);
    NAT_CHECK(flag, ErrorKind::data, file.at(line.number), ": flag ", in_quotes(line.words[1]),
              " is not 1, -1 or 0; correct it or unpack the data set again");
    seen[found->second] = true;
    flags[found->second * classes] = *flag;
  }
  const auto lacking = std::find(seen.begin(), seen.end(), false);
  NAT_CHECK(lacking == seen.end(), ErrorKind::data, printable(path), ": lacks ",
            std::count(lacking, seen.end(), false), " of the ", seen.size(),
            " pictures of the split (first ",
            in_quotes(ids.names[static_cast<std::size_t>(lacking - seen.begin())]),
            "); add them or unpack the data set again");
}

// (pictures, classes)
std::vector<std::int8_t> read_flags(const std::string& year, Split split, const Ids& ids,
                                    const std::vector<std::string>& classes) {
  std::vector<std::int8_t> flags(ids.names.size() * classes.size());
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const std::string path = join(join(year, kLists), class_file(classes[c], split));
    read_class(path, ids, classes.size(), flags.data() + c);
  }
  return flags;
}

std::vector<std::string> remarks_on(const Catalog& found, Split split) {
  const std::size_t classes = found.class_names.size();
  if (classes == 0) {
    return {str("no files ", class_file("<class>", split), ": the pictures have no labels")};
  }
  std::vector<bool> shown(classes);
  for (std::size_t i = 0; i < found.flags.size(); ++i) {
    if (found.flags[i] == 1) shown[i % classes] = true;
  }
  std::vector<std::string> remarks;
  for (std::size_t c = 0; c < classes; ++c) {
    if (shown[c]) continue;
    remarks.push_back(str("class '", printable(found.class_names[c]), "' is in no picture"));
  }
  return remarks;
}

}  // namespace

bool looks_like_voc(const std::string& path) { return !years_of(path).empty(); }

bool voc_has_split(const std::string& path, Split split) {
  const std::vector<std::string> years = years_of(path);
  return years.size() == 1 && is_file(list_path(years.front(), split));
}

std::unique_ptr<Dataset> open_voc(const std::string& path, Split split,
                                  const PictureFileOptions& options) {
  const std::string year = find_year(path);
  const Ids ids = read_ids(year, split);

  Catalog found;
  found.format = name(Format::voc);
  found.source = path;
  found.class_names = classes_of(year, split);
  if (split == Split::test) check_same_classes(year, found.class_names);
  found.flags = read_flags(year, split, ids, found.class_names);
  found.remarks = remarks_on(found, split);
  for (const std::string& id : ids.names) found.paths.push_back(picture_path(id));
  return open_picture_files(std::move(found), year, options);
}

}  // namespace nat::data
