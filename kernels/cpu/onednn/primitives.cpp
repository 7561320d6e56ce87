#include "kernels/cpu/onednn/primitives.h"

#include "kernels/check.h"
#include "kernels/cpu/onednn/onednn.h"

namespace nat::cpu::onednn {

CpuState* make_state() { return new CpuState; }
void destroy_state(CpuState* state) { delete state; }

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    default:
      break;
  }
  throw Error(ErrorKind::unexpected, str("oneDNN is not used for dtype ", name(dtype)));
}

namespace {
// Effective instruction sets are bit sets: a newer set contains the bits of those it extends.
bool has_isa(dnnl::cpu_isa wanted) {
  const auto effective = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto bits = static_cast<unsigned>(wanted);
  return (effective & bits) == bits;
}
}  // namespace

bool has_amx() { return has_isa(dnnl::cpu_isa::avx512_core_amx); }
bool has_avx512() { return has_isa(dnnl::cpu_isa::avx512_core); }
bool has_bf16() { return has_isa(dnnl::cpu_isa::avx512_core_bf16); }

std::string version() {
  const dnnl_version_t* version = dnnl_version();
  return str(version->major, ".", version->minor, ".", version->patch);
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

void throw_onednn_error(const dnnl::error& error) {
  const bool is_memory = error.status == dnnl_out_of_memory;
  throw Error(is_memory ? ErrorKind::memory : ErrorKind::unexpected,
              str("oneDNN: ", error.what(), is_memory ? "; take a smaller --batch" : ""));
}

void attach_reorder(const CpuState& state, Planned& planned, const dnnl::memory::desc& from,
                    const dnnl::memory::desc& to) {
  if (from == to) return;
  const dnnl::reorder::primitive_desc desc(state.engine, from, state.engine, to, user_scratchpad());
  planned.weights_reorder =
      plan<dnnl::reorder>(state, desc, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

namespace {

void point(dnnl::memory& memory, const void* data) {
  memory.set_data_handle(const_cast<void*>(data));
}

// The arguments but the scratchpad have their handles.
void run(Context& ctx, Planned& planned) {
  Scratch::Frame frame(ctx.scratch);
  const std::size_t bytes = planned.scratchpad.get_size();
  if (bytes > 0) point(planned[DNNL_ARG_SCRATCHPAD], frame.take<char>(bytes));
  try {
    planned.primitive.execute(ctx.cpu->stream, planned.arguments);
    ctx.cpu->stream.wait();
  } catch (const dnnl::error& error) {
    throw_onednn_error(error);
  }
}

void run_reorder(Context& ctx, Planned& reorder, const void* from, void* to) {
  point(reorder[DNNL_ARG_FROM], from);
  point(reorder[DNNL_ARG_TO], to);
  run(ctx, reorder);
}

const void* weights_for(Context& ctx, Scratch::Frame& frame, Planned& planned, const void* plain) {
  if (planned.weights_reorder == nullptr) return plain;
  Planned& reorder = *planned.weights_reorder;
  void* data = frame.take<char>(reorder[DNNL_ARG_TO].get_desc().get_size());
  run_reorder(ctx, reorder, plain, data);
  return data;
}

// Where the primitive should write its weight gradient ...
void* gradient_memory(Scratch::Frame& frame, Planned& planned, Grad grad, View dw) {
  if (planned.weights_reorder != nullptr) {
    return frame.take<char>((*planned.weights_reorder)[DNNL_ARG_FROM].get_desc().get_size());
  }
  return grad == Grad::overwrite ? dw.data : frame.take<char>(dw.bytes());
}

// ... and the way from there into dw.
void deliver_gradient(Context& ctx, Planned& planned, Grad grad, void* gradient, View dw) {
  Scratch::Frame frame(ctx.scratch);
  if (planned.weights_reorder != nullptr) {
    void* plain = grad == Grad::overwrite ? dw.data : frame.take<char>(dw.bytes());
    run_reorder(ctx, *planned.weights_reorder, gradient, plain);
    gradient = plain;
  }
  if (grad == Grad::overwrite) return;
  const float* from = static_cast<const float*>(gradient);
  float* to = dw.as<float>();
  const std::int64_t count = dw.shape.elements();
  for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

bool run_product(Context& ctx, Planned* planned, int in_argument, ConstView in, ConstView weights,
                 int out_argument, View out) {
  if (planned == nullptr) return false;
  Scratch::Frame frame(ctx.scratch);
  point((*planned)[in_argument], in.data);
  point((*planned)[DNNL_ARG_WEIGHTS], weights_for(ctx, frame, *planned, weights.data));
  point((*planned)[out_argument], out.data);
  run(ctx, *planned);
  return true;
}

bool run_weight_gradient(Context& ctx, Planned* planned, ConstView x, ConstView dy, Grad grad,
                         View dw) {
  if (planned == nullptr) return false;
  Scratch::Frame frame(ctx.scratch);
  void* gradient = gradient_memory(frame, *planned, grad, dw);
  point((*planned)[DNNL_ARG_SRC], x.data);
  point((*planned)[DNNL_ARG_DIFF_DST], dy.data);
  point((*planned)[DNNL_ARG_DIFF_WEIGHTS], gradient);
  run(ctx, *planned);
  deliver_gradient(ctx, *planned, grad, gradient, dw);
  return true;
}

}  // namespace nat::cpu::onednn
