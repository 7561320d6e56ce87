// Everything that decides what a training run computes, and the named recipes ("presets").
//
//   official  the authors' code: constant rate 0.01 on the summed loss, no momentum, Torch7 initial
//             values, re-assignment in epochs 0, 3, 6, ... What is not taken over, and the values
//             of every preset side by side: docs/08-the-experiments.md, Recipes
//   paper     their text: the same with the rate decayed as rate / (1 + gamma max(0, t - t0)). t0
//             (250,200 steps) and gamma are for 100 epochs of ImageNet at batch 256; a run of fewer
//             steps keeps its rate, so other data want their own
//   fmnist    28-pixel pictures on two CPU cores, minutes (Fashion-MNIST, MNIST)
//   cifar     32-pixel colour pictures on two CPU cores
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nat {

struct Recipe {
  std::string preset = "fmnist";

  // Pictures.
  int size = 28;                // pixels of the network's input
  int stored_size = 28;         // pixels of the stored picture, the short side before cropping
  std::string front = "sobel";  // sobel | high_pass | clean
  std::string crop = "area";    // area | shift | none
  double min_area = 0.5;        // of an area crop
  bool flip = true;

  // Network.
  std::string network = "convnet";  // convnet | alexnet
  int width = 1;                    // convnet: multiplies every channel count
  std::int64_t dimension = 64;      // d, of features and targets
  std::string init = "he";          // he | torch7

  // Method and optimiser.
  std::string targets = "sphere";  // sphere | basis, kernels/targets.h
  std::int64_t batch = 128;
  std::int64_t epochs = 12;
  std::int64_t period = 3;              // epochs between re-assignments; 0 = never
  std::int64_t assign_every_steps = 0;  // the same in steps; 0 = by `period`
  std::int64_t assign_pool = 0;         // pictures re-assigned at once; 0 = one batch
  std::string solver = "exact";         // exact | auction | greedy | sinkhorn | none
  std::string loss = "mean";            // mean | sum, over the batch
  double lr = 0.1;
  std::string schedule = "constant";  // constant | cosine | inverse
  double gamma = 0;                   // of the inverse schedule, per step
  std::int64_t t0 = 0;                // of the inverse schedule, in steps
  double momentum = 0.9;
  double weight_decay = 0;
  std::uint64_t seed = 1;
};

std::vector<std::string> preset_names();
Recipe preset(const std::string& name);  // Error(usage) naming the known ones

}  // namespace nat
