// Rows of unit length, for the judges that compare rows by cosine.
//
//   inverse_norms   r[i] = 1 / |x_i|;   0 for a zero row, whose similarity to everything is then 0
//   unit_rows       y[i - begin, j] = x[i,j] r[i]   of the rows i in [begin, end)
//
// Norms are summed in double. Those that count lie in [2^-126, 2^126], where they and their
// inverses are normal floats: a shorter row is taken for a zero row, a longer one is an error. So
// products of rows with unit rows cannot overflow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nat/evaluate/features.h"

namespace nat {

// Error(not_finite) names the first row that holds a NaN or an infinity, or is too long; `who` and
// `role` open the message.
std::vector<float> inverse_norms(const char* who, const char* role, const FeatureMatrix& features);
void unit_rows(const FeatureMatrix& features, std::span<const float> inverse, std::int64_t begin,
               std::int64_t end, float* unit);

}  // namespace nat
