// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011).
//
// Every random number of the project is a pure function of (seed, stream, epoch, index): the order
// of calls, the number of threads and the point of resume change nothing, and CPU and CUDA draw the
// same bits. Floating-point helpers use explicit fma so that no compiler can round them
// differently.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace nat {

// What a random number is for. Values are part of the file format: never renumber.
// `epoch` is an epoch where a stream has epochs, and what is said here where it has none.
enum class RandomStream : std::uint32_t {
  init = 1,      // index: element in file order, epoch: which parameter
  order = 2,     // index: place in the order
  crop = 3,      // index: image id
  targets = 4,   // index: row * 2^16 + column pair, epoch: 0
  dropout = 5,   // index: layer * 2^40 + element / 4, epoch: step
  probe = 6,     // label subsets: index: training row, epoch: subset; k-means: draw, restart
  synthetic = 7  // data of tests and benchmarks
};

struct Random4 {
  std::uint32_t value[4];
};

NAT_HOST_DEVICE constexpr Random4 philox(std::uint64_t seed, RandomStream stream,
                                         std::uint32_t epoch, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index);
  std::uint32_t c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = epoch;
  std::uint32_t c3 = static_cast<std::uint32_t>(stream);
  std::uint32_t k0 = static_cast<std::uint32_t>(seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits, and in (0, 1].
NAT_HOST_DEVICE constexpr float uniform(std::uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}
NAT_HOST_DEVICE constexpr float uniform_positive(std::uint32_t bits) {
  return static_cast<float>((bits >> 8) + 1) * 0x1p-24f;
}

struct Normal2 {
  float a, b;
};

// Two independent standard normals from two words (Box and Muller 1958), bit-identical everywhere.
NAT_HOST_DEVICE Normal2 normal_pair(std::uint32_t radius_bits, std::uint32_t angle_bits);

}  // namespace nat

#include "kernels/random_normal.h"
