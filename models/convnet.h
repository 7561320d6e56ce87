// A small network for pictures of 28 to 64 pixels, which trains in minutes on two CPU cores.
//
//   28 -> conv 5x5/2, 32 -> 14 -> conv 3x3, 64, pool 2/2 -> 7 -> conv 3x3, 128, pool 2/2 -> 3
//   3 x 3 x 128 = 1152 -> 256 -> d;  0.4 million parameters at d = 64 (width 1)
// `width` multiplies every channel count.
#pragma once

#include "models/network.h"

namespace nat {

NetworkTable convnet_table(int width = 1);

}  // namespace nat
