// What can be said of cuDNN and cuBLASLt without a device: that they say why they do not start, and
// that what a plan file holds comes back as it was.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "kernels/cuda/libraries/handles.h"
#include "kernels/cuda/libraries/libraries.h"
#include "kernels/cuda/runtime.h"

using namespace nat;
using namespace nat::gpu;

namespace {

// A context whose state was never tied to a device.
struct Unstarted {
  Context ctx = Context::for_planning(Device::cuda, Math::f32);
  Unstarted() {
    ctx.cuda = {new CudaState, [](CudaState* state) { delete state; }};
  }
};

}  // namespace

// Before any other case of this file calls a library.
TEST_CASE("the libraries are not loaded before they are needed") {
  const auto loaded = [](const std::string& name) {
    std::ifstream maps("/proc/self/maps");
    const std::string text{std::istreambuf_iterator<char>(maps), {}};
    REQUIRE(text.find("libc.so") != std::string::npos);
    return text.find(name) != std::string::npos;
  };
  for (const char* library : {"libcudnn", "libcublasLt"}) CHECK_FALSE(loaded(library));
  CHECK(libraries::unavailable_reason() == "");
  for (const char* library : {"libcudnn", "libcublasLt"}) CHECK(loaded(library));
}

TEST_CASE("a library or function that is missing is an error of one line that names it") {
  const auto message = [](const auto& attempt) -> std::string {
    try {
      attempt();
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::device);
      return error.what();
    }
    return "no error";
  };
  const std::string missing = message([] { SharedLibrary("libnot-there.so.7"); });
  CHECK(missing.find("libnot-there.so.7 cannot be loaded") == 0);
  CHECK(missing.find('\n') == std::string::npos);
  CHECK(missing.find("LD_LIBRARY_PATH") != std::string::npos);

  struct Old : SharedLibrary {
    Old() : SharedLibrary("libcudnn.so." + std::to_string(CUDNN_MAJOR)) {}
    decltype(&cudnnCreate) create = find("cudnnCreate");
    decltype(&cudnnCreate) newer = find("cudnnCreateOfTomorrow");
  };
  CHECK(message([] { Old(); }).find("has no function cudnnCreateOfTomorrow") != std::string::npos);
}

TEST_CASE("without a device, the libraries are an error of one line that names the library") {
  if (unavailable_reason().empty()) {
    MESSAGE("skipped: there is a device");
    return;
  }
  Unstarted state;
  for (int attempt = 0; attempt < 2; ++attempt) {  // a failure leaves nothing half started
    try {
      libraries_of(state.ctx);
      CHECK(false);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::device);
      const std::string message = error.what();
      CAPTURE(message);
      CHECK(message.find("cuDNN: starting failed: CUDNN_STATUS_") == 0);
      CHECK(message.find('\n') == std::string::npos);
      CHECK(state.ctx.cuda->libraries == nullptr);
    }
  }
}

TEST_CASE("what the libraries cannot do is declined before they start") {
  Unstarted state;
  alignas(32) unsigned char memory[64] = {};
  const Shape picture(1, 1, 1, 2), weights(1, 1, 1, 2), result(1, 1, 1, 1);
  const auto forward = [&](const void* x, DType dtype, Shape shape) {
    return libraries::conv2d_forward(state.ctx, Conv2d{1, 1, 0}, ConstView(x, dtype, shape),
                                     ConstView(memory, dtype, weights),
                                     View(memory, dtype, result));
  };
  CHECK_FALSE(forward(memory, DType::f64, picture));
  CHECK_FALSE(forward(memory + 4, DType::f32, picture));  // not aligned to 16 bytes
  CHECK_FALSE(forward(memory, DType::f32, Shape(0, 1, 1, 2)));
  const auto empty = [&](std::int64_t m, std::int64_t k, std::int64_t n) {
    return libraries::gemm(state.ctx, Math::f32, Transpose::no, Transpose::no, 0,
                           ConstView(memory, DType::f32, Shape(m, k)),
                           ConstView(memory, DType::f32, Shape(k, n)), ConstView(),
                           View(memory, DType::f32, Shape(m, n)));
  };
  CHECK_FALSE(empty(0, 1, 1));
  CHECK_FALSE(empty(1, 0, 1));
  CHECK_FALSE(empty(1, 1, 0));
}

TEST_CASE("recipes and algorithms survive as numbers, and other numbers are refused") {
  const cudnn::Recipe recipe{62, {{2, 17}, {14, -4}}};
  const std::vector<std::int64_t> numbers = to_numbers(recipe);
  CHECK(numbers == std::vector<std::int64_t>{62, 2, 17, 14, -4});
  REQUIRE(to_recipe(numbers));
  CHECK(*to_recipe(numbers) == recipe);
  CHECK_FALSE(to_recipe({62, 2}));
  CHECK_FALSE(to_recipe({}));

  cublasLtMatmulAlgo_t algorithm{};
  for (std::size_t i = 0; i < std::size(algorithm.data); ++i) {
    algorithm.data[i] = std::numeric_limits<std::uint64_t>::max() - i;
  }
  const auto again = to_algorithm(to_numbers(algorithm));
  REQUIRE(again);
  for (std::size_t i = 0; i < std::size(algorithm.data); ++i) {
    CHECK(again->data[i] == algorithm.data[i]);
  }
  CHECK_FALSE(to_algorithm({1, 2, 3}));
}
