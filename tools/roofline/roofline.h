// The roofline of a training step: how many operations and bytes each part of it needs at the very
// least, and how soon a card with given ceilings could be done.
//
//   seconds of an operation = max(flops / product rate, bytes / bandwidth)
//   floor of a step         = sum over its operations
//
// The decomposition is that of this program: library convolutions and products, one fused kernel
// for batch norm, pooling and ReLU. Counted is what must pass the memory once however the kernels
// are written: every operand and result once, nothing from a cache. Where our kernels store more
// for their convenience (kernels/batchnorm.h keeps the raw value behind each pooled one), the
// floor does not count it. roofline.cpp states the bytes of each operation beside its line.
// Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
// multicore architectures", CACM 52 (2009).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "models/network.h"

namespace nat::roofline {

enum class Kind { preprocess, convolution, batch_norm, linear, head, update };
inline constexpr std::array kKinds = {Kind::preprocess, Kind::convolution, Kind::batch_norm,
                                      Kind::linear,     Kind::head,        Kind::update};
const char* name(Kind kind);

// What is to be computed, in the words of the command line.
struct Workload {
  NetworkTable table;
  int size = 224;           // side of the network's input
  int stored_channels = 1;  // of the stored pictures, one byte each
  std::int64_t dimension = 2048;
  std::int64_t batch = 256;
  Math math = Math::bf16;
  bool momentum = false;  // SGD keeps a momentum for every parameter
};

// The workload of an architecture at the picture size and dimension it was made for.
Workload workload_of(const ArchitectureOptions& architecture, int size);

struct Operation {
  std::string name;  // "conv2 forward"
  Kind kind;
  double flops, bytes;
};

// Every operation of a step that re-assigns, from stored bytes to updated parameters, in order.
// What the assignment itself computes is not counted, only that it reads the scores.
std::vector<Operation> step_operations(const Workload& workload);

// Products of the network alone (a multiplication and an addition are two), for one picture.
double forward_flops_of_picture(const Workload& workload);
double training_flops_of_picture(const Workload& workload);

// What a card sustains: products a second by precision, and bytes a second of a large copy, reading
// and writing both counted.
struct Ceilings {
  double bf16_flops, tf32_flops, f32_flops;
  double bytes_per_second;
  double product_rate(Math math) const;
};

struct Card {
  std::string name;
  Ceilings expected;  // what large products and copies should reach; measured ones replace it
};
const std::vector<Card>& cards();
const Card& card(const std::string& name);  // Error(usage) naming the known ones

struct Floor {
  double seconds = 0, flops = 0, bytes = 0;
  std::array<double, kKinds.size()> seconds_of_kind{};

  double seconds_of(Kind kind) const { return seconds_of_kind[static_cast<std::size_t>(kind)]; }
};

double seconds(const Operation& operation, const Ceilings& ceilings, Math math);
bool is_memory_bound(const Operation& operation, const Ceilings& ceilings, Math math);
Floor floor_of(const std::vector<Operation>& operations, const Ceilings& ceilings, Math math);

}  // namespace nat::roofline
