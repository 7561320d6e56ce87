// The named recipes (nat/recipe.h): what the authors' code and the paper say, and what makes the
// others those of small pictures.
#include "nat/recipe.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/schedule.h"
#include "kernels/check.h"
#include "tests/error_message.h"

using namespace nat;
using namespace nat::test;

namespace {

// Every field: with another one this does not compile.
std::string text(const Recipe& recipe) {
  const auto& [preset, size, stored_size, front, crop, min_area, flip, network, width, dimension,
               init, targets, batch, epochs, period, assign_every_steps, assign_pool, solver, loss,
               lr, schedule, gamma, t0, momentum, weight_decay, seed] = recipe;
  return str(preset, ": pictures ", size, " of ", stored_size, " ", front, " ", crop, " ", min_area,
             " flip ", flip, "; network ", network, " ", width, " ", dimension, " ", init,
             "; method ", targets, " ", batch, " ", epochs, " ", period, " ", assign_every_steps,
             " ", assign_pool, " ", solver, " ", loss, "; rate ", lr, " ", schedule, " ", gamma,
             " ", t0, " ", momentum, " ", weight_decay, "; seed ", seed);
}

}  // namespace

TEST_CASE("each preset is found by its name, another is refused with the names") {
  for (const std::string& name : preset_names()) CHECK(preset(name).preset == name);
  CHECK(Recipe().preset == "fmnist");
  CHECK(message_of(ErrorKind::usage, [] { preset("imagenet"); }) ==
        "--preset 'imagenet' does not exist; choose official, paper, cifar or fmnist");
}

TEST_CASE("the official recipe is that of the authors' code") {
  CHECK(text(preset("official")) ==
        "official: pictures 224 of 256 sobel shift 0.5 flip 1; network alexnet 1 2048 torch7; "
        "method sphere 256 100 3 0 0 exact sum; rate 0.01 constant 0 0 0 0; seed 1");
}

TEST_CASE("the rate of the paper stays for half of ImageNet's 100 epochs and ends at a tenth") {
  const Recipe recipe = preset("paper");
  REQUIRE(recipe.schedule == "inverse");
  const Schedule schedule{
      .kind = Schedule::Kind::inverse, .rate = recipe.lr, .gamma = recipe.gamma, .t0 = recipe.t0};
  const std::int64_t steps = 100 * (1281167 / recipe.batch);  // whole batches
  CHECK(schedule.at(0, steps) == recipe.lr);
  CHECK(schedule.at(steps / 2, steps) == recipe.lr);
  CHECK(schedule.at(steps / 2 + 1, steps) < recipe.lr);
  CHECK(std::abs(schedule.at(steps, steps) - recipe.lr / 10) <= 1e-15);

  Recipe same = preset("official");
  same.preset = recipe.preset;
  same.schedule = recipe.schedule;
  same.gamma = recipe.gamma;
  same.t0 = recipe.t0;
  CHECK(text(recipe) == text(same));
}

TEST_CASE("the recipes of small pictures take them at their size, by the same method") {
  CHECK(text(preset("fmnist")) ==
        "fmnist: pictures 28 of 28 sobel area 0.5 flip 1; network convnet 1 64 he; "
        "method sphere 128 12 3 0 0 exact mean; rate 0.1 constant 0 0 0.9 0; seed 1");
  CHECK(text(preset("cifar")) ==
        "cifar: pictures 32 of 32 sobel area 0.5 flip 1; network convnet 1 128 he; "
        "method sphere 128 30 3 0 0 exact mean; rate 0.1 constant 0 0 0.9 0; seed 1");
}
