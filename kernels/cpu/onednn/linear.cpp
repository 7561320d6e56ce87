#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/onednn/primitives.h"

namespace nat::cpu::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;

memory::desc matrix(const ConstView& view) {
  return {{view.shape[0], view.shape[1]}, data_type(view.dtype), Tag::ab};
}
memory::desc plain_weights(std::int64_t in, std::int64_t out) {
  return {{out, in}, memory::data_type::f32, Tag::ab};
}

// AMX tiles want packed weights. Elsewhere packing costs more than it gives: the weights of one
// step are used once (docs/decisions/0003).
Tag weights_tag() { return has_amx() ? Tag::any : Tag::ab; }

Key key(Operation operation, const ConstView& x, const ConstView& y) {
  return {static_cast<std::int64_t>(operation),
          static_cast<std::int64_t>(x.dtype),
          static_cast<std::int64_t>(y.dtype),
          x.shape[0],
          x.shape[1],
          y.shape[1]};
}

struct Description {
  const CpuState& state;
  memory::desc x, w, dw, y;

  Description(const CpuState& state_, const ConstView& x_view, const ConstView& y_view)
      : state(state_), x(matrix(x_view)), y(matrix(y_view)) {
    const memory::dims dims = {y_view.shape[1], x_view.shape[1]};
    w = {dims, memory::data_type::bf16, weights_tag()};
    dw = {dims, memory::data_type::f32, weights_tag()};
  }
  dnnl::inner_product_forward::primitive_desc forward() const {
    return describe<dnnl::inner_product_forward>(state.engine, user_scratchpad(),
                                                 dnnl::prop_kind::forward_training, x, w, y);
  }
  dnnl::inner_product_backward_data::primitive_desc backward_data() const {
    return describe_backward<dnnl::inner_product_backward_data>(state.engine, user_scratchpad(),
                                                                forward(), x, w, y);
  }
  dnnl::inner_product_backward_weights::primitive_desc backward_weights() const {
    return describe_backward<dnnl::inner_product_backward_weights>(state.engine, user_scratchpad(),
                                                                   forward(), x, dw, y);
  }
};
}  // namespace

bool linear_forward(Context& ctx, ConstView x, ConstView w, View y) {
  CpuState& state = *ctx.cpu;
  Planned* planned = find_or_build(state, key(Operation::linear_forward, x, y), [&] {
    const auto desc = Description(state, x, y).forward();
    auto built = plan<dnnl::inner_product_forward>(state, desc,
                                                   {{DNNL_ARG_SRC, desc.src_desc()},
                                                    {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                                    {DNNL_ARG_DST, desc.dst_desc()}});
    attach_reorder(state, *built, plain_weights(x.shape[1], y.shape[1]), desc.weights_desc());
    return built;
  });
  return run_product(ctx, planned, DNNL_ARG_SRC, x, w, DNNL_ARG_DST, y);
}

bool linear_backward_data(Context& ctx, ConstView w, ConstView dy, View dx) {
  CpuState& state = *ctx.cpu;
  Planned* planned = find_or_build(state, key(Operation::linear_backward_data, dx, dy), [&] {
    const auto desc = Description(state, dx, dy).backward_data();
    auto built =
        plan<dnnl::inner_product_backward_data>(state, desc,
                                                {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                                                 {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                                 {DNNL_ARG_DIFF_SRC, desc.diff_src_desc()}});
    attach_reorder(state, *built, plain_weights(dx.shape[1], dy.shape[1]), desc.weights_desc());
    return built;
  });
  return run_product(ctx, planned, DNNL_ARG_DIFF_DST, dy, w, DNNL_ARG_DIFF_SRC, dx);
}

bool linear_backward_weights(Context& ctx, ConstView x, ConstView dy, Grad grad, View dw) {
  CpuState& state = *ctx.cpu;
  Planned* planned = find_or_build(state, key(Operation::linear_backward_weights, x, dy), [&] {
    const auto desc = Description(state, x, dy).backward_weights();
    auto built = plan<dnnl::inner_product_backward_weights>(
        state, desc,
        {{DNNL_ARG_SRC, desc.src_desc()},
         {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
         {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}});
    attach_reorder(state, *built, desc.diff_weights_desc(), plain_weights(x.shape[1], dy.shape[1]));
    return built;
  });
  return run_weight_gradient(ctx, planned, x, dy, grad, dw);
}

void sgemm(Transpose a_transposed, Transpose b_transposed, std::int64_t m, std::int64_t n,
           std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
           float beta, float* c, std::int64_t ldc) {
  const auto letter = [](Transpose transpose) { return transpose == Transpose::yes ? 'T' : 'N'; };
  const dnnl::status status = dnnl::sgemm(letter(a_transposed), letter(b_transposed), m, n, k, 1.0f,
                                          a, lda, b, ldb, beta, c, ldc);
  NAT_CHECK(status == dnnl::status::success, ErrorKind::unexpected,
            "gemm: oneDNN failed with status ", static_cast<int>(status), " on ", m, "x", n, "x",
            k);
}

}  // namespace nat::cpu::onednn
