#include "tests/reference/batchnorm.h"

#include <cmath>

namespace nat::reference {

namespace {

// Sizes of input and output, a matrix being a tensor of 1 x 1 pictures.
struct Sizes {
  std::size_t n, h, w, c, out_h, out_w;

  Sizes(const BatchNorm& norm, const Shape& shape) {
    const auto size = [&](int i) { return static_cast<std::size_t>(shape[i]); };
    const auto pooled = [&](std::size_t in) {
      const auto pool = static_cast<std::size_t>(norm.pool);
      return norm.pool == 0 ? in : (in - pool) / static_cast<std::size_t>(norm.pool_stride) + 1;
    };
    n = size(0);
    h = shape.rank == 4 ? size(1) : 1;
    w = shape.rank == 4 ? size(2) : 1;
    c = static_cast<std::size_t>(shape.channels());
    out_h = pooled(h);
    out_w = pooled(w);
  }
  std::size_t pixels() const { return n * h * w; }
  std::size_t input(std::size_t i, std::size_t y, std::size_t x, std::size_t k) const {
    return ((i * h + y) * w + x) * c + k;
  }
};

// Calls f(output index, image, row, column, channel), all of the output.
template <class F>
void for_each_output(const Sizes& size, F&& f) {
  std::size_t out = 0;
  for (std::size_t i = 0; i < size.n; ++i) {
    for (std::size_t p = 0; p < size.out_h; ++p) {
      for (std::size_t q = 0; q < size.out_w; ++q) {
        for (std::size_t k = 0; k < size.c; ++k) f(out++, i, p, q, k);
      }
    }
  }
}

bool kept_by_dropout(const BatchNorm& norm, const DropoutKey& key, std::size_t element) {
  const std::uint64_t index = key.layer * (std::uint64_t{1} << 40) + element / 4;
  const std::uint32_t word =
      philox(key.seed, RandomStream::dropout, *key.step, index).value[element % 4];
  return uniform(word) >= norm.dropout;
}

}  // namespace

BatchNormOutput batchnorm_forward(const BatchNorm& norm, Mode mode, const DropoutKey& key,
                                  const BatchNormInput& input) {
  const Sizes size(norm, input.shape);
  const double m = static_cast<double>(size.pixels());
  BatchNormOutput out;
  out.mean = input.running_mean;
  out.running_mean = input.running_mean;
  out.running_var = input.running_var;
  std::vector<double> var = input.running_var;
  if (mode == Mode::train) {
    for (std::size_t k = 0; k < size.c; ++k) {
      double sum = 0, square = 0;
      for (std::size_t i = k; i < input.x.size(); i += size.c) sum += input.x[i];
      out.mean[k] = sum / m;
      for (std::size_t i = k; i < input.x.size(); i += size.c) {
        square += (input.x[i] - out.mean[k]) * (input.x[i] - out.mean[k]);
      }
      var[k] = square / m;
      const double unbiased = m > 1 ? square / (m - 1) : var[k];
      const double momentum = static_cast<double>(norm.momentum);
      out.running_mean[k] += momentum * (out.mean[k] - out.running_mean[k]);
      out.running_var[k] += momentum * (unbiased - out.running_var[k]);
    }
  }
  for (std::size_t k = 0; k < size.c; ++k) {
    out.inv_std.push_back(1 / std::sqrt(var[k] + static_cast<double>(norm.eps)));
  }
  const auto normalised = [&](std::size_t i) {
    const std::size_t k = i % size.c;
    return input.gamma[k] * (input.x[i] - out.mean[k]) * out.inv_std[k] + input.beta[k];
  };

  const auto pool = static_cast<std::size_t>(norm.pool);
  const auto stride = static_cast<std::size_t>(norm.pool_stride);
  for_each_output(
      size, [&](std::size_t index, std::size_t i, std::size_t p, std::size_t q, std::size_t k) {
        std::size_t best = norm.pool == 0 ? index : size.input(i, p * stride, q * stride, k);
        double argmax = 0;
        for (std::size_t tap = 1; tap < pool * pool; ++tap) {
          const std::size_t at = size.input(i, p * stride + tap / pool, q * stride + tap % pool, k);
          if (normalised(at) > normalised(best)) {
            best = at;
            argmax = static_cast<double>(tap);
          }
        }
        const double v = normalised(best);
        const bool clipped = norm.relu && !(v > 0);
        const bool drops = norm.dropout > 0 && mode == Mode::train;
        const bool kept = !drops || kept_by_dropout(norm, key, index);
        const double scale = drops ? 1 / (1 - static_cast<double>(norm.dropout)) : 1;
        out.before_relu.push_back(v);
        out.factor.push_back(kept ? scale : 0);
        out.y.push_back(clipped ? 0 : v * out.factor.back());
        if (norm.pool > 0) {
          out.argmax.push_back(clipped ? 255 : argmax);
          out.picked.push_back(input.x[best]);
        }
      });
  return out;
}

BatchNormGradient batchnorm_backward(const BatchNorm& norm, Mode mode, const BatchNormInput& input,
                                     const BatchNormOutput& output, const std::vector<double>& dy) {
  const Sizes size(norm, input.shape);
  BatchNormGradient gradient;
  gradient.g.assign(input.x.size(), 0);
  std::vector<double> abs_g(input.x.size(), 0);
  const auto pool = static_cast<std::size_t>(norm.pool);
  const auto stride = static_cast<std::size_t>(norm.pool_stride);
  for_each_output(
      size, [&](std::size_t index, std::size_t i, std::size_t p, std::size_t q, std::size_t k) {
        if (norm.relu && !(output.before_relu[index] > 0)) return;
        std::size_t at = index;
        if (norm.pool > 0) {
          const auto tap = static_cast<std::size_t>(output.argmax[index]);
          at = size.input(i, p * stride + tap / pool, q * stride + tap % pool, k);
        }
        gradient.g[at] += dy[index] * output.factor[index];
        abs_g[at] += std::abs(dy[index] * output.factor[index]);
      });

  gradient.dgamma.assign(size.c, 0);
  gradient.dbeta.assign(size.c, 0);
  gradient.abs_dgamma.assign(size.c, 0);
  gradient.abs_dbeta.assign(size.c, 0);
  const auto xhat = [&](std::size_t i) {
    return (input.x[i] - output.mean[i % size.c]) * output.inv_std[i % size.c];
  };
  for (std::size_t i = 0; i < input.x.size(); ++i) {
    const std::size_t k = i % size.c;
    gradient.dbeta[k] += gradient.g[i];
    gradient.dgamma[k] += gradient.g[i] * xhat(i);
    gradient.abs_dbeta[k] += abs_g[i];
    gradient.abs_dgamma[k] += abs_g[i] * std::abs(xhat(i));
  }
  const double m = static_cast<double>(size.pixels());
  for (std::size_t i = 0; i < input.x.size(); ++i) {
    const std::size_t k = i % size.c;
    const double batch =
        mode == Mode::train ? (gradient.dbeta[k] + xhat(i) * gradient.dgamma[k]) / m : 0;
    gradient.dx.push_back(input.gamma[k] * output.inv_std[k] * (gradient.g[i] - batch));
  }
  return gradient;
}

}  // namespace nat::reference
