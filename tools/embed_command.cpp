// nat embed: the features of a data set as a safetensors file.
#include <cstdio>
#include <memory>

#include "engine/checkpoint.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/session.h"

namespace nat::tools {

Command embed_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("embed", "write the features of pictures to a safetensors file");
  struct Asked {
    std::string run, data, output, split = "train";
    std::vector<std::string> taps = {"embedding"};
    int threads = 0;
    bool json = false;
  };
  const auto asked = std::make_shared<Asked>();
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--output", asked->output, "the file to write")->required();
  app->add_option("--data", asked->data, "pictures, if not those of the run");
  app->add_option("--split", asked->split, "train or test")
      ->check(CLI::IsMember({"train", "test"}));
  app->add_option("--layers", asked->taps, "where to take features")->delimiter(',');
  app->add_option("--threads", asked->threads, "compute threads; 0 = one a core");
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [=] {
            const RunFolder folder = RunFolder::open(asked->run);
            Options options = folder.options();
            options.threads = asked->threads;
            const auto ctx = make_context(options);
            const auto split = asked->split == "train" ? data::Split::train : data::Split::test;
            const auto pictures = open_data(options, split, asked->data);
            Network network = load_trained(*ctx, folder, options, pictures->shape(), nullptr);
            const FeatureSet set = extract_features(*ctx, options, network, *pictures, asked->taps);

            Checkpoint file;
            const auto n = static_cast<std::int64_t>(set.ids.size());
            for (const auto& [tap, features] : set.at) {
              file.put(tap, DType::f32, {features.rows, features.columns}, features.values.data());
            }
            file.put("id", DType::i32, {n}, set.ids.data());
            file.put("label", DType::i32, {n}, set.labels.data());
            file.metadata = {{"format", "nat-features-1"}, {"run", asked->run}};
            file.save(asked->output);
            if (asked->json) {
              std::printf(
                  "%s\n",
                  nlohmann::json({{"output", asked->output}, {"pictures", n}}).dump().c_str());
            } else {
              std::printf("%s: %lld pictures\n", asked->output.c_str(), static_cast<long long>(n));
            }
            return 0;
          }};
}

}  // namespace nat::tools
