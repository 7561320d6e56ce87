#include "models/convnet.h"

namespace nat {

NetworkTable convnet_table(int width) {
  const std::vector<ConvRow> convolutions = {
      {.channels = 32 * width, .kernel = 5, .stride = 2, .pad = 2, .pool = 0, .pool_stride = 0},
      {.channels = 64 * width, .kernel = 3, .stride = 1, .pad = 1, .pool = 2, .pool_stride = 2},
      {.channels = 128 * width, .kernel = 3, .stride = 1, .pad = 1, .pool = 2, .pool_stride = 2},
  };
  const std::vector<HiddenRow> hidden = {{.features = 256 * width, .dropout = 0}};
  return {convolutions, hidden};
}

}  // namespace nat
