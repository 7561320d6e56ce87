#include "kernels/preprocess.h"
#include <cmath>
#include <vector>
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
namespace nat::cpu {
void preprocess(Context&, FrontEnd front, ConstView pixels, ConstView boxes, View images) {
  dispatch_storage(images.dtype, "p", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto H = pixels.shape[1], W = pixels.shape[2], C = pixels.shape[3], S = images.shape[1], O = images.shape[3];
    parallel_for(pixels.shape[0], 1 << 20, [&](std::int64_t n) {
      const auto* p = pixels.as<std::uint8_t>() + n * H * W * C;
      const CropBox b = boxes.as<CropBox>()[n];
      std::vector<float> v(S * S * C);
      double s = 0, s2 = 0;
      for (int i = 0; i < S; ++i) for (int j = 0; j < S; ++j) {
        int jj = b.flip > 0 ? S - 1 - j : j;
        float x = b.x + (jj + .5f) * b.width / S - .5f, y = b.y + (i + .5f) * b.height / S - .5f;
        x = std::min(std::max(x, 0.f), W - 1.f); y = std::min(std::max(y, 0.f), H - 1.f);
        int x0 = x, y0 = y, x1 = std::min<int>(x0 + 1, W - 1), y1 = std::min<int>(y0 + 1, H - 1);
        float fx = x - x0, fy = y - y0;
        for (int c = 0; c < C; ++c) {
          float q = (1 - fy) * ((1 - fx) * p[(y0 * W + x0) * C + c] + fx * p[(y0 * W + x1) * C + c]) + fy * ((1 - fx) * p[(y1 * W + x0) * C + c] + fx * p[(y1 * W + x1) * C + c]);
          v[(i * S + j) * C + c] = q; s += q; s2 += q * q;
        }
      }
      double m = s / (S * S * C), sd = std::sqrt(std::max(1e-12, s2 / (S * S * C) - m * m));
      for (auto& q : v) q = (q - m) / sd;
      T* o = images.as<T>() + n * S * S * O;
      if (front == FrontEnd::clean) { for (int i = 0; i < S * S * C; ++i) o[i] = store<T>(v[i]); return; }
      auto g = [&](int i, int j) { if (i < 0 || j < 0 || i >= S || j >= S) return 0.f; float t = 0; for (int c = 0; c < C; ++c) t += v[(i * S + j) * C + c]; return t / C; };
      for (int i = 0; i < S; ++i) for (int j = 0; j < S; ++j) {
        o[(i * S + j) * 2] = store<T>(g(i-1,j+1)-g(i-1,j-1)+2*(g(i,j+1)-g(i,j-1))+g(i+1,j+1)-g(i+1,j-1));
        o[(i * S + j) * 2 + 1] = store<T>(g(i+1,j-1)-g(i-1,j-1)+2*(g(i+1,j)-g(i-1,j))+g(i+1,j+1)-g(i-1,j+1));
      }
    });
  });
}
}
