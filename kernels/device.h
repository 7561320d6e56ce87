// Where an operation runs, and how exactly it may compute.
#pragma once

namespace nat {

enum class Device { cpu, cuda };

// Operand precision of convolutions and matrix products. Parameters, statistics, features, targets,
// scores and losses are float32 in every mode.
//   f32   everything in float32 (or float64, when the views are float64)
//   tf32  CUDA only: float32 storage, TF32 tensor cores
//   bf16  activations stored as bfloat16, products accumulated in float32
enum class Math { f32, tf32, bf16 };

enum class Mode { train, eval };

// Whether a gradient replaces what its buffer holds or is added to it.
enum class Grad { overwrite, accumulate };

inline const char* name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
inline const char* name(Math math) {
  return math == Math::f32 ? "f32" : math == Math::tf32 ? "tf32" : "bf16";
}

}  // namespace nat
