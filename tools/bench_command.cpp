// nat bench --roofline: how fast a training step could be on a card at best. Runs anywhere: it
// computes, it does not measure. Measurements are programs of their own (bench/README.md).
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "models/alexnet.h"
#include "tools/commands.h"
#include "tools/roofline/roofline.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  bool roofline = false, momentum = false, json = false;
  std::string network = "alexnet", dtype = "bf16", card = "H200";
  std::int64_t batch = 256, dimension = 0;
  int size = 0;
  double product_tflops = 0, copy_gbs = 0;  // measured; 0: what the card is expected to reach
};

void validate(const Asked& asked) {
  require_range<std::int64_t>("batch", asked.batch, 1, 1 << 20);
  require_range("size", asked.size, 0, 4096);
  require_range<std::int64_t>("dimension", asked.dimension, 0, 65536);
  require_range("product-tflops", asked.product_tflops, 0.0, 1e6);
  require_range("copy-gbs", asked.copy_gbs, 0.0, 1e6);
  std::vector<std::string> cards;
  for (const roofline::Card& card : roofline::cards()) cards.emplace_back(card.name);
  require_choice("card", asked.card, cards);
}

roofline::Workload workload_of(const Asked& asked) {
  const bool is_alexnet = asked.network == "alexnet";
  const std::int64_t dimension = asked.dimension > 0 ? asked.dimension : is_alexnet ? 2048 : 64;
  roofline::Workload workload = roofline::workload_of(
      {.name = asked.network, .dimension = dimension}, asked.size > 0 ? asked.size
                                                       : is_alexnet   ? kAlexNetPicture
                                                                      : 28);
  workload.batch = asked.batch;
  workload.math = math_of(Device::cuda, asked.dtype);
  workload.momentum = asked.momentum;
  return workload;
}

roofline::Ceilings ceilings_of(const Asked& asked) {
  constexpr double kTera = 1e12, kGiga = 1e9;
  const bool is_measured = asked.product_tflops > 0 && asked.copy_gbs > 0;
  roofline::Ceilings ceilings{};
  if (!is_measured) ceilings = roofline::card(asked.card).expected;
  if (asked.product_tflops > 0) {
    const double rate = kTera * asked.product_tflops;
    ceilings.bf16_flops = ceilings.tf32_flops = ceilings.f32_flops = rate;
  }
  if (asked.copy_gbs > 0) ceilings.bytes_per_second = kGiga * asked.copy_gbs;
  return ceilings;
}

nlohmann::json describe(const Asked& asked, const roofline::Workload& workload,
                        const roofline::Ceilings& ceilings) {
  const auto operations = roofline::step_operations(workload);
  const roofline::Floor floor = roofline::floor_of(operations, ceilings, workload.math);
  nlohmann::json json = {
      {"network", asked.network},
      {"batch", workload.batch},
      {"dtype", asked.dtype},
      {"product_flops_per_second", ceilings.product_rate(workload.math)},
      {"bytes_per_second", ceilings.bytes_per_second},
      {"floor_ms", 1e3 * floor.seconds},
      {"images_per_second", static_cast<double>(workload.batch) / floor.seconds},
      {"flops", floor.flops},
      {"bytes", floor.bytes},
      {"forward_flops_of_picture", roofline::forward_flops_of_picture(workload)},
      {"training_flops_of_picture", roofline::training_flops_of_picture(workload)}};
  for (const roofline::Kind kind : roofline::kKinds) {
    json["floor_ms_by_kind"][roofline::name(kind)] = 1e3 * floor.seconds_of(kind);
  }
  for (const roofline::Operation& operation : operations) {
    json["operations"].push_back(
        {{"name", operation.name},
         {"flops", operation.flops},
         {"bytes", operation.bytes},
         {"us", 1e6 * roofline::seconds(operation, ceilings, workload.math)},
         {"memory_bound", roofline::is_memory_bound(operation, ceilings, workload.math)}});
  }
  return json;
}

void print_table(const nlohmann::json& json) {
  std::printf("%-22s %10s %10s %10s\n", "operation", "GFLOP", "MB", "us");
  for (const nlohmann::json& operation : json["operations"]) {
    std::printf("%-22s %10.2f %10.1f %10.1f%s\n", operation["name"].get<std::string>().c_str(),
                operation["flops"].get<double>() / 1e9, operation["bytes"].get<double>() / 1e6,
                operation["us"].get<double>(), operation["memory_bound"].get<bool>() ? " m" : "");
  }
  std::printf("(m: bound by memory)\n\n");
  const double total = json["floor_ms"].get<double>();
  for (const auto& [kind, ms] : json["floor_ms_by_kind"].items()) {
    std::printf("%-24s %8.3f ms %5.1f %%\n", kind.c_str(), ms.get<double>(),
                100 * ms.get<double>() / total);
  }
  std::printf("%-24s %8.3f ms, %.1f thousand images/s, %.2f GB, %.3f GFLOP an image\n", "floor",
              total, json["images_per_second"].get<double>() / 1e3,
              json["bytes"].get<double>() / 1e9,
              json["training_flops_of_picture"].get<double>() / 1e9);
}

}  // namespace

Command bench_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "bench", "--roofline: how fast a training step could be on a card at best");
  const auto asked = std::make_shared<Asked>();
  app->add_flag("--roofline", asked->roofline,
                "compute the floor of a step, operation by operation");
  add_value(*app, "--network", asked->network, "alexnet or convnet");
  add_value(*app, "--batch", asked->batch, "pictures a step");
  add_value(*app, "--dtype", asked->dtype, "bf16, tf32 or f32")
      ->check(CLI::IsMember({"bf16", "tf32", "f32"}));
  add_value(*app, "--dimension", asked->dimension, "dimension of features; 0 = the network's own");
  add_value(*app, "--size", asked->size, "side of the pictures; 0 = the network's own");
  add_value(*app, "--card", asked->card, "H200, H100, A100, RTX 4090 or RTX 5090");
  add_value(*app, "--product-tflops", asked->product_tflops,
            "measured rate of large products at this dtype, instead of the card's");
  add_value(*app, "--copy-gbs", asked->copy_gbs,
            "measured bandwidth of a large copy, instead of the card's");
  app->add_flag("--momentum", asked->momentum, "SGD with momentum");
  app->add_flag("--json", asked->json, "print JSON");
  return {app, [asked] {
            NAT_CHECK(asked->roofline, ErrorKind::usage,
                      "bench: say --roofline; measurements are the programs bench_* of the build");
            validate(*asked);
            const roofline::Workload workload = workload_of(*asked);
            const nlohmann::json json = describe(*asked, workload, ceilings_of(*asked));
            if (asked->json) {
              std::printf("%s\n", json.dump(2).c_str());
            } else {
              print_table(json);
            }
            return 0;
          }};
}

}  // namespace nat::tools
