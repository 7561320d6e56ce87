// The handwritten kernels at the sizes of AlexNet: operands, how to call them, and how many bytes
// their contracts oblige them to move (each operand and result once in each pass over the batch;
// what a pass reads twice within a row is counted once).
#pragma once

#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "bench/tensors.h"
#include "kernels/batchnorm.h"
#include "kernels/nat_head.h"
#include "kernels/permutation.h"
#include "kernels/preprocess.h"
#include "kernels/reduce.h"
#include "kernels/sgd.h"
#include "kernels/sigmoid_xent.h"
#include "kernels/softmax_xent.h"
#include "kernels/targets.h"

namespace nat::bench {

// One tensor of a case and its contents: `values` or, when empty, uniform in [low, high).
struct Operand {
  Shape shape;
  DType dtype = DType::f32;
  float low = -1, high = 1;
  std::vector<float> values = {};
  bool is_result = false;
};

using Views = std::vector<View>;

struct KernelCase {
  std::string name;
  std::vector<Operand> operands;
  double bytes = 0;
  std::function<void(Context&, const Views&)> run;
  std::function<void(Context&, const Views&)> prepare = {};  // runs once, before
};

// Collects the operands of a case; add() returns the place where a call finds its view.
class Operands {
 public:
  std::size_t add(Operand operand) {
    list.push_back(std::move(operand));
    return list.size() - 1;
  }
  std::size_t input(Shape shape, DType dtype) { return add({.shape = shape, .dtype = dtype}); }
  std::size_t result(Shape shape, DType dtype) {
    return add({.shape = shape, .dtype = dtype, .is_result = true});
  }
  double bytes(std::initializer_list<std::size_t> places) const {
    double sum = 0;
    for (const std::size_t at : places) {
      sum += static_cast<double>(View(nullptr, list[at].dtype, list[at].shape).bytes());
    }
    return sum;
  }
  std::vector<Operand> list;
};

// ---- preprocessing ------------------------------------------------------------------------------

inline KernelCase preprocess_case(std::int64_t n, DType dtype) {
  constexpr std::int64_t kStored = 256, kSize = 224;
  std::vector<float> boxes;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto corner = static_cast<float>(i % (kStored - kSize));
    const float box[] = {corner, corner, kSize, kSize, static_cast<float>(i % 2)};
    boxes.insert(boxes.end(), std::begin(box), std::end(box));
  }
  Operands o;
  const auto pixels =
      o.add({.shape = Shape(n, kStored, kStored, 3), .dtype = DType::u8, .low = 0, .high = 256});
  const auto where = o.add({.shape = Shape(n, 5), .values = boxes});
  const auto images = o.result(Shape(n, kSize, kSize, 2), dtype);
  const double cropped = static_cast<double>(n * kSize * kSize * 3);
  return {.name = "preprocess, Sobel",
          .operands = o.list,
          .bytes = cropped + o.bytes({images}),
          .run = [=](Context& ctx, const Views& v) {
            preprocess(ctx, FrontEnd::sobel, v[pixels], v[where], v[images]);
          }};
}

// ---- batch norm ---------------------------------------------------------------------------------

struct NormCase {
  std::string name;
  BatchNorm norm;
  Shape x;
};

// The places of everything that both directions share.
struct NormPlaces {
  std::size_t x, gamma, beta, running_mean, running_var, mean, inv_std, argmax, picked, y, step;
};

inline NormPlaces norm_operands(Operands& o, const NormCase& c, DType dtype, bool results) {
  const Shape channels(c.x.channels()), y = batchnorm_output(c.norm, c.x);
  const Shape pooled = c.norm.pool > 0 ? y : Shape(1);
  NormPlaces at{};
  at.x = o.input(c.x, dtype);
  at.gamma = o.add({.shape = channels, .low = 0.5f, .high = 1.5f});
  at.beta = o.input(channels, DType::f32);
  at.running_mean = o.input(channels, DType::f32);
  at.running_var = o.add({.shape = channels, .low = 0.5f, .high = 1.5f});
  const auto result = [&](Shape shape, DType type) {
    return o.add({.shape = shape, .dtype = type, .is_result = results});
  };
  at.mean = result(channels, DType::f32);
  at.inv_std = result(channels, DType::f32);
  at.argmax = o.add({.shape = pooled, .dtype = DType::u8});
  at.picked = o.add({.shape = pooled, .dtype = dtype});
  at.y = result(y, dtype);
  at.step = o.add({.shape = Shape(1), .dtype = DType::i32, .values = {3}});
  return at;
}

inline BatchNormSaved norm_saved(const NormCase& c, const NormPlaces& at, const Views& v) {
  if (c.norm.pool == 0) return {v[at.mean], v[at.inv_std], View(), View()};
  return {v[at.mean], v[at.inv_std], v[at.argmax], v[at.picked]};
}

inline void run_norm_forward(Context& ctx, const NormCase& c, const NormPlaces& at,
                             const Views& v) {
  const DropoutKey key{.seed = 1, .step = v[at.step].as<std::uint32_t>(), .layer = 6};
  batchnorm_forward(ctx, c.norm, Mode::train, key, v[at.x],
                    {v[at.gamma], v[at.beta], v[at.running_mean], v[at.running_var]},
                    norm_saved(c, at, v), v[at.y]);
}

inline KernelCase norm_forward_case(const NormCase& c, DType dtype) {
  Operands o;
  const NormPlaces at = norm_operands(o, c, dtype, true);
  double bytes = 2 * o.bytes({at.x}) + o.bytes({at.y});
  if (c.norm.pool > 0) bytes += o.bytes({at.argmax, at.picked});
  return {.name = c.name + " forward",
          .operands = o.list,
          .bytes = bytes,
          .run = [=](Context& ctx, const Views& v) { run_norm_forward(ctx, c, at, v); }};
}

// Sums over the gradient, then dx. With pooling the sums need pooled tensors only.
inline KernelCase norm_backward_case(const NormCase& c, DType dtype) {
  Operands o;
  const NormPlaces at = norm_operands(o, c, dtype, false);
  const auto dy = o.input(batchnorm_output(c.norm, c.x), dtype);
  const auto dgamma = o.result(Shape(c.x.channels()), DType::f32);
  const auto dbeta = o.result(Shape(c.x.channels()), DType::f32);
  const auto dx = o.result(c.x, dtype);
  const bool has_pool = c.norm.pool > 0;
  const double sums = has_pool ? o.bytes({dy, at.argmax, at.picked}) : o.bytes({dy, at.x, at.y});
  const double apply = o.bytes({at.x, dy, dx}) + o.bytes({has_pool ? at.argmax : at.y});
  return {.name = c.name + " backward",
          .operands = o.list,
          .bytes = sums + apply,
          .run =
              [=](Context& ctx, const Views& v) {
                batchnorm_backward(ctx, c.norm, Mode::train, v[at.x],
                                   has_pool ? ConstView() : ConstView(v[at.y]), v[at.gamma],
                                   norm_saved(c, at, v), v[dy], Grad::overwrite, v[dgamma],
                                   v[dbeta], v[dx]);
              },
          .prepare = [=](Context& ctx, const Views& v) { run_norm_forward(ctx, c, at, v); }};
}

inline std::vector<NormCase> norm_cases(std::int64_t n) {
  const BatchNorm pooled{.pool = 3, .pool_stride = 2}, plain{}, dropped{.dropout = 0.5f};
  return {{"bn1 + pool + ReLU", pooled, Shape(n, 55, 55, 96)},
          {"bn2 + pool + ReLU", pooled, Shape(n, 27, 27, 256)},
          {"bn3 + ReLU", plain, Shape(n, 13, 13, 384)},
          {"bn5 + pool + ReLU", pooled, Shape(n, 13, 13, 256)},
          {"bn6 + ReLU + dropout", dropped, Shape(n, 4096)}};
}

// ---- features, targets, loss, always float32 ----------------------------------------------------

inline std::vector<float> ascending(std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

inline std::vector<KernelCase> head_cases(std::int64_t n) {
  constexpr std::int64_t kDimension = 2048;
  const Shape features(n, kDimension), row(n);
  std::vector<KernelCase> cases;
  {
    Operands o;
    const auto x = o.input(features, DType::f32), z = o.result(features, DType::f32),
               inv = o.result(row, DType::f32);
    cases.push_back(
        {.name = "normalize_rows",
         .operands = o.list,
         .bytes = o.bytes({x, z, inv}),
         .run = [=](Context& ctx, const Views& v) { normalize_rows(ctx, v[x], v[z], v[inv]); }});
  }
  {
    Operands o;
    const auto z = o.input(features, DType::f32), inv = o.input(row, DType::f32),
               c = o.input(features, DType::f32), loss = o.result(row, DType::f32),
               dx = o.result(features, DType::f32);
    cases.push_back({.name = "nat_loss",
                     .operands = o.list,
                     .bytes = o.bytes({z, inv, c, loss, dx}),
                     .run = [=](Context& ctx, const Views& v) {
                       nat_loss(ctx, 1, v[z], v[inv], v[c], v[loss], v[dx]);
                     }});
  }
  for (const auto& [name, kind] : {std::pair{"target_rows", TargetKind::sphere},
                                   std::pair{"target_rows, basis", TargetKind::basis}}) {
    Operands o;
    const auto ids = o.add({.shape = row, .dtype = DType::i32, .values = ascending(n)}),
               c = o.result(features, DType::f32);
    cases.push_back({.name = name,
                     .operands = o.list,
                     .bytes = o.bytes({ids, c}),
                     .run = [=, kind = kind](Context& ctx, const Views& v) {
                       target_rows(ctx, kind, 1, v[ids], v[c]);
                     }});
  }
  {
    Operands o;
    const auto x = o.input(features, DType::f32), mean = o.result(Shape(kDimension), DType::f32);
    cases.push_back(
        {.name = "column_mean",
         .operands = o.list,
         .bytes = o.bytes({x, mean}),
         .run = [=](Context& ctx, const Views& v) { column_mean(ctx, v[x], v[mean]); }});
  }
  {
    Operands o;
    const auto x = o.input(features, DType::f32), mean = o.input(Shape(kDimension), DType::f32),
               y = o.result(features, DType::f32);
    cases.push_back(
        {.name = "center_rows",
         .operands = o.list,
         .bytes = o.bytes({x, mean, y}),
         .run = [=](Context& ctx, const Views& v) { center_rows(ctx, v[x], v[mean], v[y]); }});
  }
  {
    Operands o;
    const auto a = o.input(features, DType::f32), b = o.input(features, DType::f32),
               dot = o.result(row, DType::f32);
    cases.push_back(
        {.name = "row_dot",
         .operands = o.list,
         .bytes = o.bytes({a, b, dot}),
         .run = [=](Context& ctx, const Views& v) { row_dot(ctx, v[a], v[b], v[dot]); }});
  }
  {
    Operands o;
    const auto order = o.add({.shape = row, .dtype = DType::i32, .values = ascending(n)}),
               ids = o.add({.shape = row, .dtype = DType::i32, .values = ascending(n)}),
               held = o.result(row, DType::i32);
    cases.push_back({.name = "held_targets",
                     .operands = o.list,
                     .bytes = o.bytes({order, ids, held}),
                     .run = [=](Context& ctx, const Views& v) {
                       held_targets(ctx, v[order], v[ids], v[held]);
                     }});
  }
  return cases;
}

// ---- the rest -----------------------------------------------------------------------------------

inline KernelCase softmax_case(std::int64_t n) {
  constexpr std::int64_t kClasses = 1000;
  Operands o;
  const auto logits = o.input(Shape(n, kClasses), DType::f32),
             labels = o.add({.shape = Shape(n), .dtype = DType::i32, .low = 0, .high = kClasses}),
             loss = o.result(Shape(n), DType::f32),
             dlogits = o.result(Shape(n, kClasses), DType::f32);
  return {.name = "softmax_xent",
          .operands = o.list,
          .bytes = o.bytes({logits, labels, loss, dlogits}),
          .run = [=](Context& ctx, const Views& v) {
            softmax_xent(ctx, 1, v[logits], v[labels], v[loss], v[dlogits]);
          }};
}

inline KernelCase sigmoid_case(std::int64_t n) {
  const Shape all(n, 1000);
  std::vector<float> values = ascending(all.elements());  // as flags: -1, 0, 1, -1, ...
  for (float& value : values) value = std::fmod(value, 3.0f) - 1;
  Operands o;
  const auto logits = o.input(all, DType::f32),
             flags = o.add({.shape = all, .dtype = DType::i32, .values = values}),
             loss = o.result(Shape(n), DType::f32), dlogits = o.result(all, DType::f32);
  return {.name = "sigmoid_xent",
          .operands = o.list,
          .bytes = o.bytes({logits, flags, loss, dlogits}),
          .run = [=](Context& ctx, const Views& v) {
            sigmoid_xent(ctx, 1, v[logits], v[flags], v[loss], v[dlogits]);
          }};
}

// Plain SGD, and the copy of the parameters that bf16 products read.
inline KernelCase update_case(std::int64_t parameters) {
  const Shape all(parameters);
  Operands o;
  const auto g = o.add({.shape = all, .low = -1e-3f, .high = 1e-3f}), w = o.result(all, DType::f32),
             operand = o.result(all, DType::bf16),
             rate = o.add({.shape = Shape(1), .values = {0.01f}});
  return {.name = "sgd_update",
          .operands = o.list,
          .bytes = o.bytes({g, w, w, operand}),
          .run = [=](Context& ctx, const Views& v) {
            sgd_update(ctx, Sgd{}, v[rate], ConstView(), v[g], v[w], View(), v[operand]);
          }};
}

inline KernelCase cast_case(std::int64_t n) {
  Operands o;
  const auto x = o.input(Shape(n, 9216), DType::f32), y = o.result(Shape(n, 9216), DType::bf16);
  return {.name = "cast f32 to bf16",
          .operands = o.list,
          .bytes = o.bytes({x, y}),
          .run = [=](Context& ctx, const Views& v) { cast(ctx, v[x], v[y]); }};
}

inline std::vector<KernelCase> kernel_cases(std::int64_t n, DType dtype, std::int64_t parameters) {
  std::vector<KernelCase> cases = {preprocess_case(n, dtype)};
  for (const NormCase& norm : norm_cases(n)) {
    cases.push_back(norm_forward_case(norm, dtype));
    cases.push_back(norm_backward_case(norm, dtype));
  }
  for (KernelCase& head : head_cases(n)) cases.push_back(std::move(head));
  cases.push_back(softmax_case(n));
  cases.push_back(sigmoid_case(n));
  cases.push_back(update_case(parameters));
  cases.push_back(cast_case(n));
  return cases;
}

}  // namespace nat::bench
