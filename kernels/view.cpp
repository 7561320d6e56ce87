#include "kernels/view.h"

namespace nat {

const char* name(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

std::string to_string(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank; ++i) {
    if (i > 0) text += 'x';
    text += std::to_string(shape[i]);
  }
  return text;
}

namespace {
template <class V, class Byte>
V row_range(V view, std::int64_t begin, std::int64_t end) {
  assert(0 <= begin && begin <= end && end <= view.shape[0]);
  const auto offset = static_cast<std::size_t>(begin * view.shape.row()) * size_of(view.dtype);
  view.data = static_cast<Byte*>(view.data) + offset;
  view.shape.dim[0] = end - begin;
  return view;
}
}  // namespace

View rows(View view, std::int64_t begin, std::int64_t end) {
  return row_range<View, char>(view, begin, end);
}
ConstView rows(ConstView view, std::int64_t begin, std::int64_t end) {
  return row_range<ConstView, const char>(view, begin, end);
}

}  // namespace nat
