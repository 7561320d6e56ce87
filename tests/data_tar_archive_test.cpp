#include "data/tar_archive.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/files.h"
#include "kernels/random.h"
#include "tests/data_support.h"
#include "tests/tar_bytes.h"

namespace nat::data {
namespace {

using test::TarWriter;

class Archive {
 public:
  explicit Archive(const std::string& bytes) : path_(folder_.at("x.tar")) { write(bytes); }
  explicit Archive(const TarWriter& tar) : Archive(tar.ended()) {}

  void write(const std::string& bytes) const { test::write_file(path_, bytes); }
  const std::string& path() const { return path_; }
  TarIndex index() const { return read_tar(path_); }
  std::string failure() const {
    const std::string message = message_of(ErrorKind::data, [&] { read_tar(path_); });
    CHECK_CONTAINS(message, path_ + ": ");
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }

  // "name=bytes" of files and "name/" of folders, in order.
  std::vector<std::string> members() const {
    std::vector<std::string> found;
    for (const TarMember& member : index().members) found.push_back(shown(member));
    return found;
  }
  std::string shown(const TarMember& member) const {
    if (member.is_folder) return member.name + "/";
    const Bytes bytes = read_all(FilePart{path_, member.offset, member.size});
    return member.name + "=" + std::string(bytes.begin(), bytes.end());
  }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

using Names = std::vector<std::string>;

const std::string kLongName = std::string(60, 'd') + "/" + std::string(200, 'n') + ".jpg";

}  // namespace

// ---- the forms of a header ----------------------------------------------------------------------

TEST_CASE("members of every kind of tar are found with their bytes") {
  for (const auto magic :
       {TarWriter::Magic::none, TarWriter::Magic::ustar, TarWriter::Magic::gnu}) {
    const std::string block(512, 'b');
    const Archive archive(TarWriter(magic)
                              .folder("./")
                              .folder("./a")
                              .add("./a/one", "1")
                              .add("a//two.jpg", block, '\0')
                              .add("/three", "", '7')
                              .add("v7 folder/", "", '\0'));
    CHECK(archive.members() ==
          Names{"/", "a/", "a/one=1", "a/two.jpg=" + block, "three=", "v7 folder/"});
    CHECK(archive.index().remarks.empty());
  }
}

TEST_CASE("a ustar prefix is the front of a name, and GNU's times are not") {
  const std::string size = TarWriter::octal(0);
  CHECK(Archive(TarWriter(TarWriter::Magic::ustar).header("n", size, '0', "a/b")).members() ==
        Names{"a/b/n="});
  CHECK(Archive(TarWriter(TarWriter::Magic::gnu).header("n", size, '0', "14000000000")).members() ==
        Names{"n="});
}

// Names may have bytes above 127, which some old programs added up as negative numbers.
TEST_CASE("a checksum may be that of signed bytes") {
  const auto sealed = [](int wrong) {
    std::string bytes = TarWriter().add("caf\xe9.jpg", "1").ended();
    char sum[8];
    const int unsigned_sum = std::stoi(bytes.substr(148, 6), nullptr, 8);
    std::snprintf(sum, sizeof sum, "%06o", unsigned_sum - 256 + wrong);
    bytes.replace(148, 8, std::string(sum, 7) + ' ');
    return bytes;
  };
  CHECK(Archive(sealed(0)).members() == Names{"caf\xe9.jpg=1"});
  CHECK(looks_like_tar(Archive(sealed(0)).path()));
  CHECK_CONTAINS(Archive(sealed(1)).failure(), "is not a tar archive");
}

TEST_CASE("long names come from GNU's and pax headers, for one member") {
  const Archive archive(TarWriter()
                            .long_name(kLongName)
                            .add("cut", "1")
                            .add("short", "2")
                            .pax("path", "p\xc3\xa4 \n x")
                            .add("cut", "3")
                            .add("last", "4"));
  CHECK(archive.members() == Names{kLongName + "=1", "short=2", "p\xc3\xa4 \n x=3", "last=4"});
  // All that the name field holds, without a zero behind it.
  CHECK(Archive(TarWriter().add(std::string(100, 'n'), "")).members() ==
        Names{std::string(100, 'n') + "="});
}

TEST_CASE("pax sizes override the header's, global records hold until the end") {
  const std::string wrong = TarWriter::octal(0);
  const Archive one(TarWriter().pax("size", "3").header("a", wrong).raw("abc").pad().add("b", "4"));
  CHECK(one.members() == Names{"a=abc", "b=4"});
  const Archive all(TarWriter()
                        .pax("comment", "none of ours", 'g')
                        .pax("size", "2", 'g')
                        .header("a", wrong)
                        .raw("xy")
                        .pad()
                        .pax("size", "1")
                        .header("b", wrong)
                        .raw("z")
                        .pad()
                        .pax("path", "c", 'g')
                        .header("d", wrong)
                        .raw("uv")
                        .pad());
  CHECK(all.members() == Names{"a=xy", "b=z", "c=uv"});
  // An empty value takes a record back; zeros behind the records are no record.
  const std::string records =
      TarWriter::pax_record("path", "p") + TarWriter::pax_record("path", "") + std::string(3, '\0');
  CHECK(Archive(TarWriter().add("x", records, 'x').add("a", "1")).members() == Names{"a=1"});
}

TEST_CASE("sizes of 8 GiB and more are read in base 256") {
  constexpr std::int64_t kSize = (std::int64_t{9} << 30) + 7;
  const Archive archive(TarWriter().header("big", TarWriter::base_256(kSize)).unended());
  CHECK_CONTAINS(archive.failure(), "is cut off in member 'big', whose 9663676423 bytes begin");
  std::filesystem::resize_file(archive.path(), 512 + kSize + 505);  // a hole: takes no space
  {
    std::ofstream out(archive.path(), std::ios::binary | std::ios::app);
    out << TarWriter().add("behind", "it").ended();
  }
  const TarIndex index = archive.index();
  REQUIRE(index.members.size() == 2);
  CHECK(index.members[0].size == kSize);
  CHECK(index.members[0].offset == 512);
  CHECK(archive.shown(index.members[1]) == "behind=it");
  CHECK(index.remarks.empty());
  for (const std::string& field :
       {std::string(12, '\xff'), "\x80" + std::string(11, '\xff'), std::string("12x")}) {
    CHECK_CONTAINS(Archive(TarWriter().header("odd", field)).failure(),
                   "member 'odd' has a damaged size");
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  CHECK_CONTAINS(Archive(TarWriter().header("most", TarWriter::base_256(kMost))).failure(),
                 "is cut off in member 'most'");
  CHECK_CONTAINS(Archive(TarWriter().pax("size", std::to_string(kMost)).add("most", "")).failure(),
                 "is cut off in member 'most'");
  CHECK_CONTAINS(Archive(TarWriter().pax("size", "9223372036854775808").add("x", "")).failure(),
                 "the pax header behind member '' is damaged");
}

// ---- what is not a plain file -------------------------------------------------------------------

TEST_CASE("hard links have the bytes of what they lead to") {
  const Archive archive(TarWriter()
                            .add("a/.store", "1")
                            .add("b", "2")
                            .link("a/c", "./a/.store", '1')
                            .long_name("a/c", 'K')
                            .link("d", "cut", '1')
                            .link("e", "nowhere", '1'));
  CHECK(archive.members() == Names{"b=2", "a/c=1", "d=1"});
  CHECK(archive.index().remarks ==
        Names{archive.path() + ": links that are not followed ('tar -h' packs what they lead to): "
                               "1, first 'e'"});
}

TEST_CASE("links, sparse files and unknown types are left out and counted") {
  std::string sparse = TarWriter().header("s", TarWriter::octal(3), 'S').unended();
  sparse[482] = 1;  // the map goes on
  test::seal_tar_header(sparse, 0);
  std::string map(1024, '\0');
  map[504] = 1;  // and on
  const Archive archive(TarWriter()
                            .header("device", TarWriter::octal(99), '3')
                            .link("l", "b", '2')
                            .link("m\n", "b", '2')
                            .raw(sparse)
                            .raw(map)
                            .raw("abc")
                            .pad()
                            .pax("GNU.sparse.major", "1")
                            .add("t", "data")
                            .add("u", "data", 'M')
                            .add("label", "", 'V')
                            .header("pipe", TarWriter::octal(99), '6')
                            .add("b", "2", '8'));  // POSIX: an unknown type is a file
  CHECK(archive.members() == Names{"b=2"});
  const std::string path = archive.path();
  CHECK(
      archive.index().remarks ==
      Names{path + ": links that are not followed ('tar -h' packs what they lead to): 2, first 'l'",
            path + ": sparse files, which are left out (pack them again without -S): 2, first 's'",
            path + ": members of an unknown type, which are left out: 1, first 'u'"});
}

TEST_CASE("of members of one name the last one counts, in the place of the first") {
  const Archive archive(
      TarWriter().add("a", "old").add("b", "2").folder("c").folder("c").add("./a", "new"));
  CHECK(archive.members() == Names{"a=new", "b=2", "c/", "c/"});
  CHECK(
      archive.index().remarks ==
      Names{archive.path() + ": members that replace an earlier one of their name: 1, first 'a'"});
}

TEST_CASE("hidden names are left out") {
  CHECK(Archive(TarWriter()
                    .add("._x.jpg", "1")
                    .add(".git/x.jpg", "1")
                    .add("a/.b/x", "1")
                    .add("a/../x", "1")
                    .add("._n01.tar", "no archive")
                    .add("a.b/x.", "2"))
            .members() == Names{"a.b/x.=2"});
}

TEST_CASE("an archive in the archive is a folder, one level deep") {
  const std::string deep = TarWriter().add("x", "3").ended();
  const std::string inner =
      TarWriter().add("./1.jpg", "one").link("2.jpg", "1.jpg", '1').add("deep.tar", deep).ended();
  const Archive archive(
      TarWriter().add("n02.tar", inner).add("sub/n01.tar", inner).add("0.jpg", "zero"));
  CHECK(archive.members() == Names{"n02/", "n02/1.jpg=one", "n02/2.jpg=one", "n02/deep.tar=" + deep,
                                   "sub/n01/", "sub/n01/1.jpg=one", "sub/n01/2.jpg=one",
                                   "sub/n01/deep.tar=" + deep, "0.jpg=zero"});
  CHECK(archive.index().remarks ==
        Names{archive.path() +
              ": archives in archives in it, which are not read: 2, first 'n02/deep.tar'"});
  CHECK_CONTAINS(Archive(TarWriter().add("n02.tar", "version https://git-lfs")).failure(),
                 "is cut off in the header behind member 'n02.tar'");
  CHECK_CONTAINS(Archive(TarWriter().add("n02.tar", std::string(600, 'x'))).failure(),
                 "member 'n02.tar' is not a tar archive");
  const std::string cut = inner.substr(0, 520);  // whole is the outer archive, not the inner one
  CHECK_CONTAINS(Archive(TarWriter().add("n02.tar", cut.substr(0, 514))).failure(),
                 "is cut off in member 'n02/1.jpg', whose 3 bytes begin at byte 1024 of 1026");
  CHECK(Archive(TarWriter().add("n02.tar", "")).members() == Names{"n02/"});
}

// ---- ends and damage ----------------------------------------------------------------------------

TEST_CASE("an archive that is cut off anywhere is refused, or told of where that may be its end") {
  const TarWriter tar = TarWriter().add("a", std::string(700, 'a')).add("b", "bb");
  const std::string whole = tar.ended();
  const std::size_t headers[] = {0, 512 + 1024, 512 + 1024 + 512 + 512};
  const Archive archive(whole);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    archive.write(whole.substr(0, size));
    CAPTURE(size);
    if (size < 512) {
      CHECK_CONTAINS(archive.failure(), "is cut off in the header");
    } else if (size < 512 + 700) {
      CHECK_CONTAINS(archive.failure(), "is cut off in member 'a', whose 700 bytes");
    } else if (size <= headers[1]) {  // the last member is whole, padding or not
      CHECK(archive.members() == Names{"a=" + std::string(700, 'a')});
      CHECK(archive.index().remarks ==
            Names{archive.path() +
                  ": has no end mark behind member 'a', see that it was not cut off there"});
    } else if (size < headers[1] + 512) {
      CHECK_CONTAINS(archive.failure(), "is cut off in the header behind member 'a'");
    } else if (size < headers[1] + 512 + 2) {
      CHECK_CONTAINS(archive.failure(), "is cut off in member 'b'");
    } else {
      CHECK(archive.members().size() == 2);
      CHECK(archive.index().remarks.empty() == (size >= headers[2] + 512));
    }
  }
  archive.write("");
  CHECK_CONTAINS(archive.failure(), "is empty");
}

TEST_CASE("what lies behind the end mark is told of") {
  const std::string one = TarWriter().add("a", "1").ended();
  const Archive padded(one + std::string(9 * 512, '\0'));
  CHECK(padded.index().remarks.empty());
  const Archive twice(one + std::string(8 * 512, '\0') + one);
  CHECK(twice.members() == Names{"a=1"});
  CHECK(twice.index().remarks ==
        Names{twice.path() + ": what lies behind its end mark, from byte 1024 on, is not read"});
}

TEST_CASE("damage is named with the member in front of it") {
  std::string bytes = TarWriter().add("a", "1").add("b", "2").ended();
  bytes[1024 + 3] = 'x';
  CHECK_CONTAINS(Archive(bytes).failure(),
                 "is damaged, no header behind member 'a' at byte 1024; copy or download it again");
  CHECK_CONTAINS(Archive(std::string(4000, 'x')).failure(), "is not a tar archive");
  CHECK_CONTAINS(Archive(TarWriter().add("x", "9 path=abc\n", 'x')).failure(),
                 "the pax header behind member '' is damaged");
  for (const char* records : {"5 a=", "99 path=a\n", "0 path=a\n", "x path=a\n", "9 patha\n",
                              "8 path=a\n", "-1 a=b\n", "18446744073709551617 a=b\n"}) {
    CAPTURE(records);
    CHECK_CONTAINS(Archive(TarWriter().add("f", "").add("x", records, 'x')).failure(),
                   "the pax header behind member 'f' is damaged");
  }
  CHECK_CONTAINS(Archive(TarWriter().long_name(std::string(5000, 'n')).add("x", "")).failure(),
                 "a member has a name of 5000 bytes");
  const Archive metadata(TarWriter().header("x", TarWriter::octal(17 << 20), 'x').unended());
  std::filesystem::resize_file(metadata.path(), 18 << 20);
  CHECK_CONTAINS(metadata.failure(), "has 17825792 bytes of names");
}

TEST_CASE("a compressed archive is refused with the program that unpacks it") {
  const std::string tar = TarWriter().add("a", "1").ended();
  const Bytes packed = gzip({tar.begin(), tar.end()});
  const Archive archive(std::string(packed.begin(), packed.end()));
  CHECK_CONTAINS(
      message_of(ErrorKind::data, [&] { archive.index(); }),
      "x.tar: is compressed, so that no picture can be found in it without unpacking all "
      "before; unpack it with gunzip");
  CHECK_FALSE(looks_like_tar(archive.path()));
  for (const auto& [start, program] : {std::pair{"\xfd"
                                                 "7zXZ",
                                                 "unxz"},
                                       {"BZh9", "bunzip2"},
                                       {"\x28\xb5\x2f\xfd", "unzstd"}}) {
    archive.write(start + std::string(600, 'x'));
    const std::string unpacker = program;  // clang 14 has no bindings in the closure of a check
    CHECK_CONTAINS(message_of(ErrorKind::data, [&] { archive.index(); }), unpacker);
  }
}

TEST_CASE("an index is read anew when its archive changed") {
  const Archive archive(TarWriter().add("a", "1"));
  const auto first = tar_index(archive.path());
  CHECK(tar_index(archive.path()) == first);
  archive.write(TarWriter().add("a", "1").add("b", "1").ended());
  CHECK(tar_index(archive.path())->members.size() == 2);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { tar_index(archive.path() + "x"); }),
                 "x.tarx: cannot be opened");
}

// ---- hostile archives ---------------------------------------------------------------------------

TEST_CASE("random damage never leads outside of the archive") {
  const std::string inner = TarWriter().add("i.jpg", "inner").ended();
  const std::string whole = TarWriter()
                                .folder("./")
                                .add("a.jpg", std::string(600, 'a'))
                                .long_name(kLongName)
                                .add("b", "2")
                                .pax("path", "c.jpg")
                                .pax("size", "3", 'g')
                                .header("c", TarWriter::octal(0))
                                .raw("ccc")
                                .pad()
                                .link("h", "a.jpg", '1')
                                .header("s", TarWriter::octal(3), 'S')
                                .raw("abc")
                                .pad()
                                .pax("size", std::to_string(inner.size()))
                                .add("n.tar", inner)
                                .ended();
  const Archive archive(whole);
  REQUIRE(archive.members().size() == 7);
  std::uint64_t draws = 0;
  const auto random = [&](std::size_t below) {
    return philox(11, RandomStream::synthetic, 0, draws++).value[0] % below;
  };
  int sound = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = whole;
    for (std::size_t changes = 1 + random(3); changes > 0; --changes) {
      const std::size_t header = 512 * random(bytes.size() / 512);
      constexpr std::size_t kFields[] = {0, 124, 156, 157, 257, 345, 482, 504};
      const std::size_t at =
          header + (random(2) == 0 ? kFields[random(8)] + random(12) : random(512));
      const char values[] = {'\0', '\x80', '\xff', '7', '1', 'L',
                             'x',  'g',    'S',    '/', '.', static_cast<char>(random(256))};
      bytes[std::min(at, bytes.size() - 1)] = values[random(sizeof values)];
      // So that damage gets past the checksum; data blocks then look like headers sometimes.
      if (random(4) != 0) test::seal_tar_header(bytes, header);
    }
    if (random(4) == 0) bytes.resize(1 + random(bytes.size()));
    archive.write(bytes);
    try {
      const TarIndex index = archive.index();
      ++sound;
      for (const TarMember& member : index.members) {
        REQUIRE(member.offset >= 0);
        REQUIRE(member.size >= 0);
        REQUIRE(member.offset <= std::ssize(bytes));
        REQUIRE(member.size <= std::ssize(bytes) - member.offset);
        REQUIRE(member.name.size() <= 4200);
      }
    } catch (const Error& error) {
      ++refused;
      REQUIRE(error.kind() == ErrorKind::data);
    }
  }
  CHECK(sound > 500);
  CHECK(refused > 500);
}

}  // namespace nat::data
