#include "engine/parameter.h"

#include <algorithm>

#include "kernels/cast.h"

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
  const auto [pixels, channels] = parameter.row;
  const std::int64_t row_size = pixels * channels;
  const std::int64_t row_count = parameter.shape.elements() / row_size;
  for (std::int64_t row = 0; row < row_count; ++row) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        body(row * row_size + c * pixels + pixel, row * row_size + pixel * channels + c);
      }
    }
  }
}

template <class Entries>
std::size_t find_named(const Entries& entries, const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const auto& entry) { return entry.name == name; });
  NAT_CHECK(found != entries.end(), ErrorKind::usage, "parameter ", name,
            " is missing in the network to copy from");
  return static_cast<std::size_t>(found - entries.begin());
}

struct CopyOfValues {
  View from, to;
};

CopyOfValues checked_copy(const std::string& name, View from, View to, bool same_order) {
  NAT_CHECK(from.shape == to.shape, ErrorKind::usage, "parameter ", name, " is ",
            to_string(from.shape), " in the network to copy from, here it is ",
            to_string(to.shape));
  NAT_CHECK(same_order, ErrorKind::usage, "parameter ", name,
            " lies in another order in the network to copy from");
  return {from, to};
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

void ParameterSet::allocate(const Context& ctx, DType dtype) {
  const Device device = ctx.device;
  dtype_ = dtype;
  const auto bytes = [&](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * size_of(dtype);
  };
  values_ = Buffer(device, bytes(size_), "parameters");
  statistics_memory_ = Buffer(device, bytes(statistics_size_), "batch-norm statistics");
  if (device == Device::cuda && ctx.math == Math::bf16 && dtype == DType::f32) {
    operands_ = Buffer(device, static_cast<std::size_t>(size_) * size_of(DType::bf16),
                       "parameters in bfloat16");
  }
}

// Buffers are zeroed.
void ParameterSet::keep_gradients(Context& ctx) {
  if (gradients_.data() == nullptr) {
    gradients_ = Buffer(ctx.device, values().bytes(), "gradients");
  }
}

void ParameterSet::keep_momenta(Context& ctx) {
  if (momenta_.data() == nullptr) momenta_ = Buffer(ctx.device, values().bytes(), "momenta");
}

View ParameterSet::gradients() const {
  return gradients_.data() == nullptr ? View() : View(gradients_.data(), dtype_, Shape(size_));
}
View ParameterSet::momenta() const {
  return momenta_.data() == nullptr ? View() : View(momenta_.data(), dtype_, Shape(size_));
}

View ParameterSet::part(const Buffer& buffer, DType dtype, std::int64_t offset, Shape shape) const {
  return {static_cast<char*>(buffer.data()) + static_cast<std::size_t>(offset) * size_of(dtype),
          dtype, shape};
}

View ParameterSet::operands() const {
  return operands_.data() == nullptr ? View() : View(operands_.data(), DType::bf16, Shape(size_));
}

void ParameterSet::refresh_operands(Context& ctx) {
  if (operands_.data() != nullptr) cast(ctx, values(), operands());
}

ConstView ParameterSet::operand(std::size_t index) const {
  if (operands_.data() == nullptr) return value(index);
  return part(operands_, DType::bf16, parameters_[index].offset, parameters_[index].shape);
}

View ParameterSet::value(std::size_t index) const {
  return part(values_, dtype_, parameters_[index].offset, parameters_[index].shape);
}
View ParameterSet::gradient(std::size_t index) const {
  return part(gradients_, dtype_, parameters_[index].offset, parameters_[index].shape);
}
View ParameterSet::statistic(std::size_t index) const {
  return part(statistics_memory_, dtype_, statistics_[index].offset,
              Shape(statistics_[index].size));
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

void copy_parameters(Context& ctx, const ParameterSet& from, std::string_view prefix,
                     ParameterSet& to) {
  std::vector<CopyOfValues> copies;
  for (std::size_t i = 0; i < to.parameters().size(); ++i) {
    const Parameter& parameter = to.parameters()[i];
    if (!parameter.name.starts_with(prefix)) continue;
    const std::size_t source = find_named(from.parameters(), parameter.name);
    copies.push_back(checked_copy(parameter.name, from.value(source), to.value(i),
                                  from.parameters()[source].row == parameter.row));
  }
  for (std::size_t i = 0; i < to.statistics().size(); ++i) {
    const std::string& name = to.statistics()[i].name;
    if (!name.starts_with(prefix)) continue;
    const std::size_t source = find_named(from.statistics(), name);
    copies.push_back(checked_copy(name, from.statistic(source), to.statistic(i), true));
  }
  for (const CopyOfValues& copy : copies) cast(ctx, copy.from, copy.to);
  to.refresh_operands(ctx);
}

}  // namespace nat
