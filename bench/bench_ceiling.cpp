// What does this device reach at best? The rate of a large copy, and of large products by
// precision: everything else is reported as a share of these.
//
//   bench_ceiling [--device cpu|cuda] [--copy-mib N] [--side N] [--json PATH]
#include "bench/ceilings.h"

namespace {

using namespace nat;

struct Asked {
  std::string device = "cpu", json;
  std::int64_t copy_mib = 0, side = 0;
};

void run(const Asked& asked) {
  const Device device = bench::device_of(asked.device);
  const std::int64_t bytes = asked.copy_mib > 0 ? asked.copy_mib << 20 : bench::copy_bytes(device);
  const std::int64_t side = asked.side > 0 ? asked.side : bench::product_side(device);
  Context ctx(device);
  const double copied = bench::copy_rate(ctx, bytes);
  nlohmann::json json = {{"bench", "ceiling"},
                         {"device", bench::device_name(device)},
                         {"copy_bytes", bytes},
                         {"copy_bytes_per_second", copied},
                         {"product_side", side}};
  std::printf("%s\n%-28s %10.1f GB/s\n", bench::device_name(device).c_str(),
              str("copy of ", bytes >> 20, " MiB").c_str(), copied / 1e9);
  for (const Math math : {Math::f32, Math::tf32, Math::bf16}) {
    if (device == Device::cpu && math != Math::f32) continue;
    const double rate = bench::product_rate(device, math, side);
    json["product_flops_per_second"][name(math)] = rate;
    std::printf("%-28s %10.2f TFLOP/s\n", str("product of side ", side, ", ", name(math)).c_str(),
                rate / 1e12);
  }
  bench::write_json(asked.json, json);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the rate of a large copy and of large products");
  Asked asked;
  bench::add_device(app, asked.device);
  app.add_option("--copy-mib", asked.copy_mib, "size of the copy; 0 = by device");
  app.add_option("--side", asked.side, "side of the matrices; 0 = by device");
  app.add_option("--json", asked.json, "write all figures to this file");
  CLI11_PARSE(app, argc, argv);
  return bench::guarded("bench_ceiling", [&] { run(asked); });
}
