// A trainer of the tests: a small network with targets for all its pictures.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/init.h"
#include "nat/trainer.h"
#include "tests/opcases/device.h"
#include "tests/tiny_network.h"

namespace nat::test {

// A network, targets for `images` pictures and a trainer for batches of `batch`.
struct TrainerRun {
  Context ctx;
  Sequential net;
  Targets targets;
  Trainer trainer;

  TrainerRun(std::int64_t images, std::int64_t batch, std::int64_t dimension,
             std::uint64_t seed = 1, const TrainerOptions& options = {}, float dropout = 0)
      : ctx(kDevice),
        net(tiny_network(ctx, {.dimension = dimension, .dropout = dropout})),
        targets(ctx, seed, images, dimension),
        trainer(ctx, net, targets, options, Shape(batch, 12, 12, 1)) {
    initialize(ctx, Init::he, seed, net.parameters());
  }

  StepReport step(const ImageBatch& batch, const Trainer::Order& order) {
    return trainer.step(ctx, batch, order);
  }
  // All steps of a pool that was loaded.
  std::vector<StepReport> steps_of_pool(std::uint32_t first_step, bool reassign) {
    std::vector<StepReport> reports;
    for (std::uint32_t part = 0; part < trainer.parts(); ++part) {
      trainer.begin(
          ctx,
          {.step = first_step + part, .part = part, .reassign = reassign, .learning_rate = 0.05});
      reports.push_back(trainer.finish(ctx));
    }
    return reports;
  }
  std::vector<std::int32_t> permutation() { return targets.permutation(ctx); }
  std::vector<float> copy_of(View view) { return host_copy<float>(ctx, view); }
};
inline bool is_permutation_of_rows(std::vector<std::int32_t> sorted) {
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

}  // namespace nat::test
