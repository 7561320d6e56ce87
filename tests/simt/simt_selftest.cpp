// The executor runs correct kernels right, whatever the schedule, and refuses what a device
// refuses.
#include <cooperative_groups.h>
#include <doctest/doctest.h>

#include <numeric>
#include <string>

#include "kernels/cuda/launch.cuh"
#include "tests/simt/device_array.h"
#include "tests/simt/options.h"

namespace simt::test {
namespace {

using nat::gpu::dynamic_shared;
using nat::gpu::kFullWarp;

// Calls f under every schedule: three orders, each with one worker and with two.
template <class F>
void under_every_schedule(F&& f) {
  const Options before = options();
  for (const Order order : {Order::forward, Order::reverse, Order::shuffle}) {
    for (const int workers : {1, 2}) {
      options().order = order;
      options().workers = workers;
      CAPTURE(static_cast<int>(order));
      CAPTURE(workers);
      f();
    }
  }
  options() = before;
}

std::vector<int> iota(int count) {
  std::vector<int> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

__global__ void block_sums(const int* in, int n, int* sums) {
  __shared__ int partial[32];
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  const int warp = static_cast<int>(threadIdx.x) / warpSize;
  int sum = 0;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < static_cast<unsigned>(n);
       i += gridDim.x * blockDim.x) {
    sum += in[i];
  }
  sum = nat::gpu::warp_sum(sum);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    const int warps = static_cast<int>(blockDim.x) / warpSize;
    sum = nat::gpu::warp_sum(lane < warps ? partial[lane] : 0);
    if (lane == 0) sums[blockIdx.x] = sum;
  }
}

TEST_CASE("shared memory, barriers and shuffles add up") {
  const DeviceArray<int> in(iota(5000));
  under_every_schedule([&] {
    const DeviceArray<int> sums(7);
    REQUIRE(launch({7, 256}, block_sums, in.data(), 5000, sums.data()) == cudaSuccess);
    const std::vector<int> values = sums.download();
    CHECK(std::accumulate(values.begin(), values.end(), 0) == 5000 * 4999 / 2);
  });
}

// Each round every block reads what its neighbour wrote in the round before.
__global__ void ring(int* values, int rounds) {
  const auto grid = cooperative_groups::this_grid();
  for (int round = 0; round < rounds; ++round) {
    const int next = values[(blockIdx.x + 1) % gridDim.x];
    grid.sync();
    if (threadIdx.x == 0) values[blockIdx.x] = next + 1;
    grid.sync();
  }
}

TEST_CASE("blocks of a cooperative launch meet in grid.sync") {
  under_every_schedule([&] {
    const DeviceArray<int> values(iota(6));
    REQUIRE(launch({6, 64, 0, true}, ring, values.data(), 6) == cudaSuccess);
    CHECK(values.download() == std::vector<int>{6, 7, 8, 9, 10, 11});
  });
}

}  // namespace
}  // namespace simt::test
