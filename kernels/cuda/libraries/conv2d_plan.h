// Convolutions as cuDNN graphs, and which of the plans that cuDNN offers for them are acceptable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/cuda/libraries/cudnn_graph.h"

namespace nat::gpu::cudnn {

enum class Direction { forward, backward_data, backward_weights };
const char* name(Direction direction);

// One convolution of kernels/conv2d.h with all operands of one dtype, f32 or bf16, in plain NHWC.
// x stands for x or dx, y for y or dy; w and dw are y.channels() x kernel x kernel x x.channels().
struct Convolution {
  Direction direction = Direction::forward;
  Conv2d conv;
  Shape x, y;
  DType dtype = DType::f32;
  Math math = Math::f32;
};

// Readable and unique: "conv2d forward bf16 256x27x27x96 to 256x27x27x256 kernel 5 stride 1 pad 2".
std::string to_string(const Convolution& convolution);

// Every tensor must be aligned to this many bytes.
inline constexpr std::int64_t kAlignment = 16;
// No plan may ask for more scratch memory than this.
inline constexpr std::int64_t kWorkspaceLimit = std::int64_t{512} << 20;

// The graph of one convolution. Its tensors have the unique ids 1 (x or dx), 2 (w or dw) and 3 (y
// or dy).
Descriptor convolution_graph(const Target& target, const Convolution& convolution);

// Whether an engine keeps the promises of the mode: always the same bits, no transforms that lose
// accuracy (FFT, Winograd), no operands in a shorter type than they are given in, and in f32 no
// tensor cores, which would round the operands to tf32.
bool is_acceptable(const Candidate& candidate, Math math);

// Up to `at_most` acceptable plans within kWorkspaceLimit, those that cuDNN expects to be fastest
// first. Empty when there is none.
std::vector<Plan> find_plans(const Target& target, const Convolution& convolution,
                             std::size_t at_most);
// The plan of a pinned recipe; nullopt when it is not valid here any more.
std::optional<Plan> pinned_plan(const Target& target, const Convolution& convolution,
                                const Recipe& recipe);

}  // namespace nat::gpu::cudnn
