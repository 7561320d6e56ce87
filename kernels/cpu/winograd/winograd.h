// Convolutions of 3x3 and 5x5 taps and stride 1 by Winograd's algorithm (toom_cook.h): up to 6.2
// times fewer multiplications. Data and outputs are float32, or bfloat16 where the processor has no
// tiles (AMX) for it; either way all arithmetic is float32. Numbers of channels are whole vectors,
// 16 with AVX-512 and 8 without (docs/decisions/0002).
#pragma once

#include "kernels/conv2d.h"

namespace nat::cpu {

// F(outputs x outputs, taps x taps); outputs = 0 where the algorithm does not apply.
struct WinogradTile {
  int outputs = 0, taps = 0;
  explicit operator bool() const { return outputs != 0; }
};

// Whether the algorithm computes this convolution for so many channels on either side.
bool winograd_serves(const Conv2d& conv, std::int64_t channels);

// The tile that takes the fewest multiplications for these views.
WinogradTile winograd_tile(const Conv2d& conv, const ConstView& x, const ConstView& y);

const char* winograd_name(const WinogradTile& tile);  // "Winograd F(4x4, 5x5)"

// As the functions of kernels/conv2d.h, for a conv, x and y with a tile.
void winograd_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y);
void winograd_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx);
void winograd_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy,
                               Grad grad, View dw);

}  // namespace nat::cpu
