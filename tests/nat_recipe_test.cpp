// The named recipes (nat/recipe.h): what the authors' code and the paper say, and what makes the
// others those of small pictures.
#include "nat/recipe.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/schedule.h"
#include "tests/error_message.h"

using namespace nat;
using namespace nat::test;

TEST_CASE("each preset is found by its name, another is refused with the names") {
  for (const std::string& name : preset_names()) CHECK(preset(name).preset == name);
  CHECK(Recipe().preset == "fmnist");
  CHECK(message_of(ErrorKind::usage, [] { preset("imagenet"); }) ==
        "--preset 'imagenet' does not exist; choose official, paper, cifar or fmnist");
}

TEST_CASE("the official recipe is that of the authors' code") {
  const Recipe recipe = preset("official");
  CHECK(recipe.network == "alexnet");
  CHECK(recipe.size == 224);
  CHECK(recipe.stored_size == 256);
  CHECK(recipe.front == "sobel");
  CHECK(recipe.crop == "shift");
  CHECK(recipe.flip);
  CHECK(recipe.init == "torch7");
  CHECK(recipe.dimension == 2048);
  CHECK(recipe.batch == 256);
  CHECK(recipe.epochs == 100);
  CHECK(recipe.period == 3);
  CHECK(recipe.loss == "sum");
  CHECK(recipe.schedule == "constant");
  CHECK(recipe.lr == 0.01);
  CHECK(recipe.momentum == 0);
  CHECK(recipe.weight_decay == 0);
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

  // Nothing else is different.
  const Recipe official = preset("official");
  CHECK(recipe.lr == official.lr);
  CHECK(recipe.momentum == official.momentum);
  CHECK(recipe.dimension == official.dimension);
  CHECK(recipe.init == official.init);
}

TEST_CASE("the recipes of small pictures take them at their size, by the same method") {
  const Recipe fmnist = preset("fmnist"), cifar = preset("cifar");
  for (const Recipe& recipe : {fmnist, cifar}) {
    CAPTURE(recipe.preset);
    CHECK(recipe.size == (recipe.preset == "cifar" ? 32 : 28));
    CHECK(recipe.stored_size == recipe.size);
    CHECK(recipe.network == "convnet");
    CHECK(recipe.dimension == (recipe.preset == "cifar" ? 128 : 64));
    CHECK(recipe.epochs == (recipe.preset == "cifar" ? 30 : 12));
    CHECK(recipe.period == 3);
    CHECK(recipe.loss == "mean");
    CHECK(recipe.schedule == "cosine");
  }
}
