#include "engine/parameter.h"

namespace nat {

namespace {
// Each parameter starts on a 64-byte boundary of the flat buffer; the gaps stay zero.
constexpr std::int64_t kAlignElements = 16;

std::int64_t aligned(std::int64_t elements) {
  return (elements + kAlignElements - 1) / kAlignElements * kAlignElements;
}

// Calls body(file index, memory index) for every element of a row-structured parameter.
template <class Body>
void for_each_element(const Parameter& parameter, Body&& body) {
  const auto [pixels, channels, block] = parameter.row;
  const std::int64_t row_size = pixels * channels;
  const std::int64_t row_count = parameter.shape.elements() / row_size;
  for (std::int64_t row = 0; row < row_count; ++row) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        const std::int64_t file = row * row_size + c * pixels + pixel;
        const std::int64_t memory =
            row * row_size + ((c / block) * pixels + pixel) * block + c % block;
        body(file, memory);
      }
    }
  }
}
}  // namespace

std::size_t ParameterSet::declare(Parameter parameter) {
  assert(values_.data() == nullptr);
  parameter.offset = size_;
  size_ = aligned(size_ + parameter.shape.elements());
  parameters_.push_back(std::move(parameter));
  return parameters_.size() - 1;
}

std::size_t ParameterSet::declare(Statistic statistic) {
  assert(values_.data() == nullptr);
  statistic.offset = statistics_size_;
  statistics_size_ = aligned(statistics_size_ + statistic.size);
  statistics_.push_back(std::move(statistic));
  return statistics_.size() - 1;
}

void ParameterSet::allocate(Device device, DType dtype) {
  dtype_ = dtype;
  const auto bytes = [&](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * size_of(dtype);
  };
  values_ = Buffer(device, bytes(size_), "parameters");
  gradients_ = Buffer(device, bytes(size_), "gradients");
  momenta_ = Buffer(device, bytes(size_), "momenta");
  statistics_memory_ = Buffer(device, bytes(statistics_size_), "batch-norm statistics");
}

View ParameterSet::part(const Buffer& buffer, std::int64_t offset, Shape shape) const {
  return {static_cast<char*>(buffer.data()) + static_cast<std::size_t>(offset) * size_of(dtype_),
          dtype_, shape};
}

View ParameterSet::value(std::size_t index) const {
  return part(values_, parameters_[index].offset, parameters_[index].shape);
}
View ParameterSet::gradient(std::size_t index) const {
  return part(gradients_, parameters_[index].offset, parameters_[index].shape);
}
View ParameterSet::statistic(std::size_t index) const {
  return part(statistics_memory_, statistics_[index].offset, Shape(statistics_[index].size));
}

std::vector<float> ParameterSet::to_file(const Parameter& parameter, const float* memory) const {
  std::vector<float> file(static_cast<std::size_t>(parameter.shape.elements()));
  for_each_element(parameter, [&](std::int64_t to, std::int64_t from) {
    file[static_cast<std::size_t>(to)] = memory[from];
  });
  return file;
}

void ParameterSet::from_file(const Parameter& parameter, const float* file, float* memory) const {
  for_each_element(parameter, [&](std::int64_t from, std::int64_t to) { memory[to] = file[from]; });
}

}  // namespace nat
