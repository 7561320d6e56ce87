// How per-channel operations walk a tensor: in parallel, in vectors of channels, in an order that
// does not depend on the number of threads; and their sums over the batch.
#pragma once

#include "kernels/context.h"
#include "kernels/cpu/lanes.h"
#include "kernels/parallel.h"

namespace nat::cpu {

// A tensor as slabs of pixels x block elements, one slab per image and channel block. A matrix is a
// tensor of 1 x 1 pictures.
struct Grid {
  std::int64_t images, height, width, channels, block, groups;

  explicit Grid(const ConstView& view)
      : images(view.shape[0]),
        height(view.shape.rank == 4 ? view.shape[1] : 1),
        width(view.shape.rank == 4 ? view.shape[2] : 1),
        channels(view.shape.channels()),
        block(view.block),
        groups(channels / block) {}

  std::int64_t pixels() const { return images * height * width; }
  std::int64_t slabs() const { return images * groups; }
  std::int64_t elements() const { return pixels() * channels; }
  // Position of element 0 of the slab of an image and group.
  std::int64_t slab(std::int64_t image, std::int64_t group) const {
    return (image * groups + group) * height * width * block;
  }
};

// The pixels of a grid in chunks that depend on its size alone.
struct PixelChunks : Chunks {
  explicit PixelChunks(const Grid& grid)
      : Chunks(grid.pixels(), std::clamp<std::int64_t>(grid.pixels() / 32, 1, 32)) {}
};

// Pixels whose sum may be taken in the type of computation, before it is added to a double.
constexpr std::int64_t kRun = 128;

// Calls body(chunk, group, at, count) for runs of at most kRun pixels that lie one after the other
// from element `at` on. The runs of one chunk and group are visited in order by one thread.
template <class Body>
void parallel_runs(const Grid& grid, Body&& body) {
  const PixelChunks chunks(grid);
  // Where a picture ends, the next one does not follow, unless there is only one group.
  const std::int64_t picture = grid.groups == 1 ? grid.pixels() : grid.height * grid.width;
  parallel_for(chunks.count * grid.groups, grid.elements(), [&](std::int64_t task) {
    const std::int64_t chunk = task / grid.groups, group = task % grid.groups;
    std::int64_t count = 0;
    for (std::int64_t pixel = chunks.begin(chunk); pixel < chunks.end(chunk); pixel += count) {
      const std::int64_t inside = pixel % picture;
      count = std::min({kRun, chunks.end(chunk) - pixel, picture - inside});
      body(chunk, group, grid.slab(pixel / picture, group) + inside * grid.block, count);
    }
  });
}

// Calls body(at, count, channel, lanes) for all tiles (kernels/cpu/lanes.h) of all runs: `count`
// pixels, `grid.block` elements apart, from element `at` on, which belongs to `channel`.
template <class Body>
void parallel_tiles(const Grid& grid, Body&& body) {
  parallel_runs(grid, [&](std::int64_t, std::int64_t group, std::int64_t start, std::int64_t run) {
    for_each_tile(
        run, grid.block, [&](std::int64_t first, auto count, std::int64_t channel, auto lanes) {
          body(start + first * grid.block + channel, count, group * grid.block + channel, lanes);
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
  const double* totals;  // per group: the first sums of its channels, then the second
  std::int64_t block;

  double a(std::int64_t c) const { return totals[c / block * 2 * block + c % block]; }
  double b(std::int64_t c) const { return totals[(c / block * 2 + 1) * block + c % block]; }
};

// Sums a pair per pixel and channel over all pixels. `prepare(channel, lanes)` returns the function
// that maps the position of a pixel to its pair. Runs are summed in the type of computation, runs
// and chunks in double, in order.
template <class C, class Prepare>
ChannelSums channel_sums(Scratch::Frame& frame, const Grid& grid, Prepare&& prepare) {
  const std::int64_t chunks = PixelChunks(grid).count, size = 2 * grid.channels;
  double* totals = frame.take<double>(static_cast<std::size_t>((1 + chunks) * size));
  C* run_totals = frame.take<C>(static_cast<std::size_t>(chunks * size));
  std::fill_n(totals, (1 + chunks) * size, 0.0);
  parallel_runs(
      grid, [&](std::int64_t chunk, std::int64_t group, std::int64_t start, std::int64_t run) {
        const std::int64_t block = grid.block;
        C* run_total = run_totals + chunk * size + group * 2 * block;
        double* total = totals + (1 + chunk) * size + group * 2 * block;
        std::fill_n(run_total, 2 * block, C{0});
        for_each_tile(run, block,
                      [&](std::int64_t first, auto count, std::int64_t channel, auto lanes) {
                        const auto term = prepare(group * block + channel, lanes);
                        std::int64_t at = start + first * block + channel;
                        Pair<C> sum{load_raw(run_total + channel, lanes),
                                    load_raw(run_total + block + channel, lanes)};
                        std::int64_t p = 0;
                        for (; p + 4 <= count; p += 4, at += 4 * block) {
                          sum = sum + ((term(at, lanes) + term(at + block, lanes)) +
                                       (term(at + 2 * block, lanes) + term(at + 3 * block, lanes)));
                        }
                        for (; p < count; ++p, at += block) sum = sum + term(at, lanes);
                        store_raw(sum.a, run_total + channel, lanes);
                        store_raw(sum.b, run_total + block + channel, lanes);
                      });
#pragma omp simd
        for (std::int64_t i = 0; i < 2 * block; ++i) total[i] += static_cast<double>(run_total[i]);
      });
  for (std::int64_t chunk = 1; chunk <= chunks; ++chunk) {
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) totals[i] += totals[chunk * size + i];
  }
  return {totals, grid.block};
}

}  // namespace nat::cpu
