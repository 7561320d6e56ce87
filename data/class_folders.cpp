#include "data/class_folders.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::data {

bool has_picture_name(const std::string& name) {
  static constexpr std::array kEndings{".jpg", ".jpeg", ".png",  ".bmp", ".ppm",
                                       ".pgm", ".tif",  ".tiff", ".webp"};
  const auto dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  std::string ending = name.substr(dot);
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

bool without_classes(const std::vector<std::string>& folders, bool has_pictures) {
  return folders.empty() || has_pictures;
}

std::optional<std::string> split_folder(const std::vector<std::string>& folders, Split split) {
  const auto has = [&](const char* folder) {
    return std::binary_search(folders.begin(), folders.end(), folder);
  };
  const char* test = has("test") ? "test" : has("val") ? "val" : nullptr;
  // A class may be called "train" (it is one in VOC): beside other classes it is no split.
  const bool splits = has("train") && (test != nullptr || folders.size() == 1);
  if (split == Split::train) return splits ? "train" : "";
  if (!splits || test == nullptr) return {};
  return test;
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
