// Average precision: how well the scores of a class rank the pictures that show it before those
// that do not. The judge of Pascal VOC classification, where a picture may show several classes.
//
//   flag of a picture: 1 it shows the class (a positive), -1 it does not, 0 left out ("difficult")
//   at a threshold t:  precision = positives with score >= t / pictures with score >= t
//                      recall    = positives with score >= t / all positives
//   p(r)             = the largest precision at any threshold whose recall is r or more
//
//   voc2007: AP = mean of p(r) over r = 0, 0.1, ..., 1
//   area:    AP = integral of p(r) over r from 0 to 1        (VOC 2010 and later)
//   mAP    = mean of AP over the classes that have positives
//
// Thresholds are the scores, so equal scores enter together: the order of pictures changes nothing.
// (The development kit of VOC, which sorts, ranks equal scores in the order it met them.)
//
// Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010, section 4.2;
// the area: documentation of the development kit of VOC 2010. One sort a class; integer counts, so
// that a recall is compared with a tenth exactly.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nat/evaluate/features.h"

namespace nat {

enum class PrecisionMean { voc2007, area };

// Of one class; none when it has no positives. Error(data): another number of flags than of scores,
// a flag that is not -1, 0 or 1, a score that is not finite (also of a picture that is left out).
std::optional<double> average_precision(PrecisionMean kind, std::span<const float> scores,
                                        std::span<const std::int8_t> flags);

struct MeanAveragePrecision {
  double mean = 0;         // over the classes that have positives
  int classes_judged = 0;  // their number
  std::vector<std::optional<double>> of_class;
};

// Scores (pictures, classes), flags likewise, row after row. The errors of average_precision, and
// Error(data) when the values do not fill the matrix or no class has positives.
MeanAveragePrecision mean_average_precision(PrecisionMean kind, const FeatureMatrix& scores,
                                            std::span<const std::int8_t> flags);

}  // namespace nat
