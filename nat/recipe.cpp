#include "nat/recipe.h"

#include "kernels/check.h"

namespace nat {

namespace {

Recipe fmnist() { return {}; }

Recipe cifar() {
  Recipe recipe;
  recipe.preset = "cifar";
  recipe.size = recipe.stored_size = 32;
  recipe.dimension = 128;
  recipe.epochs = 30;
  return recipe;
}

// Rate, batch, dimension, augmentation and period as the authors' scripts set them.
Recipe official() {
  Recipe recipe;
  recipe.preset = "official";
  recipe.size = 224;
  recipe.stored_size = 256;
  recipe.crop = "shift";
  recipe.network = "alexnet";
  recipe.dimension = 2048;
  recipe.init = "torch7";
  recipe.batch = 256;
  recipe.epochs = 100;
  recipe.loss = "sum";
  recipe.lr = 0.01;
  recipe.momentum = 0;
  return recipe;
}

// The form of the decay is the paper's, its numbers are not known to us: here the rate stays
// constant for half of the 100 ImageNet epochs (5004 batches each) and falls to a tenth by the end.
Recipe paper() {
  Recipe recipe = official();
  recipe.preset = "paper";
  recipe.schedule = "inverse";
  recipe.t0 = 250200;
  recipe.gamma = 9.0 / 250200;
  return recipe;
}

}  // namespace

std::vector<std::string> preset_names() { return {"official", "paper", "cifar", "fmnist"}; }

Recipe preset(const std::string& name) {
  if (name == "official") return official();
  if (name == "paper") return paper();
  if (name == "cifar") return cifar();
  if (name == "fmnist") return fmnist();
  throw Error(ErrorKind::usage,
              str("--preset '", name, "' does not exist; choose official, paper, cifar or fmnist"));
}

}  // namespace nat
