// How per-channel operations walk a tensor: in parallel, in vectors of channels, in an order that
// does not depend on the number of threads; and their sums over the batch.
#pragma once

#include "kernels/context.h"
#include "kernels/cpu/lanes.h"
#include "kernels/parallel.h"

namespace nat::cpu {

// The sizes of a tensor. A matrix is a tensor of 1 x 1 pictures.
struct Grid {
  std::int64_t images, height, width, channels;

  explicit Grid(const ConstView& view)
      : images(view.shape[0]),
        height(view.shape.rank == 4 ? view.shape[1] : 1),
        width(view.shape.rank == 4 ? view.shape[2] : 1),
        channels(view.shape.channels()) {}

  std::int64_t pixels() const { return images * height * width; }
  std::int64_t elements() const { return pixels() * channels; }
};

// The pixels of a grid in chunks that depend on its size alone.
struct PixelChunks : Chunks {
  explicit PixelChunks(const Grid& grid)
      : Chunks(grid.pixels(), std::clamp<std::int64_t>(grid.pixels() / 32, 1, 32)) {}
};

// Pixels that lie one after the other, in some channels.
struct Run {
  std::int64_t chunk;
  std::int64_t pixels;             // at most kRunPixels
  std::int64_t channel, channels;  // first, and how many
  std::int64_t at;                 // element of the first pixel and channel
};
// How many values may be summed in the type of computation before the sum is added to a double.
constexpr std::int64_t kRunPixels = 128;

// Calls body(run) until all elements have been visited. Runs of the same channels and chunk are
// visited in order by one thread. Very wide rows (matrices) are cut, to keep all threads busy.
template <class Body>
void parallel_runs(const Grid& grid, const Chunks& chunks, Body&& body) {
  const std::int64_t width = std::min<std::int64_t>(grid.channels, 512);
  const std::int64_t slices = (grid.channels + width - 1) / width;
  parallel_for(chunks.count * slices, grid.elements(), [&](std::int64_t task) {
    const std::int64_t channel = task % slices * width;
    Run run{.chunk = task / slices,
            .pixels = 0,
            .channel = channel,
            .channels = std::min(width, grid.channels - channel),
            .at = 0};
    const std::int64_t end = chunks.end(run.chunk);
    for (std::int64_t pixel = chunks.begin(run.chunk); pixel < end; pixel += run.pixels) {
      run.pixels = std::min(kRunPixels, end - pixel);
      run.at = pixel * grid.channels + channel;
      body(run);
    }
  });
}

// Calls body(at, count, channel, lanes) for all tiles (kernels/cpu/lanes.h) of all runs: `count`
// pixels, `grid.channels` elements apart, from element `at` on, which belongs to `channel`. Nothing
// is summed, so there may be as many chunks as threads want.
template <class Body>
void parallel_tiles(const Grid& grid, Body&& body) {
  const std::int64_t most = std::max(32, 4 * thread_count());
  const Chunks chunks(grid.pixels(), std::clamp<std::int64_t>(grid.pixels() / 32, 1, most));
  parallel_runs(grid, chunks, [&](const Run& run) {
    for_each_tile(run.pixels, run.channels,
                  [&](std::int64_t first, auto count, std::int64_t channel, auto lanes) {
                    body(run.at + first * grid.channels + channel, count, run.channel + channel,
                         lanes);
                  });
  });
}

// Two sums over pixels, per channel.
template <class C>
struct Pair {
  Vector<C> a{}, b{};
  friend Pair operator+(const Pair& x, const Pair& y) { return {x.a + y.a, x.b + y.b}; }
};

struct ChannelSums {
  const double *a, *b;
};

// Sums a pair per pixel and channel over all pixels. `prepare(channel, lanes)` returns the function
// that maps the position of a pixel to its pair. Runs are summed in the type of computation, runs
// and chunks in double, in order.
template <class C, class Prepare>
ChannelSums channel_sums(Scratch::Frame& frame, const Grid& grid, Prepare&& prepare) {
  const PixelChunks pixel_chunks(grid);
  const std::int64_t chunks = pixel_chunks.count, channels = grid.channels;
  const std::int64_t size = 2 * channels;  // all sums a, then all sums b
  double* totals = frame.take<double>(static_cast<std::size_t>((1 + chunks) * size));
  C* run_totals = frame.take<C>(static_cast<std::size_t>(chunks * size));
  std::fill_n(totals, (1 + chunks) * size, 0.0);
  parallel_runs(grid, pixel_chunks, [&](const Run& run) {
    C* a = run_totals + run.chunk * size + run.channel;
    C* b = a + channels;
    std::fill_n(a, run.channels, C{0});
    std::fill_n(b, run.channels, C{0});
    for_each_tile(run.pixels, run.channels,
                  [&, step = grid.channels](std::int64_t first, auto count, std::int64_t channel,
                                            auto lanes) {
                    const auto term = prepare(run.channel + channel, lanes);
                    std::int64_t at = run.at + first * step + channel;
                    Pair<C> sum{load_raw(a + channel, lanes), load_raw(b + channel, lanes)};
                    std::int64_t p = 0;
                    for (; p + 4 <= count; p += 4, at += 4 * step) {
                      sum = sum + ((term(at, lanes) + term(at + step, lanes)) +
                                   (term(at + 2 * step, lanes) + term(at + 3 * step, lanes)));
                    }
                    for (; p < count; ++p, at += step) sum = sum + term(at, lanes);
                    store_raw(sum.a, a + channel, lanes);
                    store_raw(sum.b, b + channel, lanes);
                  });
    double* total_a = totals + (1 + run.chunk) * size + run.channel;
    double* total_b = total_a + channels;
#pragma omp simd
    for (std::int64_t c = 0; c < run.channels; ++c) {
      total_a[c] += static_cast<double>(a[c]);
      total_b[c] += static_cast<double>(b[c]);
    }
  });
  for (std::int64_t chunk = 1; chunk <= chunks; ++chunk) {
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) totals[i] += totals[chunk * size + i];
  }
  return {totals, totals + channels};
}

}  // namespace nat::cpu
