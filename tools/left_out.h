// What a judge has to leave out on some pictures, and why: one clause for the user, empty when
// nothing is left out. And what opening them found odd.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace nat::tools {

constexpr int kFewLabels = 1000;  // of linear_1k

// The first remarks of the catalog, one clause each; the last one says how many more there are.
std::vector<std::string> few_remarks(const data::Dataset& pictures);

// The same as lines to be printed: "remark: ...".
std::string remark_lines(const data::Dataset& pictures);

// Pictures that cannot be read and what becomes of them: "2 of 60 pictures cannot be read and
// FATE (first: NAME: REASON)". Of pictures in files of their own some turn out to be bad only when
// they are looked at, so this is asked afterwards.
std::string unreadable(const data::Dataset& pictures, const std::string& fate = "are left out");

// The same as a line to be printed.
std::string unreadable_line(const data::Dataset& pictures);

// Training pictures that cannot give balanced subsets of kFewLabels.
std::string too_few_labels(const data::Dataset& train);

// Classes of which the pictures that --labels chose hold none.
std::string without_label(const data::Dataset& train);

// Test pictures that retrieval cannot ask for. Error(data) where that is all of them.
std::string alone_in_class(const data::Dataset& test);

// Recalls at more pictures than there are others to find. Error(data) where there are none.
std::string too_few_to_recall(const data::Dataset& test);

// Classes that are not in the mean of average precisions, where pictures have several labels.
// Error(data) when that is all of them.
std::string never_shown(const data::Dataset& test);

// Numbers of a picture at the size of the network's input.
std::int64_t pixels_of(int side, const data::Dataset& pictures);

// Raw pixels that do not fit into memory, where judging them takes `needed` bytes.
std::string too_much_memory(std::size_t needed);

// Pixels an MLP cannot stand on: on those of AlexNet its first layer would take 10 GB with
// gradients and momenta.
std::string too_many_pixels(int side, const data::Dataset& pictures);

}  // namespace nat::tools
