// First-layer filters as pictures.
//
// Behind a fixed Sobel layer a filter w_o sees two gradient maps, not the picture. Both are linear,
// so together they are one filter on the gray picture, the full convolution with the Sobel kernels
//
//   K_o = sum_c w_{o,c} * s_c,   K_o[i,j] = sum_{c,p,q} w_{o,c}[p,q] s_c[i-p, j-q]
//
// which is two pixels larger: 13 x 13 for an 11 x 11 filter. This is figure 4 of the paper.
// s_x = [-1 0 1; -2 0 2; -1 0 1], s_y its transpose (kernels/preprocess.h).
#pragma once

#include <span>
#include <vector>

#include "tools/report/png.h"

namespace nat::report {

// K for every filter: weights (outputs, 2, kernel, kernel) -> (outputs, kernel+2, kernel+2).
std::vector<float> compose_with_sobel(std::span<const float> weights, int outputs, int kernel);

// One picture a filter: weights (outputs, channels, kernel, kernel) with 1 channel give gray ones,
// with 3 colour ones, and with 2 the composition above. Each filter is stretched on its own from
// its minimum (black) to its maximum (white); a constant one becomes middle gray.
std::vector<Picture> filter_pictures(std::span<const float> weights, int outputs, int channels,
                                     int kernel);

}  // namespace nat::report
