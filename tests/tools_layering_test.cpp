// Rooms and arrows: every #include of the tree goes down (docs/00-map.md).
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  std::string from;  // including file, relative to the root
  std::string name;  // what stands between the quotes or angle brackets
  bool quoted;
};

bool is_in(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.substr(0, folder.size()) == folder &&
         path[folder.size()] == '/';
}

bool is_in_any(std::string_view path, std::initializer_list<std::string_view> folders) {
  return std::any_of(folders.begin(), folders.end(),
                     [&](std::string_view folder) { return is_in(path, folder); });
}

bool begins_with_any(std::string_view name, std::initializer_list<std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](std::string_view beginning) {
    return name.substr(0, beginning.size()) == beginning;
  });
}

// The rooms a file may include. Deeper folders come first: the first match counts.
struct Room {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

const std::vector<Room>& rooms() {
  static const std::vector<Room> all = {
      {"kernels", {"kernels"}},
      {"engine", {"engine", "kernels"}},
      {"models", {"models", "engine", "kernels"}},
      {"nat", {"nat", "engine", "kernels"}},
      {"data", {"data"}},
      {"tools/report", {"tools/report", "kernels"}},
      {"tools/roofline", {"tools/roofline", "models", "engine", "kernels"}},
      {"tools/onnx", {"tools/onnx", "models", "engine", "kernels"}},
      {"tools", {"tools", "nat", "models", "data", "engine", "kernels"}},
      {"tests", {"tests", "tools", "nat", "models", "data", "engine", "kernels"}},
      {"bench", {"bench", "tests", "tools", "nat", "models", "data", "engine", "kernels"}},
  };
  return all;
}

// data/ fills host memory and shares only these words with the rest.
bool data_may_include(std::string_view name) {
  return name == "kernels/check.h" || name == "kernels/random.h" || name == "kernels/crop_box.h";
}

// Why this include of a file of the tree is wrong; empty when it is right.
std::string fault_of_own(const Include& include) {
  if (include.name == "nat_config.h") return "";  // generated, constants only
  if (is_in(include.name, "kernels/cpu") && !is_in_any(include.from, {"kernels", "tests", "bench"}))
    return "only kernels/ (and tests) may look into kernels/cpu";
  if (include.name == "kernels/cuda/runtime.h" && is_in(include.from, "kernels") &&
      !is_in(include.from, "kernels/cpu"))
    return "";
  if (is_in(include.name, "kernels/cuda") &&
      !is_in_any(include.from, {"kernels/cuda", "tests/simt", "bench/cuda"}) &&
      !begins_with_any(include.from, {"tests/cuda_"}))
    return "only kernels/cuda may look into kernels/cuda, but for its runtime.h";
  if (is_in(include.name, "bench/cuda") && !is_in(include.from, "bench/cuda"))
    return "bench/cuda is one program, which nothing includes";
  if (is_in(include.name, "kernels/cpu") && is_in(include.from, "kernels/cuda"))
    return "the backends do not know each other";
  if (is_in(include.from, "data") && data_may_include(include.name)) return "";
  if (is_in(include.from, "tools/report") && include.name == "data/utf8.h") return "";
  for (const Room& room : rooms()) {
    if (!is_in(include.from, room.folder)) continue;
    const bool allowed =
        std::any_of(room.may_include.begin(), room.may_include.end(),
                    [&](std::string_view folder) { return is_in(include.name, folder); });
    return allowed ? "" : "the arrow goes up or sideways, or the path is not root-relative";
  }
  return "the including file is in no room";
}

// The same for a header of a third party: some are kept in one place.
std::string fault_of_third_party(const Include& include) {
  const std::string& name = include.name;
  if (begins_with_any(name, {"dnnl", "oneapi/"}) && !is_in(include.from, "kernels/cpu/onednn"))
    return "oneDNN stays in kernels/cpu/onednn";
  if (begins_with_any(name, {"cuda", "cublas", "cudnn", "cub/", "cooperative_groups", "curand",
                             "nvtx3/", "mma.h", "device_launch"}) &&
      !is_in_any(include.from, {"kernels/cuda", "tests/simt", "bench/cuda"}))
    return "CUDA stays in kernels/cuda, tests/simt and bench/cuda";
  if (begins_with_any(name, {"stb"}) && !is_in_any(include.from, {"data", "tools/report", "tests"}))
    return "stb stays in data/ and tools/report/";
  if (begins_with_any(name, {"CLI"}) && !is_in_any(include.from, {"tools", "bench"}))
    return "CLI11 stays in tools/ and bench/";
  if (begins_with_any(name, {"CLI"}) && is_in(include.from, "tools/report"))
    return "a report does not read the command line";
  return "";
}

std::string fault_of(const Include& include) {
  const std::string fault = fault_of_third_party(include);
  if (!fault.empty()) return fault;
  return include.quoted ? fault_of_own(include) : "";
}

// Every #include of a text, whatever blanks stand around the #.
std::vector<Include> includes_of(const std::string& from, std::istream& text) {
  std::vector<Include> found;
  for (std::string line; std::getline(text, line);) {
    line.erase(
        std::remove_if(line.begin(), line.end(), [](char c) { return c == ' ' || c == '\t'; }),
        line.end());
    constexpr std::string_view kDirective = "#include";
    if (line.substr(0, kDirective.size()) != kDirective || line.size() <= kDirective.size())
      continue;
    const char open = line[kDirective.size()];
    if (open != '"' && open != '<') continue;
    const std::size_t begin = kDirective.size() + 1;
    const std::size_t end = line.find(open == '"' ? '"' : '>', begin);
    if (end == std::string::npos) continue;
    found.push_back({from, line.substr(begin, end - begin), open == '"'});
  }
  return found;
}

std::vector<Include> includes_of_tree(const fs::path& root) {
  std::vector<Include> all;
  for (const Room& room : rooms()) {
    if (is_in(room.folder, "tools") || !fs::exists(root / room.folder)) continue;  // in tools
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / room.folder)) {
      const fs::path& file = entry.path();
      const std::string ending = file.extension().string();
      if (ending != ".h" && ending != ".cpp" && ending != ".cu" && ending != ".cuh") continue;
      std::ifstream text(file);
      const std::vector<Include> found = includes_of(fs::relative(file, root).string(), text);
      all.insert(all.end(), found.begin(), found.end());
    }
  }
  return all;
}

}  // namespace

TEST_CASE("every include goes down, and third-party headers stay in their rooms") {
  const std::vector<Include> all = includes_of_tree(NAT_SOURCE_DIR);
  REQUIRE(all.size() > 500);  // the walk has found the tree
  for (const Include& include : all) {
    const std::string fault = fault_of(include);
    CHECK_MESSAGE(fault.empty(), include.from, " includes ", include.name, ": ", fault);
  }
}

TEST_CASE("every quoted include names a file that exists") {
  const fs::path root = NAT_SOURCE_DIR;
  for (const Include& include : includes_of_tree(root)) {
    if (!include.quoted || include.name == "nat_config.h") continue;
    CHECK_MESSAGE(fs::exists(root / include.name), include.from, " includes ", include.name);
  }
}

TEST_CASE("an include is found whatever blanks surround it") {
  std::istringstream text(
      "#include \"a/b.h\"\n  #  include <c.hpp>  // why\n// #include \"no.h\"\nint "
      "include;\n#include\n");
  const std::vector<Include> found = includes_of("x.cpp", text);
  REQUIRE(found.size() == 2);
  CHECK(found[0].name == "a/b.h");
  CHECK(found[0].quoted);
  CHECK(found[1].name == "c.hpp");
  CHECK_FALSE(found[1].quoted);
}

TEST_CASE("planted violations are caught") {
  const std::vector<Include> planted = {
      {"kernels/view.h", "engine/layer.h", true},    // up
      {"kernels/conv2d.h", "nat/targets.h", true},   // up
      {"engine/layer.h", "models/network.h", true},  // up
      {"engine/layers/conv2d_layer.cpp", "kernels/cpu/state.h", true},
      {"models/alexnet.cpp", "nat/trainer.h", true},             // sideways
      {"nat/trainer.cpp", "models/network.h", true},             // sideways
      {"nat/trainer.cpp", "data/loader.h", true},                // sideways
      {"nat/evaluate/knn.cpp", "kernels/cpu/state.h", true},     // past the dispatch
      {"data/loader.cpp", "engine/progress.h", true},            // up
      {"data/loader.cpp", "kernels/view.h", true},               // not one of the three words
      {"tools/report/svg.cpp", "tools/options.h", true},         // up
      {"tools/report/svg.cpp", "nat/recipe.h", true},            // sideways
      {"tools/roofline/roofline.cpp", "tools/options.h", true},  // up
      {"nat/trainer.cpp", "trainer.h", true},                    // not root-relative
      {"nat/trainer.cpp", "../kernels/view.h", true},            // not root-relative
      {"kernels/cpu/conv2d.cpp", "kernels/cuda/state.h", true},
      {"kernels/memory.cpp", "kernels/cuda/state.h", true},
      {"kernels/cuda/conv2d.cu", "kernels/cpu/stored.h", true},
      {"kernels/cpu/gemm.cpp", "dnnl.hpp", false},
      {"engine/layer.h", "oneapi/dnnl/dnnl.hpp", false},
      {"kernels/memory.cpp", "cuda_runtime.h", false},
      {"nat/trainer.cpp", "cudnn.h", false},
      {"bench/bench_lap.cpp", "cuda_runtime.h", false},
      {"bench/bench_lap.cpp", "kernels/cuda/lap/paths.cuh", true},
      {"bench/bench_lap.cpp", "bench/cuda/barriers.h", true},  // a program of its own
      {"tools/features.cpp", "stb_image.h", false},
      {"nat/recipe.h", "CLI/CLI.hpp", false},
      {"tools/report/svg.h", "CLI/CLI.hpp", false},
      {"stray/file.cpp", "kernels/view.h", true},
  };
  for (const Include& include : planted) {
    CHECK_MESSAGE(!fault_of(include).empty(), include.from, " includes ", include.name);
  }
}

TEST_CASE("includes that the map allows are not reported") {
  const std::vector<Include> right = {
      {"kernels/cpu/onednn/conv2d.cpp", "dnnl.hpp", false},
      {"kernels/cuda/conv2d.cu", "cudnn.h", false},
      {"kernels/cuda/conv2d.cu", "kernels/cuda/state.h", true},
      {"engine/layers/conv2d_layer.cpp", "kernels/conv2d.h", true},
      {"nat/evaluate/knn.cpp", "nat/evaluate/knn.h", true},
      {"data/order.cpp", "kernels/random.h", true},
      {"data/decode.cpp", "stb_image.h", false},
      {"tools/training.cpp", "data/loader.h", true},
      {"bench/bench_step.cpp", "CLI/CLI.hpp", false},
      {"bench/cuda/barriers.cu", "cooperative_groups.h", false},
      {"bench/cuda/barriers.cu", "kernels/cuda/lap/paths.cuh", true},
      {"tests/kernels_lap_test.cpp", "tests/reference/lap.h", true},
      {"kernels/context.cpp", "nat_config.h", true},
      {"nat/trainer.cpp", "vector", false},
  };
  for (const Include& include : right) {
    CHECK_MESSAGE(fault_of(include).empty(), include.from, " includes ", include.name);
  }
}
