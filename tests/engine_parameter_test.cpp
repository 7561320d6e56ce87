// Parameters between memory and files, and their initial values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/execution.h"
#include "engine/init.h"
#include "engine/parameter_file.h"
#include "kernels/cast.h"
#include "tests/error_message.h"
#include "tests/opcases/tensor.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_network.h"

using namespace nat;
using namespace nat::test;

namespace {

std::size_t index_of(const ParameterSet& set, const std::string& name) {
  const auto& all = set.parameters();
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const auto& p) { return p.name == name; });
  REQUIRE(at != all.end());
  return static_cast<std::size_t>(at - all.begin());
}

std::vector<float> file_values(const ParameterSet& set, std::size_t index) {
  return set.to_file(set.parameters()[index], set.value(index).as<float>());
}

void fill_random(View view, std::uint64_t seed) {
  const std::vector<double> values = random_values(seed, view.shape.elements());
  std::copy(values.begin(), values.end(), view.as<float>());
}

// A set with one weight matrix whose rows cover `pixels` x `channels`.
ParameterSet matrix(std::int64_t rows, std::int64_t pixels, std::int64_t channels,
                    Role role = Role::weight) {
  ParameterSet set;
  set.declare(Parameter{.name = "w",
                        .shape = Shape(rows, pixels * channels),
                        .file_shape = {rows, pixels * channels},
                        .row = {.pixels = pixels, .channels = channels},
                        .role = role,
                        .fan_in = pixels * channels});
  set.allocate(Context(), DType::f32);
  return set;
}

struct Moments {
  double mean = 0, variance = 0, smallest = 0, largest = 0;
};

Moments moments(const std::vector<float>& values) {
  Moments m;
  const double n = static_cast<double>(values.size());
  for (const float v : values) m.mean += static_cast<double>(v) / n;
  for (const float v : values) m.variance += std::pow(static_cast<double>(v) - m.mean, 2) / n;
  m.smallest = static_cast<double>(*std::min_element(values.begin(), values.end()));
  m.largest = static_cast<double>(*std::max_element(values.begin(), values.end()));
  return m;
}

std::vector<float> initial(Init init, std::uint64_t seed, ParameterSet& set) {
  Context ctx;
  initialize(ctx, init, seed, set);
  return file_values(set, 0);
}

}  // namespace

TEST_CASE("convolution weights lie KRSC in memory and OIHW in files") {
  Context ctx;
  Sequential net = tiny_network(ctx, {});
  ParameterSet& set = net.parameters();
  fill_random(set.values(), 1);
  Checkpoint checkpoint;
  put_parameters(ctx, set, checkpoint);
  const std::size_t conv = index_of(set, "conv2.weight");
  const Shape shape = set.parameters()[conv].shape;
  REQUIRE(shape == Shape(32, 3, 3, 16));
  const Checkpoint::Tensor& file = checkpoint.get("conv2.weight");
  REQUIRE(file.shape == std::vector<std::int64_t>{32, 16, 3, 3});
  const float* memory = set.value(conv).as<float>();
  for (std::int64_t k = 0; k < 32; ++k)
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t s = 0; s < 3; ++s)
        for (std::int64_t c = 0; c < 16; ++c) {
          REQUIRE(file.as<float>()[((k * 16 + c) * 3 + r) * 3 + s] ==
                  memory[((k * 3 + r) * 3 + s) * 16 + c]);
        }
}

TEST_CASE("a fully connected row is (pixel, c) in memory and (c, pixel) in files") {
  const std::int64_t rows = 3, pixels = 6, channels = 32;
  ParameterSet set = matrix(rows, pixels, channels);
  fill_random(set.values(), 2);
  const std::vector<float> file = file_values(set, 0);
  const float* memory = set.value(0).as<float>();
  for (std::int64_t o = 0; o < rows; ++o)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p) {
        REQUIRE(file[static_cast<std::size_t>((o * channels + c) * pixels + p)] ==
                memory[(o * pixels + p) * channels + c]);
      }
  std::vector<float> back(static_cast<std::size_t>(set.size()), 0.0f);
  set.from_file(set.parameters()[0], file.data(), back.data());
  CHECK(std::equal(back.begin(), back.end(), set.values().as<float>()));
}

TEST_CASE("the first linear layer multiplies file-order weights with channels-first features") {
  for (const std::int64_t picture_channels : {2, 5}) {
    CAPTURE(picture_channels);
    Context ctx;
    Sequential net = tiny_network(ctx, {.picture = Shape(1, 8, 8, picture_channels)});
    initialize(ctx, Init::he, 3, net.parameters());
    Execution execution(ctx, net, 2, Mode::eval, {"bn2", "fc3"});
    fill_random(execution.input(), 4);
    execution.forward(ctx, Pass{});

    const ConstView x = execution.kept("bn2"), y = execution.kept("fc3");
    Tensor features(x.shape, DType::f64), product(y.shape, DType::f64);
    cast(ctx, x, features.view());
    cast(ctx, y, product.view());
    const std::vector<float> w =
        file_values(net.parameters(), index_of(net.parameters(), "fc3.weight"));
    const std::int64_t pixels = x.shape[1] * x.shape[2], channels = x.shape[3];
    std::vector<double> expected, magnitude;
    for (std::int64_t n = 0; n < 2; ++n)
      for (std::int64_t o = 0; o < y.shape[1]; ++o) {
        double value = 0, sum = 0;
        for (std::int64_t p = 0; p < pixels; ++p)
          for (std::int64_t c = 0; c < channels; ++c) {
            const double term =
                features.get((n * pixels + p) * channels + c) *
                static_cast<double>(w[static_cast<std::size_t>((o * channels + c) * pixels + p)]);
            value += term;
            sum += std::abs(term);
          }
        expected.push_back(value);
        magnitude.push_back(sum);
      }
    // float32 sums of K = 512 products: (8 + sqrt(K)) u sum|terms|, as in the tests of the product.
    CHECK(close("fc3", product, expected, [&](std::int64_t i) {
      return (8 + std::sqrt(512.0)) * 0x1p-24 * magnitude[static_cast<std::size_t>(i)];
    }));
  }
}

TEST_CASE("parameters, statistics and momenta survive a checkpoint bit for bit") {
  Context ctx;
  Sequential from = tiny_network(ctx, {}), to = tiny_network(ctx, {});
  from.parameters().keep_momenta(ctx);
  to.parameters().keep_momenta(ctx);
  initialize(ctx, Init::torch7, 5, from.parameters());
  initialize(ctx, Init::torch7, 6, to.parameters());
  for (std::size_t i = 0; i < from.parameters().parameters().size(); ++i) {
    const Parameter& parameter = from.parameters().parameters()[i];
    fill_random(rows(from.parameters().momenta(), parameter.offset,
                     parameter.offset + parameter.shape.elements()),
                7 + i);
  }
  fill_random(from.parameters().statistic(0), 100);
  Checkpoint checkpoint;
  put_parameters(ctx, from.parameters(), checkpoint);
  const test::TemporaryFolder folder;
  checkpoint.save(folder.at("a.safetensors"));
  const Checkpoint loaded = Checkpoint::load(folder.at("a.safetensors"));

  const auto same = [](View a, View b) {
    return std::equal(a.as<float>(), a.as<float>() + a.shape[0], b.as<float>());
  };
  const ParameterSet& a = from.parameters();
  ParameterSet& b = to.parameters();
  read_parameters(ctx, loaded, Momenta::skip, b);
  CHECK(same(a.values(), b.values()));
  CHECK(same(a.statistic_values(), b.statistic_values()));
  CHECK_FALSE(same(a.momenta(), b.momenta()));
  read_parameters(ctx, loaded, Momenta::read, b);
  CHECK(same(a.momenta(), b.momenta()));
}

TEST_CASE("a checkpoint holds momenta only where they are kept, and is read with or without") {
  Context ctx;
  Sequential with = tiny_network(ctx, {}), without = tiny_network(ctx, {});
  with.parameters().keep_momenta(ctx);
  fill_random(with.parameters().momenta(), 1);
  initialize(ctx, Init::he, 5, without.parameters());
  Checkpoint full, lean;
  put_parameters(ctx, with.parameters(), full);
  put_parameters(ctx, without.parameters(), lean);
  const auto momenta = [](const Checkpoint& checkpoint) {
    return std::count_if(
        checkpoint.tensors().begin(), checkpoint.tensors().end(),
        [](const Checkpoint::Tensor& tensor) { return tensor.name.starts_with("momentum."); });
  };
  CHECK(momenta(full) == std::ssize(with.parameters().parameters()));
  CHECK(momenta(lean) == 0);
  read_parameters(ctx, full, Momenta::read, without.parameters());
  CHECK(without.parameters().momenta().empty());
  CHECK_THROWS_AS(read_parameters(ctx, lean, Momenta::read, with.parameters()), Error);
  read_parameters(ctx, lean, Momenta::skip, with.parameters());
}

TEST_CASE("a checkpoint with NaN or infinity among its real numbers is refused by name") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Checkpoint checkpoint;
    const std::int32_t no_real_number = 0x7fc00000;  // the bits of a NaN
    const std::vector<float> good = {1, 2, 3}, worse = {1, 2, bad};
    checkpoint.put("count", DType::i32, {1}, &no_real_number);
    checkpoint.put("bytes", DType::u8, {4}, &no_real_number);
    checkpoint.put("good", DType::f32, {3}, good.data());
    CHECK_NOTHROW(check_finite(checkpoint));
    checkpoint.put("worse", DType::f32, {3}, worse.data());
    CHECK(message_of(ErrorKind::not_finite, [&] {
            check_finite(checkpoint);
          }).starts_with("worse holds NaN or infinity"));
  }
}

TEST_CASE("files carry PyTorch's names") {
  Context ctx;
  Sequential net = tiny_network(ctx, {});
  net.parameters().keep_momenta(ctx);
  Checkpoint checkpoint;
  put_parameters(ctx, net.parameters(), checkpoint);
  std::set<std::string> names;
  for (const Checkpoint::Tensor& tensor : checkpoint.tensors()) {
    if (!tensor.name.starts_with("momentum.")) names.insert(tensor.name);
  }
  const std::set<std::string> expected = {
      "conv1.weight",     "conv2.weight",     "fc3.weight",       "fc4.weight",      "fc4.bias",
      "bn1.weight",       "bn1.bias",         "bn1.running_mean", "bn1.running_var", "bn2.weight",
      "bn2.bias",         "bn2.running_mean", "bn2.running_var",  "bn3.weight",      "bn3.bias",
      "bn3.running_mean", "bn3.running_var"};
  CHECK(names == expected);
  CHECK(checkpoint.find("momentum.fc4.bias") != nullptr);
}

TEST_CASE("a checkpoint of another network is refused by the name of what does not fit") {
  Context ctx;
  Sequential small = tiny_network(ctx, {}), large = tiny_network(ctx, {.dimension = 17});
  Checkpoint checkpoint;
  put_parameters(ctx, small.parameters(), checkpoint);
  const std::string wrong = message_of(ErrorKind::checkpoint, [&] {
    read_parameters(ctx, checkpoint, Momenta::skip, large.parameters());
  });
  CHECK(wrong.find("fc4.weight") != std::string::npos);
  CHECK(wrong.find('\n') == std::string::npos);

  const std::string missing = message_of(ErrorKind::checkpoint, [&] {
    read_parameters(ctx, Checkpoint{}, Momenta::skip, small.parameters());
  });
  CHECK(missing.find("conv1.weight") != std::string::npos);
}

TEST_CASE("what begins with a prefix is copied from another network, all else stays") {
  Context ctx;
  Sequential from = tiny_network(ctx, {});
  Sequential to = tiny_network(ctx, {.hidden = 40});  // fc3 and fc4 have other shapes
  fill_random(from.parameters().values(), 1);
  fill_random(from.parameters().statistic_values(), 2);
  from.parameters().keep_momenta(ctx);
  to.parameters().keep_momenta(ctx);
  fill_random(from.parameters().momenta(), 3);
  fill_random(to.parameters().values(), 4);
  fill_random(to.parameters().statistic_values(), 5);
  const auto host = [](View view) {
    const auto* first = view.as<float>();
    return std::vector<float>(first, first + view.shape.elements());
  };
  const std::vector<float> old_values = host(to.parameters().values());
  const std::vector<float> old_statistics = host(to.parameters().statistic_values());
  copy_parameters(ctx, from.parameters(), "bn2.", to.parameters());
  int copied = 0;
  for (std::size_t i = 0; i < to.parameters().parameters().size(); ++i) {
    const Parameter& parameter = to.parameters().parameters()[i];
    const std::vector<float> now = host(to.parameters().value(i));
    if (parameter.name.starts_with("bn2.")) {
      CHECK(now == host(from.parameters().value(index_of(from.parameters(), parameter.name))));
      ++copied;
    } else {
      const auto old = old_values.begin() + parameter.offset;
      CHECK(std::equal(now.begin(), now.end(), old));
    }
  }
  CHECK(copied == 2);  // scale and shift
  copied = 0;
  for (std::size_t i = 0; i < to.parameters().statistics().size(); ++i) {
    const Statistic& statistic = to.parameters().statistics()[i];
    const std::vector<float> now = host(to.parameters().statistic(i));
    if (statistic.name.starts_with("bn2.")) {
      CHECK(now == host(from.parameters().statistic(i)));  // declared in the same order
      ++copied;
    } else {
      CHECK(std::equal(now.begin(), now.end(), old_statistics.begin() + statistic.offset));
    }
  }
  CHECK(copied == 2);  // running mean and variance
  for (const float momentum : host(to.parameters().momenta())) CHECK(momentum == 0);
}

TEST_CASE("a prefix is copied only from a network that has all of it in the same shapes") {
  Context ctx;
  Sequential to = tiny_network(ctx, {});
  Sequential wider = tiny_network(ctx, {.conv2 = 48});
  const std::string shapes = message_of(ErrorKind::usage, [&] {
    copy_parameters(ctx, wider.parameters(), "conv2.", to.parameters());
  });
  CHECK(shapes.find("conv2.weight") != std::string::npos);
  ParameterSet other = matrix(2, 1, 4);
  const std::string missing =
      message_of(ErrorKind::usage, [&] { copy_parameters(ctx, other, "conv2.", to.parameters()); });
  CHECK(missing.find("conv2.weight is missing") != std::string::npos);

  // One that fits and one that does not: nothing is copied. Nor where the order in memory differs.
  const std::vector<float> before = file_values(to.parameters(), 0);
  fill_random(wider.parameters().values(), 1);
  message_of(ErrorKind::usage,
             [&] { copy_parameters(ctx, wider.parameters(), "conv", to.parameters()); });
  CHECK(file_values(to.parameters(), 0) == before);
  ParameterSet wide = matrix(2, 4, 16), narrow = matrix(2, 8, 8);
  const std::string order =
      message_of(ErrorKind::usage, [&] { copy_parameters(ctx, wide, "w", narrow); });
  CHECK(order.find("another order") != std::string::npos);
}

TEST_CASE("He's initial weights are normal with variance 2 / fan_in") {
  ParameterSet set = matrix(400, 25, 32);
  const Moments m = moments(initial(Init::he, 1, set));
  const double n = 400 * 800, variance = 2.0 / 800;
  CHECK(std::abs(m.mean) <= 4 * std::sqrt(variance / n));
  // The variance of n normal values has standard error variance sqrt(2 / n).
  CHECK(std::abs(m.variance - variance) <= 4 * variance * std::sqrt(2 / n));
  // Of 320000 normal values the largest lies near 4.6 deviations.
  CHECK(m.largest > 4 * std::sqrt(variance));
  CHECK(m.largest < 6 * std::sqrt(variance));
}

TEST_CASE("Torch7's initial weights and biases are uniform within 1 / sqrt(fan_in)") {
  for (const Role role : {Role::weight, Role::bias}) {
    ParameterSet set = matrix(400, 25, 32, role);
    const Moments m = moments(initial(Init::torch7, 1, set));
    const double n = 400 * 800, limit = 1 / std::sqrt(800.0), variance = limit * limit / 3;
    CHECK(std::abs(m.mean) <= 4 * std::sqrt(variance / n));
    // Var(x^2) of a uniform value is limit^4 (1/5 - 1/9).
    CHECK(std::abs(m.variance - variance) <= 4 * limit * limit * std::sqrt((4.0 / 45) / n));
    CHECK(m.smallest >= -limit);
    CHECK(m.largest <= limit);
    CHECK(m.smallest < -0.999 * limit);
    CHECK(m.largest > 0.999 * limit);
  }
}

TEST_CASE("the fan-in of weights and bias is what goes into one output of their layer") {
  Context ctx;
  const Sequential net = tiny_network(ctx, {.hidden = 24, .dimension = 16});
  const ParameterSet& set = net.parameters();
  const auto fan_in = [&](const char* name) {
    return set.parameters()[index_of(set, name)].fan_in;
  };
  CHECK(fan_in("conv1.weight") == 3 * 3 * 2);
  CHECK(fan_in("conv2.weight") == 3 * 3 * 16);
  CHECK(fan_in("fc3.weight") == 6 * 6 * 32);
  CHECK(fan_in("fc4.weight") == 24);
  CHECK(fan_in("fc4.bias") == 24);
}

TEST_CASE("batch norms start as the identity (He) or with uniform scales (Torch7)") {
  Context ctx;
  Sequential net = tiny_network(ctx, {.hidden = 1024});
  ParameterSet& set = net.parameters();
  const auto values = [&](const char* name) { return file_values(set, index_of(set, name)); };
  const auto all = [](const std::vector<float>& v, float x) {
    return std::count(v.begin(), v.end(), x) == static_cast<std::ptrdiff_t>(v.size());
  };
  set.keep_gradients(ctx);
  set.keep_momenta(ctx);
  fill_random(set.momenta(), 1);
  fill_random(set.gradients(), 1);
  fill_random(set.statistic_values(), 1);
  initialize(ctx, Init::he, 1, set);
  CHECK(all(values("bn3.weight"), 1));
  CHECK(all(values("bn3.bias"), 0));
  CHECK(all(values("fc4.bias"), 0));
  for (std::int64_t i = 0; i < set.size(); ++i) {
    REQUIRE(set.momenta().as<float>()[i] == 0);
    REQUIRE(set.gradients().as<float>()[i] == 0);
  }
  for (std::size_t s = 0; s < set.statistics().size(); ++s) {
    const bool is_mean = set.statistics()[s].name.ends_with("mean");
    for (std::int64_t i = 0; i < set.statistics()[s].size; ++i) {
      REQUIRE(set.statistic(s).as<float>()[i] == (is_mean ? 0 : 1));
    }
  }

  initialize(ctx, Init::torch7, 1, set);
  const Moments scale = moments(values("bn3.weight"));
  CHECK(std::abs(scale.mean - 0.5) <= 4 * std::sqrt(1.0 / 12 / 1024));
  CHECK(scale.smallest >= 0);
  CHECK(scale.largest < 1);
  CHECK(all(values("bn3.bias"), 0));
  CHECK_FALSE(all(values("fc4.bias"), 0));
}

TEST_CASE("initial values depend on the seed and the parameter, not on the layout in memory") {
  ParameterSet pixels = matrix(8, 9, 64), channels = matrix(8, 1, 9 * 64);
  for (const Init init : {Init::he, Init::torch7}) {
    const std::vector<float> values = initial(init, 1, channels);
    CHECK(values == initial(init, 1, pixels));
    CHECK_FALSE(std::equal(values.begin(), values.end(), pixels.value(0).as<float>()));
    CHECK(values != initial(init, 2, channels));
  }
  Context ctx;
  ParameterSet twins;
  for (const char* name : {"a", "b"}) {
    twins.declare(
        Parameter{.name = name, .shape = Shape(64), .file_shape = {64}, .row = {}, .fan_in = 4});
  }
  twins.allocate(Context(), DType::f32);
  initialize(ctx, Init::he, 1, twins);
  CHECK(file_values(twins, 0) != file_values(twins, 1));
}

TEST_CASE("float64 parameters start with the float32 values") {
  Context ctx;
  Sequential single = tiny_network(ctx, {}), twice = tiny_network(ctx, {}, DType::f64);
  initialize(ctx, Init::he, 1, single.parameters());
  initialize(ctx, Init::he, 1, twice.parameters());
  // Convolution weights lie alike in both; the order inside fc3 may differ.
  const std::size_t conv = index_of(single.parameters(), "conv2.weight");
  const View a = single.parameters().value(conv), b = twice.parameters().value(conv);
  for (std::int64_t i = 0; i < a.shape.elements(); ++i) {
    REQUIRE(static_cast<double>(a.as<float>()[i]) == b.as<double>()[i]);
  }
}
