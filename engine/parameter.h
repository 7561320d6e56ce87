// The parameters of a network: one flat buffer of values, where it is trained one of gradients and,
// where the optimiser has momentum, one of momenta, so that an optimiser step is one call; and one
// of statistics that are kept but not trained.
//
// In memory a parameter lies as the kernels want it; in files it has PyTorch's name and layout. The
// only difference between the two is the order inside a row, described by RowLayout.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/memory.h"

namespace nat {

// A row of a parameter covers `pixels` positions of `channels` channels each. Memory orders it like
// an activation, (pixel, c); files order it (c, pixel). Convolution weights: pixels = kernel^2. The
// first fully connected layer: the pixels of the activation it reads. Everything else: pixels = 1.
struct RowLayout {
  std::int64_t pixels = 1, channels = 1;
  friend bool operator==(const RowLayout&, const RowLayout&) = default;
};

// What a parameter is; decides its initial value and whether weight decay applies (weights only).
enum class Role { weight, bias, scale, shift };

struct Parameter {
  std::string name;  // PyTorch's name, e.g. "features.conv1.weight"
  Shape shape;       // as in memory
  std::vector<std::int64_t> file_shape;
  RowLayout row;
  Role role = Role::weight;
  std::int64_t fan_in = 1;
  std::int64_t offset = 0;  // elements from the start of the flat buffer
};

// A value that training updates but the optimiser does not, such as a running mean.
struct Statistic {
  std::string name;
  std::int64_t size = 0;
  float initial = 0;
  std::int64_t offset = 0;
};

class ParameterSet {
 public:
  // Declaring returns the index by which the parameter is found again. All before allocate().
  std::size_t declare(Parameter parameter);
  std::size_t declare(Statistic statistic);
  // dtype f32, or f64 for gradient checks.
  void allocate(const Context& ctx, DType dtype);
  // For a network that is trained, and for an optimiser with momentum; all 0. Keep those that are
  // there.
  void keep_gradients(Context& ctx);
  void keep_momenta(Context& ctx);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<Statistic>& statistics() const { return statistics_; }
  std::int64_t size() const { return size_; }

  View value(std::size_t index) const;
  View gradient(std::size_t index) const;
  View statistic(std::size_t index) const;
  // What products read: the value, or its copy in bfloat16 where the context computes so (CUDA;
  // oneDNN rounds for itself). sgd_step keeps the copy up to date.
  ConstView operand(std::size_t index) const;

  View values() const { return {values_.data(), dtype_, Shape(size_)}; }
  View gradients() const;  // empty before keep_gradients()
  View operands() const;   // empty when products read the values themselves
  // To be called after the values were written by anything but sgd_step.
  void refresh_operands(Context& ctx);

  View momenta() const;  // empty before keep_momenta()
  View statistic_values() const {
    return {statistics_memory_.data(), dtype_, Shape(statistics_size_)};
  }

  // Values between memory order (on the host) and file order.
  std::vector<float> to_file(const Parameter& parameter, const float* memory) const;
  void from_file(const Parameter& parameter, const float* file, float* memory) const;

 private:
  View part(const Buffer& buffer, DType dtype, std::int64_t offset, Shape shape) const;

  std::vector<Parameter> parameters_;
  std::vector<Statistic> statistics_;
  std::int64_t size_ = 0, statistics_size_ = 0;
  DType dtype_ = DType::f32;
  Buffer values_, gradients_, momenta_, statistics_memory_, operands_;
};

// Values and statistics of `to` whose names begin with `prefix` become those of `from`, which lives
// in the same context; momenta stay. Error(usage) names the first that `from` lacks or has in
// another shape or order, and then nothing has been copied.
void copy_parameters(Context& ctx, const ParameterSet& from, std::string_view prefix,
                     ParameterSet& to);

}  // namespace nat
