#include "kernels/preprocess.h"

#include <cmath>

#include "kernels/bilinear.h"
#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "kernels/preprocess_check.h"

namespace nat::cpu {

namespace {

void check_boxes(std::int64_t n, const CropBox* box) {
  for (std::int64_t i = 0; i < n; ++i) {
    NAT_CHECK(box[i].width > 0 && box[i].height > 0 && std::isfinite(box[i].width) &&
                  std::isfinite(box[i].height) && std::isfinite(box[i].x) &&
                  std::isfinite(box[i].y),
              ErrorKind::usage, "preprocess: box ", i, " is ", box[i].width, "x", box[i].height,
              " at ", box[i].x, ",", box[i].y, "; sizes must be positive and finite");
  }
}

// A picture of size x size pixels inside a border of one zero pixel, channels last.
template <class C>
struct Padded {
  C* data;
  std::int64_t size, channels;

  static std::size_t elements(std::int64_t size, std::int64_t channels) {
    return static_cast<std::size_t>((size + 2) * (size + 2) * channels);
  }
  std::int64_t stride() const { return (size + 2) * channels; }
  C* row(std::int64_t i) const { return data + (i + 1) * stride() + channels; }
  void clear_border() const {
    std::fill_n(row(-1) - channels, stride(), C{0});
    std::fill_n(row(size) - channels, stride(), C{0});
    for (std::int64_t i = 0; i < size; ++i) {
      std::fill_n(row(i) - channels, channels, C{0});
      std::fill_n(row(i) + size * channels, channels, C{0});
    }
  }
};

// The memory that one thread works in.
template <class C>
struct Workspace {
  Padded<C> crop, gray;
  std::int32_t *low, *high;  // per element of an output row: the source elements around it
  C* weight;
  C* line;  // two source rows, blended

  Workspace(Scratch::Frame& frame, const Shape& picture, std::int64_t size)
      : crop{nullptr, size, picture[3]}, gray{nullptr, size, 1} {
    const auto row = static_cast<std::size_t>(size * picture[3]);
    crop.data = frame.take<C>(Padded<C>::elements(size, picture[3]));
    gray.data = frame.take<C>(Padded<C>::elements(size, 1));
    low = frame.take<std::int32_t>(row);
    high = frame.take<std::int32_t>(row);
    weight = frame.take<C>(row);
    line = frame.take<C>(static_cast<std::size_t>(picture[2] * picture[3]));
    crop.clear_border();
    gray.clear_border();
  }
};

// Step 1: bilinear samples, first between rows, then between columns.
template <class C>
void sample(const std::uint8_t* picture, const Shape& shape, const CropBox& box,
            const Workspace<C>& work) {
  const std::int64_t height = shape[1], width = shape[2], channels = shape[3];
  const std::int64_t size = work.crop.size, row = size * channels;
  std::int32_t *low = work.low, *high = work.high;
  C *weight = work.weight, *line = work.line;
  for (std::int64_t j = 0; j < size; ++j) {
    const AxisSample column(box.flip != 0 ? size - 1 - j : j, size, static_cast<double>(box.x),
                            static_cast<double>(box.width), width);
    for (std::int64_t k = 0; k < channels; ++k) {
      low[j * channels + k] = static_cast<std::int32_t>(column.low * channels + k);
      high[j * channels + k] = static_cast<std::int32_t>(column.high * channels + k);
      weight[j * channels + k] = static_cast<C>(column.weight);
    }
  }
  // Source elements that any column needs; a flip exchanges the ends.
  const std::int64_t begin = std::min(low[0], low[row - channels]);
  const std::int64_t end = std::max(high[channels - 1], high[row - 1]) + 1;
  for (std::int64_t i = 0; i < size; ++i) {
    const AxisSample at(i, size, static_cast<double>(box.y), static_cast<double>(box.height),
                        height);
    const std::uint8_t* top = picture + at.low * width * channels;
    const std::uint8_t* bottom = picture + at.high * width * channels;
    const C down = static_cast<C>(at.weight);
#pragma omp simd
    for (std::int64_t s = begin; s < end; ++s) {
      const C a = static_cast<C>(top[s]), b = static_cast<C>(bottom[s]);
      line[s] = a + down * (b - a);
    }
    C* out = work.crop.row(i);
#pragma omp simd
    for (std::int64_t s = 0; s < row; ++s) {
      const C a = line[low[s]], b = line[high[s]];
      out[s] = a + weight[s] * (b - a);
    }
  }
}

// Step 2, in place.
template <class C>
void normalise(const Padded<C>& crop) {
  const std::int64_t row = crop.size * crop.channels;
  const double count = static_cast<double>(crop.size * row);
  double sum = 0, square = 0;
  for (std::int64_t i = 0; i < crop.size; ++i) {
    const C* x = crop.row(i);
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < row; ++j) sum += static_cast<double>(x[j]);
  }
  const double mean = sum / count;
  for (std::int64_t i = 0; i < crop.size; ++i) {
    const C* x = crop.row(i);
#pragma omp simd reduction(+ : square)
    for (std::int64_t j = 0; j < row; ++j) {
      const double d = static_cast<double>(x[j]) - mean;
      square += d * d;
    }
  }
  const double inv_std = square > 0 ? 1 / std::sqrt(square / count) : 0;
  const C scale = static_cast<C>(inv_std), shift = static_cast<C>(-mean * inv_std);
  for (std::int64_t i = 0; i < crop.size; ++i) {
    C* x = crop.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < row; ++j) x[j] = x[j] * scale + shift;
  }
}

// Step 3: the front ends, for one image.
template <class T, class C>
void clean(const Padded<C>& crop, T* out) {
  const std::int64_t row = crop.size * crop.channels;
  for (std::int64_t i = 0; i < crop.size; ++i, out += row) {
    const C* x = crop.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < row; ++j) out[j] = store<T>(x[j]);
  }
}

template <class C>
void mean_of_channels(const Padded<C>& crop, const Padded<C>& gray) {
  for (std::int64_t i = 0; i < crop.size; ++i) {
    const C* x = crop.row(i);
    C* g = gray.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < crop.size; ++j) {
      g[j] = (x[3 * j] + x[3 * j + 1] + x[3 * j + 2]) * (C{1} / C{3});
    }
  }
}

template <class T, class C>
void sobel(const Padded<C>& gray, T* out) {
  for (std::int64_t i = 0; i < gray.size; ++i, out += 2 * gray.size) {
    const C *above = gray.row(i - 1), *here = gray.row(i), *below = gray.row(i + 1);
#pragma omp simd
    for (std::int64_t j = 0; j < gray.size; ++j) {
      const C right = above[j + 1] + 2 * here[j + 1] + below[j + 1];
      const C left = above[j - 1] + 2 * here[j - 1] + below[j - 1];
      const C down = below[j - 1] + 2 * below[j] + below[j + 1];
      const C up = above[j - 1] + 2 * above[j] + above[j + 1];
      out[2 * j] = store<T>(right - left);
      out[2 * j + 1] = store<T>(down - up);
    }
  }
}

template <class T, class C>
void high_pass(const Padded<C>& crop, T* out) {
  const std::int64_t row = crop.size * crop.channels, step = crop.channels;
  for (std::int64_t i = 0; i < crop.size; ++i, out += row) {
    const C *above = crop.row(i - 1), *here = crop.row(i), *below = crop.row(i + 1);
#pragma omp simd
    for (std::int64_t j = 0; j < row; ++j) {
      const C sum = (above[j - step] + above[j] + above[j + step]) +
                    (here[j - step] + here[j] + here[j + step]) +
                    (below[j - step] + below[j] + below[j + step]);
      out[j] = store<T>(here[j] - sum * (C{1} / C{9}));
    }
  }
}

template <class T, class C>
void apply(FrontEnd front, const Workspace<C>& work, T* out) {
  switch (front) {
    case FrontEnd::clean:
      return clean(work.crop, out);
    case FrontEnd::sobel:
      if (work.crop.channels == 1) return sobel(work.crop, out);
      mean_of_channels(work.crop, work.gray);
      return sobel(work.gray, out);
    case FrontEnd::high_pass:
      return high_pass(work.crop, out);
  }
}

}  // namespace

void preprocess(Context& ctx, FrontEnd front, ConstView pixels, ConstView boxes, View images) {
  check_preprocess_shapes(front, pixels, boxes, images);
  const std::int64_t n = pixels.shape[0], size = images.shape[1];
  check_boxes(n, boxes.as<CropBox>());
  dispatch_storage(images.dtype, "preprocess", [&]<class T>(Tag<T>) {
    using C = Compute<T>;
    // Images are independent, so their distribution over threads changes no result.
    const Chunks chunks(n, thread_count());
    Scratch::Frame frame(ctx.scratch);
    auto* work = frame.take<Workspace<C>>(static_cast<std::size_t>(chunks.count));
    for (std::int64_t i = 0; i < chunks.count; ++i) {
      std::construct_at(work + i, frame, pixels.shape, size);
    }
    parallel_for(chunks.count, 16 * n * size * size, [&](std::int64_t chunk) {
      for (std::int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
        sample(pixels.as<std::uint8_t>() + i * pixels.shape.row(), pixels.shape,
               boxes.as<CropBox>()[i], work[chunk]);
        normalise(work[chunk].crop);
        apply(front, work[chunk], images.as<T>() + i * images.shape.row());
      }
    });
  });
}

}  // namespace nat::cpu
