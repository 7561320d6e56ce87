#include "data/tiny_imagenet.h"

#include <algorithm>
#include <string_view>

#include "data/files.h"
#include "data/text_file.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr const char* kTrain = "train";
constexpr const char* kTestPictures = "val/images";
constexpr const char* kAnnotations = "val/val_annotations.txt";
constexpr const char* kEnding = ".JPEG";

// The folder that holds train/; "" for none.
std::string find_root(const std::string& path) {
  for (const std::string& folder : {path, join(path, "tiny-imagenet-200")}) {
    if (is_folder(join(folder, kTrain))) return folder;
  }
  return "";
}

// Names of the pictures directly in a folder, sorted.
std::vector<std::string> pictures_in(const std::string& folder) {
  if (!is_folder(folder)) return {};
  std::vector<std::string> files = list_folder(folder).files;
  std::erase_if(files, [](const std::string& file) { return !file.ends_with(kEnding); });
  return files;
}

std::vector<std::string> wnids_of(const std::string& root) {
  return list_folder(join(root, kTrain)).folders;
}

// ---- training pictures --------------------------------------------------------------------------

void find_training_pictures(const std::string& root, const std::vector<std::string>& wnids,
                            Catalog& found) {
  for (std::size_t label = 0; label < wnids.size(); ++label) {
    const std::string folder = join(join(kTrain, wnids[label]), "images");
    const std::vector<std::string> files = pictures_in(join(root, folder));
    if (files.empty()) {
      found.remarks.push_back(str("class '", printable(wnids[label]), "' has no pictures"));
    }
    for (const std::string& file : files) {
      found.paths.push_back(join(folder, file));
      found.labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  NAT_CHECK(!found.paths.empty(), ErrorKind::data, printable(root),
            ": no train pictures (looked for train/<wnid>/images/*", kEnding,
            "); unpack the archive again, or use folder:PATH for other folders of classes");
}

// ---- test pictures ------------------------------------------------------------------------------

// The position of `name` in a sorted list; -1 where it is missing.
std::ptrdiff_t position(const std::vector<std::string>& sorted, const std::string& name) {
  const auto place = std::lower_bound(sorted.begin(), sorted.end(), name);
  return place == sorted.end() || *place != name ? -1 : place - sorted.begin();
}

void find_test_pictures(const std::string& root, const std::vector<std::string>& wnids,
                        Catalog& found) {
  const std::string path = join(root, kAnnotations), folder = join(root, kTestPictures);
  NAT_CHECK(is_file(path), ErrorKind::data, printable(root), ": no test pictures (looked for ",
            kAnnotations, "); unpack the archive again");
  const std::vector<std::string> files = pictures_in(folder);
  const TextFile annotations(path);
  std::vector<bool> seen(files.size());
  for (const Line& line : annotations.lines()) {
    const std::string where = annotations.at(line.number);
    NAT_CHECK(line.words.size() >= 2, ErrorKind::data, where, ": ", in_quotes(line.text),
              " is not a picture and its wnid; correct it or unpack the archive again");
    const std::string file(line.words[0]), wnid(line.words[1]);
    const std::ptrdiff_t picture = position(files, file), label = position(wnids, wnid);
    NAT_CHECK(picture >= 0, ErrorKind::data, where, ": picture ", in_quotes(file), " is not in ",
              printable(folder), "; unpack the archive again");
    NAT_CHECK(!seen[static_cast<std::size_t>(picture)], ErrorKind::data, where, ": ",
              in_quotes(file), " is listed a second time; remove it");
    NAT_CHECK(label >= 0, ErrorKind::data, where, ": wnid ", in_quotes(wnid), " is none of the ",
              wnids.size(), " folders of ", printable(join(root, kTrain)),
              "; correct it or unpack the archive again");
    seen[static_cast<std::size_t>(picture)] = true;
    found.paths.push_back(join(kTestPictures, file));
    found.labels.push_back(static_cast<std::int32_t>(label));
  }
  const auto lacking = std::find(seen.begin(), seen.end(), false);
  NAT_CHECK(lacking == seen.end(), ErrorKind::data, printable(path), ": lacks ",
            std::count(lacking, seen.end(), false), " of the ", seen.size(), " pictures in ",
            printable(folder), " (first ",
            in_quotes(files[static_cast<std::size_t>(lacking - seen.begin())]),
            "); add them or unpack the archive again");
  NAT_CHECK(!found.paths.empty(), ErrorKind::data, printable(path),
            ": lists no pictures; unpack the archive again");
}

// ---- names --------------------------------------------------------------------------------------

// The first of the names that follow a wnid: "goldfish" of "n01443537 \t goldfish, Carassius".
std::string_view first_name(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  text.remove_prefix(std::min(text.find('\t'), text.size()));
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  text = text.substr(0, text.find(','));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

std::vector<std::string> class_names(const std::string& root,
                                     const std::vector<std::string>& wnids) {
  std::vector<std::string> names = wnids;
  const std::string path = join(root, "words.txt");
  if (!is_file(path)) return names;
  const TextFile words(path);
  for (const Line& line : words.lines()) {
    const std::string wnid(line.words.front());
    const std::ptrdiff_t label = position(wnids, wnid);
    const std::string_view name = first_name(line.text);
    if (label >= 0 && !name.empty()) {
      names[static_cast<std::size_t>(label)] = str(name, " (", wnid, ")");
    }
  }
  return names;
}

}  // namespace

bool looks_like_tiny_imagenet(const std::string& path) {
  const std::string root = find_root(path);
  return !root.empty() && is_file(join(root, "wnids.txt")) && is_file(join(root, kAnnotations));
}

bool tiny_imagenet_has_split(const std::string& path, Split split) {
  const std::string root = find_root(path);
  return !root.empty() && (split == Split::train || is_file(join(root, kAnnotations)));
}

std::unique_ptr<Dataset> open_tiny_imagenet(const std::string& path, Split split,
                                            const PictureFileOptions& options) {
  const std::string root = find_root(path);
  NAT_CHECK(!root.empty(), ErrorKind::data, printable(path),
            ": no folder train in it or in tiny-imagenet-200; give the folder that the archive "
            "unpacks to");
  const std::vector<std::string> wnids = wnids_of(root);
  Catalog found;
  found.format = name(Format::tiny_imagenet);
  found.source = path;
  found.class_names = class_names(root, wnids);
  if (split == Split::train) {
    find_training_pictures(root, wnids, found);
  } else {
    find_test_pictures(root, wnids, found);
  }
  return open_picture_files(std::move(found), root, options);
}

}  // namespace nat::data
