// Can the input keep up? How many pictures a second each part of the way from the store to the
// network delivers: gathering a batch, carrying it to the device, preparing it there.
//
//   bench_input [--device cpu|cuda] [--batch N] [--pictures N] [--size N] [--channels 1|3]
//               [--data [FORMAT:]PATH] [--loaders N] [--json PATH]
//
// The pictures are random bytes in memory, or with --data those of a data set, read from its files
// each time: a folder decodes, a packed one (nat pack) reads.
//
// The parts overlap in training, so the slowest one counts, not their sum.
#include <algorithm>
#include <cstring>

#include "bench/measure.h"
#include "bench/tensors.h"
#include "data/loader.h"
#include "data/open.h"
#include "data/store.h"
#include "kernels/preprocess.h"

namespace {

using namespace nat;

struct Asked {
  std::string device = "cpu", data, json;
  std::int64_t batch = 32, pictures = 512;
  int size = 256, channels = 3, loaders = 2;
};

constexpr int kNetworkInput = 224;

std::unique_ptr<data::Dataset> make_store(const Asked& asked) {
  if (!asked.data.empty()) {
    return data::open_dataset(data::parse_spec(asked.data), data::Split::train,
                              {.picture_size = asked.size, .keep = data::Keep::disk});
  }

  data::Catalog catalog;
  catalog.format = "generated";
  catalog.source = "random bytes";
  catalog.shape = {.height = asked.size, .width = asked.size, .channels = asked.channels};
  catalog.size = asked.pictures;
  data::Bytes pixels(static_cast<std::size_t>(asked.pictures * catalog.shape.bytes()));
  for (std::size_t i = 0; i < pixels.size(); i += 16) {
    const Random4 words = philox(1, RandomStream::synthetic, 0, i / 16);
    std::memcpy(pixels.data() + i, words.value, std::min<std::size_t>(16, pixels.size() - i));
  }
  return std::make_unique<data::MemoryDataset>(std::move(catalog), std::move(pixels));
}

// Pictures a second that the loader delivers over two epochs, after one that warms up.
double gather_rate(const Asked& asked, const data::Dataset& store, data::PixelMemory memory) {
  data::Loader loader(store, {.batch_size = static_cast<int>(asked.batch),
                              .threads = asked.loaders,
                              .memory = std::move(memory)});
  constexpr std::uint32_t kEpochs = 3;
  double began = 0;
  std::int64_t pictures = 0;
  for (std::uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    if (epoch == 1) began = bench::now();
    loader.start_epoch(epoch);
    while (const data::Batch* batch = loader.next()) {
      if (epoch > 0) pictures += batch->size();
    }
  }
  return static_cast<double>(pictures) / (bench::now() - began);
}

// Pictures a second from page-locked memory to the device, on the stream that training uses.
double carry_rate(Context& ctx, ConstView host, View device) {
  Transfer transfer(ctx.device);
  std::vector<double> times;
  constexpr int kRuns = 10;
  for (int i = 0; i < kRuns; ++i) {
    const double began = bench::now();
    transfer.copy(ctx, host, device);
    transfer.wait();
    synchronize(ctx);
    times.push_back(bench::now() - began);
  }
  return static_cast<double>(host.shape[0]) / bench::median(times);
}

// Crops of the network's size at a different place in each picture, every other one mirrored.
bench::DeviceTensor crop_boxes(Context& ctx, const Asked& asked, int side) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < asked.batch; ++i) {
    const auto corner = static_cast<float>(i % (side - kNetworkInput + 1));
    const float box[] = {corner, corner, kNetworkInput, kNetworkInput, static_cast<float>(i % 2)};
    values.insert(values.end(), std::begin(box), std::end(box));
  }
  bench::DeviceTensor boxes(ctx, Shape(asked.batch, 5), DType::f32);
  bench::upload(ctx, values, boxes.view());
  return boxes;
}

void run(const Asked& asked) {
  NAT_CHECK(asked.size >= kNetworkInput, ErrorKind::usage, "--size ", asked.size,
            " is smaller than the network's input of ", kNetworkInput);
  const Device device = bench::device_of(asked.device);
  Context ctx(device, device == Device::cuda ? Math::bf16 : Math::f32);
  const auto store = make_store(asked);
  const data::PictureShape& stored = store->shape();  // only picture files are as large as --size
  NAT_CHECK(std::min(stored.height, stored.width) >= kNetworkInput, ErrorKind::usage,
            "pictures of ", stored.width, " x ", stored.height,
            " are smaller than the network's input of ", kNetworkInput);
  NAT_CHECK(store->size() >= asked.batch, ErrorKind::usage, store->size(),
            " pictures are less than one batch of ", asked.batch);
  const double gathered = gather_rate(asked, *store, [&](std::size_t bytes) {
    auto memory = std::make_shared<HostBuffer>(device, bytes, "pictures of a batch");
    return std::shared_ptr<std::uint8_t[]>(memory, memory->as<std::uint8_t>());
  });

  const Shape shape(asked.batch, stored.height, stored.width, stored.channels);
  const auto bytes = static_cast<std::size_t>(shape.elements());
  const HostBuffer host(device, bytes, "pictures of a batch");
  for (std::int32_t id = 0; id < asked.batch; ++id) {
    store->read(id, host.as<std::uint8_t>() + id * store->shape().bytes());
  }
  const bench::DeviceTensor pixels(ctx, shape, DType::u8);
  const double carried = carry_rate(ctx, ConstView(host.data(), DType::u8, shape), pixels.view());

  const bench::DeviceTensor boxes = crop_boxes(ctx, asked, std::min(stored.height, stored.width));
  const bench::DeviceTensor images(ctx, Shape(asked.batch, kNetworkInput, kNetworkInput, 2),
                                   device == Device::cuda ? DType::bf16 : DType::f32);
  const double seconds = bench::Timer(ctx).seconds(
      [&] { preprocess(ctx, FrontEnd::sobel, pixels.view(), boxes.view(), images.view()); });
  const double prepared = static_cast<double>(asked.batch) / seconds;

  const double megabytes = static_cast<double>(shape.row()) / 1e6;
  std::printf("%s, batch %lld of %d x %d x %d bytes\n", bench::device_name(device).c_str(),
              static_cast<long long>(asked.batch), stored.width, stored.height, stored.channels);
  const auto print = [&](const char* part, double rate) {
    std::printf("%-34s %10.0f pictures/s %8.2f GB/s\n", part, rate, rate * megabytes / 1e3);
  };
  print(str("gather, ", asked.loaders, " threads").c_str(), gathered);
  print(device == Device::cuda ? "host to device" : "copy", carried);
  print("crop, mirror, normalise, Sobel", prepared);
  bench::write_json(asked.json, {{"bench", "input"},
                                 {"device", bench::device_name(device)},
                                 {"data", asked.data},
                                 {"batch", asked.batch},
                                 {"bytes_of_picture", shape.row()},
                                 {"loaders", asked.loaders},
                                 {"gather_pictures_per_second", gathered},
                                 {"carry_pictures_per_second", carried},
                                 {"prepare_pictures_per_second", prepared}});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the way of pictures from the store to the network");
  Asked asked;
  bench::add_device(app, asked.device);
  app.add_option("--batch", asked.batch)->check(CLI::PositiveNumber);
  app.add_option("--pictures", asked.pictures, "in the store")->check(CLI::PositiveNumber);
  app.add_option("--size", asked.size, "side of the stored pictures");
  app.add_option("--channels", asked.channels)->check(CLI::IsMember({1, 3}));
  app.add_option("--data", asked.data, "pictures of a data set instead, resized to --size");
  app.add_option("--loaders", asked.loaders, "threads that gather")->check(CLI::PositiveNumber);
  app.add_option("--json", asked.json, "write all figures to this file");
  CLI11_PARSE(app, argc, argv);
  return bench::guarded("bench_input", [&] { run(asked); });
}
