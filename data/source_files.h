// The files that a data set is read from, for whoever is about to write one.
#pragma once

#include <string>

#include "data/open.h"

namespace nat::data {

// Whether `file` is one of them, of either split and under whatever name: a link, a hard link or
// the way through another folder. Looks at every name below a folder of pictures, but only where
// there is such a file. Error{data} when a folder cannot be listed.
bool is_source_file(const DatasetSpec& spec, const std::string& file);

}  // namespace nat::data
