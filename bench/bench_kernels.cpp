// How close does each handwritten kernel come to the bandwidth of this device?
//
//   bench_kernels [--device cpu|cuda] [--batch N] [--dtype bf16|f32] [--only TEXT] [--json PATH]
//
// At the sizes of AlexNet, with cold caches: microseconds, bytes of the contract a second, their
// share of the copy rate measured in the same run, and on CUDA the largest difference from the CPU
// operation on the same values, over the largest value, for a batch of at most 8.
#include <cmath>

#include "bench/ceilings.h"
#include "bench/kernel_cases.h"

namespace {

using namespace nat;

struct Asked {
  std::string device = "cpu", dtype, only, json;
  std::int64_t batch = 4, parameters = 0;
};

constexpr std::int64_t kAlexNetParameters = 66'648'768;  // weights, at dimension 2048
constexpr std::int64_t kCheckedBatch = 8, kCheckedParameters = 1 << 20;

// The tensors of a case in the memory of a context.
class Prepared {
 public:
  Prepared(Context& ctx, const bench::KernelCase& kernel) {
    std::uint64_t seed = 0;
    for (const bench::Operand& operand : kernel.operands) {
      tensors_.emplace_back(ctx, operand.shape, operand.dtype);
      views_.push_back(tensors_.back().view());
      bench::upload(ctx,
                    operand.values.empty() ? bench::random_floats(operand.shape.elements(), ++seed,
                                                                  operand.low, operand.high)
                                           : operand.values,
                    views_.back());
    }
    if (kernel.prepare) kernel.prepare(ctx, views_);
  }
  const bench::Views& views() const { return views_; }

 private:
  std::vector<bench::DeviceTensor> tensors_;
  bench::Views views_;
};

std::vector<std::vector<float>> results(Context& ctx, const bench::KernelCase& kernel) {
  const Prepared prepared(ctx, kernel);
  kernel.run(ctx, prepared.views());
  std::vector<std::vector<float>> all;
  for (std::size_t i = 0; i < kernel.operands.size(); ++i) {
    if (kernel.operands[i].is_result) all.push_back(bench::download(ctx, prepared.views()[i]));
  }
  return all;
}

// Largest |a - b| over the largest |b|, of the worst tensor; NaN counts as infinite.
double relative_difference(const std::vector<std::vector<float>>& a,
                           const std::vector<std::vector<float>>& b) {
  double worst = 0;
  for (std::size_t tensor = 0; tensor < a.size(); ++tensor) {
    double difference = 0, largest = 0;
    for (std::size_t i = 0; i < a[tensor].size(); ++i) {
      const double d = std::abs(static_cast<double>(a[tensor][i]) - b[tensor][i]);
      difference = std::max(difference, std::isnan(d) ? HUGE_VAL : d);
      largest = std::max(largest, std::abs(static_cast<double>(b[tensor][i])));
    }
    if (difference > 0) worst = std::max(worst, difference / largest);
  }
  return worst;
}

void run(const Asked& asked) {
  const Device device = bench::device_of(asked.device);
  const DType dtype = asked.dtype == "bf16" ? DType::bf16 : DType::f32;
  const std::int64_t parameters = asked.parameters > 0     ? asked.parameters
                                  : device == Device::cuda ? kAlexNetParameters
                                                           : kCheckedParameters;
  Context ctx(device, bench::math_of(asked.dtype)), host;
  const double copied = bench::copy_rate(ctx, bench::copy_bytes(device));
  bench::Timer timer(ctx);
  std::printf("%s, batch %lld, %s, copy %.1f GB/s\n%-30s %10s %9s %8s %10s\n",
              bench::device_name(device).c_str(), static_cast<long long>(asked.batch),
              asked.dtype.c_str(), copied / 1e9, "kernel", "us", "GB/s", "of copy", "error");
  nlohmann::json rows = nlohmann::json::array();
  double worst = 0;
  const auto cases = bench::kernel_cases(asked.batch, dtype, parameters);
  const auto small =
      bench::kernel_cases(std::min(asked.batch, kCheckedBatch), dtype, kCheckedParameters);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const bench::KernelCase& kernel = cases[i];
    if (kernel.name.find(asked.only) == std::string::npos) continue;
    const Prepared prepared(ctx, kernel);
    const double seconds = timer.seconds([&] { kernel.run(ctx, prepared.views()); });
    const double rate = seconds > 0 ? kernel.bytes / seconds : 0;
    nlohmann::json row = {{"kernel", kernel.name},
                          {"us", 1e6 * seconds},
                          {"bytes", kernel.bytes},
                          {"share_of_copy", rate / copied}};
    std::string error = "-";  // on the CPU there is nothing to compare with
    if (device == Device::cuda) {
      const double found = relative_difference(results(ctx, small[i]), results(host, small[i]));
      worst = std::max(worst, found);
      row["error"] = found;
      error = str(found);
    }
    std::printf("%-30s %10.1f %9.1f %6.0f %% %10s\n", kernel.name.c_str(), 1e6 * seconds,
                rate / 1e9, 100 * rate / copied, error.c_str());
    std::fflush(stdout);
    rows.push_back(row);
  }
  bench::write_json(asked.json, {{"bench", "kernels"},
                                 {"device", bench::device_name(device)},
                                 {"batch", asked.batch},
                                 {"dtype", asked.dtype},
                                 {"copy_bytes_per_second", copied},
                                 {"rows", rows}});
  NAT_CHECK(std::isfinite(worst), ErrorKind::unexpected,
            "a kernel gives NaN where the CPU does not; see the column 'error'");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the handwritten kernels beside the copy rate of the device");
  Asked asked;
  bench::add_device(app, asked.device);
  app.add_option("--batch", asked.batch)->check(CLI::PositiveNumber);
  app.add_option("--dtype", asked.dtype, "of activations; f32, on CUDA bf16, unless said otherwise")
      ->check(CLI::IsMember({"bf16", "f32"}));
  app.add_option("--only", asked.only, "kernels whose name holds this text");
  app.add_option("--parameters", asked.parameters, "of sgd_update; 0 = by device");
  app.add_option("--json", asked.json, "write all figures to this file");
  CLI11_PARSE(app, argc, argv);
  if (asked.dtype.empty()) asked.dtype = bench::usual_dtype(asked.device);
  return bench::guarded("bench_kernels", [&] { run(asked); });
}
