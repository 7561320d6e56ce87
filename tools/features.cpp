#include "tools/features.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "kernels/cast.h"
#include "kernels/cpu_info.h"
#include "kernels/nat_head.h"
#include "kernels/parallel.h"
#include "nat/trainer.h"
#include "tools/session.h"
#include "tools/stderr_progress.h"

namespace nat::tools {

namespace {

constexpr std::uint32_t kCalibrationBatches = 50;

// A batch is never larger than what there is to fill it with: its rest would hold no pictures.
std::int64_t batch_of(std::int64_t wanted, const data::Dataset& pictures) {
  return std::min<std::int64_t>(wanted, std::ssize(pictures.usable_ids()));
}

// Device memory for one batch of stored pictures; a short last batch leaves the rest as it was.
class PictureMemory {
 public:
  PictureMemory(Context& ctx, std::int64_t batch, const data::PictureShape& shape)
      : pixels_shape_(batch, shape.height, shape.width, shape.channels),
        pixels_(ctx.device, static_cast<std::size_t>(pixels_shape_.elements()), "pictures"),
        boxes_(ctx.device, static_cast<std::size_t>(batch) * sizeof(CropBox), "crop boxes") {}

  View pixels() const { return {pixels_.data(), DType::u8, pixels_shape_}; }
  View boxes() const { return {boxes_.data(), DType::f32, Shape(pixels_shape_[0], 5)}; }

  void load(Context& ctx, const data::Batch& batch) {
    const std::int64_t n = batch.size();
    Shape shape = pixels_shape_;
    shape.dim[0] = n;
    copy_to_device(ctx, ConstView(batch.pixels, DType::u8, shape), rows(pixels(), 0, n));
    copy_to_device(ctx, ConstView(batch.boxes.data(), DType::f32, Shape(n, 5)),
                   rows(boxes(), 0, n));
  }

 private:
  Shape pixels_shape_;
  Buffer pixels_, boxes_;
};

// Copies activations to host rows in (channel, row, column) order; its memory serves every batch.
class Collector {
 public:
  // The first n rows.
  void collect(Context& ctx, ConstView activation, std::int64_t n, float* out) {
    const Shape shape = activation.shape;
    const std::int64_t row = shape.row();
    const float* plain = on_host(ctx, activation);
    const std::int64_t channels = shape.rank == 4 ? shape[3] : 1;
    const std::int64_t pixels = row / channels;
    cpu::parallel_for(n, n * row * 8, [&](std::int64_t i) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        for (std::int64_t c = 0; c < channels; ++c) {
          out[i * row + c * pixels + pixel] = plain[i * row + pixel * channels + c];
        }
      }
    });
  }

 private:
  // As floats, in their own order, until the next call.
  const float* on_host(Context& ctx, ConstView activation) {
    if (ctx.device == Device::cpu && activation.dtype == DType::f32) return activation.as<float>();
    const auto count = static_cast<std::size_t>(activation.shape.elements());
    if (host_.size() < count) {
      plain_ = Buffer(ctx.device, count * sizeof(float), "features");
      host_.resize(count);
    }
    const View plain(plain_.data(), DType::f32, activation.shape);
    cast(ctx, activation, plain);
    copy_to_host(ctx, plain, View(host_.data(), DType::f32, activation.shape));
    synchronize(ctx);
    return host_.data();
  }

  Buffer plain_;
  std::vector<float> host_;
};

void normalize_embedding(FeatureMatrix& features) {
  Context host;
  std::vector<float> inv_norm(static_cast<std::size_t>(features.rows));
  const View view(features.values.data(), DType::f32, Shape(features.rows, features.columns));
  normalize_rows(host, view, view, View(inv_norm.data(), DType::f32, Shape(features.rows)));
}

class NetworkFeatures : public FeatureSource {
 public:
  NetworkFeatures(Context& ctx, const Options& options, Network& network,
                  const data::PictureShape& pictures, std::int64_t batch,
                  const std::vector<std::string>& taps)
      : front_(front_end(options)),
        layers_(layers_of(network, taps)),
        execution_(ctx, *network.net, batch, Mode::eval, names(layers_)),
        memory_(ctx, batch, pictures) {}

  void look(Context& ctx, const data::Batch& batch) override {
    memory_.load(ctx, batch);
    preprocess(ctx, front_, memory_.pixels(), memory_.boxes(), execution_.input());
    execution_.forward(ctx, Pass{.mode = Mode::eval});
  }
  ConstView at(const std::string& tap) const override { return execution_.kept(layers_.at(tap)); }

 private:
  using Layers = std::map<std::string, std::string>;  // by tap

  static Layers layers_of(const Network& network, const std::vector<std::string>& taps) {
    Layers layers;
    for (const std::string& tap : taps) layers[tap] = network.tap_layer(tap);
    return layers;
  }
  static std::vector<std::string> names(const Layers& layers) {
    std::vector<std::string> names;
    for (const auto& [tap, layer] : layers) names.push_back(layer);
    return names;
  }

  FrontEnd front_;
  Layers layers_;
  Execution execution_;
  PictureMemory memory_;
};

// Preprocessed pictures and nothing behind them.
class ImageFeatures : public FeatureSource {
 public:
  ImageFeatures(Context& ctx, FrontEnd front, const TensorSpec& images,
                const data::PictureShape& pictures)
      : front_(front),
        memory_(ctx, images.shape[0], pictures),
        spec_(images),
        images_(ctx.device, images.bytes(), "pixels") {}

  void look(Context& ctx, const data::Batch& batch) override {
    memory_.load(ctx, batch);
    preprocess(ctx, front_, memory_.pixels(), memory_.boxes(), spec_.at(images_.data()));
  }
  ConstView at(const std::string&) const override { return spec_.at(images_.data()); }

 private:
  FrontEnd front_;
  PictureMemory memory_;
  TensorSpec spec_;
  Buffer images_;
};

void keep_readable(const data::Dataset& pictures, FeatureSet& set) {
  const std::vector<std::int64_t> kept = readable_rows(pictures, set.ids);
  if (kept.size() == set.ids.size()) return;
  for (auto& [tap, features] : set.at) keep_rows(features, kept);
  set.ids = select_labels(set.ids, kept);
  set.labels = select_labels(set.labels, kept);
}

// The middle view of every picture.
FeatureSet collect_all(Context& ctx, const Options& options, const data::Dataset& pictures,
                       FeatureSource& source, const std::vector<std::string>& taps,
                       const std::string& title) {
  data::Loader loader(pictures,
                      viewing(ctx, options, pictures, evaluation_batch(options, pictures),
                              data::evaluation_view(augmentation(options, pictures.shape()))));
  std::int64_t numbers = 0;
  for (const std::string& tap : taps) numbers += source.at(tap).shape.row();
  require_room(feature_bytes(loader.pictures(), numbers),
               str("the features of ", loader.pictures(), " pictures, ", numbers, " numbers each,"),
               "ask for fewer pictures or layers");
  FeatureSet set;
  for (const std::string& tap : taps) {
    set.at[tap] = FeatureMatrix(loader.pictures(), source.at(tap).shape.row());
  }
  Collector collector;
  Progress progress = progress_on_terminal(title);
  loader.start_epoch(0);
  while (const data::Batch* batch = loader.next()) {
    source.look(ctx, *batch);
    const auto first = static_cast<std::int64_t>(set.ids.size());
    for (const std::string& tap : taps) {
      collector.collect(ctx, source.at(tap), batch->size(), set.at[tap].row(first));
    }
    set.ids.insert(set.ids.end(), batch->ids.begin(), batch->ids.end());
    set.labels.insert(set.labels.end(), batch->labels.begin(), batch->labels.end());
    progress.update({.done = std::ssize(set.ids), .total = loader.pictures()});
  }
  progress.finish();
  keep_readable(pictures, set);
  return set;
}

}  // namespace

FeatureNumbers feature_numbers(const Context& ctx, const Network& network,
                               const std::vector<std::string>& taps) {
  const std::vector<TensorSpec> activations = network.net->activations(ctx, 1);
  FeatureNumbers numbers;
  for (const std::string& tap : taps) {
    const std::size_t layer = network.net->layer_index(network.tap_layer(tap));
    const std::int64_t here = activations[layer + 1].shape.row();
    numbers.all += here;
    numbers.widest = std::max(numbers.widest, here);
  }
  return numbers;
}

std::size_t feature_bytes(std::int64_t pictures, std::int64_t numbers) {
  return static_cast<std::size_t>(pictures) * static_cast<std::size_t>(numbers) * sizeof(float);
}

std::size_t feature_room() { return memory_limit() / 8 * 7; }

void require_room(std::size_t needed, const std::string& what, const std::string& advice) {
  NAT_CHECK(needed <= feature_room(), ErrorKind::memory, what, " take ", needed >> 20,
            " MiB, and there are ", feature_room() >> 20, " for that; ", advice);
}

void require_known_classes(const char* who, const data::Dataset& train, const data::Dataset& test) {
  std::vector<std::int32_t> labels;
  for (const std::int32_t id : test.usable_ids()) labels.push_back(test.label(id));
  check_labels(who, "test", labels, train.classes());
}

std::vector<std::int64_t> readable_rows(const data::Dataset& pictures,
                                        const std::vector<std::int32_t>& ids) {
  std::set<std::int32_t> bad;
  for (const data::BadPicture& picture : pictures.bad_pictures()) bad.insert(picture.id);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < std::ssize(ids); ++i) {
    if (!bad.contains(ids[static_cast<std::size_t>(i)])) rows.push_back(i);
  }
  return rows;
}

std::int64_t evaluation_batch(const Options& options, const data::Dataset& pictures) {
  constexpr std::int64_t kLeast = 32, kMost = 256;
  return batch_of(std::clamp<std::int64_t>(options.batch, kLeast, kMost), pictures);
}

std::unique_ptr<FeatureSource> network_features(Context& ctx, const Options& options,
                                                Network& network,
                                                const data::PictureShape& pictures,
                                                std::int64_t batch,
                                                const std::vector<std::string>& taps) {
  return std::make_unique<NetworkFeatures>(ctx, options, network, pictures, batch, taps);
}

std::unique_ptr<FeatureSource> network_input(Context& ctx, const Options& options,
                                             const Network& network,
                                             const data::PictureShape& pictures,
                                             std::int64_t batch) {
  return std::make_unique<ImageFeatures>(ctx, front_end(options),
                                         network.net->activations(ctx, batch).front(), pictures);
}

std::unique_ptr<FeatureSource> pixel_features(Context& ctx, const Options& options,
                                              const data::PictureShape& pictures,
                                              std::int64_t batch) {
  const Shape shape(batch, options.size, options.size, pictures.channels);
  return std::make_unique<ImageFeatures>(ctx, FrontEnd::clean, TensorSpec(shape, DType::f32),
                                         pictures);
}

data::LoaderOptions viewing(const Context& ctx, const Options& options,
                            const data::Dataset& pictures, std::int64_t batch,
                            const data::Augmentation& view) {
  data::LoaderOptions loading;
  loading.batch_size = static_cast<int>(batch_of(batch, pictures));
  loading.shuffle = false;
  loading.drop_last = false;
  loading.augmentation = view;
  loading.threads = loader_threads(options, ctx.device, loading.batch_size, pictures.shape());
  return loading;
}

FeatureSet extract_features(Context& ctx, const Options& options, Network& network,
                            const data::Dataset& pictures, const std::vector<std::string>& taps,
                            const std::string& title) {
  const auto source = network_features(ctx, options, network, pictures.shape(),
                                       evaluation_batch(options, pictures), taps);
  FeatureSet set = collect_all(ctx, options, pictures, *source, taps, title);
  if (const auto found = set.at.find("embedding"); found != set.at.end()) {
    normalize_embedding(found->second);
  }
  return set;
}

FeatureSet raw_pixels(Context& ctx, const Options& options, const data::Dataset& pictures,
                      const std::string& title) {
  const auto source =
      pixel_features(ctx, options, pictures.shape(), evaluation_batch(options, pictures));
  return collect_all(ctx, options, pictures, *source, {"raw"}, title);
}

void calibrate(Context& ctx, const Options& options, Network& network,
               const data::Dataset& pictures) {
  data::LoaderOptions loading;
  loading.batch_size = static_cast<int>(batch_of(options.batch, pictures));
  loading.augmentation = augmentation(options, pictures.shape());
  loading.seed = options.seed;
  loading.threads = loader_threads(options, ctx.device, loading.batch_size, pictures.shape());
  data::Loader loader(pictures, loading);
  Execution execution(ctx, *network.net, loading.batch_size, Mode::train);
  PictureMemory memory(ctx, loading.batch_size, pictures.shape());
  std::uint32_t shown = 0;
  for (std::uint32_t epoch = 0; shown < kCalibrationBatches; ++epoch) {
    loader.start_epoch(epoch);
    while (const data::Batch* batch = loader.next()) {
      memory.load(ctx, *batch);
      calibrate_batchnorm(ctx, execution, front_end(options), memory.pixels(), memory.boxes(),
                          options.seed, shown);
      if (++shown == kCalibrationBatches) return;
    }
  }
}

}  // namespace nat::tools
