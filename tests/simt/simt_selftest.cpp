// The executor itself: correct kernels give right values under every schedule, planted bugs are
// reported, and captures replay what they recorded.
#include <cooperative_groups.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>

#include "kernels/cuda/launch.cuh"
#include "tests/simt/device_array.h"
#include "tests/simt/options.h"
#include "tests/simt/planted_bugs.h"
#include "tests/simt/runtime.h"

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

// ---- correct kernels ----------------------------------------------------------------------------

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

TEST_CASE("shared memory, barriers and shuffles add up under every schedule") {
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

TEST_CASE("blocks of a cooperative launch meet in grid.sync under every schedule") {
  under_every_schedule([&] {
    const DeviceArray<int> values(iota(6));
    REQUIRE(launch({6, 64, 0, true}, ring, values.data(), 6) == cudaSuccess);
    CHECK(values.download() == std::vector<int>{6, 7, 8, 9, 10, 11});
  });
}

// The same among the blocks of each cluster.
__global__ void ring_of_cluster(int* values, int rounds) {
  const auto cluster = cooperative_groups::this_cluster();
  const unsigned first = blockIdx.x - cluster.block_rank();
  const unsigned neighbour = first + (cluster.block_rank() + 1) % cluster.num_blocks();
  for (int round = 0; round < rounds; ++round) {
    const int next = values[neighbour];
    cluster.sync();
    if (threadIdx.x == 0) values[blockIdx.x] = next + 1;
    cluster.sync();
  }
}

TEST_CASE("blocks of a cluster meet in cluster.sync, and clusters know nothing of each other") {
  under_every_schedule([&] {
    const DeviceArray<int> values(iota(8));
    REQUIRE(launch({8, 64, 0, false, nullptr, dim3(4)}, ring_of_cluster, values.data(), 4) ==
            cudaSuccess);
    CHECK(values.download() == std::vector<int>{4, 5, 6, 7, 8, 9, 10, 11});
  });
}

__global__ void ranks_in_cluster(int* out) {
  const auto cluster = cooperative_groups::this_cluster();
  const unsigned row = blockIdx.y * gridDim.x * blockDim.x * blockDim.y;
  out[row + blockIdx.x / 3 * cluster.num_threads() + cluster.thread_rank()] =
      static_cast<int>(100 * cluster.num_blocks() + cluster.block_rank());
}

TEST_CASE("threads of a cluster are numbered through, block after block") {
  const DeviceArray<int> out(2 * 6 * 64);
  REQUIRE(launch({dim3(6, 2), dim3(32, 2), 0, false, nullptr, dim3(3)}, ranks_in_cluster,
                 out.data()) == cudaSuccess);
  const std::vector<int> values = out.download();
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == 300 + static_cast<int>(i / 64 % 3));
  }
}

// As PTX says of barrier.cluster: all threads that have not ended are waited for.
__global__ void first_block_leaves(int* out) {
  if (blockIdx.x == 0) return;
  cooperative_groups::this_cluster().sync();
  if (threadIdx.x == 0) out[blockIdx.x] = 1;
}

TEST_CASE("a cluster does not wait for blocks that have ended") {
  under_every_schedule([&] {
    const DeviceArray<int> out(std::vector<int>(4, 0));
    REQUIRE(launch({4, 32, 0, false, nullptr, dim3(4)}, first_block_leaves, out.data()) ==
            cudaSuccess);
    CHECK(out.download() == std::vector<int>{0, 1, 1, 1});
  });
}

__global__ void count_votes(int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int all = __syncthreads_and(i < 96), any = __syncthreads_or(i == 95);
  const int none = __syncthreads_or(i == 96);
  if (i == 0) {
    out[0] = count;
    out[1] = all;
    out[2] = any;
    out[3] = none;
  }
}

TEST_CASE("barriers count and combine predicates") {
  under_every_schedule([&] {
    const DeviceArray<int> out(4);
    REQUIRE(launch({1, 96}, count_votes, out.data()) == cudaSuccess);
    const std::vector<int> values = out.download();
    CHECK(values[0] == 32);
    CHECK(values[1] != 0);
    CHECK(values[2] != 0);
    CHECK(values[3] == 0);
  });
}

// Threads that have ended are not waited for, as on a device since Volta.
__global__ void early_exit(int* out) {
  if (threadIdx.x % 2 == 1) return;
  out[threadIdx.x] = __syncthreads_count(1);
}

TEST_CASE("a barrier waits for the threads that still run") {
  const DeviceArray<int> out(64);
  REQUIRE(launch({1, 64}, early_exit, out.data()) == cudaSuccess);
  CHECK(out.download()[62] == 32);
}

template <class T>
__global__ void shuffles(T* out) {
  const T value = static_cast<T>(threadIdx.x) * 3;
  T* row = out + threadIdx.x * 6;
  row[0] = __shfl_sync(kFullWarp, value, 5);
  row[1] = __shfl_sync(kFullWarp, value, 9, 8);  // lane 1 of each segment of eight
  row[2] = __shfl_up_sync(kFullWarp, value, 2);
  row[3] = __shfl_down_sync(kFullWarp, value, 3, 16);
  row[4] = __shfl_xor_sync(kFullWarp, value, 12);
  row[5] = __shfl_xor_sync(kFullWarp, value, 16, 16);  // earlier segments only, else its own
}

template <class T>
void check_shuffles() {
  const DeviceArray<T> out(32 * 6);
  REQUIRE(launch({1, 32}, shuffles<T>, out.data()) == cudaSuccess);
  const std::vector<T> values = out.download();
  for (int lane = 0; lane < 32; ++lane) {
    const std::array<int, 6> source = {5,
                                       lane / 8 * 8 + 1,
                                       lane < 2 ? lane : lane - 2,
                                       lane % 16 + 3 < 16 ? lane + 3 : lane,
                                       lane ^ 12,
                                       lane < 16 ? lane : lane - 16};
    for (std::size_t i = 0; i < source.size(); ++i) {
      CHECK(values[static_cast<std::size_t>(lane) * 6 + i] == static_cast<T>(source[i] * 3));
    }
  }
}

TEST_CASE("shuffles read the lane that CUDA's definition names") {
  under_every_schedule([] {
    check_shuffles<int>();
    check_shuffles<unsigned long long>();
    check_shuffles<float>();
    check_shuffles<double>();
  });
}

__global__ void votes(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + lane * 9;
  row[0] = static_cast<int>(__ballot_sync(kFullWarp, lane % 4 == 0));
  row[1] = __all_sync(kFullWarp, lane >= 0) + 2 * __any_sync(kFullWarp, lane > 31);
  row[2] = __reduce_add_sync(kFullWarp, lane - 20);
  row[3] = __reduce_min_sync(kFullWarp, lane - 20);
  row[4] = __reduce_max_sync(kFullWarp, lane - 40);
  row[5] = static_cast<int>(__reduce_max_sync(kFullWarp, lane == 3 ? 0xfffffff0u : 1u));
  row[6] = static_cast<int>(__reduce_or_sync(kFullWarp, 1u << lane % 8));
  row[7] = static_cast<int>(__match_any_sync(kFullWarp, lane % 2));
  // Both halves wait at once, each for itself.
  row[8] = lane < 16 ? __reduce_add_sync(0x0000ffffu, 1) : __reduce_add_sync(0xffff0000u, 2);
}

TEST_CASE("votes and warp reductions are those of the lanes in the mask") {
  under_every_schedule([] {
    const DeviceArray<int> out(32 * 9);
    REQUIRE(launch({1, 32}, votes, out.data()) == cudaSuccess);
    const std::vector<int> values = out.download();
    for (int lane = 0; lane < 32; ++lane) {
      const int* row = &values[static_cast<std::size_t>(lane) * 9];
      CHECK(row[0] == 0x11111111);
      CHECK(row[1] == 1);
      CHECK(row[2] == 31 * 32 / 2 - 20 * 32);
      CHECK(row[3] == -20);
      CHECK(row[4] == -9);
      CHECK(static_cast<unsigned>(row[5]) == 0xfffffff0u);
      CHECK(row[6] == 0xff);
      CHECK(static_cast<unsigned>(row[7]) == (lane % 2 == 0 ? 0x55555555u : 0xaaaaaaaau));
      CHECK(row[8] == (lane < 16 ? 16 : 32));
    }
  });
}

__global__ void atomics(int* integers, unsigned long long* words, float* sum) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&integers[0], 1);
  atomicMax(&integers[1], i);
  atomicMin(&integers[2], -i);
  atomicOr(&integers[3], 1 << i % 8);
  atomicMax(&words[0], (1ull << 40) + static_cast<unsigned>(i));
  atomicAdd(sum, 0.5f);
  if (atomicCAS(&integers[4], 0, 1) == 0) atomicExch(&integers[5], 77);
}

TEST_CASE("atomic functions lose no update under any schedule") {
  under_every_schedule([] {
    const DeviceArray<int> integers(std::vector<int>(6, 0));
    const DeviceArray<unsigned long long> words(std::vector<unsigned long long>{0});
    const DeviceArray<float> sum(std::vector<float>{0});
    REQUIRE(launch({8, 64}, atomics, integers.data(), words.data(), sum.data()) == cudaSuccess);
    CHECK(integers.download() == std::vector<int>{512, 511, -511, 255, 1, 77});
    CHECK(words.download()[0] == (1ull << 40) + 511);
    CHECK(sum.download()[0] == 256);
  });
}

// A spin lock: whoever waits must let the owner go on.
__global__ void locked_increment(int* lock, int* counter) {
  for (bool done = false; !done;) {
    if (atomicCAS(lock, 0, 1) == 0) {
      const int before = atomicAdd(counter, 0);
      __threadfence();
      atomicExch(counter, before + 1);
      atomicExch(lock, 0);
      done = true;
    }
  }
}

TEST_CASE("a spin lock within a block makes progress") {
  const DeviceArray<int> lock(std::vector<int>{0}), counter(std::vector<int>{0});
  REQUIRE(launch({2, 64}, locked_increment, lock.data(), counter.data()) == cudaSuccess);
  CHECK(counter.download()[0] == 128);
}

__global__ void thread_coordinates(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  __syncthreads();
  atomicAdd(&out[i], static_cast<int>(i) + 1);
}

TEST_CASE("every thread of a three-dimensional launch runs once") {
  under_every_schedule([] {
    constexpr int kCount = 3 * 2 * 2 * 5 * 3 * 2;
    const DeviceArray<int> out(std::vector<int>(kCount, 0));
    REQUIRE(launch({dim3(3, 2, 2), dim3(5, 3, 2)}, thread_coordinates, out.data()) == cudaSuccess);
    std::vector<int> expected = iota(kCount);
    for (int& value : expected) ++value;
    CHECK(out.download() == expected);
  });
}

// Which thread of the block takes the first ticket.
__global__ void first_thread(int* first) { atomicCAS(first, -1, static_cast<int>(threadIdx.x)); }

TEST_CASE("the order of threads is the one asked for, and a seed repeats itself") {
  const Options before = options();
  const auto first = [] {
    const DeviceArray<int> out(std::vector<int>{-1});
    REQUIRE(launch({1, 64}, first_thread, out.data()) == cudaSuccess);
    return out.download()[0];
  };
  options().order = Order::forward;
  CHECK(first() == 0);
  options().order = Order::reverse;
  CHECK(first() == 63);
  options().order = Order::shuffle;
  std::vector<int> seen;
  for (options().seed = 1; options().seed < 9; ++options().seed) {
    const int thread = first();
    CHECK(first() == thread);
    seen.push_back(thread);
  }
  CHECK(std::count(seen.begin(), seen.end(), seen[0]) < 8);
  options() = before;
}

// ---- memory -------------------------------------------------------------------------------------

TEST_CASE("fresh device memory holds NaN, and freed memory can be had again") {
  std::size_t before = 0, during = 0, after = 0, total = 0;
  cudaMemGetInfo(&before, &total);
  {
    const DeviceArray<float> memory(1000);
    cudaMemGetInfo(&during, &total);
    CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % 256 == 0);
    for (const float value : memory.download()) CHECK(std::isnan(value));
  }
  cudaMemGetInfo(&after, &total);
  CHECK(during + 4000 <= before);
  CHECK(after == before);
  CHECK(before <= total);
}

TEST_CASE("a device that is full says so, and goes on working") {
  void* data = nullptr;
  CHECK(cudaMalloc(&data, std::size_t{1} << 60) == cudaErrorMemoryAllocation);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  const DeviceArray<int> small(std::vector<int>{5});
  CHECK(small.download()[0] == 5);
}

TEST_CASE("freed blocks merge: a large one fits where small ones were") {
  std::vector<void*> blocks(64);
  for (void*& block : blocks) cudaMalloc(&block, 1000);
  void* const first = blocks[0];
  for (std::size_t i = 0; i < blocks.size(); i += 2) cudaFree(blocks[i]);
  for (std::size_t i = 1; i < blocks.size(); i += 2) cudaFree(blocks[i]);
  void* large = nullptr;
  REQUIRE(cudaMalloc(&large, 60000) == cudaSuccess);
  CHECK(large <= first);
  cudaFree(large);
}

// ---- captures -----------------------------------------------------------------------------------

__global__ void add(const int* amount, int* sum) { *sum += *amount; }

TEST_CASE("a captured step does nothing until it is launched, then reads device memory afresh") {
  const DeviceArray<int> sum(std::vector<int>{0});
  DeviceArray<int> amount(std::vector<int>{1});
  std::vector<int> host(1);
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);

  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &status);
  CHECK(status == cudaStreamCaptureStatusActive);
  REQUIRE(launch({1, 1, 0, false, stream}, add, amount.data(), sum.data()) == cudaSuccess);
  REQUIRE(enqueue(stream, [&] { *sum.data() *= 10; }) == cudaSuccess);  // stands for a library
  REQUIRE(cudaMemcpyAsync(host.data(), sum.data(), sizeof(int), cudaMemcpyDeviceToHost, stream) ==
          cudaSuccess);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  std::size_t nodes = 0;
  cudaGraphGetNodes(graph, nullptr, &nodes);
  CHECK(nodes == 3);
  cudaGraphExec_t step = nullptr;
  REQUIRE(cudaGraphInstantiate(&step, graph, 0) == cudaSuccess);
  cudaGraphDestroy(graph);
  CHECK(sum.download()[0] == 0);

  REQUIRE(cudaGraphLaunch(step, stream) == cudaSuccess);
  CHECK(host[0] == 10);
  amount.upload({5});
  REQUIRE(cudaGraphLaunch(step, stream) == cudaSuccess);
  CHECK(host[0] == 150);
  cudaGraphExecDestroy(step);
  cudaStreamDestroy(stream);
}

TEST_CASE("an event measures the time between two points of a stream") {
  cudaEvent_t begin = nullptr, end = nullptr;
  float milliseconds = -1;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaErrorInvalidResourceHandle);
  cudaEventRecord(begin, nullptr);
  cudaEventRecord(end, nullptr);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaSuccess);
  CHECK(milliseconds >= 0);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGetLastError();
}

// ---- planted bugs -------------------------------------------------------------------------------

// What `simt_planted_bugs NAME VARIANT` prints, with its exit code.
struct Outcome {
  std::string text;
  int status = 0;
};

Outcome run_planted(const char* name, const char* variant) {
  const std::string command =
      std::string("'" NAT_SIMT_PLANTED_BUGS "' '") + name + "' " + variant + " 2>&1";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (std::array<char, 4096> part; std::fgets(part.data(), part.size(), pipe) != nullptr;) {
    outcome.text += part.data();
  }
  outcome.status = pclose(pipe);
  return outcome;
}

TEST_CASE("every planted bug that this build can see is reported, and none without the bug") {
  int seen = 0;
  for (const PlantedBug& planted : kPlantedBugs) {
    CAPTURE(std::string(planted.name));
    const Outcome clean = run_planted(planted.name, "fixed");
    CHECK_MESSAGE(clean.status == 0, clean.text);
    CHECK_MESSAGE(clean.text.empty(), clean.text);
    if (planted.report() == nullptr) {
      std::printf("not visible in this build: %s\n", planted.name);
      continue;
    }
    const Outcome caught = run_planted(planted.name, "bug");
    CHECK(caught.status != 0);
    CHECK_MESSAGE(caught.text.find(planted.report()) != std::string::npos, caught.text);
    ++seen;
  }
  std::printf("%d of %zu planted bugs reported\n", seen, kPlantedBugs.size());
}

}  // namespace
}  // namespace simt::test
