// Which implementation computes each convolution of a network, and how well?
//
//   bench_conv [--device cpu|cuda] [--network alexnet|convnet] [--batch N] [--dtype f32|tf32|bf16]
//              [--plans PATH] [--json PATH]
//
// For all products (of AlexNet 14: five forward, five by weights, four by data; the first layer has
// no data gradient): microseconds with cold caches, rate, share of the product rate measured in the
// same run. On CUDA every candidate of the library is timed first, the five fastest of each are
// listed, and --plans writes the file that pins the choice (kernels/library_plans.h).
#include "bench/ceilings.h"
#include "kernels/conv2d.h"
#include "kernels/library_plans.h"
#include "models/alexnet.h"

namespace {

using namespace nat;

struct Asked {
  std::string device = "cpu", network = "alexnet", dtype, plans, json;
  std::int64_t batch = 2;
};

// The tensors of one convolution of the network.
struct Layer {
  std::string name;
  Conv2d conv;
  Shape x, w, y;
  double flops() const { return 2.0 * static_cast<double>(y.elements() * w.row()); }
};

std::vector<Layer> convolutions(const std::string& network, std::int64_t n) {
  constexpr std::int64_t kSmallPicture = 28;
  const std::int64_t side = network == "alexnet" ? kAlexNetPicture : kSmallPicture;
  std::vector<Layer> layers;
  Shape x(n, side, side, 2);
  for (const ConvRow& row : architecture_table({.name = network}).convolutions) {
    const Conv2d conv{.kernel = row.kernel, .stride = row.stride, .pad = row.pad};
    const Shape y = conv2d_output(conv, x, row.channels);
    layers.push_back({str("conv", layers.size() + 1), conv, x,
                      Shape(row.channels, row.kernel, row.kernel, x.channels()), y});
    const auto pooled = [&](std::int64_t in) {
      return row.pool == 0 ? in : (in - row.pool) / row.pool_stride + 1;
    };
    x = Shape(n, pooled(y[1]), pooled(y[2]), y.channels());
  }
  return layers;
}

class Table {
 public:
  Table(Context& ctx, double ceiling) : timer_(ctx), ceiling_(ceiling) {}

  void row(const Layer& layer, const char* direction, const std::function<void()>& enqueue) {
    const double seconds = timer_.seconds(enqueue), rate = layer.flops() / seconds;
    std::printf("%-6s %-17s %10.1f us %9.2f TFLOP/s %5.0f %% of the product rate\n",
                layer.name.c_str(), direction, 1e6 * seconds, rate / 1e12, 100 * rate / ceiling_);
    std::fflush(stdout);
    total_ += seconds;
    rows.push_back({{"layer", layer.name},
                    {"direction", direction},
                    {"us", 1e6 * seconds},
                    {"flops_per_second", rate}});
  }
  double total() const { return total_; }
  nlohmann::json rows = nlohmann::json::array();

 private:
  bench::Timer timer_;
  double ceiling_, total_ = 0;
};

void measure(Context& ctx, const Layer& layer, DType dtype, Table& table) {
  const DType operand = ctx.device == Device::cuda ? dtype : DType::f32;
  const auto x_memory = bench::random_tensor(ctx, layer.x, dtype, 1);
  const auto y_memory = bench::random_tensor(ctx, layer.y, dtype, 2);
  const bench::DeviceTensor dx_memory(ctx, layer.x, dtype);
  const auto w = bench::random_tensor(ctx, layer.w, operand, 3, -0.1f, 0.1f);
  const bench::DeviceTensor dw(ctx, layer.w, DType::f32);
  const View x = x_memory.view(), dx = dx_memory.view(), y = y_memory.view();
  // As the layer does it: what is folded forward serves the gradient of the weights as well.
  const Shape folded = conv2d_folded(ctx.device, layer.conv, layer.x);
  const bool folds = folded != layer.x;
  const bench::DeviceTensor folded_memory(ctx, folds ? folded : Shape(0), dtype);
  const View operand_x = folds ? folded_memory.view() : x;
  table.row(layer, "forward", [&] {
    if (folds) conv2d_fold(ctx, layer.conv, x, operand_x);
    conv2d_forward(ctx, layer.conv, operand_x, w.view(), y);
  });
  if (layer.name != "conv1") {
    table.row(layer, "backward data",
              [&] { conv2d_backward_data(ctx, layer.conv, w.view(), y, dx); });
  }
  table.row(layer, "backward weights", [&] {
    conv2d_backward_weights(ctx, layer.conv, operand_x, y, Grad::overwrite, dw.view());
  });
}

// The fastest candidates of every problem.
nlohmann::json list_candidates(Context& ctx) {
  constexpr std::size_t kListed = 5;
  std::vector<LibraryPlan> plans;
  list_library_plans(ctx, plans);
  nlohmann::json json = nlohmann::json::array();
  for (const LibraryPlan& plan : plans) {
    nlohmann::json problem = {{"problem", plan.problem}, {"implementation", plan.implementation}};
    std::printf("%s: %s\n", plan.problem.c_str(), plan.implementation.c_str());
    for (std::size_t i = 0; i < std::min(kListed, plan.timed.size()); ++i) {
      const TimedPlan& timed = plan.timed[i];
      std::printf("    %-12s %8.3f ms, %6.1f MiB of workspace\n", timed.implementation.c_str(),
                  static_cast<double>(timed.milliseconds),
                  static_cast<double>(timed.workspace_bytes) / (1 << 20));
      problem["timed"].push_back({{"implementation", timed.implementation},
                                  {"ms", timed.milliseconds},
                                  {"workspace_bytes", timed.workspace_bytes}});
    }
    json.push_back(problem);
  }
  return json;
}

void run(const Asked& asked) {
  const Device device = bench::device_of(asked.device);
  const Math math = bench::math_of(asked.dtype);
  NAT_CHECK(device == Device::cuda || asked.plans.empty(), ErrorKind::usage,
            "--plans: only CUDA has libraries whose plans can be pinned");
  const double ceiling = bench::product_rate(device, math, bench::product_side(device));
  Context ctx(device, math);
  if (device == Device::cuda) autotune_libraries(ctx, true);
  std::printf("%s, %s, batch %lld, %s, product rate %.2f TFLOP/s\n",
              bench::device_name(device).c_str(), asked.network.c_str(),
              static_cast<long long>(asked.batch), asked.dtype.c_str(), ceiling / 1e12);
  Table table(ctx, ceiling);
  for (const Layer& layer : convolutions(asked.network, asked.batch)) {
    measure(ctx, layer, math == Math::bf16 ? DType::bf16 : DType::f32, table);
  }
  std::printf("all of them %.3f ms\n", 1e3 * table.total());
  nlohmann::json json = {{"bench", "conv"},          {"device", bench::device_name(device)},
                         {"network", asked.network}, {"batch", asked.batch},
                         {"dtype", asked.dtype},     {"product_flops_per_second", ceiling},
                         {"rows", table.rows}};
  if (device == Device::cuda) json["problems"] = list_candidates(ctx);
  if (!asked.plans.empty()) save_library_plans(ctx, asked.plans);
  bench::write_json(asked.json, json);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the convolutions of a network, one by one");
  Asked asked;
  bench::add_device(app, asked.device);
  app.add_option("--network", asked.network)->check(CLI::IsMember({"alexnet", "convnet"}));
  app.add_option("--batch", asked.batch)->check(CLI::PositiveNumber);
  app.add_option("--dtype", asked.dtype, "f32, on CUDA bf16, unless said otherwise")
      ->check(CLI::IsMember({"f32", "tf32", "bf16"}));
  app.add_option("--plans", asked.plans, "CUDA: write the fastest plans to this file");
  app.add_option("--json", asked.json, "write all figures to this file");
  CLI11_PARSE(app, argc, argv);
  if (asked.dtype.empty()) asked.dtype = bench::usual_dtype(asked.device);
  return bench::guarded("bench_conv", [&] { run(asked); });
}
