// Which files a tar archive holds and where their bytes lie in it, without unpacking.
//
//   header    512 bytes (tar_header.h)
//   data      padded to 512 bytes, of files alone; two blocks of zeros end the archive
//   types     '0' '\0' '7' file, '5' folder, '1' hard link, '2' symbolic link, 'S' sparse file;
//             'L' 'K' (GNU) name and target, 'x' (pax) records for the next header, 'g' for all
//
// That is v7, ustar, GNU and pax tar. A hard link has the bytes of the member that it leads to;
// symbolic links and sparse files are left out with a remark, hidden names (a part begins with a
// dot) without one. Of two members of the same name the last one counts, in the place of the first.
// An archive inside the archive (n01440764.tar, as ILSVRC2012_img_train.tar has them) is a folder
// of its name without .tar, one level deep.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nat::data {

struct TarMember {
  std::string name;                   // without "./" and slashes at either end; "" is the root
  std::int64_t offset = 0, size = 0;  // of its bytes in the archive
  bool is_folder = false;
};

struct TarIndex {
  std::vector<TarMember> members;    // in the order of the archive
  std::vector<std::string> remarks;  // what was left out, and what is odd
};

// A file that begins with a tar header.
bool looks_like_tar(const std::string& path);

// The program that unpacks what the first bytes of a file say it is: "gunzip", "unxz", ...; "" when
// they are not those of a compressed file.
std::string unpacker_of(const std::string& path);

// Reads every header. No size or offset of the result lies outside the archive. Error{data} where
// it is compressed, cut off or damaged.
TarIndex read_tar(const std::string& path);

// The same, read once in the life of the process as long as the file is not changed: whether there
// is a test split, and either split, follow from it, and ImageNet has 1.28 million headers.
std::shared_ptr<const TarIndex> tar_index(const std::string& path);

}  // namespace nat::data
