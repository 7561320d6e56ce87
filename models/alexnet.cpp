#include "models/alexnet.h"

namespace nat {

NetworkTable alexnet_table() {
  const std::vector<ConvRow> convolutions = {
      {.channels = 96, .kernel = 11, .stride = 4, .pad = 2, .pool = 3, .pool_stride = 2},
      {.channels = 256, .kernel = 5, .stride = 1, .pad = 2, .pool = 3, .pool_stride = 2},
      {.channels = 384, .kernel = 3, .stride = 1, .pad = 1, .pool = 0, .pool_stride = 0},
      {.channels = 384, .kernel = 3, .stride = 1, .pad = 1, .pool = 0, .pool_stride = 0},
      {.channels = 256, .kernel = 3, .stride = 1, .pad = 1, .pool = 3, .pool_stride = 2},
  };
  const std::vector<HiddenRow> hidden = {{.features = 4096, .dropout = 0.5f},
                                         {.features = 4096, .dropout = 0}};
  return {convolutions, hidden};
}

}  // namespace nat
