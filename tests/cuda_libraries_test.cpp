// What can be said of cuDNN and cuBLASLt without a device: that they say why they do not start, and
// that what a plan file holds comes back as it was.
#include <doctest/doctest.h>

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
