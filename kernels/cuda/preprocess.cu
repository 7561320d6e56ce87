// Two kernels go over the stored bytes, the second of which finds them in the cache. The first, a
// block per image, tabulates where output rows and columns lie in the picture and takes the
// statistics of the crop (crop_statistics.cuh). The second samples tiles of output pixels,
// normalises and filters them (crop_tiles.cuh, front_ends.cuh). Both have a shorter way where a
// crop is a plain copy of stored pixels (copied_crop.cuh).
#include "kernels/preprocess.h"

#include "kernels/cuda/crop_statistics.cuh"
#include "kernels/cuda/front_ends.cuh"
#include "kernels/dispatch.h"
#include "kernels/preprocess_check.h"

namespace nat::gpu {
namespace {

// How many values rows of images take at once: this many, or 2, or 1.
template <class T>
inline constexpr int kMostRowPack = sizeof(T) == 8 ? 2 : 4;

// Calls f(std::integral_constant<int, N>) with N = `pack`, if T has such packs.
template <class T, class F>
__device__ void with_row_pack(int pack, const F& f) {
  if constexpr (kMostRowPack<T> == 4) {
    if (pack == 4) return f(std::integral_constant<int, 4>{});
  }
  if (pack == 2) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 1>{});
}

template <FrontEnd kFront, int kChannels, class T>
__global__ __launch_bounds__(kTileThreads, 1) void front_end_kernel(Pictures from, int size,
                                                                    Tiles tiles,
                                                                    Tap<Compute<T>>* all_taps,
                                                                    const Crop<Compute<T>>* crops,
                                                                    T* images, int pack) {
  using C = Compute<T>;
  constexpr int kOutChannels = kFront == FrontEnd::sobel ? 2 : kChannels;
  const Place place(tiles);
  const Crop<C> crop = crops[place.image];
  const int first = static_cast<int>(threadIdx.x / kWarp) * kRowsPerWarp;
  const int width = static_cast<int>(from.width);
  const CopiedCrop<kChannels> copy{crop.copied, width * kChannels, size, crop.flip, crop.at_edge};
  const auto sampler = [&] {
    const std::uint8_t* picture = from.pixels + place.image * from.height * width * kChannels;
    return Sampler<C, kChannels>{picture, width, Taps<C>(place.image, size, all_taps), crop.affine};
  };
  const Output<T> out{images + std::int64_t{place.image} * size * size * kOutChannels, size,
                      kOutChannels};
  if constexpr (kFront == FrontEnd::clean) {
    if (crop.copied == nullptr) return clean(sampler(), place, first, out);
    with_row_pack<T>(pack, [&](auto n) { clean_copied<n.value>(copy, crop.affine, place, out); });
  } else {
    __shared__ Tile<C, kFront == FrontEnd::sobel ? 1 : kChannels> tile;
    if (crop.copied != nullptr) {
      fill_copied(copy, crop.affine, place, tile);
    } else {
      fill(sampler(), size, place, tile);
    }
    __syncthreads();
    if constexpr (kFront == FrontEnd::sobel) {
      with_row_pack<T>(pack, [&](auto n) { sobel<n.value>(tile, place, first, out); });
    } else {
      high_pass<kChannels>(tile, place, first, out);
    }
  }
}

template <class T>
int row_pack(const View& images) {
  int pack = kMostRowPack<T>;
  while (!fits_pack<T>(pack, images.shape[2] * images.shape[3], {images.data})) pack /= 2;
  return pack;
}

template <int kChannels, class T>
void launch_all(Context& ctx, FrontEnd front, const ConstView& pixels, const ConstView& boxes,
                const View& images) {
  using C = Compute<T>;
  const std::int64_t n = pixels.shape[0], size = images.shape[1];
  const Pictures from{pixels.as<std::uint8_t>(), n, pixels.shape[1], pixels.shape[2]};
  Scratch::Frame frame(ctx.scratch);
  auto* taps = frame.take<Tap<C>>(static_cast<std::size_t>(2 * n * size));
  auto* crops = frame.take<Crop<C>>(static_cast<std::size_t>(n));
  launch(ctx, ImageTeam::shape(n), statistics_kernel<kChannels, C>, from, size, boxes.as<CropBox>(),
         taps, crops);

  const Tiles tiles(size);
  const auto launch_front_end = [&](auto kernel) {
    launch(ctx, {.grid = blocks_for(n * tiles.of_image(), 1), .block = kTileThreads}, kernel, from,
           size, tiles, taps, crops, images.as<T>(), row_pack<T>(images));
  };
  switch (front) {
    case FrontEnd::clean:
      return launch_front_end(front_end_kernel<FrontEnd::clean, kChannels, T>);
    case FrontEnd::sobel:
      return launch_front_end(front_end_kernel<FrontEnd::sobel, kChannels, T>);
    case FrontEnd::high_pass:
      return launch_front_end(front_end_kernel<FrontEnd::high_pass, kChannels, T>);
  }
}

}  // namespace

void preprocess(Context& ctx, FrontEnd front, ConstView pixels, ConstView boxes, View images) {
  check_preprocess_shapes(front, pixels, boxes, images);
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 31;  // that an int can count
  NAT_CHECK(pixels.shape.row() < kMostBytes, ErrorKind::usage, "preprocess: pictures are ",
            to_string(pixels.shape), "; on CUDA one may have at most 2^31 - 1 bytes");
  dispatch_storage(images.dtype, "preprocess", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (pixels.shape[3] == 1) return launch_all<1, T>(ctx, front, pixels, boxes, images);
    launch_all<3, T>(ctx, front, pixels, boxes, images);
  });
}

}  // namespace nat::gpu
