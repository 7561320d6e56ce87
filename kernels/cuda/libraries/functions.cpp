#include "kernels/cuda/libraries/functions.h"

#include <dlfcn.h>

#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/libraries/libraries.h"

namespace nat::gpu {

SharedLibrary::SharedLibrary(std::string file)
    : file_(std::move(file)), library_(dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  NAT_CHECK(library_ != nullptr, ErrorKind::device, file_, " cannot be loaded (", dlerror(),
            "); install it or add its folder to LD_LIBRARY_PATH");
}

SharedLibrary::Symbol SharedLibrary::find(const char* name) const {
  void* const address = dlsym(library_, name);
  NAT_CHECK(address != nullptr, ErrorKind::device, file_, " has no function ", name,
            "; put a newer one first on LD_LIBRARY_PATH");
  return {address};
}

namespace cudnn {
Functions::Functions() : SharedLibrary(str("libcudnn.so.", CUDNN_MAJOR)) {}
const Functions& functions() {
  static const Functions loaded;
  return loaded;
}
}  // namespace cudnn

namespace cublaslt {
Functions::Functions() : SharedLibrary(str("libcublasLt.so.", CUBLAS_VER_MAJOR)) {}
const Functions& functions() {
  static const Functions loaded;
  return loaded;
}
}  // namespace cublaslt

std::string libraries::unavailable_reason() {
  try {
    cudnn::functions();
    cublaslt::functions();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace nat::gpu
