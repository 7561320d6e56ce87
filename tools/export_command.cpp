// nat export: the trained network of a run as an ONNX model, for programs that are not this one.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/manifest.h"
#include "engine/durable_file.h"
#include "engine/parameter_file.h"
#include "tools/commands.h"
#include "tools/onnx/network_graph.h"
#include "tools/output_file.h"
#include "tools/run_folder.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  std::string run, output;
  std::vector<std::string> taps = {"embedding"};
  std::optional<std::int64_t> step;
  bool json = false;
};

// How evaluation cuts what the network looks at out of a picture (data::evaluation_view).
std::string crop_in_words(const Options& options, const data::ManifestHeader& pictures) {
  const int side = std::min(pictures.height, pictures.width);
  const int crop = options.crop == "area" ? side : std::min(options.size, side);
  const auto square = [](int pixels) { return str(pixels, " x ", pixels, " pixels"); };
  return str("the middle ", square(crop), " of a picture whose short side is ", side,
             crop == options.size ? "" : str(", resized to ", square(options.size), " (bilinear)"),
             "; float32, one channel after the other, in any unit");
}

int export_network(const Asked& asked) {
  const RunFolder folder = RunFolder::open(asked.run);
  const Options options = folder.options();
  require_output(folder, asked.output, {options.data});
  const Checkpoint checkpoint = folder.checkpoint(asked.step);
  folder.recipe_changes(checkpoint, options);  // refuses what decides the features
  const ExportedNetwork network = {
      .table = architecture_table({.name = options.network, .width = options.width}),
      .dimension = options.dimension,
      .front = front_end(options),
      .size = options.size};
  check_finite(checkpoint);
  const std::string input =
      crop_in_words(options, data::read_manifest_header(folder.file("manifest.jsonl")));
  const std::string step = std::to_string(checkpoint.metadata_number("step"));
  write_durably(asked.output, network_graph(network, checkpoint, asked.taps)
                                  .model({{"format", "nat-network-1"},
                                          {"network", options.network},
                                          {"front", options.front},
                                          {"step", step}},
                                         "Features learnt without labels. Input: " + input));
  const std::string file = data::printable(asked.output);
  if (asked.json) {
    const nlohmann::json json = {{"output", file},
                                 {"layers", asked.taps},
                                 {"size", options.size},
                                 {"step", checkpoint.metadata_number("step")}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("%s: the network of step %s; input: %s\n", file.c_str(), step.c_str(),
                input.c_str());
  }
  return 0;
}

}  // namespace

Command export_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "export", "write the trained network as an ONNX model, pixels in and features out");
  const auto asked = std::make_shared<Asked>();
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--output", asked->output, "the .onnx file to write")->required();
  add_value(*app, "--layers", asked->taps,
            "the model's outputs: conv, fc, embedding, conv1, ...; what lies behind is left out")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_step(*app, asked->step);
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [asked] { return export_network(*asked); }};
}

}  // namespace nat::tools
