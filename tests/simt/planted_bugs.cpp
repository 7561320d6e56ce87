// planted_bugs NAME bug|fixed: runs one of the programs of planted_bugs.h. Reports go to stderr;
// the exit code is 1 when there was one.
#include "tests/simt/planted_bugs.h"

#include <cooperative_groups.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>

#include "kernels/cuda/launch.cuh"
#include "tests/simt/device_array.h"
#include "tests/simt/options.h"

namespace simt::test {
namespace {

using nat::gpu::dynamic_shared;
using nat::gpu::kFullWarp;

constexpr int kThreads = 64;

std::vector<int> iota(int count) {
  std::vector<int> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

bool failed = false;

void expect(bool right) {
  if (right) return;
  std::fprintf(stderr, "wrong values\n");
  failed = true;
}
void expect_success(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorName(error));
  failed = true;
}

// ---- synchronisation ----------------------------------------------------------------------------

template <bool kFixed>
__global__ void reverse_block(int* out) {
  __shared__ int tile[kThreads];
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  if constexpr (kFixed) __syncthreads();
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

template <bool kFixed>
void missing_barrier() {
  const DeviceArray<int> out(kThreads);
  expect_success(launch({1, kThreads}, reverse_block<kFixed>, out.data()));
  const std::vector<int> forward = iota(kThreads);
  expect(out.download() == std::vector<int>(forward.rbegin(), forward.rend()));
}

template <bool kFixed>
__global__ void rotate_twice(int* out) {
  __shared__ int tile[kThreads];
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  const int next = tile[(threadIdx.x + 1) % kThreads];
  if constexpr (kFixed) __syncthreads();
  tile[threadIdx.x] = next;
  __syncthreads();
  out[threadIdx.x] = tile[(threadIdx.x + 1) % kThreads];
}

template <bool kFixed>
void reused_buffer() {
  const DeviceArray<int> out(kThreads);
  expect_success(launch({1, kThreads}, rotate_twice<kFixed>, out.data()));
  const std::vector<int> values = out.download();
  expect(values[0] == 2 && values[kThreads - 2] == 0 && values[kThreads - 1] == 1);
}

template <bool kFixed>
__global__ void from_lower_lane(int* out) {
  __shared__ int tile[kThreads];
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  if constexpr (kFixed) __syncwarp();
  out[threadIdx.x] = tile[threadIdx.x / warpSize * warpSize];
}

template <bool kFixed>
void missing_syncwarp() {
  const DeviceArray<int> out(kThreads);
  expect_success(launch({1, kThreads}, from_lower_lane<kFixed>, out.data()));
}

template <bool kFixed>
__global__ void count_blocks(int* counter) {
  if (threadIdx.x != 0) return;
  if constexpr (kFixed) {
    atomicAdd(counter, 1);
  } else {
    *counter += 1;
  }
}

template <bool kFixed>
void plain_update() {
  options().workers = 2;
  const DeviceArray<int> counter(std::vector<int>{0});
  expect_success(launch({64, 32}, count_blocks<kFixed>, counter.data()));
  if (kFixed) expect(counter.download()[0] == 64);
}

template <bool kFixed>
__global__ void from_lower_block(int* values, int* out) {
  if (threadIdx.x == 0) values[blockIdx.x] = static_cast<int>(blockIdx.x);
  if constexpr (kFixed) cooperative_groups::this_grid().sync();
  if (threadIdx.x == 0) out[blockIdx.x] = values[blockIdx.x / 2];
}

template <bool kFixed>
void missing_grid_sync() {
  const DeviceArray<int> values(4), out(4);
  expect_success(launch({4, 32, 0, true}, from_lower_block<kFixed>, values.data(), out.data()));
  expect(out.download() == std::vector<int>{0, 0, 1, 1});
}

Shape clusters_of(unsigned blocks, dim3 grid, dim3 block = 32) {
  return {grid, block, 0, false, nullptr, dim3(blocks)};
}

template <bool kFixed>
__global__ void from_lower_block_of_cluster(int* values, int* out) {
  if (threadIdx.x == 0) values[blockIdx.x] = static_cast<int>(blockIdx.x);
  if constexpr (kFixed) cooperative_groups::this_cluster().sync();
  if (threadIdx.x == 0) out[blockIdx.x] = values[blockIdx.x / 4 * 4];
}

template <bool kFixed>
void missing_cluster_sync() {
  const DeviceArray<int> values(8), out(8);
  expect_success(
      launch(clusters_of(4, 8), from_lower_block_of_cluster<kFixed>, values.data(), out.data()));
  expect(out.download() == std::vector<int>{0, 0, 0, 0, 4, 4, 4, 4});
}

enum class Told {
  after_meeting,
  without_meeting,
  before_the_other_began,
  after_the_other_ended,
  by_a_stranger
};

// Each block of a cluster of two reads what the other has written into its shared memory.
template <Told kTold>
__global__ void from_shared_of_other(int* out) {
  __shared__ int number;
  const auto cluster = cooperative_groups::this_cluster();
  const unsigned other = kTold == Told::by_a_stranger ? 2 : 1 - cluster.block_rank();
  if constexpr (kTold != Told::before_the_other_began) cluster.sync();
  if (threadIdx.x == 0) *cluster.map_shared_rank(&number, other) = static_cast<int>(other);
  if constexpr (kTold != Told::without_meeting) cluster.sync();
  if (threadIdx.x == 0) out[blockIdx.x] = number;
  if constexpr (kTold == Told::after_the_other_ended) {
    if (threadIdx.x == 0) out[blockIdx.x] = *cluster.map_shared_rank(&number, other);
  } else {
    cluster.sync();
  }
}

template <Told kTold>
void shared_of_other() {
  const DeviceArray<int> out(2);
  expect_success(launch(clusters_of(2, 2), from_shared_of_other<kTold>, out.data()));
  expect(kTold == Told::without_meeting || out.download() == std::vector<int>{0, 1});
}

// Reads the other half of a grid of four blocks.
template <bool kFixed>
__global__ void from_other_cluster(int* values, int* out) {
  if (threadIdx.x == 0) atomicExch(&values[blockIdx.x], 1);
  if constexpr (kFixed) {
    cooperative_groups::this_grid().sync();
  } else {
    cooperative_groups::this_cluster().sync();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = values[(blockIdx.x + 2) % 4];
}

template <bool kFixed>
void sync_between_clusters() {
  options().workers = 2;
  const DeviceArray<int> values(std::vector<int>(4, 0)), out(4);
  expect_success(launch({4, 32, 0, kFixed, nullptr, dim3(kFixed ? 1 : 2)},
                        from_other_cluster<kFixed>, values.data(), out.data()));
  if (kFixed) expect(out.download() == std::vector<int>(4, 1));
}

template <bool kFixed, bool kCluster>
__global__ void two_places() {
  const auto sync_here = [](simt::Where where) {
    if constexpr (kCluster) {
      cooperative_groups::this_cluster().sync(where);
    } else {
      cooperative_groups::this_grid().sync(where);
    }
  };
  if (kFixed || blockIdx.x == 0) {
    sync_here(simt::Where::current());
  } else {
    sync_here(simt::Where::current());
  }
}

template <bool kFixed>
__global__ void one_lane_of_a_cluster_goes_elsewhere() {
  if (kFixed || blockIdx.x != 1 || threadIdx.x != 5) __syncwarp();
  cooperative_groups::this_cluster().sync();
}

__global__ void meet_in_cluster() { cooperative_groups::this_cluster().sync(); }

template <bool kFixed>
__global__ void branch() {
  if (kFixed || threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

template <bool kFixed>
__global__ void branch_in_warp(int* out) {
  int value = 1;
  if (kFixed || threadIdx.x < 16) {
    value = __shfl_xor_sync(kFullWarp, value, 1);
  } else {
    value = __shfl_xor_sync(kFullWarp, value, 2);
  }
  out[threadIdx.x] = value;
}

template <bool kFixed>
void divergent_warp() {
  const DeviceArray<int> out(32);
  expect_success(launch({1, 32}, branch_in_warp<kFixed>, out.data()));
}

template <bool kFixed>
__global__ void one_lane_goes_elsewhere() {
  if (kFixed || threadIdx.x != 5) __syncwarp();
  __syncthreads();
}

template <bool kFixed>
__global__ void last_block_leaves() {
  if (!kFixed && blockIdx.x + 1 == gridDim.x) return;
  cooperative_groups::this_grid().sync();
}

// ---- lanes --------------------------------------------------------------------------------------

enum class Lanes { half_mask, missing, ended };

template <Lanes kCase, bool kFixed>
__global__ void shuffle_down(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  int value = lane;
  unsigned mask = kFullWarp;
  if constexpr (kCase == Lanes::half_mask && !kFixed) {
    if (lane >= 16) return;
    mask = 0xffffu;
  }
  if constexpr (kCase == Lanes::ended && !kFixed) {
    if (lane >= 16) return;
  }
  value += __shfl_down_sync(mask, value, 8);
  value += __shfl_down_sync(mask, value, 16);
  out[threadIdx.x] = value;
}

template <bool kFixed>
__global__ void vote(unsigned* out) {
  out[threadIdx.x] = __ballot_sync(kFixed ? kFullWarp : 0xffffu, 1);
}

template <bool kFixed>
void outside_of_mask() {
  const DeviceArray<unsigned> out(32);
  expect_success(launch({1, 32}, vote<kFixed>, out.data()));
}

template <Lanes kCase, bool kFixed>
void lanes() {
  const unsigned threads = kCase == Lanes::missing && !kFixed ? 40 : 64;
  const DeviceArray<int> out(threads);
  expect_success(launch({1, threads}, shuffle_down<kCase, kFixed>, out.data()));
}

// ---- memory -------------------------------------------------------------------------------------

__global__ void fill_static_shared(int count, int* out) {
  __shared__ int tile[32];
  for (int i = 0; i < count; ++i) tile[i] = i;
  *out = tile[0];
}

template <bool kFixed>
void static_overrun() {
  const DeviceArray<int> out(1);
  expect_success(launch({1, 1}, fill_static_shared, kFixed ? 32 : 33, out.data()));
}

__global__ void fill_dynamic_shared(int count) {
  for (int i = 0; i < count; ++i) dynamic_shared<int>()[i] = i;
}

__global__ void fill_global(int* data, int count) {
  for (int i = 0; i < count; ++i) data[i] = i;
}

template <bool kFixed>
void global_overrun() {
  const DeviceArray<int> data(100);
  expect_success(launch({1, 1}, fill_global, data.data(), kFixed ? 100 : 101));
}

__global__ void copy_four(const float* from, float* to) {
  *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
}

template <bool kFixed>
void misaligned() {
  const DeviceArray<float> from(std::vector<float>(8, 1)), to(8);
  expect_success(launch({1, 1}, copy_four, from.data() + (kFixed ? 4 : 1), to.data()));
}

template <bool kFixed>
__global__ void sum_dynamic_shared(float* out) {
  float* tile = dynamic_shared<float>();
  if (kFixed || threadIdx.x != 7) tile[threadIdx.x] = 1;
  __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += tile[i];
  out[threadIdx.x] = sum;
}

template <bool kFixed>
void uninitialised_shared() {
  const DeviceArray<float> out(32);
  expect_success(launch({1, 32, 128}, sum_dynamic_shared<kFixed>, out.data()));
  expect(out.download()[0] == 32);
}

__global__ void add_to(float* sum) { atomicAdd(sum, 1.0f); }

template <bool kFixed>
void uninitialised_global() {
  DeviceArray<float> sum(1);
  if (kFixed) sum.upload({0});
  expect_success(launch({1, 32}, add_to, sum.data()));
  expect(sum.download()[0] == 32);
}

__global__ void copy_one(const float* from, float* to) { *to = *from; }

template <bool kFixed>
void use_after_free() {
  auto from = std::make_unique<DeviceArray<float>>(std::vector<float>{1});
  const DeviceArray<float> to(1);
  const float* data = from->data();
  if (!kFixed) from.reset();
  expect_success(launch({1, 1}, copy_one, data, to.data()));
  expect(to.download()[0] == 1);
}

// Uses about a kilobyte of stack a call.
__device__ void deep(int depth, volatile int* out) {
  volatile int frame[256];
  for (volatile int& word : frame) word = depth;
  if (depth > 0) deep(depth - 1, out);
  *out = frame[0];
}
__global__ void call_deep(int depth, int* out) {
  if (threadIdx.x == 31) deep(depth, out);  // over the stacks of threads that have ended
}

template <bool kFixed>
void stack_overflow() {
  const DeviceArray<int> out(1);
  expect_success(launch({1, 32}, call_deep, kFixed ? 4 : 300, out.data()));
}

struct Task {
  int n;
  const float* from;
};
__global__ void copy_task(Task task, float* to) { *to = *task.from; }

template <bool kFixed>
void host_memory() {
  const DeviceArray<float> from(std::vector<float>{1}), to(1);
  const float host = 1;
  expect_success(launch({1, 1}, copy_task, {1, kFixed ? from.data() : &host}, to.data()));
}

template <bool kFixed>
void host_touch() {
  const DeviceArray<float> data(std::vector<float>{1});
  expect((kFixed ? data.download()[0] : *static_cast<volatile float*>(data.data())) == 1);
}

template <bool kFixed>
void wrong_direction() {
  const DeviceArray<float> data(1);
  const float host = 1;
  expect_success(cudaMemcpy(data.data(), &host, sizeof host,
                            kFixed ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice));
}

// ---- launches -----------------------------------------------------------------------------------

__global__ void nothing() {}

template <bool kAsk>
void launch_with_shared(std::size_t bytes) {
  if (kAsk) {
    cudaFuncSetAttribute(reinterpret_cast<const void*>(&nothing),
                         cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10);
  }
  expect_success(launch({1, 32, bytes}, nothing));
}

// ---- captures -----------------------------------------------------------------------------------

// Captures an empty launch and whatever `call` does on the stream, then ends the capture.
void capture(const std::function<cudaError_t(cudaStream_t)>& call) {
  cudaStream_t stream = nullptr;
  expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  expect_success(launch({1, 32, 0, false, stream}, nothing));
  expect_success(call(stream));
  cudaGraph_t graph = nullptr;
  expect_success(cudaStreamEndCapture(stream, &graph));
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

template <bool kFixed>
void synchronise_in_capture() {
  capture([](cudaStream_t stream) { return kFixed ? cudaSuccess : cudaStreamSynchronize(stream); });
}

template <bool kFixed>
void allocate_in_capture() {
  void* data = nullptr;
  if (kFixed) cudaMalloc(&data, 4);
  capture([&](cudaStream_t) { return kFixed ? cudaSuccess : cudaMalloc(&data, 4); });
  cudaFree(data);
}

template <bool kFixed>
void default_stream_in_capture() {
  const DeviceArray<int> data(1);
  capture([&](cudaStream_t stream) {
    return kFixed ? cudaMemsetAsync(data.data(), 0, 4, stream) : cudaMemset(data.data(), 0, 4);
  });
}

template <bool kFixed>
void forked_stream() {
  cudaStream_t side = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  capture([&](cudaStream_t stream) {
    expect_success(cudaEventRecord(fork, stream));
    expect_success(cudaStreamWaitEvent(side, fork, 0));
    expect_success(launch({1, 32, 0, false, side}, nothing));
    expect_success(cudaEventRecord(join, side));
    return kFixed ? cudaStreamWaitEvent(stream, join, 0) : cudaSuccess;
  });
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaStreamDestroy(side);
}

// -------------------------------------------------------------------------------------------------

template <bool kFixed>
std::map<std::string, std::function<void()>> programs() {
  return {
      {"missing barrier", missing_barrier<kFixed>},
      {"buffer reused without a barrier", reused_buffer<kFixed>},
      {"warp shares memory without __syncwarp", missing_syncwarp<kFixed>},
      {"plain update across blocks", plain_update<kFixed>},
      {"missing grid.sync", missing_grid_sync<kFixed>},
      {"barrier in a branch",
       [] {
         expect_success(launch({1, 32}, branch<kFixed>));
       }},
      {"threads of a warp wait in two places", divergent_warp<kFixed>},
      {"lost barrier",
       [] {
         expect_success(launch({1, 64}, one_lane_goes_elsewhere<kFixed>));
       }},
      {"block ends before grid.sync",
       [] {
         expect_success(launch({4, 32, 0, true}, last_block_leaves<kFixed>));
       }},
      {"grid.sync in an ordinary launch",
       [] {
         expect_success(launch({4, 32, 0, kFixed}, last_block_leaves<true>));
       }},
      {"missing cluster.sync", missing_cluster_sync<kFixed>},
      {"cluster.sync between clusters", sync_between_clusters<kFixed>},
      {"shared memory of another block without cluster.sync",
       shared_of_other<(kFixed ? Told::after_meeting : Told::without_meeting)>},
      {"shared memory of a block that has not begun",
       shared_of_other<(kFixed ? Told::after_meeting : Told::before_the_other_began)>},
      {"shared memory of a block that has ended",
       shared_of_other<(kFixed ? Told::after_meeting : Told::after_the_other_ended)>},
      {"shared memory of a block that does not exist",
       shared_of_other<(kFixed ? Told::after_meeting : Told::by_a_stranger)>},
      {"grid.sync in two places",
       [] {
         expect_success(launch({4, 32, 0, true}, two_places<kFixed, false>));
       }},
      {"cluster.sync in two places",
       [] { expect_success(launch(clusters_of(4, 8), two_places<kFixed, true>)); }},
      {"one lane misses cluster.sync",
       [] {
         expect_success(launch(clusters_of(2, 2), one_lane_of_a_cluster_goes_elsewhere<kFixed>));
       }},
      {"cluster.sync in a launch without clusters",
       [] { expect_success(launch(clusters_of(kFixed ? 4 : 1, 4), meet_in_cluster)); }},
      {"half mask", lanes<Lanes::half_mask, kFixed>},
      {"lane outside of its mask", outside_of_mask<kFixed>},
      {"lane that does not exist", lanes<Lanes::missing, kFixed>},
      {"lane that has ended", lanes<Lanes::ended, kFixed>},
      {"static shared memory overrun", static_overrun<kFixed>},
      {"dynamic shared memory overrun",
       [] {
         expect_success(launch({1, 1, 128}, fill_dynamic_shared, kFixed ? 32 : 33));
       }},
      {"global memory overrun by one", global_overrun<kFixed>},
      {"misaligned float4", misaligned<kFixed>},
      {"uninitialised shared memory", uninitialised_shared<kFixed>},
      {"uninitialised device memory", uninitialised_global<kFixed>},
      {"use after free", use_after_free<kFixed>},
      {"stack overflow", stack_overflow<kFixed>},
      {"host memory given to a kernel", host_memory<kFixed>},
      {"host touches device memory", host_touch<kFixed>},
      {"copy in the wrong direction", wrong_direction<kFixed>},
      {"block too large",
       [] {
         expect_success(launch({1, kFixed ? 1024 : 1025}, nothing));
       }},
      {"grid too large in y",
       [] {
         expect_success(launch({dim3(1, kFixed ? 65535 : 65536), 1}, nothing));
       }},
      {"too much shared memory", [] { launch_with_shared<true>((227 << 10) + (kFixed ? 0 : 1)); }},
      {"much shared memory without asking", [] { launch_with_shared<kFixed>((48 << 10) + 1); }},
      // 8 blocks of 128 threads fit on each of the 132 multiprocessors.
      {"cooperative launch too large",
       [] {
         expect_success(launch({kFixed ? 8 : 8 * 132 + 1, 128, 0, true}, nothing));
       }},
      {"cluster too large",
       [] { expect_success(launch(clusters_of(kFixed ? 8 : 16, 16), nothing)); }},
      {"cluster does not divide the grid",
       [] { expect_success(launch(clusters_of(4, kFixed ? 8 : 6), nothing)); }},
      {"cluster in y",
       [] {
         const dim3 cluster = kFixed ? dim3(2) : dim3(1, 2);
         expect_success(launch({dim3(2, 2), 32, 0, false, nullptr, cluster}, nothing));
       }},
      {"clusters in a cooperative launch",
       [] {
         expect_success(launch({2, 32, 0, !kFixed, nullptr, dim3(2)}, nothing));
       }},
      {"clusters on a device without",
       [] {
         options().clusters = kFixed;
         expect_success(launch(clusters_of(2, 2), nothing));
       }},
      {"synchronising in a capture", synchronise_in_capture<kFixed>},
      {"allocating in a capture", allocate_in_capture<kFixed>},
      {"default stream in a capture", default_stream_in_capture<kFixed>},
      {"forked stream not joined", forked_stream<kFixed>},
  };
}

}  // namespace
}  // namespace simt::test

int main(int argc, char** argv) {
  using namespace simt::test;
  if (argc != 3) return 2;
  const auto all = std::string(argv[2]) == "fixed" ? programs<true>() : programs<false>();
  const auto program = all.find(argv[1]);
  if (program == all.end()) return 2;
  program->second();
  return failed || !simt::take_report().empty() ? 1 : 0;
}
