// One row of kernels/targets.h, written as the header states it.
#pragma once

#include <cstdint>
#include <vector>

namespace nat::reference {

std::vector<float> target_row(std::uint64_t seed, std::int32_t row, std::size_t d);

}  // namespace nat::reference
