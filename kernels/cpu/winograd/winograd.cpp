#include "kernels/cpu/winograd/winograd.h"

#include <algorithm>

#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/winograd/product.h"
#include "kernels/cpu/winograd/tile.h"
#include "kernels/parallel.h"
#include "nat_config.h"

namespace nat::cpu {

namespace {

std::int64_t pieces(std::int64_t total, std::int64_t size) { return (total + size - 1) / size; }

// How many tiles to transform before they are multiplied. Few of them stay in the cache, but for
// each chunk a matrix as large as the transformed weights passes by. Both ways are weighed by the
// elements that move: `matrix` for a chunk, and all tiles twice where they go through memory.
struct ChunkLimits {
  std::int64_t in_cache, in_memory;  // elements of a chunk
};
std::int64_t tiles_a_chunk(std::int64_t tiles, std::int64_t elements_a_tile, std::int64_t matrix,
                           const ChunkLimits& limits) {
  constexpr std::int64_t kMemoryOverCache = 3;
  const auto fitting = [&](std::int64_t elements) {
    return std::clamp<std::int64_t>(elements / elements_a_tile, 1, tiles);
  };
  const std::int64_t few = fitting(limits.in_cache), many = fitting(limits.in_memory);
  const std::int64_t through_memory = 2 * kMemoryOverCache * tiles * elements_a_tile;
  const bool pays = pieces(tiles, many) * matrix + through_memory < pieces(tiles, few) * matrix;
  const std::int64_t chunks = pieces(tiles, pays ? many : few);
  return pieces(pieces(tiles, chunks), kProductRows) * kProductRows;
}

// T: float or BFloat16, as which data and outputs are stored. All arithmetic is float32.
template <class T, std::size_t kOutputs, std::size_t kTaps>
class Winograd {
  using Maps = ToomCook<kOutputs, kTaps>;
  static constexpr std::size_t kSide = Maps::kTile;
  static constexpr std::int64_t kPositions = kSide * kSide, kWeights = kTaps * kTaps;

 public:
  // y = correlation of x, padded by `pad`, with taps_of(channel of x, first channel of y, i, j),
  // which gives a vector of channels of y. Every thread takes whole chunks of tiles.
  template <class TapsOf>
  static void correlate(Context& ctx, std::int64_t pad, ConstView x, View y, TapsOf&& taps_of) {
    const TileGrid tiles(y.shape, kOutputs);
    const Tiled<const T*> from{x.as<T>(), Grid(x), tiles, pad};
    const Tiled<T*> to{y.as<T>(), Grid(y), tiles, 0};
    const std::int64_t in = from.grid.channels, out = to.grid.channels;
    Scratch::Frame frame(ctx.scratch);
    Packed taps(in * out);
    take(frame, taps, 1);
    parallel_for(out / kLanes, kPositions * in * out, [&](std::int64_t vector) {
      transform_taps(in, out / kLanes, vector, taps_of, taps);
    });

    const std::int64_t chunk =
        tiles_a_chunk(pieces(tiles.count, thread_count()), kPositions * (in + out),
                      kPositions * in * out, {.in_cache = 1 << 19, .in_memory = 1 << 22});
    const std::int64_t chunks = pieces(tiles.count, chunk);
    const std::int64_t workers = std::min<std::int64_t>(thread_count(), chunks);
    Transformed all_data(in, chunk), all_sums(out, chunk);
    take(frame, all_data, workers);
    take(frame, all_sums, workers);
    parallel_for(workers, kPositions * tiles.count * in * out, [&](std::int64_t worker) {
      const Transformed data = part(all_data, worker), sums = part(all_sums, worker);
      for (std::int64_t i = worker; i < chunks; i += workers) {
        const std::int64_t begin = i * chunk, end = std::min(tiles.count, begin + chunk);
        for (std::int64_t c = 0; c < in; c += kLanes) {
          transform_from<typename Maps::Data>(from, c, begin, end, data, 0);
        }
        for (std::int64_t position = 0; position < kPositions; ++position) {
          multiply_chunk(in, out, position, end - begin, data, taps, sums);
        }
        for (std::int64_t k = 0; k < out; k += kLanes) {
          transform_to<typename Maps::Outputs>(to, k, begin, end, sums);
        }
      }
    });
  }

  // All threads take the same chunk, whose size depends on the operands only: so does, then, the
  // order of the sums over tiles.
  static void backward_weights(Context& ctx, std::int64_t pad, ConstView x, ConstView dy, Grad grad,
                               View dw) {
    const TileGrid tiles(dy.shape, kOutputs);
    const Tiled<const T*> inputs{x.as<T>(), Grid(x), tiles, pad};
    const Tiled<const T*> outputs{dy.as<T>(), Grid(dy), tiles, 0};
    const std::int64_t in = inputs.grid.channels, out = outputs.grid.channels;
    const std::int64_t chunk =
        tiles_a_chunk(tiles.count, kPositions * (in + out), 2 * kPositions * in * out,
                      {.in_cache = 1 << 20, .in_memory = 12 << 20});
    Scratch::Frame frame(ctx.scratch);
    Transformed data(in, chunk), gradients(out, chunk);
    Packed sums(in * out);
    take(frame, data, 1);
    take(frame, gradients, 1);
    take(frame, sums, 1);
    for (std::int64_t begin = 0; begin < tiles.count; begin += chunk) {
      const std::int64_t count = std::min(chunk, tiles.count - begin);
      transform_chunk(inputs, outputs, begin, count, data, gradients);
      const std::int64_t groups = out / kLanes;
      parallel_for(kPositions * groups, kPositions * count * in * out, [&](std::int64_t task) {
        add_products(in, task / groups, task % groups * kLanes, count, data, gradients, begin > 0,
                     sums);
      });
    }
    parallel_for(out, kPositions * in * out, [&](std::int64_t k) {
      transform_tap_gradients(in, k, sums, grad, dw.as<float>());
    });
  }

 private:
  // A matrix for each position, channels by channels.
  struct Packed {
    std::int64_t position_step;
    float* data = nullptr;
    explicit Packed(std::int64_t elements) : position_step(elements + kLanes) {}
    float* at(std::int64_t position, std::int64_t element) const {
      return data + position * position_step + element;
    }
  };

  template <class Operand>
  static void take(Scratch::Frame& frame, Operand& operand, std::int64_t copies) {
    operand.data =
        frame.take<float>(static_cast<std::size_t>(copies * kPositions * operand.position_step));
  }
  static Transformed part(Transformed all, std::int64_t worker) {
    all.data += worker * kPositions * all.position_step;
    return all;
  }

  // One vector of channels of y of all taps, in the order in which multiply_channels reads them.
  template <class TapsOf>
  static void transform_taps(std::int64_t in, std::int64_t vectors, std::int64_t vector,
                             TapsOf&& taps_of, const Packed& taps) {
    for_each_panel(vectors, [&](std::int64_t first, auto width) {
      if (vector < first || vector >= first + width) return;
      for (std::int64_t c = 0; c < in; ++c) {
        float* to = taps.at(0, (first * in + c * width + vector - first) * kLanes);
        transform<typename Maps::Taps>(
            [=](std::size_t i, std::size_t j) { return taps_of(c, vector * kLanes, i, j); },
            [=, step = taps.position_step](std::size_t i, std::size_t j,
                                           const Vector<float>& value) {
              store_raw(value, to + static_cast<std::int64_t>(i * kSide + j) * step, FullLanes{});
            });
      }
    });
  }

  static void multiply_chunk(std::int64_t in, std::int64_t out, std::int64_t position,
                             std::int64_t count, const Transformed& data, const Packed& taps,
                             const Transformed& sums) {
    for_each_panel(out / kLanes, [&](std::int64_t first, auto vectors) {
      const std::int64_t k = first * kLanes;
      for (std::int64_t tile = 0; tile < count; tile += kProductRows) {
        multiply_channels<vectors>(in / kLanes, data.at(position, 0, tile), data.tiles * kLanes,
                                   taps.at(position, k * in), sums.at(position, k, tile),
                                   sums.tiles * kLanes);
      }
    });
  }

  static void transform_chunk(const Tiled<const T*>& inputs, const Tiled<const T*>& outputs,
                              std::int64_t begin, std::int64_t count, const Transformed& data,
                              const Transformed& gradients) {
    constexpr std::int64_t kTilesATask = 16;
    const std::int64_t in = inputs.grid.channels, channels = in + outputs.grid.channels;
    const std::int64_t tasks = pieces(count, kTilesATask);
    parallel_for(channels / kLanes * tasks, kPositions * count * channels, [&](std::int64_t task) {
      const std::int64_t channel = task / tasks * kLanes, at = task % tasks * kTilesATask;
      const std::int64_t first = begin + at, last = begin + std::min(at + kTilesATask, count);
      if (channel < in) {
        transform_from<typename Maps::Data>(inputs, channel, first, last, data, at);
      } else {
        transform_from<typename Maps::OutputGradients>(outputs, channel - in, first, last,
                                                       gradients, at);
      }
    });
  }

  // Adds the products of a chunk's tiles to kLanes rows, from channel k of y on, or begins with
  // them.
  static void add_products(std::int64_t in, std::int64_t position, std::int64_t k,
                           std::int64_t count, const Transformed& data,
                           const Transformed& gradients, bool add, const Packed& sums) {
    for_each_panel(in / kLanes, [&](std::int64_t first, auto vectors) {
      const std::int64_t c = first * kLanes;
      for (std::int64_t row = 0; row < kLanes; row += kProductRows) {
        multiply_tiles<vectors>(count, gradients.at(position, k, 0) + row, data.at(position, c, 0),
                                data.tiles * kLanes, add, sums.at(position, (k + row) * in + c),
                                in);
      }
    });
  }

  // Row k of dw.
  static void transform_tap_gradients(std::int64_t in, std::int64_t k, const Packed& sums,
                                      Grad grad, float* dw) {
    for (std::int64_t c = 0; c < in; c += kLanes) {
      const float* from = sums.at(0, k * in + c);
      transform<typename Maps::TapGradients>(
          [=, step = sums.position_step](std::size_t i, std::size_t j) {
            return load_raw(from + static_cast<std::int64_t>(i * kSide + j) * step, FullLanes{});
          },
          [=](std::size_t i, std::size_t j, Vector<float> value) {
            const auto tap = static_cast<std::int64_t>(i * kTaps + j);
            float* to = dw + (k * kWeights + tap) * in + c;
            if (grad == Grad::accumulate) value += load_raw(to, FullLanes{});
            store_raw(value, to, FullLanes{});
          });
    }
  }
};

template <class T, class Body>
void dispatch_tile(const WinogradTile& tile, Body&& body) {
  if (tile.taps == 5) {
    if (tile.outputs == 3) return body(Winograd<T, 3, 5>{});
    return body(Winograd<T, 4, 5>{});
  }
  if (tile.outputs == 4) return body(Winograd<T, 4, 3>{});
  if (tile.outputs == 5) return body(Winograd<T, 5, 3>{});
  return body(Winograd<T, 6, 3>{});
}

// Calls body(Winograd<T, outputs, taps>{}) for the convolution from x to y.
template <class Body>
void dispatch(const Conv2d& conv, const ConstView& x, const ConstView& y, Body&& body) {
  const WinogradTile tile = winograd_tile(conv, x, y);
  if (x.dtype == DType::bf16) return dispatch_tile<BFloat16>(tile, body);
  dispatch_tile<float>(tile, body);
}

// A processor with tiles multiplies bfloat16 many times as fast as float32.
bool serves(DType dtype) {
  if (dtype != DType::bf16) return dtype == DType::f32;
  if constexpr (kHasOneDnn) return !onednn::has_amx();
  return true;
}

std::int64_t multiplications(const Shape& outputs, int side, int taps) {
  return TileGrid(outputs, side).count * (side + taps - 1) * (side + taps - 1);
}

// A tap of 16 or 8 channels of y, whose weights lie `row` elements apart.
Vector<float> gather(const float* first, std::int64_t row) {
  Vector<float> lanes{};
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = first[lane * row];
  return lanes;
}

}  // namespace

bool winograd_serves(const Conv2d& conv, std::int64_t channels) {
  return conv.stride == 1 && (conv.kernel == 3 || conv.kernel == 5) && conv.pad < conv.kernel &&
         channels % kLanes == 0;
}

WinogradTile winograd_tile(const Conv2d& conv, const ConstView& x, const ConstView& y) {
  const bool applies = serves(x.dtype) && winograd_serves(conv, x.shape[3]) &&
                       winograd_serves(conv, y.shape[3]) && y.shape.elements() > 0;
  if (!applies) return {};
  constexpr int kLargestSide = 8;
  WinogradTile best{.outputs = conv.kernel == 3 ? 4 : 3, .taps = conv.kernel};
  for (int outputs = best.outputs + 1; outputs + conv.kernel - 1 <= kLargestSide; ++outputs) {
    if (multiplications(y.shape, outputs, conv.kernel) <
        multiplications(y.shape, best.outputs, conv.kernel)) {
      best.outputs = outputs;
    }
  }
  return best;
}

const char* winograd_name(const WinogradTile& tile) {
  if (tile.taps == 5) return tile.outputs == 3 ? "Winograd F(3x3, 5x5)" : "Winograd F(4x4, 5x5)";
  if (tile.outputs == 4) return "Winograd F(4x4, 3x3)";
  return tile.outputs == 5 ? "Winograd F(5x5, 3x3)" : "Winograd F(6x6, 3x3)";
}

void winograd_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  const std::int64_t side = conv.kernel, in = x.shape[3], row = w.shape.row();
  const auto* weights = w.as<float>();
  dispatch(conv, x, y, [&](auto winograd) {
    winograd.correlate(
        ctx, conv.pad, x, y, [=](std::int64_t c, std::int64_t k, std::size_t i, std::size_t j) {
          const auto r = static_cast<std::int64_t>(i), s = static_cast<std::int64_t>(j);
          return gather(weights + k * row + (r * side + s) * in + c, row);
        });
  });
}

// dx is a correlation of dy: with the taps turned by half a turn, and the channels exchanged.
void winograd_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  const std::int64_t side = conv.kernel, in = dx.shape[3], row = w.shape.row();
  const auto* weights = w.as<float>();
  dispatch(conv, dy, dx, [&](auto winograd) {
    winograd.correlate(ctx, side - 1 - conv.pad, dy, dx,
                       [=](std::int64_t k, std::int64_t c, std::size_t i, std::size_t j) {
                         const std::int64_t r = side - 1 - static_cast<std::int64_t>(i);
                         const std::int64_t s = side - 1 - static_cast<std::int64_t>(j);
                         return load_raw(weights + k * row + (r * side + s) * in + c, FullLanes{});
                       });
  });
}

void winograd_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy,
                               Grad grad, View dw) {
  dispatch(conv, x, dy,
           [&](auto winograd) { winograd.backward_weights(ctx, conv.pad, x, dy, grad, dw); });
}

}  // namespace nat::cpu
