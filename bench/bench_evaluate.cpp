// How long does judging frozen features take, and what is the verdict?
//
//   bench_evaluate TRAIN.f32 TRAIN.i32 TEST.f32 TEST.i32 COLUMNS CLASSES
//                  [TEMPERATURE [CLUSTER.i32]]
//
// Features are raw little-endian float32 matrices, row by row; labels raw int32. Prints one JSON
// object, and writes the cluster of every test row to the last file.
// tests/peers/evaluate_sklearn.py compares it with scikit-learn.
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "nat/evaluate/cluster.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/linear_probe.h"
#include "nat/evaluate/retrieval.h"
#include "nat/evaluate/standardize.h"

namespace {

template <class T>
std::vector<T> read_values(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  NAT_CHECK(file, nat::ErrorKind::io, path, ": cannot be opened; check the name");
  std::vector<T> values(static_cast<std::size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(T)));
  NAT_CHECK(file, nat::ErrorKind::io, path, ": cannot be read to its end");
  return values;
}

nat::FeatureMatrix read_features(const std::string& path, std::int64_t columns) {
  nat::FeatureMatrix features;
  features.values = read_values<float>(path);
  features.columns = columns;
  features.rows = std::ssize(features.values) / columns;
  return features;
}

void write_values(const std::string& path, const std::vector<std::int32_t>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(std::int32_t)));
  file.close();
  NAT_CHECK(file, nat::ErrorKind::io, path, ": cannot be written");
}

// Runs `judge` and notes how long it took.
template <class Judge>
auto timed(nlohmann::json& seconds, const char* name, Judge&& judge) {
  const auto start = std::chrono::steady_clock::now();
  auto result = judge();
  seconds[name] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

nlohmann::json judge_files(const std::vector<std::string>& arguments) {
  const std::int64_t columns = std::stoll(arguments[4]);
  const int classes = std::stoi(arguments[5]);
  nat::FeatureMatrix train = read_features(arguments[0], columns);
  nat::FeatureMatrix test = read_features(arguments[2], columns);
  const auto train_labels = read_values<std::int32_t>(arguments[1]);
  const auto test_labels = read_values<std::int32_t>(arguments[3]);
  nat::KnnOptions knn_options;
  if (arguments.size() > 6) knn_options.temperature = std::stod(arguments[6]);

  nat::Context ctx;
  nlohmann::json report, seconds;
  timed(seconds, "standardize", [&] {
    nat::standardize(train, test);
    return true;
  });
  const nat::LabelledFeatures bank{train, train_labels}, queries{test, test_labels};
  const auto knn = timed(
      seconds, "knn", [&] { return nat::knn_accuracy(ctx, bank, queries, classes, knn_options); });
  for (const nat::KnnAccuracy& at : knn.at) {
    report["knn"].push_back({{"k", at.k}, {"accuracy", at.accuracy}});
  }
  const auto linear =
      timed(seconds, "linear", [&] { return nat::linear_probe(ctx, bank, queries, classes); });
  report["linear"] = {{"accuracy", linear.accuracy},
                      {"train_accuracy", linear.train_accuracy},
                      {"loss", linear.loss},
                      {"iterations", linear.iterations},
                      {"weight_decay", nat::LinearProbeOptions{}.weight_decay}};
  const auto few = timed(seconds, "few_labels",
                         [&] { return nat::few_labels_probe(ctx, bank, queries, classes); });
  report["few_labels"] = {{"accuracy", few.accuracy}, {"spread", few.spread}};
  const auto found =
      timed(seconds, "retrieval", [&] { return nat::retrieval(ctx, queries, classes); });
  for (const nat::Recall& at : found.at) {
    report["retrieval"]["recall"].push_back({{"k", at.k}, {"recall", at.recall}});
  }
  report["retrieval"]["map"] = found.mean_average_precision;
  const auto grouped = timed(seconds, "cluster", [&] { return nat::k_means(ctx, test, classes); });
  const nat::Agreement agreement = nat::agreement(grouped.cluster, classes, test_labels, classes);
  report["cluster"] = {{"nmi", agreement.nmi},
                       {"ari", agreement.ari},
                       {"purity", agreement.purity},
                       {"inertia", grouped.inertia},
                       {"iterations", grouped.iterations}};
  if (arguments.size() > 7) write_values(arguments[7], grouped.cluster);
  report["seconds"] = seconds;
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7 || argc > 9) {
    std::cerr << "usage: bench_evaluate TRAIN.f32 TRAIN.i32 TEST.f32 TEST.i32 COLUMNS CLASSES "
                 "[TEMPERATURE [CLUSTER.i32]]\n";
    return 2;
  }
  try {
    std::cout << judge_files({argv + 1, argv + argc}).dump(2) << '\n';
  } catch (const nat::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.kind());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
