// Classifiers that judge frozen features. They are trained on what a network computes and never
// change it (nat/evaluate/classifier.h).
#pragma once

#include <memory>
#include <vector>

#include "models/network.h"

namespace nat {

// `features` is one activation, (1, h, w, c) or (1, c).

// The judge of the paper's table 3: hidden blocks as the network itself has them, made anew,
// and a linear layer. On AlexNet: 9216 -> 4096 -> 4096 -> classes, dropout after the first.
std::unique_ptr<Sequential> mlp_probe(Context& ctx, Shape features,
                                      const std::vector<HiddenRow>& hidden, std::int64_t classes);

// A linear layer on activations that are batch-normalised (without scale and shift of its own) and
// max-pooled to at most kLinearProbeValues numbers a picture, or by the largest windows there are:
// what is compared between convolutions of different sizes. The loss is convex in all that is
// learned. After the protocol of Asano, Rupprecht and Vedaldi 2020 ("Self-labelling") and of Zhang,
// Isola and Efros 2017, with windows that neither overlap nor are padded.
inline constexpr std::int64_t kLinearProbeValues = 9600;
std::unique_ptr<Sequential> linear_probe_head(Context& ctx, Shape features, std::int64_t classes);

// The side of the windows, without overlap or padding, that pool (1, h, w, c) so far; 0 = none.
int linear_probe_pool(Shape features);
// What is left of the numbers of a picture.
std::int64_t linear_probe_inputs(Shape features);

}  // namespace nat
