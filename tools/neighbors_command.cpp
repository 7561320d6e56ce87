// nat neighbors: which pictures of a collection lie nearest to a picture, by the features of a run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/picture_files.h"
#include "engine/durable_file.h"
#include "nat/evaluate/knn.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/left_out.h"
#include "tools/one_time_options.h"
#include "tools/output_file.h"
#include "tools/report/html_report.h"
#include "tools/run_report.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  std::string run, data, split = "train", tap = "embedding", output;
  std::vector<std::string> files;
  std::optional<std::int64_t> step;
  int k = 8, threads = 0;
  OneTimeOptions where;
  bool json = false;
};

// One picture that was asked for, and what was found near it.
struct Found {
  std::int32_t query = 0;  // id
  std::vector<std::int32_t> ids;
  std::vector<double> cosines;
};

// Of what was asked for, nothing is left out.
void require_readable(const data::Dataset& queries) {
  const std::vector<data::BadPicture> bad = queries.bad_pictures();
  if (bad.empty()) return;
  throw Error(ErrorKind::data, str(queries.name(bad.front().id), ": ", bad.front().reason,
                                   "; give another picture"));
}

std::vector<Found> find(const Asked& asked, const Options& options, Context& ctx, Network& network,
                        const data::Dataset& bank, const data::Dataset& queries) {
  const FeatureSet wanted = extract_features(ctx, options, network, queries, {asked.tap});
  require_readable(queries);  // now that all are decoded
  const FeatureSet known =
      extract_features(ctx, options, network, bank, {asked.tap}, "features of the collection");
  Context host;  // features are host memory
  const Neighbours near =
      nearest_neighbours(host, known.at.at(asked.tap), wanted.at.at(asked.tap), asked.k);
  std::vector<Found> all;
  for (std::int64_t q = 0; q < near.queries; ++q) {
    Found found{.query = wanted.ids[static_cast<std::size_t>(q)], .ids = {}, .cosines = {}};
    for (const std::int32_t row : near.indices_of(q)) {
      found.ids.push_back(known.ids[static_cast<std::size_t>(row)]);
    }
    for (const float cosine : near.similarities_of(q)) {
      found.cosines.push_back(static_cast<double>(cosine));
    }
    all.push_back(std::move(found));
  }
  return all;
}

std::string label_of(const data::Dataset& pictures, std::int32_t id) {
  return pictures.labelled()
             ? pictures.catalog().class_names[static_cast<std::size_t>(pictures.label(id))]
             : "";
}

void print_text(const std::vector<Found>& all, const data::Dataset& bank,
                const data::Dataset& queries) {
  for (const Found& found : all) {
    std::printf("%s\n", queries.name(found.query).c_str());
    for (std::size_t i = 0; i < found.ids.size(); ++i) {
      std::printf("  %6.3f  %s  %s\n", found.cosines[i], bank.name(found.ids[i]).c_str(),
                  label_of(bank, found.ids[i]).c_str());
    }
  }
}

void print_json(const std::vector<Found>& all, const data::Dataset& bank,
                const data::Dataset& queries) {
  nlohmann::json json = nlohmann::json::array();
  for (const Found& found : all) {
    nlohmann::json row = {{"query", queries.name(found.query)},
                          {"neighbors", nlohmann::json::array()}};
    for (std::size_t i = 0; i < found.ids.size(); ++i) {
      nlohmann::json near = {
          {"id", found.ids[i]}, {"name", bank.name(found.ids[i])}, {"cosine", found.cosines[i]}};
      if (bank.labelled()) near["label"] = label_of(bank, found.ids[i]);
      row["neighbors"].push_back(std::move(near));
    }
    json.push_back(std::move(row));
  }
  std::printf("%s\n", json.dump(2).c_str());
}

// The page of a report with nothing but neighbours on it.
void write_page(const Asked& asked, const std::vector<Found>& all, const data::Dataset& bank,
                const data::Dataset& queries) {
  report::ReportData page;
  page.title = "Nearest pictures";
  page.summary = str("By the cosine of the features at ", asked.tap, " of the run ",
                     data::printable(asked.run), ", learnt without labels.");
  page.neighbours_note =
      str("Nearest of ", bank.size() - static_cast<std::int64_t>(bank.bad_count()), " pictures of ",
          data::printable(bank.catalog().source), ".");
  for (const Found& found : all) {
    report::NeighbourRow row;
    row.query = labelled_picture(queries, found.query);
    for (std::size_t i = 0; i < found.ids.size(); ++i) {
      row.neighbours.push_back(labelled_picture(bank, found.ids[i]));
      row.neighbours.back().similarity = found.cosines[i];
    }
    page.neighbours.push_back(std::move(row));
  }
  write_durably(asked.output, report::html_report(page));
}

int neighbors(const Asked& asked) {
  const RunFolder folder = RunFolder::open(asked.run);
  Options options = asked.where.instead_of(folder.options());
  if (!asked.output.empty()) {
    std::vector<std::string> read = asked.files;
    read.insert(read.end(), {asked.data, options.data});
    require_output(folder, asked.output, read);
  }
  require_threads(asked.threads);
  options.threads = asked.threads;
  // Now: to open the collection may take minutes.
  require_readable(*data::open_single_files(asked.files, {1, 1, 3}));
  const auto ctx = make_context(options);
  if (!asked.data.empty()) options.limit = -1;  // it is one of the run's own pictures
  const auto split = asked.split == "train" ? data::Split::train : data::Split::test;
  const auto bank = open_data(options, split, asked.data);
  std::fputs(remark_lines(*bank).c_str(), stderr);
  const auto queries = data::open_single_files(asked.files, bank->shape());
  require_range<std::int64_t>("k", asked.k, 1, std::ssize(bank->usable_ids()));
  TrainedNetwork trained = load_trained(*ctx, folder, options, bank->shape(), asked.step);
  const std::vector<Found> all = find(asked, options, *ctx, trained.network, *bank, *queries);
  std::fputs(unreadable_line(*bank).c_str(), stderr);
  if (!asked.output.empty()) write_page(asked, all, *bank, *queries);
  if (asked.json) {
    print_json(all, *bank, *queries);
  } else {
    print_text(all, *bank, *queries);
  }
  return 0;
}

}  // namespace

Command neighbors_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "neighbors", "find the pictures that lie nearest to given ones, by the features of a run");
  const auto asked = std::make_shared<Asked>();
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("files", asked->files, "picture files to look for")->required();
  app->add_option("--data", asked->data, "pictures to look among, if not those of the run");
  add_value(*app, "--split", asked->split, "train or test")
      ->check(CLI::IsMember({"train", "test"}));
  add_value(*app, "--layer", asked->tap, "whose features decide: embedding, fc, conv, conv1, ...");
  add_value(*app, "--k", asked->k, "how many are found for each");
  app->add_option("--output", asked->output, "also write them as an HTML page, pictures included");
  add_step(*app, asked->step);
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  asked->where.add_to(*app, kElsewhere);
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [asked] { return neighbors(*asked); }};
}

}  // namespace nat::tools
