#include "tools/probe.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/init.h"
#include "engine/schedule.h"
#include "models/probe.h"
#include "nat/evaluate/classifier.h"
#include "nat/evaluate/features.h"
#include "tools/session.h"
#include "tools/stderr_progress.h"

namespace nat::tools {

namespace {

Sgd sgd_of(const ProbeOptions& probe) {
  return {.momentum = 0.9f, .weight_decay = static_cast<float>(probe.weight_decay)};
}

ClassifierLoss loss_of(const ProbeOptions& probe) {
  if (probe.loss == "logistic") return ClassifierLoss::logistic;
  return probe.loss == "square" ? ClassifierLoss::square : ClassifierLoss::softmax;
}

// Of each classifier's first rate.
Schedule schedule_of(const ProbeOptions& probe, std::int64_t steps_per_epoch) {
  if (probe.schedule == "official") return official_classifier_schedule(steps_per_epoch);
  return {.kind = Schedule::Kind::cosine, .rate = 1};
}

// With few labels an epoch is short, and 20 of them would leave a classifier half trained.
std::int64_t enough_epochs(std::int64_t steps_per_epoch) {
  constexpr std::int64_t kEpochs = 20, kSteps = 600;
  return std::max(kEpochs, (kSteps + steps_per_epoch - 1) / steps_per_epoch);
}

// The network of the run for `classes`, with the convolutions of the one that is judged.
std::unique_ptr<Sequential> whole_network(Context& ctx, const Options& options,
                                          const Network& judged, int classes) {
  Network network = build_architecture(
      ctx, {.name = options.network, .dimension = classes, .width = options.width},
      judged.net->picture());
  initialize(ctx, initial_values(options), options.seed, network.net->parameters());
  copy_parameters(ctx, judged.net->parameters(), "features.", network.net->parameters());
  return std::move(network.net);
}

std::unique_ptr<Sequential> make_head(Context& ctx, const Options& options, ProbeHead head,
                                      const Network* judged, Shape features, int classes) {
  if (head == ProbeHead::network) {
    assert(judged != nullptr);
    return whole_network(ctx, options, *judged, classes);
  }
  std::unique_ptr<Sequential> net;
  if (head == ProbeHead::linear) {
    net = linear_probe_head(ctx, features, classes);
  } else {
    const NetworkTable table =
        architecture_table({.name = options.network, .width = options.width});
    net = mlp_probe(ctx, features, table.hidden, classes);
  }
  initialize(ctx, initial_values(options), options.seed, net->parameters());
  return net;
}

// What the pictures of a batch show, as the losses read it: labels (n), or flags (n, classes) where
// pictures have several labels.
class Answers {
 public:
  Answers(Context& ctx, const data::Dataset& pictures, std::int64_t batch)
      : pictures_(pictures),
        shape_(pictures.multi_label() ? Shape(batch, pictures.classes()) : Shape(batch)),
        memory_(ctx.device, static_cast<std::size_t>(shape_.elements()) * sizeof(std::int32_t),
                "labels") {}

  ConstView load(Context& ctx, const data::Batch& batch) {
    const View answers(memory_.data(), DType::i32, shape_);
    copy_to_device(ctx, ConstView(on_host(batch).data(), DType::i32, shape_), answers);
    return answers;
  }

 private:
  const std::vector<std::int32_t>& on_host(const data::Batch& batch) {
    if (!pictures_.multi_label()) return batch.labels;
    flags_.clear();
    for (const std::int32_t id : batch.ids) {
      const auto flags = pictures_.flags(id);
      flags_.insert(flags_.end(), flags.begin(), flags.end());
    }
    return flags_;
  }

  const data::Dataset& pictures_;
  Shape shape_;
  Buffer memory_;
  std::vector<std::int32_t> flags_;
};

// The classifiers of all taps, side by side.
class Probes {
 public:
  Probes(Context& ctx, const Options& options, const ProbeOptions& probe, const Judged& judged,
         const data::Dataset& train, std::int64_t batch)
      : source_(judged.source), answers_(ctx, train, batch) {
    for (const std::string& tap : judged.taps) {
      Shape features = source_.at(tap).shape;
      features.dim[0] = 1;
      auto head = make_head(ctx, options, probe.head, judged.network, features, train.classes());
      auto classifier = std::make_unique<Classifier>(ctx, *head, batch, sgd_of(probe), options.seed,
                                                     loss_of(probe));
      const double rate = probe.lr > 0 ? probe.lr : default_rate(probe, features);
      probes_.push_back({tap, rate, std::move(head), std::move(classifier)});
    }
  }

  // `share` is that of the probes' first rates. Returns the mean loss over the probes.
  double train(Context& ctx, const data::Batch& batch, std::uint32_t step, double share) {
    source_.look(ctx, batch);
    const ConstView answers = answers_.load(ctx, batch);
    double loss = 0;
    for (const Probe& probe : probes_) {
      loss +=
          probe.classifier->train(ctx, source_.at(probe.tap), answers, step, share * probe.rate);
    }
    return loss / static_cast<double>(probes_.size());
  }

  // What the classifiers say of a batch is added to the rows from `first` on.
  void predict(Context& ctx, const data::Batch& batch, std::int64_t first, ProbeOutputs& outputs) {
    source_.look(ctx, batch);
    for (const Probe& probe : probes_) {
      FeatureMatrix& sums = outputs.at.at(probe.tap);
      const ConstView logits = probe.classifier->logits(ctx, source_.at(probe.tap));
      host_.resize(static_cast<std::size_t>(logits.shape.elements()));
      copy_to_host(ctx, logits, View(host_.data(), DType::f32, logits.shape));
      synchronize(ctx);
      NAT_CHECK(std::all_of(host_.begin(), host_.end(), [](float y) { return std::isfinite(y); }),
                ErrorKind::not_finite, "the classifier on ", probe.tap,
                " gives NaN or infinite outputs; a smaller --lr may help");
      float* row = sums.row(first);
      for (std::int64_t i = 0; i < batch.size() * sums.columns; ++i) {
        row[i] += host_[static_cast<std::size_t>(i)];
      }
    }
  }

 private:
  struct Probe {
    std::string tap;
    double rate;
    std::unique_ptr<Sequential> head;
    std::unique_ptr<Classifier> classifier;
  };

  FeatureSource& source_;
  std::vector<Probe> probes_;
  Answers answers_;
  std::vector<float> host_;
};

void train_probes(Context& ctx, const Options& options, const ProbeOptions& probe,
                  const data::Dataset& train, Probes& probes, const std::string& title) {
  data::LoaderOptions loading;
  loading.batch_size = static_cast<int>(probe_batch(probe, options, train));
  loading.augmentation = augmentation(options, train.shape());
  loading.seed = options.seed;
  loading.threads = loader_threads(options, ctx.device, loading.batch_size, train.shape());
  data::Loader loader(train, loading);
  const std::int64_t steps = loader.batches_per_epoch();
  const Schedule schedule = schedule_of(probe, steps);
  Progress progress = progress_on_stderr();
  progress.note(title);
  std::int64_t step = 0;
  for (std::int64_t epoch = 0; epoch < probe.epochs; ++epoch) {
    loader.start_epoch(static_cast<std::uint32_t>(epoch));
    while (const data::Batch* batch = loader.next()) {
      const double share = schedule.at(step, probe.epochs * steps);
      const double loss = probes.train(ctx, *batch, static_cast<std::uint32_t>(step), share);
      ++step;
      progress.update({.epoch = static_cast<int>(epoch),
                       .epochs = static_cast<int>(probe.epochs),
                       .done = step * batch->size(),
                       .total = probe.epochs * steps * batch->size(),
                       .loss = loss});
    }
  }
  progress.finish();
}

std::vector<data::Augmentation> views_of(const ProbeOptions& probe, const Options& options,
                                         const data::Dataset& test) {
  const data::PictureShape& shape = test.shape();
  return data::evaluation_views(augmentation(options, shape), probe.views,
                                std::min(shape.height, shape.width));
}

}  // namespace

double default_rate(const ProbeOptions& probe, Shape features) {
  switch (probe.head) {
    case ProbeHead::mlp:
      return 0.2;
    case ProbeHead::linear:
      return 50.0 / static_cast<double>(linear_probe_inputs(features));
    case ProbeHead::network:
      break;
  }
  return probe.loss == "square" ? 0.4 : 0.1;
}

void validate(const ProbeOptions& probe, const Options& options, const data::Dataset& train,
              const data::Dataset& test) {
  require_range("epochs", probe.epochs, std::int64_t{0}, std::int64_t{100000});
  require_range("lr", probe.lr, 0.0, 1e6);
  require_choice("schedule", probe.schedule, {"cosine", "official"});
  require_choice("loss", probe.loss, {"auto", "softmax", "square"});
  NAT_CHECK(
      probe.loss == "auto" || !train.multi_label(), ErrorKind::usage, "--loss ", probe.loss,
      ": the pictures have several labels each, whose loss is the logistic one; leave it out");
  require_range("weight-decay", probe.weight_decay, 0.0, 1.0);
  views_of(probe, options, test);
  const auto text = [](const data::PictureShape& shape) {
    return str(shape.width, "x", shape.height, "x", shape.channels);
  };
  NAT_CHECK(train.shape() == test.shape(), ErrorKind::data, "test pictures are ",
            text(test.shape()), ", training pictures ", text(train.shape()),
            "; probes need both in one shape");
  if (!test.multi_label()) require_known_classes("probe", train, test);
}

ProbeOptions resolved(ProbeOptions probe, const Options& options, const data::Dataset& train) {
  if (probe.loss == "auto") probe.loss = train.multi_label() ? "logistic" : "softmax";
  if (probe.epochs == 0) {
    probe.epochs =
        enough_epochs(std::ssize(train.usable_ids()) / probe_batch(probe, options, train));
  }
  if (probe.lr == 0 && probe.head != ProbeHead::linear) probe.lr = default_rate(probe, {});
  return probe;
}

std::int64_t probe_batch(const ProbeOptions& probe, const Options& options,
                         const data::Dataset& train) {
  const std::int64_t batch = probe.head == ProbeHead::network ? options.batch : 256;
  return std::min<std::int64_t>(batch, std::ssize(train.usable_ids()));
}

ProbeOutputs probe_outputs(Context& ctx, const Options& options, const ProbeOptions& probe,
                           const Judged& judged, const data::Dataset& train,
                           const data::Dataset& test) {
  const std::int64_t batch = probe_batch(probe, options, train);
  Probes probes(ctx, options, probe, judged, train, batch);
  train_probes(ctx, options, probe, train, probes, judged.title);

  ProbeOutputs outputs;
  for (const std::string& tap : judged.taps) {
    outputs.at[tap] = FeatureMatrix(std::ssize(test.usable_ids()), train.classes());
  }
  for (const data::Augmentation& view : views_of(probe, options, test)) {
    data::Loader loader(test, viewing(ctx, options, test, batch, view));
    outputs.ids.clear();
    loader.start_epoch(0);
    while (const data::Batch* shown = loader.next()) {
      probes.predict(ctx, *shown, std::ssize(outputs.ids), outputs);
      outputs.ids.insert(outputs.ids.end(), shown->ids.begin(), shown->ids.end());
    }
  }
  const std::vector<std::int64_t> kept = readable_rows(test, outputs.ids);
  for (auto& [tap, said] : outputs.at) keep_rows(said, kept);
  outputs.ids = select_labels(outputs.ids, kept);
  return outputs;
}

}  // namespace nat::tools
