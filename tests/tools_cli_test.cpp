// The program as a user meets it: what works prints results, what is wrong gives one clear line and
// the documented exit code, and nothing is lost.
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/tools_support.h"

using namespace nat::tools;

TEST_CASE("train, eval, embed, inspect and report work on generated pictures") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--knn-every", "2"})).code == 0);
  CHECK(read_file(run + "/metrics.csv").find("knn") != std::string::npos);

  const Outcome knn = nat::tools::nat(workspace, {"eval", "knn", run, "--json"});
  REQUIRE_MESSAGE(knn.code == 0, knn.err);
  const auto json = nlohmann::json::parse(knn.out);
  for (const char* tap : {"conv", "fc", "embedding"}) {
    const auto& score = json.at(tap).at("knn");
    CHECK(score.at("n_test").get<int>() == 128);
    CHECK(score.at("trained").get<double>() > 0.25);  // four classes: above chance
    const double p = score.at("trained").get<double>();
    CHECK(score.at("stderr").get<double>() == doctest::Approx(std::sqrt(p * (1 - p) / 128)));
  }
  CHECK(json.at("raw").at("knn").contains("value"));

  const std::string features = workspace.at("features.safetensors");
  CHECK(nat::tools::nat(workspace, {"embed", run, "--output", features, "--split", "test"}).code ==
        0);
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", features, "--json"});
  REQUIRE(inspected.code == 0);
  CHECK(nlohmann::json::parse(inspected.out).at("tensors").at("embedding").at("shape") ==
        nlohmann::json({128, 16}));
  CHECK(nat::tools::nat(workspace, {"inspect", run}).code == 0);
  CHECK(nat::tools::nat(workspace, {"inspect", data}).code == 0);
  CHECK(nat::tools::nat(workspace, {"doctor", "--json"}).code == 0);

  const Outcome report = nat::tools::nat(workspace, {"report", run});
  REQUIRE_MESSAGE(report.code == 0, report.err);
  CHECK(read_file(run + "/report.html").find("</html>") != std::string::npos);
}

TEST_CASE("features are written as an array of NumPy where the file is named so") {
  const Workspace workspace;
  const std::string run = workspace.at("run"), npy = workspace.at("fc.npy");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run)).code == 0);
  const auto embed = [&](const std::string& layers, const std::string& output) {
    return nat::tools::nat(
        workspace, {"embed", run, "--split", "test", "--layers", layers, "--output", output});
  };
  const std::string features = workspace.at("features.safetensors");
  REQUIRE(embed("fc", npy).code == 0);
  REQUIRE(embed("fc", features).code == 0);
  const std::string array = read_file(npy);
  const auto tensor = nat::Checkpoint::load(features).get("fc");
  REQUIRE(tensor.shape == std::vector<std::int64_t>{128, 256});
  // Numbers begin at a multiple of 64, behind a header that ends its line.
  REQUIRE(array.size() > tensor.bytes.size());
  const std::size_t start = array.size() - tensor.bytes.size();
  CHECK(start % 64 == 0);
  CHECK(array.substr(0, 8) == std::string("\x93NUMPY\x01\0", 8));
  CHECK(static_cast<std::size_t>(static_cast<unsigned char>(array[8])) + 10 == start);
  const std::string header = array.substr(10, start - 10);
  CHECK(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (128, 256), }"));
  CHECK(header.find('\n') == header.size() - 1);
  CHECK(std::memcmp(array.data() + start, tensor.bytes.data(), tensor.bytes.size()) == 0);
  CHECK(read_file(npy + ".jsonl") == read_file(features + ".jsonl"));

  const Outcome two = embed("fc,conv", npy);
  CHECK(two.code == 2);
  CHECK(two.err.find("one array") != std::string::npos);
}

TEST_CASE("fresh classifiers on the frozen network judge its convolutions") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run)).code == 0);
  const auto judge = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {run, "--epochs", "12", "--json"});
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out);
  };
  const auto mlp = judge({"mlp", "--views", "2"});
  CHECK(mlp.size() == 3);                                             // judged, conv and raw
  CHECK(mlp.at("conv").at("mlp").at("trained").get<double>() > 0.5);  // four classes
  CHECK(mlp.at("conv").at("mlp").at("n_test").get<int>() == 128);
  CHECK(mlp.at("raw").at("mlp").at("value").get<double>() > 0.25);
  CHECK(judge({"mlp", "--views", "2"}) == mlp);

  const auto layers = judge({"layers", "--schedule", "official"});
  for (const char* tap : {"conv1", "conv2", "conv3"}) {
    CHECK(layers.at(tap).at("linear_sgd").at("trained").get<double>() > 0.4);
    CHECK(layers.at(tap).at("linear_sgd").at("untrained").get<double>() > 0.25);
  }
  CHECK(judge({"layers"}) != layers);  // by cosine
  CHECK(judge({"layers", "--schedule", "official", "--weight-decay", "0.01"}) != layers);
  const auto fc = judge({"layers", "--layers", "fc"});
  CHECK(fc.at("fc").at("linear_sgd").at("trained").get<double>() > 0.4);

  const std::string large = workspace.at("large");
  REQUIRE(nat::tools::nat(workspace, small_run(workspace.at("data"), large,
                                               {"--size", "132", "--stored-size", "132", "--limit",
                                                "20", "--batch", "10", "--epochs", "1"}))
              .code == 0);
  const Outcome without =
      nat::tools::nat(workspace, {"eval", "mlp", large, "--epochs", "1", "--json"});
  REQUIRE_MESSAGE(without.code == 0, without.err);
  CHECK(without.err.find("17424 numbers a picture are too many") != std::string::npos);
  CHECK(nlohmann::json::parse(without.out).size() == 2);  // judged and conv

  check_refused(workspace, {"eval", "mlp", run, "--views", "10"}, 2, {"10 views", "1 or 2"});
  check_refused(workspace, {"eval", "mlp", run, "--epochs", "-1"}, 2, {"--epochs", "-1"});
  check_refused(workspace, {"eval", "layers", run, "--schedule", "cosin"}, 2, {"cosin", "cosine"});
  check_refused(workspace, {"eval", "layers", run, "--layers", "conv9"}, 2, {"conv9", "conv3"});
}

TEST_CASE("kNN of few pictures looks at all of them, and says so") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace, 12, 24), run, {"--batch", "6"}))
              .code == 0);
  const Outcome few = nat::tools::nat(workspace, {"eval", "knn", run, "--json"});
  REQUIRE_MESSAGE(few.code == 0, few.err);
  CHECK(few.err.find("kNN looks at all 12 training pictures") != std::string::npos);
  const auto json = nlohmann::json::parse(few.out);
  CHECK(json.at("judged").at("step") == 8);
  CHECK(json.at("judged").at("data") == workspace.at("data"));
  check_refused(workspace, {"eval", "knn", run, "--k", "20"}, 2, {"--k 20", "12"});
  check_refused(workspace, {"eval", "knn", run, "--k", "0"}, 2, {"--k", "0"});
  check_refused(workspace, {"eval", "cluster", run, "--clusters", "-4"}, 2, {"--clusters", "-4"});
  check_refused(workspace, {"eval", "cluster", run, "--clusters", "1"}, 2,
                {"--clusters 1", "2 or more"});
}

TEST_CASE("the report says where its figures are not those of the run as it is now") {
  const Workspace workspace, elsewhere;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string other = make_data(elsewhere, 128, 64);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "16"})).code ==
          75);
  const auto note = [&](const std::vector<std::string>& more) {
    std::vector<std::string> judge = {"eval", "all", run};
    judge.insert(judge.end(), more.begin(), more.end());
    if (!more.empty()) REQUIRE(nat::tools::nat(workspace, judge).code == 0);
    REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
    const std::string page = read_file(run + "/report.html");
    const auto from = page.find(" test pictures") + 14;
    return page.substr(from, page.find('.', from) - from);
  };
  CHECK(note({"--data", data}) == "");
  REQUIRE(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(note({}) == " after 16 steps; the run has 64 now");
  CHECK(note({"--data", other}) == " of " + other);
  CHECK(note({"--data", data}) == "");
}

TEST_CASE("pictures of one class cannot be judged") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 16), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  for (const char* split : {"train", "t10k"}) {
    const std::string path = data + "/" + split + "-labels-idx1-ubyte";
    std::string labels = read_file(path);
    std::fill(labels.begin() + 8, labels.end(), '\0');
    write_file(path, labels);
  }
  check_refused(workspace, {"eval", "all", run}, 3, {data, "one class", "two or more"});
}

TEST_CASE("retrieval and cluster print their measures, one row each, and leave no results.json") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run)).code == 0);
  const auto judged = [&](const std::string& how, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"eval", how, run, "--layers", "conv"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return outcome.out;
  };
  const std::vector<std::string> found = {"recall_1", "recall_5", "recall_10", "map"};
  const std::vector<std::string> grouped = {"nmi", "ari", "purity"};
  for (const auto& [how, measures] : {std::pair{"retrieval", found}, {"cluster", grouped}}) {
    const auto json = nlohmann::ordered_json::parse(judged(how, {"--json"}));
    std::vector<std::string> names;
    for (const auto& [name, score] : json.at("conv").items()) {
      names.push_back(name);
      CHECK(score.at("n_test") == 128);
      CHECK(score.at("trained").get<double>() > 0.1);
      CHECK(score.at("trained").get<double>() <= 1);
      CHECK(score.contains("untrained"));
      CHECK(score.contains("stderr") == (std::string(how) == "retrieval"));
      CHECK(json.at("raw").at(name).contains("value"));
    }
    CHECK(names == measures);

    std::istringstream table(judged(how, {}));
    std::string line;
    std::getline(table, line);
    const auto shows = [&line](const char* format, double share) {
      char text[40];
      std::snprintf(text, sizeof text, format, 100 * share);
      return line.find(text) != std::string::npos;
    };
    for (const std::string features : {"conv", "raw pixels"}) {
      const bool is_raw = features != "conv";
      for (const std::string& measure : measures) {
        REQUIRE(std::getline(table, line));
        CAPTURE(line);
        CHECK(line.find(features) == 0);
        CHECK(line.find(" " + measure + " ") != std::string::npos);
        const auto& score = json.at(is_raw ? "raw" : "conv").at(measure);
        const auto value = [&](const char* name) { return score.at(name).get<double>(); };
        CHECK(shows(" %.2f%%", value(is_raw ? "value" : "trained")));
        if (score.contains("stderr")) CHECK(shows(" +- %.2f", value("stderr")));
        if (is_raw) continue;
        CHECK(shows(" %.2f%% ", value("untrained")));
        CHECK(shows(" %+.2f", value("trained") - value("untrained")));
      }
    }
    CHECK_FALSE(std::getline(table, line));
  }
  const auto purity = [&](const char* clusters) {
    const auto json = nlohmann::json::parse(judged("cluster", {"--clusters", clusters, "--json"}));
    return json.at("raw").at("purity").at("value").get<double>();
  };
  CHECK(purity("4") == purity("0"));  // as many as there are classes
  CHECK(purity("128") == 1);          // each picture by itself
  check_refused(workspace, {"eval", "cluster", run, "--clusters", "129"}, 2, {"129", "128"});
  CHECK_FALSE(std::filesystem::exists(run + "/results.json"));
}

TEST_CASE("retrieval says which test pictures it leaves out") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace, 512, 13), run)).code == 0);
  const std::string labels = workspace.at("data") + "/t10k-labels-idx1-ubyte";
  std::string bytes = read_file(labels);
  REQUIRE(bytes.size() == 8 + 13);
  for (std::size_t i = 8; i < 20; ++i) bytes[i] = static_cast<char>(i % 3);
  bytes.back() = 3;
  write_file(labels, bytes);
  const Outcome outcome =
      nat::tools::nat(workspace, {"eval", "retrieval", run, "--layers", "conv", "--json"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.err.find("leaves out 1 of 13 test pictures") != std::string::npos);
  CHECK(nlohmann::json::parse(outcome.out).at("conv").at("map").at("n_test") == 12);
}

TEST_CASE("an AlexNet, which has dropout, is trained and judged") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  const Outcome trained = nat::tools::nat(
      workspace, small_run(make_data(workspace), run,
                           {"--network", "alexnet", "--size", "67", "--stored-size", "67", "--crop",
                            "none", "--limit", "20", "--batch", "10", "--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const Outcome judged = nat::tools::nat(
      workspace, {"eval", "knn", run, "--layers", "embedding", "--k", "5", "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(nlohmann::json::parse(judged.out).at("embedding").at("knn").contains("untrained"));
}

TEST_CASE("a run on targets of the basis says so wherever it is described") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const Outcome trained =
      nat::tools::nat(workspace, small_run(data, run, {"--targets", "basis", "--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("targets = basis\n") != std::string::npos);
  CHECK(read_file(run + "/config.toml").find("targets = 'basis'\n") != std::string::npos);
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", run});
  CHECK(inspected.out.find("targets = 'basis'") != std::string::npos);
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
  CHECK(read_file(run + "/report.html").find("16-dimensional one-hot targets") !=
        std::string::npos);

  // Its config is a recipe; a flag overrides it, and the targets are then others.
  const auto loss_of = [](const std::string& folder) {
    const std::string jsonl = read_file(folder + "/metrics.jsonl");
    return nlohmann::json::parse(jsonl.substr(0, jsonl.find('\n'))).at("loss");
  };
  const std::string again = workspace.at("again"), sphere = workspace.at("sphere");
  const std::string config = run + "/config.toml";
  REQUIRE(nat::tools::nat(workspace, {"train", "--config", config, "--out", again}).code == 0);
  REQUIRE(nat::tools::nat(workspace,
                          {"train", "--config", config, "--out", sphere, "--targets", "sphere"})
              .code == 0);
  CHECK(loss_of(again) == loss_of(run));
  CHECK(loss_of(sphere) != loss_of(run));
}

TEST_CASE("inspect --plan prints the memory of a step before anything is trained") {
  const Workspace workspace;
  const Outcome plan = nat::tools::nat(
      workspace, {"inspect", "--plan", "--preset", "fmnist", "--batch", "64", "--json"});
  REQUIRE_MESSAGE(plan.code == 0, plan.err);
  const auto json = nlohmann::json::parse(plan.out);
  CHECK(json.at("arena_bytes").get<std::int64_t>() >=
        json.at("lower_bound_bytes").get<std::int64_t>());
}

TEST_CASE("the help of train lists every option once, under what it is about") {
  const Workspace workspace;
  const std::string help = nat::tools::nat(workspace, {"train", "--help"}).out;
  const auto group_of = [&](const std::string& option) {
    const std::size_t at = help.find("\n  " + option + " ");
    CAPTURE(option);
    REQUIRE(at != std::string::npos);
    CHECK(help.find("\n  " + option + " ", at + 1) == std::string::npos);
    const std::size_t title = help.rfind("\n\n", at) + 2;
    return help.substr(title, help.find(':', title) - title);
  };
  for (const auto& [option, group] :
       std::vector<std::pair<std::string, std::string>>{{"--data", "Data"},
                                                        {"--crop", "Data"},
                                                        {"--network", "Network"},
                                                        {"--front", "Network"},
                                                        {"--targets", "Method"},
                                                        {"--period", "Method"},
                                                        {"--batch", "Optimiser"},
                                                        {"--lr", "Optimiser"},
                                                        {"--out", "Run"},
                                                        {"--config", "Run"},
                                                        {"--device", "Run"},
                                                        {"--stop-after-steps", "Run"},
                                                        {"--json", "Run"}}) {
    CHECK(group_of(option) == group);
  }
}

TEST_CASE("wrong options are refused with a suggestion and exit code 2") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string out = workspace.at("run");
  check_refused(workspace, {"train", "--data", data, "--epoch", "3", "--out", out}, 2,
                {"--epoch", "--epochs"});
  check_refused(workspace, {"trian"}, 2, {"trian", "train"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--epochs", "many"}, 2,
                {"--epochs", "many"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--preset", "imagenet"}, 2,
                {"imagenet", "official"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--front", "sobl"}, 2,
                {"sobl", "sobel"});
  check_refused(workspace, {"train", "--out", out}, 2, {"--data"});
  check_refused(workspace, small_run(data, out, {"--batch", "100000"}), 2, {"100000", "512"});
  check_refused(workspace, small_run(data, out, {"--limit", "0"}), 2, {"--limit", "0"});
  check_refused(workspace, small_run(data, out, {"--assign-pool", "48"}), 2, {"48", "32"});
  check_refused(workspace, small_run(data, out, {"--assign-pool", "1024"}), 2, {"1024", "512"});
  check_refused(workspace, small_run(data, out, {"--solver", "sinkhron"}), 2, {"sinkhorn"});
  check_refused(workspace, small_run(data, out, {"--targets", "bases"}), 2, {"bases", "basis"});
  check_refused(
      workspace,
      small_run(data, out, {"--network", "alexnet", "--size", "62", "--stored-size", "62"}), 2,
      {"alexnet needs --size 63", "62"});
  const Outcome smallest =
      nat::tools::nat(workspace, {"inspect", "--plan", "--network", "alexnet", "--size", "63",
                                  "--stored-size", "63", "--batch", "2", "--threads", "1"});
  CHECK_MESSAGE(smallest.code == 0, smallest.err);
  for (const auto& [option, value] : {std::pair{"--size", "7"},
                                      {"--stored-size", "15"},
                                      {"--min-area", "0"},
                                      {"--width", "0"},
                                      {"--dimension", "1"},
                                      {"--batch", "1"},
                                      {"--epochs", "0"},
                                      {"--period", "-1"},
                                      {"--assign-every-steps", "-1"},
                                      {"--assign-pool", "-32"},
                                      {"--lr", "-0.1"},
                                      {"--lr", "nan"},
                                      {"--momentum", "1"},
                                      {"--weight-decay", "-0.1"},
                                      {"--gamma", "-1"},
                                      {"--t0", "-1"},
                                      {"--threads", "4097"},
                                      {"--loaders", "257"},
                                      {"--checkpoint-every-steps", "-1"},
                                      {"--keep-checkpoints", "0"},
                                      {"--knn-every", "-1"},
                                      {"--max-bad-percent", "101"}}) {
    check_refused(workspace, small_run(data, out, {option, value}), 2,
                  {std::string(option) + " ", " is outside "});
  }
  write_file(workspace.at("bad.toml"), "learning_rate = 3\n");
  check_refused(workspace,
                {"train", "--config", workspace.at("bad.toml"), "--data", data, "--out", out}, 2,
                {"learning_rate", "bad.toml"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("wrong data is refused with exit code 3, and no run folder appears") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string out = workspace.at("run");
  check_refused(workspace, small_run(workspace.at("nowhere"), out), 3, {"nowhere"});

  const std::string empty = workspace.at("empty");
  std::filesystem::create_directories(empty);
  check_refused(workspace, small_run(empty, out), 3, {"empty"});

  const std::string labels = data + "/train-labels-idx1-ubyte";
  const std::string good = read_file(labels);
  write_file(labels, good.substr(0, 6) + std::string("\x01\x00", 2) + good.substr(8, 256));
  check_refused(workspace, small_run(data, out), 3, {"train-labels", "512", "256"});
  write_file(labels, good);

  const std::string images = data + "/train-images-idx3-ubyte";
  const std::string pictures = read_file(images);
  write_file(images, pictures.substr(0, pictures.size() / 2));
  check_refused(workspace, small_run(data, out), 3, {"train-images"});
  write_file(images, "JUNK" + pictures.substr(4));
  check_refused(workspace, small_run("idx:" + data, out), 3, {"train-images"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("runs are never overwritten, and unusable ones are refused with exit code 4") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string before = read_file(newest_checkpoint(run));
  check_refused(workspace, small_run(data, run), 2, {"already holds a run", "nat resume"});
  CHECK(read_file(newest_checkpoint(run)) == before);

  check_refused(workspace, {"resume", workspace.at("nothing")}, 4, {"nothing"});

  const std::string config = read_file(run + "/config.toml");
  std::string other = config;
  other.replace(other.find("dimension = 16"), 14, "dimension = 24");
  write_file(run + "/config.toml", other);
  check_refused(workspace, {"eval", "knn", run}, 4, {"dimension = 24", "dimension = 16"});
  const Outcome resumed = nat::tools::nat(workspace, {"resume", run});
  CHECK(resumed.code == 4);
  write_file(run + "/config.toml", config);
  CHECK(read_file(newest_checkpoint(run)) == before);

  // Another data set under the same run would give its targets to other pictures.
  std::string labels;
  write_file(data + "/train-images-idx3-ubyte", idx_pictures(512, 99, &labels));
  check_refused(workspace, {"resume", run}, 3, {"the data changed"});
}

TEST_CASE("a damaged newest checkpoint is passed over for the one before") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run"), undisturbed = workspace.at("undisturbed");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed)).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "40"})).code ==
          75);
  const std::string newest = newest_checkpoint(run);
  std::string bytes = read_file(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(newest, bytes);
  const Outcome outcome = nat::tools::nat(workspace, {"resume", run});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.err.find("step-000000040") != std::string::npos);
  CHECK(read_file(run + "/metrics.csv") == read_file(undisturbed + "/metrics.csv"));
}

TEST_CASE("a loss that is not finite stops with exit code 5 and keeps the checkpoints") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  const Outcome outcome = nat::tools::nat(
      workspace, small_run(data, run, {"--lr", "1e6", "--loss", "sum", "--weight-decay", "1"}));
  CAPTURE(outcome.err);
  CHECK(outcome.code == 5);
  CHECK(outcome.err.find("the loss of step ") != std::string::npos);
  CHECK(outcome.err.find("; begin a new run with a lower --lr\n") != std::string::npos);
  CHECK(outcome.err.find("-nan") == std::string::npos);
}

TEST_CASE("features that are not finite stop with exit code 5 though every loss was a number") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64), run = workspace.at("run");
  const std::vector<std::string> diverging = {"--lr",           "1e6", "--loss",   "sum",
                                              "--weight-decay", "1",   "--epochs", "1"};
  const Outcome outcome = nat::tools::nat(workspace, small_run(data, run, diverging));
  CAPTURE(outcome.err);
  CHECK(outcome.code == 5);
  CHECK(outcome.err.find("\nnat: after step 2 the features hold NaN or infinity; begin a new run "
                         "with a lower --lr\n") != std::string::npos);
  CHECK(std::filesystem::is_empty(run + "/checkpoints"));
}

TEST_CASE("a folder that cannot be written is refused with exit code 8") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  write_file(workspace.at("file"), "not a folder");
  check_refused(workspace, small_run(data, workspace.at("file") + "/run"), 8, {"file/run"});
}

TEST_CASE("a full disk ends the run with exit code 8 and the last checkpoint stays valid") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "20"})).code ==
          75);
  const std::string newest = newest_checkpoint(run);
  const std::string before = read_file(newest);
  const Outcome outcome =
      Process(workspace, {"resume", run}, Limit{RLIMIT_FSIZE, before.size() / 2}).wait();
  CAPTURE(outcome.err);
  CHECK(outcome.code == 8);
  CHECK(outcome.err.find("checkpoints/step-") != std::string::npos);
  CHECK(newest_checkpoint(run) == newest);
  CHECK(read_file(newest) == before);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
}
