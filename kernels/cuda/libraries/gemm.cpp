// Matrix products on cuBLASLt, which stores matrices by columns. A row-major matrix read by columns
// is its transpose, so what is computed here is
//
//   c^T (n,m) = op(b)^T (n,k) op(a)^T (k,m)
//
// with b as cuBLASLt's first operand and a as its second; no data moves. In this form a bias, one
// value a column of c, is one value a row of c^T, as the epilogue wants it.
#include <algorithm>
#include <limits>

#include "kernels/cuda/libraries/handles.h"
#include "kernels/cuda/libraries/libraries.h"

namespace nat::gpu::libraries {

namespace {

// More than any algorithm for a plain product asks for on current devices.
constexpr std::uint64_t kWorkspaceLimit = 64 << 20;

// Algorithms to ask for where the first that may run is taken: not every proposal may.
constexpr int kMostAsked = 8;

void check(cublasStatus_t status, const char* what) {
  NAT_CHECK(status == CUBLAS_STATUS_SUCCESS, ErrorKind::device, "cuBLASLt: ", what,
            " failed: ", cublaslt::functions().get_status_string(status));
}

struct Product {
  Math math;
  Transpose a_transposed, b_transposed;
  float beta;
  ConstView a, b, bias;
  View c;

  std::int64_t m() const { return c.shape[0]; }
  std::int64_t n() const { return c.shape[1]; }
  std::int64_t k() const { return a.shape[a_transposed == Transpose::yes ? 0 : 1]; }
};

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return CUDA_R_64F;
    case DType::bf16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

cublasComputeType_t compute_type(const Product& p) {
  if (p.c.dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  const bool tf32 = p.math == Math::tf32 && p.a.dtype == DType::f32;
  return tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// The largest power of two up to 256 that divides the address.
std::uint32_t alignment_of(const void* data) {
  constexpr std::uintptr_t kMost = 256;
  const auto address = reinterpret_cast<std::uintptr_t>(data) | kMost;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

Key key_of(const Product& p) {
  return {p.m(),
          p.n(),
          p.k(),
          static_cast<std::int64_t>(p.a_transposed),
          static_cast<std::int64_t>(p.b_transposed),
          static_cast<std::int64_t>(p.a.dtype),
          static_cast<std::int64_t>(p.c.dtype),
          static_cast<std::int64_t>(compute_type(p)),
          p.bias.empty() ? 0 : 1,
          alignment_of(p.a.data),
          alignment_of(p.b.data),
          alignment_of(p.c.data)};
}

// Alignments are part of the name: an algorithm that loads 16 bytes at a time needs them.
std::string to_string(const Product& p) {
  const auto operand = [](const ConstView& view, Transpose transposed) {
    return str(name(view.dtype), ' ', nat::to_string(view.shape),
               transposed == Transpose::yes ? "^T" : "", " @", alignment_of(view.data));
  };
  return str("gemm ", p.math == Math::tf32 ? "tf32 " : "", operand(p.a, p.a_transposed), " by ",
             operand(p.b, p.b_transposed), " to ", operand(p.c, Transpose::no),
             p.bias.empty() ? "" : " with bias");
}

template <class Attribute, class T>
void set(cublasLtMatmulDesc_t operation, Attribute attribute, const T& value) {
  check(cublaslt::functions().set_operation_attribute(operation, attribute, &value, sizeof value),
        "describing a product");
}
template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  check(cublaslt::functions().set_preference_attribute(preference, attribute, &value, sizeof value),
        "asking for algorithms");
}

Handle<cublasLtMatmulDesc_t> operation(const Product& p) {
  const auto op = [](Transpose transposed) {
    return transposed == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  const cudaDataType_t scale = p.c.dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
  cublasLtMatmulDesc_t raw = nullptr;
  check(cublaslt::functions().create_operation(&raw, compute_type(p), scale),
        "describing a product");
  Handle<cublasLtMatmulDesc_t> owned(raw);
  set(raw, CUBLASLT_MATMUL_DESC_TRANSA, op(p.b_transposed));
  set(raw, CUBLASLT_MATMUL_DESC_TRANSB, op(p.a_transposed));
  if (!p.bias.empty()) {
    set(raw, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(raw, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.bias.dtype));
  }
  return owned;
}

Handle<cublasLtMatrixLayout_t> layout(const ConstView& row_major) {
  const auto columns = static_cast<std::uint64_t>(row_major.shape[1]);
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublaslt::functions().create_layout(&raw, data_type(row_major.dtype), columns,
                                            static_cast<std::uint64_t>(row_major.shape[0]),
                                            row_major.shape[1]),
        "describing a matrix");
  return Handle<cublasLtMatrixLayout_t>(raw);
}

// What the heuristics propose, best first. Partial sums are reduced in the accumulation type, never
// in bf16, and in a fixed order.
std::vector<cublasLtMatmulHeuristicResult_t> propose(const Libraries& libraries,
                                                     const ProductEntry& entry, const Product& p,
                                                     int at_most) {
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublaslt::functions().create_preference(&raw), "asking for algorithms");
  const Handle<cublasLtMatmulPreference_t> preference(raw);
  const std::uint32_t reductions =
      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE |
      (p.c.dtype == DType::bf16 ? 0u : unsigned{CUBLASLT_REDUCTION_SCHEME_INPLACE});
  set(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceLimit);
  set(raw, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b.data));
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a.data));
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.c.data));
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.c.data));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<std::size_t>(at_most));
  int count = 0;
  const cublasStatus_t status = cublaslt::functions().get_heuristic(
      libraries.cublaslt.get(), entry.operation.get(), entry.a.get(), entry.b.get(), entry.c.get(),
      entry.c.get(), raw, at_most, results.data(), &count);
  // Which dtypes a bias may have beside which results differs between versions, and so does how a
  // version says no.
  const bool refused = status == CUBLAS_STATUS_NOT_SUPPORTED ||
                       (status == CUBLAS_STATUS_INVALID_VALUE && !p.bias.empty());
  if (refused) {
    count = 0;
  } else {
    check(status, "asking for algorithms");
  }
  results.resize(static_cast<std::size_t>(count));
  std::erase_if(results, [](const cublasLtMatmulHeuristicResult_t& result) {
    return result.state != CUBLAS_STATUS_SUCCESS;
  });
  return results;
}

struct Workspace {
  void* data;
  std::size_t bytes;
};
Workspace take_workspace(Scratch::Frame& frame, std::size_t bytes) {
  return {bytes == 0 ? nullptr : frame.take<char>(bytes), bytes};
}

// Computes into `c`, which is not the c of the product while candidates are timed.
cublasStatus_t enqueue(Context& ctx, const ProductEntry& entry, const Product& p,
                       const cublasLtMatmulAlgo_t& algorithm, Workspace workspace, float beta,
                       void* c) {
  const double double_scales[] = {1, static_cast<double>(beta)};
  const float float_scales[] = {1, beta};
  const bool is_double = p.c.dtype == DType::f64;
  const void* alpha = is_double ? static_cast<const void*>(&double_scales[0]) : &float_scales[0];
  const void* scale = is_double ? static_cast<const void*>(&double_scales[1]) : &float_scales[1];
  return cublaslt::functions().matmul(libraries_of(ctx).cublaslt.get(), entry.operation.get(),
                                      alpha, p.b.data, entry.a.get(), p.a.data, entry.b.get(),
                                      scale, c, entry.c.get(), c, entry.c.get(), &algorithm,
                                      workspace.data, workspace.bytes, stream_of(ctx));
}

void adopt(ProductEntry& entry, const cublasLtMatmulHeuristicResult_t& result) {
  entry.algorithm = result.algo;
  entry.workspace_bytes = result.workspaceSize;
}

bool adopt_pinned(const Libraries& libraries, ProductEntry& entry) {
  const std::vector<std::int64_t>* numbers = libraries.pinned.find(entry.name);
  if (numbers == nullptr) return false;
  const std::optional<cublasLtMatmulAlgo_t> algorithm = to_algorithm(*numbers);
  if (!algorithm) return false;
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = cublaslt::functions().check_algorithm(
      libraries.cublaslt.get(), entry.operation.get(), entry.a.get(), entry.b.get(), entry.c.get(),
      entry.c.get(), &*algorithm, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceLimit) return false;
  result.algo = *algorithm;
  adopt(entry, result);
  return true;
}

// Times each candidate into scratch memory: c may hold what the product is to be added to.
void choose_fastest(Context& ctx, const Product& p,
                    const std::vector<cublasLtMatmulHeuristicResult_t>& results,
                    ProductEntry& entry) {
  Scratch::Frame result_frame(ctx.scratch);
  void* c = result_frame.take<char>(p.c.bytes());
  for (const cublasLtMatmulHeuristicResult_t& result : results) {
    Scratch::Frame frame(ctx.scratch);
    const Workspace workspace = take_workspace(frame, result.workspaceSize);
    const float to_beat = entry.milliseconds.value_or(std::numeric_limits<float>::infinity());
    const std::optional<float> milliseconds = best_milliseconds(ctx, to_beat, [&] {
      return enqueue(ctx, entry, p, result.algo, workspace, 0, c) == CUBLAS_STATUS_SUCCESS;
    });
    if (!milliseconds || to_beat <= *milliseconds) continue;
    entry.milliseconds = milliseconds;
    adopt(entry, result);
  }
}

void set_bias(const ProductEntry& entry, const Product& p) {
  if (!p.bias.empty()) {
    set(entry.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.data);
  }
}

ProductEntry choose(Context& ctx, const Product& p) {
  const Libraries& libraries = libraries_of(ctx);
  ProductEntry entry;
  entry.name = libraries.cublaslt_prefix + to_string(p);
  entry.operation = operation(p);
  entry.a = layout(p.b);
  entry.b = layout(p.a);
  entry.c = layout(p.c);
  set_bias(entry, p);
  if (adopt_pinned(libraries, entry)) return entry;
  const auto results = propose(libraries, entry, p, libraries.autotune ? kMostTimed : kMostAsked);
  if (libraries.autotune) {
    choose_fastest(ctx, p, results, entry);
  } else if (!results.empty()) {
    adopt(entry, results.front());
  }
  return entry;
}

}  // namespace

bool gemm(Context& ctx, Math math, Transpose a_transposed, Transpose b_transposed, float beta,
          ConstView a, ConstView b, ConstView bias, View c) {
  const Product p{math, a_transposed, b_transposed, beta, a, b, bias, c};
  if (p.m() == 0 || p.n() == 0 || p.k() == 0) return false;
  auto& known = libraries_of(ctx).products;
  const Key key = key_of(p);
  auto found = known.find(key);
  if (found == known.end()) found = known.emplace(key, choose(ctx, p)).first;
  const ProductEntry& entry = found->second;
  if (!entry.algorithm) return false;
  set_bias(entry, p);
  Scratch::Frame frame(ctx.scratch);
  const Workspace workspace = take_workspace(frame, entry.workspace_bytes);
  check(enqueue(ctx, entry, p, *entry.algorithm, workspace, beta, c.data), "a matrix product");
  return true;
}

}  // namespace nat::gpu::libraries
