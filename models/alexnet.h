// The paper's network: AlexNet without groups, with batch norm, on two gradient channels.
// Source: the official code (five convolutions, 4096-4096-d, one dropout of 1/2 after fc6).
//
//   224 -> conv 11x11/4 -> 55, pool 3/2 -> 27 -> conv 5x5 -> 27, pool -> 13
//       -> 3 x conv 3x3 -> 13, pool -> 6 -> 6 x 6 x 256 = 9216 -> 4096 -> 4096 -> d
//   66.7 million parameters at d = 2048
#pragma once

#include "models/network.h"

namespace nat {

inline constexpr int kAlexNetPicture = 224;

NetworkTable alexnet_table();

}  // namespace nat
