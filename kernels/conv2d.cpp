#include "kernels/conv2d.h"

#include "kernels/conv2d_check.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/scratch_view.h"
#include "kernels/space_to_depth.h"

namespace nat {

Shape conv2d_output(const Conv2d& conv, const Shape& x, std::int64_t channels) {
  NAT_CHECK(x.rank == 4, ErrorKind::usage, "conv2d: x has shape ", to_string(x),
            ", expected n x h x w x c");
  const auto size = [&](std::int64_t in) {
    return (in + 2 * conv.pad - conv.kernel) / conv.stride + 1;
  };
  NAT_CHECK(conv.kernel >= 1 && conv.stride >= 1 && conv.pad >= 0 &&
                x[1] + 2 * conv.pad >= conv.kernel && x[2] + 2 * conv.pad >= conv.kernel,
            ErrorKind::usage, "conv2d: kernel ", conv.kernel, " stride ", conv.stride, " pad ",
            conv.pad, " does not fit a picture of ", x[1], "x", x[2]);
  return {x[0], size(x[1]), size(x[2]), channels};
}

namespace {

bool folding_pays(Device device, const Conv2d& conv, std::int64_t channels) {
  if (conv.stride == 1 || conv.kernel <= conv.stride) return false;
  const std::int64_t folded = channels * conv.stride * conv.stride;
  if (device == Device::cpu) {
    // With fewer channels the transforms take longer than the products that they save.
    constexpr std::int64_t kFewest = 16;
    return channels < kFewest && folded >= kFewest &&
           cpu::winograd_serves(folded_conv(conv), folded);
  }
  constexpr std::int64_t kTensorCoreChannels = 8;
  return channels < kTensorCoreChannels && folded % kTensorCoreChannels == 0;
}

}  // namespace

Shape conv2d_folded(Device device, const Conv2d& conv, const Shape& x) {
  if (!folding_pays(device, conv, x[3])) return x;
  const std::int64_t around = folded_conv(conv).kernel - 1;
  const Shape y = conv2d_output(conv, x, 1);
  return {x[0], y[1] + around, y[2] + around, x[3] * conv.stride * conv.stride};
}

Conv2d folded_conv(const Conv2d& conv) {
  return {.kernel = (conv.kernel + conv.stride - 1) / conv.stride, .stride = 1, .pad = 0};
}

Shape folded_weights(const Conv2d& conv, const Shape& w) {
  const std::int64_t taps = folded_conv(conv).kernel;
  return {w[0], taps, taps, w[3] * conv.stride * conv.stride};
}

bool is_folded(const Conv2d& conv, const Shape& x, const Shape& w) {
  return x[3] != w[3] && x[3] == w[3] * conv.stride * conv.stride;
}

ConstView as_folded(Context& ctx, Scratch::Frame& frame, const Conv2d& conv, ConstView x,
                    const Shape& w) {
  const Shape shape = conv2d_folded(ctx.device, conv, x.shape);
  if (is_folded(conv, x.shape, w) || shape == x.shape) return x;
  const View folded = scratch_view(frame, x.dtype, shape);
  conv2d_fold(ctx, conv, x, folded);
  return folded;
}

void check_conv2d_shapes(const Conv2d& conv, const Shape& x, const Shape& w, const Shape& y) {
  const Shape want_y = conv2d_output(conv, x, y.channels());
  const Shape want_w(y.channels(), conv.kernel, conv.kernel, x[3]);
  NAT_CHECK(y == want_y, ErrorKind::usage, "conv2d: y has shape ", to_string(y), ", expected ",
            to_string(want_y));
  NAT_CHECK(w == want_w, ErrorKind::usage, "conv2d: w has shape ", to_string(w), ", expected ",
            to_string(want_w));
}

void check_conv2d_operands(const Conv2d& conv, const Shape& x, const Shape& w, const Shape& y) {
  if (!is_folded(conv, x, w)) return check_conv2d_shapes(conv, x, w, y);
  NAT_CHECK(w[1] == conv.kernel && w[2] == conv.kernel, ErrorKind::usage, "conv2d: w has shape ",
            to_string(w), ", expected a kernel of ", conv.kernel, "x", conv.kernel);
  check_conv2d_shapes(folded_conv(conv), x, folded_weights(conv, w), y);
}

void check_conv2d_fold(const Conv2d& conv, const ConstView& x, const ConstView& folded,
                       Device device) {
  const Shape want = conv2d_folded(device, conv, x.shape);
  NAT_CHECK(want != x.shape && folded.shape == want && folded.dtype == x.dtype, ErrorKind::usage,
            "conv2d: folded is ", name(folded.dtype), " ", to_string(folded.shape), ", expected ",
            name(x.dtype), " ", to_string(want), ", other than x");
}

}  // namespace nat
