#include "tools/features.h"

#include <algorithm>
#include <cstring>

#include "data/loader.h"
#include "kernels/cast.h"
#include "kernels/nat_head.h"
#include "nat/trainer.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

constexpr std::int64_t kEvaluationBatch = 256;
constexpr std::uint32_t kCalibrationBatches = 50;

// A batch is never larger than what there is to fill it with: its rest would hold no pictures.
std::int64_t batch_of(std::int64_t wanted, const data::Dataset& pictures) {
  return std::min<std::int64_t>(wanted, std::ssize(pictures.usable_ids()));
}

data::LoaderOptions evaluation_loading(const Context& ctx, const Options& options,
                                       const data::Dataset& pictures) {
  data::LoaderOptions loading;
  loading.batch_size = static_cast<int>(batch_of(kEvaluationBatch, pictures));
  loading.shuffle = false;
  loading.drop_last = false;
  loading.augmentation = data::evaluation_view(augmentation(options, pictures.shape()));
  loading.threads = loader_threads(options, ctx.device, loading.batch_size, pictures.shape());
  return loading;
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

// Copies n rows of an activation to host rows in (channel, row, column) order.
void collect(Context& ctx, ConstView activation, std::int64_t n, float* out) {
  const Shape shape = activation.shape;
  const std::int64_t row = shape.row();
  const Buffer plain_memory(ctx.device, static_cast<std::size_t>(shape.elements()) * sizeof(float),
                            "features");
  const View plain(plain_memory.data(), DType::f32, shape);
  cast(ctx, activation, plain);
  std::vector<float> host(static_cast<std::size_t>(shape.elements()));
  copy_to_host(ctx, plain, View(host.data(), DType::f32, shape));
  synchronize(ctx);
  const std::int64_t channels = shape.rank == 4 ? shape[3] : 1;
  const std::int64_t pixels = shape.rank == 4 ? shape[1] * shape[2] : row;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) {
        out[i * row + c * pixels + pixel] =
            host[static_cast<std::size_t>(i * row + pixel * channels + c)];
      }
    }
  }
}

void normalize_embedding(FeatureMatrix& features) {
  Context host;
  std::vector<float> inv_norm(static_cast<std::size_t>(features.rows));
  const View view(features.values.data(), DType::f32, Shape(features.rows, features.columns));
  normalize_rows(host, view, view, View(inv_norm.data(), DType::f32, Shape(features.rows)));
}

}  // namespace

FeatureSet extract_features(Context& ctx, const Options& options, Network& network,
                            const data::Dataset& pictures, const std::vector<std::string>& taps) {
  std::vector<std::string> layers;
  for (const std::string& tap : taps) layers.push_back(network.tap_layer(tap));
  data::Loader loader(pictures, evaluation_loading(ctx, options, pictures));
  const std::int64_t batch_size = batch_of(kEvaluationBatch, pictures);
  Execution execution(ctx, *network.net, batch_size, Mode::eval, layers);
  PictureMemory memory(ctx, batch_size, pictures.shape());

  FeatureSet set;
  for (std::size_t t = 0; t < taps.size(); ++t) {
    set.at[taps[t]] = FeatureMatrix(loader.pictures(), execution.kept(layers[t]).shape.row());
  }
  loader.start_epoch(0);
  while (const data::Batch* batch = loader.next()) {
    memory.load(ctx, *batch);
    preprocess(ctx, front_end(options), memory.pixels(), memory.boxes(), execution.input());
    execution.forward(ctx, Pass{.mode = Mode::eval});
    const auto first = static_cast<std::int64_t>(set.ids.size());
    for (std::size_t t = 0; t < taps.size(); ++t) {
      collect(ctx, execution.kept(layers[t]), batch->size(), set.at[taps[t]].row(first));
    }
    set.ids.insert(set.ids.end(), batch->ids.begin(), batch->ids.end());
    set.labels.insert(set.labels.end(), batch->labels.begin(), batch->labels.end());
  }
  if (const auto found = set.at.find("embedding"); found != set.at.end()) {
    normalize_embedding(found->second);
  }
  return set;
}

FeatureSet raw_pixels(Context& ctx, const Options& options, const data::Dataset& pictures) {
  data::Loader loader(pictures, evaluation_loading(ctx, options, pictures));
  const std::int64_t batch_size = batch_of(kEvaluationBatch, pictures);
  PictureMemory memory(ctx, batch_size, pictures.shape());
  const Shape shape(batch_size, options.size, options.size, pictures.shape().channels);
  const Buffer images(ctx.device, static_cast<std::size_t>(shape.elements()) * sizeof(float),
                      "pixels");
  const View view(images.data(), DType::f32, shape);

  FeatureSet set;
  set.at["raw"] = FeatureMatrix(loader.pictures(), shape.row());
  loader.start_epoch(0);
  while (const data::Batch* batch = loader.next()) {
    memory.load(ctx, *batch);
    preprocess(ctx, FrontEnd::clean, memory.pixels(), memory.boxes(), view);
    collect(ctx, view, batch->size(), set.at["raw"].row(static_cast<std::int64_t>(set.ids.size())));
    set.ids.insert(set.ids.end(), batch->ids.begin(), batch->ids.end());
    set.labels.insert(set.labels.end(), batch->labels.begin(), batch->labels.end());
  }
  return set;
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
