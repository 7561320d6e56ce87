#include "tools/session.h"

#include <algorithm>

#include "data/files.h"
#include "data/parallel.h"
#include "kernels/cpu_info.h"
#include "kernels/memory.h"

namespace nat::tools {

namespace {

void require_data(const std::string& path) {
  NAT_CHECK(!path.empty(), ErrorKind::usage, "--data is missing; give ", data::spec_form());
}

// Who did not type the path is told where it stands.
std::unique_ptr<data::Dataset> open_path(const Options& options, const std::string& path,
                                         data::Split split, const data::OpenOptions& opening) {
  require_data(path);
  try {
    return data::open_dataset(data::parse_spec(path), split, opening);
  } catch (const Error& error) {
    if (options.read_from.empty() || path != options.data) throw;
    throw Error(error.kind(), str(error.what(), " (the path is that of the line 'data' in ",
                                  data::printable(options.read_from), ")"));
  }
}

data::OpenOptions opening(const Options& options, data::Split split, std::int64_t at_most = -1) {
  data::OpenOptions open;
  open.picture_size = options.stored_size;
  if (options.limit >= 0 && split == data::Split::train) open.limit = options.limit;
  if (at_most >= 0) open.limit = std::min(open.limit.value_or(at_most), at_most);
  open.threads = options.threads;
  open.max_bad_percent = options.max_bad_percent;
  // A shifted crop may lie anywhere in the resized picture, as in the official recipe; pictures
  // kept in memory are squares already.
  if (options.crop == "shift") open.keep = data::Keep::disk;
  return open;
}

}  // namespace

Options with_absolute_data(Options options) {
  require_data(options.data);
  options.data = data::absolute_spec(options.data);
  validate(options);  // the current folder may have a name that is no text
  return options;
}

std::unique_ptr<data::Dataset> open_data(const Options& options, data::Split split,
                                         const std::string& data, std::int64_t at_most) {
  return open_path(options, data.empty() ? options.data : data, split,
                   opening(options, split, at_most));
}

std::unique_ptr<data::Dataset> reopen_data(const Options& options,
                                           std::vector<data::Quarantined> quarantined) {
  data::OpenOptions open = opening(options, data::Split::train);
  open.quarantined = std::move(quarantined);
  return open_path(options, options.data, data::Split::train, open);
}

// On CUDA bfloat16 is the tensor cores' fast format, as it is of a CPU's tiles (AMX). Without these
// it gains a fifth at most (bench/results/step.md), and float32 is more exact.
Math math_of(Device device, const std::string& dtype) {
  if (dtype == "auto") {
    return device == Device::cuda || cpu_info().amx ? Math::bf16 : Math::f32;
  }
  if (dtype == "bf16") return Math::bf16;
  return dtype == "tf32" && device == Device::cuda ? Math::tf32 : Math::f32;
}

std::unique_ptr<Context> make_context(const Options& options) {
  require_threads(options.threads);
  set_compute_threads(options.threads);
  if (options.device != "cpu") {  // else the GPU and its libraries are not even looked at
    const CudaDevice cuda = cuda_device();
    if (cuda.usable()) {
      return std::make_unique<Context>(Device::cuda, math_of(Device::cuda, options.dtype));
    }
    NAT_CHECK(options.device != "cuda", ErrorKind::device, "--device cuda: ", cuda.reason,
              "; use --device cpu");
  }
  NAT_CHECK(options.dtype != "tf32", ErrorKind::device,
            "--dtype tf32 exists on CUDA only; use --dtype f32 or bf16");
  NAT_CHECK(options.dtype != "bf16" || cpu_info().bf16, ErrorKind::device,
            "--dtype bf16: this processor has no bfloat16 instructions; use --dtype f32");
  return std::make_unique<Context>(Device::cpu, math_of(Device::cpu, options.dtype));
}

Context planning_context(const Options& options) {
  const bool cuda =
      options.device == "cuda" || (options.device == "auto" && cuda_device().usable());
  const Device device = cuda ? Device::cuda : Device::cpu;
  return Context::for_planning(device, math_of(device, options.dtype));
}

int loader_threads(const Options& options, Device device, std::int64_t batch,
                   const data::PictureShape& pictures) {
  if (options.loaders > 0) return options.loaders;
  return data::automatic_threads(device == Device::cpu, data::worker_count(0),
                                 batch * pictures.bytes());
}

data::PixelMemory page_locked(Device device) {
  return [device](std::size_t bytes) {
    auto buffer = std::make_shared<HostBuffer>(device, bytes, "loader");
    return std::shared_ptr<std::uint8_t[]>(buffer, buffer->as<std::uint8_t>());
  };
}

FrontEnd front_end(const Options& options) {
  if (options.front == "sobel") return FrontEnd::sobel;
  return options.front == "high_pass" ? FrontEnd::high_pass : FrontEnd::clean;
}

Init initial_values(const Options& options) {
  return options.init == "he" ? Init::he : Init::torch7;
}

Network build_network(Context& ctx, const Options& options, const data::PictureShape& pictures) {
  const int channels = front_end_channels(front_end(options), pictures.channels);
  return build_architecture(
      ctx, {.name = options.network, .dimension = options.dimension, .width = options.width},
      Shape(1, options.size, options.size, channels));
}

Network make_network(Context& ctx, const Options& options, const data::PictureShape& pictures) {
  Network network = build_network(ctx, options, pictures);
  initialize(ctx, initial_values(options), options.seed, network.net->parameters());
  return network;
}

data::Augmentation augmentation(const Options& options, const data::PictureShape& pictures) {
  data::Augmentation augmentation;
  augmentation.mirror = options.flip ? data::Mirror::half : data::Mirror::never;
  augmentation.min_area = static_cast<float>(options.min_area);
  if (options.crop == "area") augmentation.crop = data::Crop::random_area;
  if (options.crop == "shift") augmentation.crop = data::Crop::random_shift;
  const int short_side = std::min(pictures.height, pictures.width);
  if (options.crop != "area") augmentation.crop_size = std::min(options.size, short_side);
  return augmentation;
}

bool shift_has_room(const Options& options, const data::Dataset& pictures) {
  const int side = augmentation(options, pictures.shape()).crop_size;
  const std::vector<std::int32_t>& ids = pictures.usable_ids();
  return std::any_of(ids.begin(), ids.end(), [&](std::int32_t id) {
    const data::PictureShape whole = pictures.extent(id);
    return whole.width > side || whole.height > side;
  });
}

std::string sides(const data::PictureShape& pictures) {
  return pictures.width == pictures.height ? str(pictures.width)
                                           : str(pictures.width, " x ", pictures.height);
}

}  // namespace nat::tools
