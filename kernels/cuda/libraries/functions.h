// The functions of cuDNN and cuBLASLt that we call, looked up when one is first needed. A program
// that was built for CUDA thus starts where these libraries are missing, and does without the time
// and the 150 MiB that loading them takes where it computes on the CPU.
//
// A library is found as the dynamic linker finds any other: in LD_LIBRARY_PATH, in the folders that
// the program was built with, in the system. It stays loaded until the program ends.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <string>

namespace nat::gpu {

class SharedLibrary {
 public:
  // Error(device) with the linker's reason when the file cannot be loaded.
  explicit SharedLibrary(std::string file);

 protected:
  struct Symbol {
    void* address;
    template <class Function>
    operator Function*() const {  // NOLINT(google-explicit-constructor): a row of a table each
      return reinterpret_cast<Function*>(address);
    }
  };
  Symbol find(const char* name) const;  // Error(device) when there is none

 private:
  std::string file_;
  void* library_;
};

namespace cudnn {

struct Functions : SharedLibrary {
  Functions();
  decltype(&cudnnGetVersion) get_version = find("cudnnGetVersion");
  decltype(&cudnnGetErrorString) get_error_string = find("cudnnGetErrorString");
  decltype(&cudnnGetLastErrorString) get_last_error_string = find("cudnnGetLastErrorString");
  decltype(&cudnnCreate) create = find("cudnnCreate");
  decltype(&cudnnDestroy) destroy = find("cudnnDestroy");
  decltype(&cudnnSetStream) set_stream = find("cudnnSetStream");
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = find("cudnnBackendCreateDescriptor");
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor =
      find("cudnnBackendDestroyDescriptor");
  decltype(&cudnnBackendSetAttribute) set_attribute = find("cudnnBackendSetAttribute");
  decltype(&cudnnBackendGetAttribute) get_attribute = find("cudnnBackendGetAttribute");
  decltype(&cudnnBackendFinalize) finalize = find("cudnnBackendFinalize");
  decltype(&cudnnBackendExecute) execute = find("cudnnBackendExecute");
};
const Functions& functions();

}  // namespace cudnn

namespace cublaslt {

struct Functions : SharedLibrary {
  Functions();
  decltype(&cublasLtGetVersion) get_version = find("cublasLtGetVersion");
  decltype(&cublasLtGetStatusString) get_status_string = find("cublasLtGetStatusString");
  decltype(&cublasLtCreate) create = find("cublasLtCreate");
  decltype(&cublasLtDestroy) destroy = find("cublasLtDestroy");
  decltype(&cublasLtMatmulDescCreate) create_operation = find("cublasLtMatmulDescCreate");
  decltype(&cublasLtMatmulDescDestroy) destroy_operation = find("cublasLtMatmulDescDestroy");
  decltype(&cublasLtMatmulDescSetAttribute) set_operation_attribute =
      find("cublasLtMatmulDescSetAttribute");
  decltype(&cublasLtMatrixLayoutCreate) create_layout = find("cublasLtMatrixLayoutCreate");
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = find("cublasLtMatrixLayoutDestroy");
  decltype(&cublasLtMatmulPreferenceCreate) create_preference =
      find("cublasLtMatmulPreferenceCreate");
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference =
      find("cublasLtMatmulPreferenceDestroy");
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference_attribute =
      find("cublasLtMatmulPreferenceSetAttribute");
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic = find("cublasLtMatmulAlgoGetHeuristic");
  decltype(&cublasLtMatmulAlgoCheck) check_algorithm = find("cublasLtMatmulAlgoCheck");
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) get_algorithm_attribute =
      find("cublasLtMatmulAlgoConfigGetAttribute");
  decltype(&cublasLtMatmul) matmul = find("cublasLtMatmul");
};
const Functions& functions();

}  // namespace cublaslt

}  // namespace nat::gpu
