#include "data/class_folders.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::data {

bool has_picture_name(const std::string& name) {
  static constexpr std::array kEndings{".jpg", ".jpeg", ".png",  ".bmp", ".ppm",
                                       ".pgm", ".tif",  ".tiff", ".webp"};
  const auto dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  return std::find(kEndings.begin(), kEndings.end(), in_small_letters(name.substr(dot))) !=
         kEndings.end();
}

bool without_classes(const std::vector<std::string>& folders, bool has_pictures) {
  return folders.empty() || has_pictures;
}

namespace {

// In the order in which they are looked for.
constexpr std::array kHeldOut{"test", "val", "valid", "validation"};

// The folders that have a name in any case; the one in small letters first.
std::vector<std::string> folders_named(const std::vector<std::string>& folders, const char* name) {
  std::vector<std::string> named;
  std::copy_if(folders.begin(), folders.end(), std::back_inserter(named),
               [&](const std::string& folder) { return in_small_letters(folder) == name; });
  std::reverse(named.begin(), named.end());  // bytes sort capitals before small letters
  return named;
}

}  // namespace

std::optional<std::string> split_folder(const std::vector<std::string>& folders, Split split,
                                        const IsLabelled& is_labelled) {
  const std::vector<std::string> train = folders_named(folders, "train");
  std::vector<std::string> test;
  for (const char* name : kHeldOut) {
    const std::vector<std::string> named = folders_named(folders, name);
    test.insert(test.end(), named.begin(), named.end());
  }
  // A class may be called "train" (it is one in VOC): beside other classes it is no split.
  const bool splits = !train.empty() && (!test.empty() || folders.size() == 1);
  if (split == Split::train) return splits ? train.front() : "";
  if (!splits || test.empty()) return {};
  // The test pictures of ImageNet have no labels; those of val do.
  const auto labelled =
      test.size() > 1 ? std::find_if(test.begin(), test.end(), is_labelled) : test.end();
  return labelled != test.end() ? *labelled : test.front();
}

void note_passed_over(const std::vector<std::string>& folders, const std::string& test,
                      std::vector<std::string>& remarks) {
  const std::optional<std::string> by_name = split_folder(folders, Split::test);
  if (!by_name || *by_name == test) return;
  remarks.push_back(str("the test pictures are those of '", printable(test), "': '",
                        printable(*by_name), "' has no class folders"));
}

void note_pictures_beside(std::size_t folders, const std::string& first, std::int64_t pictures,
                          std::vector<std::string>& remarks) {
  if (folders == 0 || pictures == 0) return;
  const bool one = pictures == 1;
  remarks.push_back(str("no labels: '", printable(first), "'",
                        one ? " lies" : str(" and ", pictures - 1, " more lie"), " beside ",
                        folders, folders == 1 ? " folder, which" : " folders, which",
                        " would be classes without ", one ? "it" : "them"));
}

void note_split_names(const std::vector<std::string>& class_names,
                      std::vector<std::string>& remarks) {
  for (const std::string& class_name : class_names) {
    const std::string name = in_small_letters(class_name);
    if (name != "train" && std::find(kHeldOut.begin(), kHeldOut.end(), name) == kHeldOut.end())
      continue;
    remarks.push_back(str("class '", printable(class_name),
                          "' has the name of a split; splits are a folder train beside test, val, "
                          "valid or validation"));
  }
}

void note_empty_classes(const std::vector<std::int32_t>& labels,
                        const std::vector<std::string>& class_names,
                        std::vector<std::string>& remarks) {
  std::vector<std::int64_t> members(class_names.size());
  for (const std::int32_t label : labels) ++members[static_cast<std::size_t>(label)];
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] > 0) continue;
    remarks.push_back(str("class '", printable(class_names[i]), "' has no pictures"));
  }
}

}  // namespace nat::data
