#include "kernels/cuda/state.h"

#include "kernels/check.h"
#include "kernels/cuda/libraries/libraries.h"
#include "kernels/cuda/runtime.h"

namespace nat::gpu {

namespace {

std::string version_text(int version) { return str(version / 1000, ".", version % 1000 / 10); }

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "device attribute");
  return value;
}

int compute_capability(int device) {
  return 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
         attribute(cudaDevAttrComputeCapabilityMinor, device);
}

// The first device: CUDA_VISIBLE_DEVICES chooses another.
constexpr int kDevice = 0;

}  // namespace

void check_cuda(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  if (result == cudaErrorNoKernelImageForDevice) {
    throw Error(ErrorKind::device,
                str(what, ": this program holds no code for compute capability ",
                    compute_capability(kDevice),
                    "; build again with -DCMAKE_CUDA_ARCHITECTURES=", compute_capability(kDevice)));
  }
  const ErrorKind kind =
      result == cudaErrorMemoryAllocation ? ErrorKind::memory : ErrorKind::device;
  throw Error(kind,
              str("CUDA, ", what, ": ", cudaGetErrorString(result), " (", cudaGetErrorName(result),
                  "); the state on the device is lost, resume from "
                  "the last checkpoint or use --device cpu"));
}

// cudaGetDeviceCount leaves the count as it was when it fails, and fails in many ways where there
// is no device: whatever it says, there is none.
std::string unavailable_reason() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return "no NVIDIA driver is installed";
    return str("the NVIDIA driver supports CUDA ", version_text(driver), ", this program needs ",
               version_text(runtime));
  }
  if (result != cudaSuccess) return cudaGetErrorString(result);
  if (count == 0) return "no CUDA device was found";
  return libraries::unavailable_reason();
}

DeviceInfo device_info() {
  const std::string reason = unavailable_reason();
  NAT_CHECK(reason.empty(), ErrorKind::device, "device cuda: ", reason, "; use --device cpu");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, kDevice), "device properties");
  DeviceInfo info;
  info.name = properties.name;
  info.compute_capability = 10 * properties.major + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  check_cuda(cudaMemGetInfo(&info.free_bytes, &info.memory_bytes), "device memory");
  check_cuda(cudaDriverGetVersion(&info.driver), "driver version");
  check_cuda(cudaRuntimeGetVersion(&info.runtime), "runtime version");
  return info;
}

CudaState* make_state() {
  const std::string reason = unavailable_reason();
  NAT_CHECK(reason.empty(), ErrorKind::device, "device cuda: ", reason, "; use --device cpu");
  auto state = std::make_unique<CudaState>();
  state->device = kDevice;
  check_cuda(cudaSetDevice(kDevice), "choosing the device");
  state->multiprocessors = attribute(cudaDevAttrMultiProcessorCount, kDevice);
  state->compute_capability = compute_capability(kDevice);
  state->clusters = attribute(cudaDevAttrClusterLaunch, kDevice) != 0;
  state->shared_bytes_block =
      static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, kDevice));
  check_cuda(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "stream");
  return state.release();
}

void destroy_state(CudaState* state) {
  if (state == nullptr) return;
  state->libraries.reset();
  cudaStreamDestroy(state->stream);
  delete state;
}

}  // namespace nat::gpu
