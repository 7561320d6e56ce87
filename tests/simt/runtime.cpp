// The functions of the CUDA runtime about the device, its memory, errors and launches. The modelled
// device has the limits of an H200.
#include "tests/simt/runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "tests/simt/arena.h"
#include "tests/simt/grid.h"
#include "tests/simt/include/cuda_runtime.h"
#include "tests/simt/options.h"

namespace simt {

namespace {

#if defined(NAT_SIMT_TSAN)
constexpr int kMultiprocessors = 4;  // ThreadSanitizer knows 8,128 threads at most
#else
constexpr int kMultiprocessors = 132;
#endif
constexpr int kThreadsMultiprocessor = 2048;
constexpr int kBlocksMultiprocessor = 32;
constexpr std::size_t kSharedMultiprocessor = 228 << 10;
constexpr std::size_t kSharedReserved = 1 << 10;  // of each block, by the system
constexpr std::size_t kSharedDefault = 48 << 10;  // of a block, without cudaFuncSetAttribute
constexpr int kVersion = 13000;

constinit thread_local cudaError_t last_error = cudaSuccess;
std::string reports;

std::map<const void*, std::size_t>& shared_limits() {
  static std::map<const void*, std::size_t> limits;  // by kernel
  return limits;
}
std::set<const void*>& allowed_large_clusters() {
  static std::set<const void*> kernels;
  return kernels;
}
std::map<const void*, std::size_t>& page_locked() {
  static std::map<const void*, std::size_t> ranges;
  return ranges;
}

Options options_of_environment() {
  Options read;
  const char* order = std::getenv("NAT_SIMT_ORDER");
  const std::string text = order == nullptr ? "forward" : order;
  if (text == "reverse") {
    read.order = Order::reverse;
  } else if (text.rfind("shuffle", 0) == 0) {
    read.order = Order::shuffle;
    if (text.size() > 8) read.seed = std::strtoull(text.c_str() + 8, nullptr, 10);
  } else if (text != "forward") {
    std::fprintf(stderr, "simt: NAT_SIMT_ORDER=%s; give forward, reverse or shuffle:SEED\n", order);
    std::exit(2);
  }
  if (const char* workers = std::getenv("NAT_SIMT_WORKERS")) {
    read.workers = std::max(1, std::atoi(workers));
  }
  return read;
}

// Blocks of this shape that a multiprocessor holds at once. Registers are not known here: 64 a
// thread are assumed.
int resident_blocks(std::size_t threads, std::size_t shared_bytes) {
  constexpr std::size_t kRegisters = 65536, kRegistersThread = 64;
  const std::size_t rounded = (threads + kWarpSize - 1) / kWarpSize * kWarpSize;
  const std::size_t by_threads = kThreadsMultiprocessor / rounded;
  const std::size_t by_registers = kRegisters / (kRegistersThread * rounded);
  const std::size_t by_shared = kSharedMultiprocessor / (shared_bytes + kSharedReserved);
  return static_cast<int>(std::min(
      {by_threads, by_registers, by_shared, static_cast<std::size_t>(kBlocksMultiprocessor)}));
}

// Why the device refuses a launch of this shape; null when it does not.
const char* fault_of_shape(const Launch& launch, std::size_t shared_limit) {
  constexpr unsigned kMaxGridYZ = 65535, kMaxGridX = 0x7fffffff, kMaxBlockZ = 64;
  const auto blocks = std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const auto threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  if (blocks == 0 || threads == 0) return "the grid or the block is empty";
  if (threads > kMaxBlockThreads || launch.block.z > kMaxBlockZ) return "the block is too large";
  if (launch.grid.x > kMaxGridX) return "the grid is too large in x";
  if (launch.grid.y > kMaxGridYZ || launch.grid.z > kMaxGridYZ) {
    return "the grid is too large in y or z";
  }
  if (launch.shared_bytes > kMaxDynamicShared) return "too much dynamic shared memory";
  if (launch.shared_bytes > shared_limit) {
    return "more than 48 KB of dynamic shared memory without cudaFuncSetAttribute";
  }
  return nullptr;
}

// Why it refuses the clusters of a launch.
const char* fault_of_clusters(const Launch& launch, const dim3& cluster, const void* function) {
  if (!options().clusters) return "the device has no clusters";
  if (options().compiled_for < 90) return "the code is for devices without clusters";
  if (cluster.y != 1 || cluster.z != 1) return "clusters in y or z are not modelled";
  if (launch.cooperative) return "a cooperative launch of clusters is not modelled";
  if (cluster.x == 0) return "the cluster is empty";
  if (cluster.x > kMaxClusterBlocks) return "the cluster has more than 16 blocks";
  if (cluster.x > kPortableClusterBlocks && allowed_large_clusters().count(function) == 0) {
    return "the cluster has more than 8 blocks, without cudaFuncSetAttribute";
  }
  if (cluster.x > options().largest_cluster) return "the device has no room for the cluster";
  if (launch.grid.x % cluster.x != 0) return "the cluster does not divide the grid";
  return nullptr;
}

bool fits_at_once(const Launch& launch) {
  const auto blocks = std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const auto threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  return blocks <= static_cast<std::size_t>(kMultiprocessors) *
                       static_cast<std::size_t>(resident_blocks(threads, launch.shared_bytes));
}

std::string to_string(const dim3& size) {
  std::ostringstream text;
  text << "(" << size.x << "," << size.y << "," << size.z << ")";
  return text.str();
}

std::string to_string(const Launch& launch) {
  return "grid " + to_string(launch.grid) + ", block " + to_string(launch.block) + ", " +
         std::to_string(launch.shared_bytes) + " bytes of shared memory" +
         (launch.cooperative ? ", cooperative" : "") +
         (launch.cluster > 1 ? ", clusters of " + std::to_string(launch.cluster) : "");
}

cudaError_t refuse(const Launch& launch, const std::string& why, cudaError_t error) {
  report("launch refused, " + to_string(launch) + ": " + why);
  return remember(error);
}

cudaError_t run_launch(const Launch& launch) {
  const std::string fault = run_grid(launch);
  if (fault.empty()) return cudaSuccess;
  report(fault + "\n  in a launch of " + to_string(launch));
  return cudaErrorLaunchFailure;
}

// Whether a word of a kernel argument can only be the address of pageable host memory. Below this
// limit lie numbers, pairs of small numbers, and the tables of sanitizers; above it, programs,
// heaps and stacks.
bool is_host_address(std::uintptr_t word) {
  constexpr std::uintptr_t kLowest = 0x5500'0000'0000, kHighest = std::uintptr_t{1} << 47;
  if (word < kLowest || word >= kHighest) return false;
  const auto* address = reinterpret_cast<const void*>(word);
  if (arena().contains(address) || is_page_locked(address)) return false;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(word / page * page), page, &resident) == 0;  // mapped
}

// A copy's ends must be where its kind says. Page-locked memory is on both sides.
bool is_on_side(const void* address, std::size_t bytes, bool device) {
  return (device ? arena().owns(address, bytes) : !arena().contains(address)) ||
         is_page_locked(address);
}
bool fits_kind(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) {
    return is_on_side(to, bytes, arena().contains(to)) &&
           is_on_side(from, bytes, arena().contains(from));
  }
  return is_on_side(to, bytes, to_device) && is_on_side(from, bytes, from_device);
}

}  // namespace

Options& options() {
  static Options current = options_of_environment();
  return current;
}

std::string take_report() { return std::exchange(reports, ""); }
void report(const std::string& text) {
  std::fprintf(stderr, "simt: %s\n", text.c_str());
  reports += text + "\n";
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool is_page_locked(const void* address) {
  auto range = page_locked().upper_bound(address);
  if (range == page_locked().begin()) return false;
  --range;
  return static_cast<const char*>(address) < static_cast<const char*>(range->first) + range->second;
}

cudaError_t submit_launch(const cudaLaunchConfig_t& config, const void* function,
                          std::function<void()> kernel, const std::vector<std::uintptr_t>& words) {
  Launch launch{.grid = config.gridDim,
                .block = config.blockDim,
                .shared_bytes = config.dynamicSmemBytes,
                .kernel = std::move(kernel)};
  dim3 cluster(1);
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttributeValue& value = config.attrs[i].val;
    if (config.attrs[i].id == cudaLaunchAttributeCooperative) {
      launch.cooperative = value.cooperative != 0;
    } else if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) {
      cluster = dim3(value.clusterDim.x, value.clusterDim.y, value.clusterDim.z);
    } else {
      return refuse(launch, "this launch attribute is not modelled", cudaErrorNotSupported);
    }
  }
  const auto limit = shared_limits().find(function);
  const char* fault =
      fault_of_shape(launch, limit == shared_limits().end() ? kSharedDefault : limit->second);
  if (fault != nullptr) return refuse(launch, fault, cudaErrorInvalidConfiguration);
  if (cluster.x != 1 || cluster.y != 1 || cluster.z != 1) {
    launch.cluster = cluster.x;
    fault = fault_of_clusters(launch, cluster, function);
    if (fault != nullptr) return refuse(launch, fault, cudaErrorInvalidClusterSize);
  }
  if (launch.cooperative && !fits_at_once(launch)) {
    return refuse(launch, "the blocks cannot all be resident", cudaErrorCooperativeLaunchTooLarge);
  }
  if (std::any_of(words.begin(), words.end(), is_host_address)) {
    return refuse(launch, "an argument is or holds the address of host memory",
                  cudaErrorIllegalAddress);
  }
  return submit(config.stream, [launch] { return run_launch(launch); });
}

void fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

}  // namespace simt

using simt::arena;
using simt::remember;

extern "C" {

// ---- the device ---------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : remember(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = simt::kVersion;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = simt::kVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return remember(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "SIMT executor (model of an H200)");
  properties->major = 9;
  properties->totalGlobalMem = simt::Arena::kBytes;
  properties->multiProcessorCount = simt::kMultiprocessors;
  properties->warpSize = static_cast<int>(simt::kWarpSize);
  properties->maxThreadsPerBlock = static_cast<int>(simt::kMaxBlockThreads);
  properties->maxThreadsPerMultiProcessor = simt::kThreadsMultiprocessor;
  properties->maxBlocksPerMultiProcessor = simt::kBlocksMultiprocessor;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->sharedMemPerBlock = simt::kSharedDefault;
  properties->sharedMemPerBlockOptin = simt::kMaxDynamicShared;
  properties->sharedMemPerMultiprocessor = simt::kSharedMultiprocessor;
  properties->reservedSharedMemPerBlock = simt::kSharedReserved;
  properties->l2CacheSize = 50 << 20;
  properties->cooperativeLaunch = 1;
  properties->clusterLaunch = simt::options().clusters ? 1 : 0;
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = properties.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(properties.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrClusterLaunch:
      *value = properties.clusterLaunch;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = properties.cooperativeLaunch;
      break;
    default:
      return remember(cudaErrorInvalidValue);  // add it to the model when it is needed
  }
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          size_t shared_bytes) {
  *blocks = simt::resident_blocks(static_cast<std::size_t>(threads), shared_bytes);
  return cudaSuccess;
}

// All multiprocessors are taken for one group, in which any of them may form a cluster.
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*,
                                           const cudaLaunchConfig_t* config) {
  unsigned size = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) size = attribute.val.clusterDim.x;
  }
  const auto threads = std::size_t{config->blockDim.x} * config->blockDim.y * config->blockDim.z;
  const int blocks = simt::resident_blocks(threads, config->dynamicSmemBytes);
  *clusters = size > simt::options().largest_cluster
                  ? 0
                  : simt::kMultiprocessors * blocks / static_cast<int>(size);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed && value == 1) {
    simt::allowed_large_clusters().insert(function);
    return cudaSuccess;
  }
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > simt::kMaxDynamicShared) {
    return remember(cudaErrorInvalidValue);
  }
  simt::shared_limits()[function] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->ptxVersion = simt::options().compiled_for;
  return cudaSuccess;
}

// ---- errors -------------------------------------------------------------------------------------

cudaError_t cudaGetLastError() { return std::exchange(simt::last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return simt::last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define NAT_SIMT_NAME(name) \
  case name:                \
    return #name
    NAT_SIMT_NAME(cudaSuccess);
    NAT_SIMT_NAME(cudaErrorInvalidValue);
    NAT_SIMT_NAME(cudaErrorMemoryAllocation);
    NAT_SIMT_NAME(cudaErrorInvalidConfiguration);
    NAT_SIMT_NAME(cudaErrorInvalidDevice);
    NAT_SIMT_NAME(cudaErrorInvalidResourceHandle);
    NAT_SIMT_NAME(cudaErrorIllegalState);
    NAT_SIMT_NAME(cudaErrorIllegalAddress);
    NAT_SIMT_NAME(cudaErrorLaunchFailure);
    NAT_SIMT_NAME(cudaErrorCooperativeLaunchTooLarge);
    NAT_SIMT_NAME(cudaErrorInvalidClusterSize);
    NAT_SIMT_NAME(cudaErrorNotSupported);
    NAT_SIMT_NAME(cudaErrorStreamCaptureUnsupported);
    NAT_SIMT_NAME(cudaErrorStreamCaptureInvalidated);
    NAT_SIMT_NAME(cudaErrorStreamCaptureMerge);
    NAT_SIMT_NAME(cudaErrorStreamCaptureUnmatched);
    NAT_SIMT_NAME(cudaErrorStreamCaptureUnjoined);
    NAT_SIMT_NAME(cudaErrorStreamCaptureImplicit);
    NAT_SIMT_NAME(cudaErrorCapturedEvent);
#undef NAT_SIMT_NAME
    default:
      return "unrecognized error code";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

// ---- memory -------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** data, size_t bytes) {
  if (const cudaError_t refused = simt::forbid_in_capture()) return refused;
  *data = arena().allocate(bytes);
  return *data != nullptr || bytes == 0 ? cudaSuccess : remember(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* data) {
  if (const cudaError_t refused = simt::forbid_in_capture()) return refused;
  if (data == nullptr || arena().release(data)) return cudaSuccess;
  simt::report("cudaFree of what is no allocation");
  return remember(cudaErrorInvalidValue);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = arena().free_bytes();
  *total = simt::Arena::kBytes;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  constexpr std::size_t kPage = 4096;
  if (const cudaError_t refused = simt::forbid_in_capture()) return refused;
  if (bytes > simt::Arena::kBytes || posix_memalign(data, kPage, bytes) != 0)
    return remember(cudaErrorMemoryAllocation);
  std::memset(*data, 0xFF, bytes);
  simt::page_locked()[*data] = bytes;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return cudaMallocHost(data, bytes);
}
cudaError_t cudaFreeHost(void* data) {
  if (const cudaError_t refused = simt::forbid_in_capture()) return refused;
  if (data != nullptr && simt::page_locked().erase(data) == 0) {
    return remember(cudaErrorInvalidValue);
  }
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!simt::fits_kind(to, from, bytes, kind)) {
    simt::report("a copy of " + std::to_string(bytes) +
                 " bytes whose ends are not where its kind says, or beyond an allocation");
    return remember(cudaErrorInvalidValue);
  }
  return simt::submit(stream, [=] {
    std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!arena().owns(data, bytes)) {
    simt::report("cudaMemset of " + std::to_string(bytes) + " bytes beyond an allocation");
    return remember(cudaErrorInvalidValue);
  }
  return simt::submit(stream, [=] {
    std::memset(data, value, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  return cudaMemsetAsync(data, value, bytes, nullptr);
}

}  // extern "C"
