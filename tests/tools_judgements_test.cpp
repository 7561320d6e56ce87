// RUN/judgements.jsonl: what every judge found is kept, whole, and shown in the report.
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/standardize.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

using Json = nlohmann::ordered_json;

const char* const kLog = "/judgements.jsonl";

std::vector<std::string> lines_of(const std::string& run) {
  std::vector<std::string> lines;
  std::istringstream in(read_file(run + kLog));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// What nat eval prints.
std::string judged(const Workspace& workspace, const std::string& run, const std::string& how,
                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"eval", how, run, "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = nat::tools::nat(workspace, arguments);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return outcome.out;
}

// The section of the other judges in the report; empty where there is none.
std::string reported(const Workspace& workspace, const std::string& run) {
  const Outcome outcome = nat::tools::nat(workspace, {"report", run});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const std::string page = read_file(run + "/report.html");
  const auto from = page.find("<h2>Other judges</h2>");
  return from == std::string::npos ? "" : page.substr(from, page.find("</section>", from) - from);
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

struct Trained {
  Workspace workspace;
  std::string data = make_data(workspace), run = workspace.at("run");

  explicit Trained(const std::vector<std::string>& more = {"--epochs", "1"}) {
    nat::tools::nat(workspace, small_run(data, run, more));
    REQUIRE_FALSE(newest_checkpoint(run).empty());
  }
};

}  // namespace

TEST_CASE("every judge leaves a line with what it printed and what it was told") {
  const Trained trained;
  const std::string& run = trained.run;
  struct Case {
    std::string how;
    std::vector<std::string> more;
    std::string options;
  };
  const std::string fixed =
      R"("schedule":"cosine","loss":"softmax","weight-decay":0.0,"views":1,"seed":1})";
  const std::vector<Case> cases = {
      {"knn",
       {"--labels", "64"},
       R"({"layers":["conv","fc","embedding"],"k":20,"temperature":0.0,"labels":64})"},
      {"linear", {"--layers", "fc"}, R"({"layers":["fc"],"labels":512})"},
      {"retrieval", {"--layers", "conv,fc"}, R"({"layers":["conv","fc"]})"},
      {"cluster", {"--layers", "fc"}, R"({"layers":["fc"],"clusters":4,"seed":1})"},
      {"mlp",
       {"--labels", "256"},  // an epoch is one step, of the 600 that are enough
       R"({"layers":["conv"],"labels":256,"epochs":600,"lr":0.2,)" + fixed},
      {"layers",
       {"--layers", "conv1", "--epochs", "2"},
       R"({"layers":["conv1"],"labels":512,"epochs":2,"lr":0.0,)" + fixed},
      {"finetune",
       {"--labels", "64", "--epochs", "1", "--loss", "square", "--views", "2"},
       R"({"labels":64,"epochs":1,"lr":0.4,"schedule":"cosine","loss":"square",)"
       R"("weight-decay":0.0,"views":2,"seed":1})"},
      {"all", {}, R"({"labels":512})"}};
  std::vector<std::string> before;
  for (const Case& asked : cases) {
    CAPTURE(asked.how);
    std::vector<std::string> as_json = asked.more;
    as_json.push_back("--json");
    const std::string printed = judged(trained.workspace, run, asked.how, as_json);
    CHECK(std::filesystem::exists(run + "/results.json") == (asked.how == "all"));

    const std::vector<std::string> lines = lines_of(run);
    REQUIRE(lines.size() == before.size() + 1);
    CHECK(std::equal(before.begin(), before.end(), lines.begin()));
    before = lines;
    const Json line = Json::parse(lines.back());
    CHECK(line.at("judge") == asked.how);
    CHECK(line.at("options").dump() == asked.options);
    CHECK(line.at("results").dump(2) + "\n" == printed);
    CHECK(line.contains("remark") ==
          (asked.how == "all" || asked.how == "linear"));  // no 1,000 labels
  }
  CHECK(Json::parse(before.back()).at("remark").get<std::string>().find("linear_1k is left out") ==
        0);

  // A line is the same whenever it is judged alike, also by what 0 stands for; printed or not.
  judged(trained.workspace, run, "knn", {"--labels", "64"});
  judged(trained.workspace, run, "mlp", {"--labels", "256", "--epochs", "600", "--lr", "0.2"});
  const std::vector<std::string> lines = lines_of(run);
  REQUIRE(lines.size() == cases.size() + 2);
  CHECK(lines[cases.size()] == lines[0]);
  CHECK(lines[cases.size() + 1] == lines[4]);
}

TEST_CASE("kNN judges the features that nat embed writes, standardised") {
  const Trained trained;
  std::vector<std::int32_t> labels[2];
  nat::FeatureMatrix features[2];
  for (const int i : {0, 1}) {
    const std::string file = trained.workspace.at("features");
    REQUIRE(nat::tools::nat(trained.workspace, {"embed", trained.run, "--output", file, "--layers",
                                                "conv", "--split", i == 0 ? "train" : "test"})
                .code == 0);
    const nat::Checkpoint embedded = nat::Checkpoint::load(file);
    const std::vector<std::int64_t> shape = embedded.get("conv").shape;
    features[i] = nat::FeatureMatrix(shape[0], shape[1]);
    labels[i].resize(static_cast<std::size_t>(shape[0]));
    embedded.read("conv", nat::DType::f32, shape, features[i].values.data());
    embedded.read("label", nat::DType::i32, {shape[0]}, labels[i].data());
  }
  nat::Context ctx;
  const auto accuracy = [&](int k = 20, double temperature = 0) {
    return nat::knn_accuracy(ctx, {features[0], labels[0]}, {features[1], labels[1]}, 4,
                             {.k = {k}, .temperature = temperature})
        .for_k(k)
        .accuracy;
  };
  const double as_embedded = accuracy();
  nat::standardize(features[0], features[1]);
  const std::string printed =
      judged(trained.workspace, trained.run, "knn", {"--layers", "conv", "--json"});
  const double found = Json::parse(printed).at("conv").at("knn").at("trained").get<double>();
  CHECK(found == accuracy());
  CHECK(found != as_embedded);

  const std::string weighted =
      judged(trained.workspace, trained.run, "knn",
             {"--layers", "conv", "--k", "150", "--temperature", "0.07", "--json"});
  CHECK(Json::parse(weighted).at("conv").at("knn").at("trained") == accuracy(150, 0.07));
  CHECK(accuracy(150, 0.07) != accuracy(150));
  CHECK(Json::parse(lines_of(trained.run).back()).at("options").at("temperature") == 0.07);
}

TEST_CASE("half a line of a killed process is passed over, a damaged one is named") {
  const Trained trained;
  const std::string& run = trained.run;
  judged(trained.workspace, run, "knn", {"--layers", "conv"});
  const std::string line = read_file(run + kLog);
  const std::string half = line.substr(0, line.size() / 2);
  write_file(run + kLog, line + half);
  CHECK(count(reported(trained.workspace, run), "<h3>") == 1);
  judged(trained.workspace, run, "knn", {"--layers", "conv"});
  CHECK(read_file(run + kLog) == line + line);

  const std::string start = R"({"judge":"knn","options":{},"results":{"judged":)";
  const std::string whose = start + R"({"data":"d","step":1})";
  for (const std::string& damaged :
       {half, std::string(), std::string("[]"), std::string("{}"), start + "{}}}", whose + "}",
        whose + R"(,"conv":1}})", whose + R"(,"conv":{"knn":{"trained":1,"n_test":9}}}})",
        whose + R"(,"conv":{"knn":{"trained":1,"untrained":"0","n_test":9}}}})",
        whose + R"(,"raw":{"knn":{}}}})"}) {
    CAPTURE(damaged);
    write_file(run + kLog, line + damaged + "\n" + line);
    check_refused(trained.workspace, {"report", run}, 4,
                  {run + kLog + ": line 2 is damaged or incomplete", "take it out"});
  }
  // It keeps nobody from judging.
  judged(trained.workspace, run, "knn", {"--layers", "conv"});
  CHECK(lines_of(run).size() == 4);
}

TEST_CASE("a judge that cannot keep its result says so and prints it") {
  const Trained trained;
  const std::string& run = trained.run;
  const std::string printed = judged(trained.workspace, run, "knn", {"--layers", "conv"});
  std::filesystem::remove(run + kLog);
  std::filesystem::create_directory(run + kLog);
  const Outcome outcome =
      nat::tools::nat(trained.workspace, {"eval", "knn", run, "--layers", "conv"});
  CHECK(outcome.code == 0);
  CHECK(outcome.out == printed);
  CHECK(outcome.err.find("the result will be printed but not kept: " + run + kLog) == 0);
  CHECK(count(outcome.err, "\n") == 2);
  CHECK(
      outcome.err.find("\njudged the network of step 16 by 512 training and 128 test pictures\n") !=
      std::string::npos);
  check_refused(trained.workspace, {"eval", "all", run}, 8, {kLog, "folder"});
  CHECK_FALSE(std::filesystem::exists(run + "/results.json"));
}

TEST_CASE("on a disk that fills up meanwhile the result is printed and the log stays whole") {
  const Trained trained;
  const std::string& run = trained.run;
  const std::vector<std::string> judge = {"eval", "knn", run, "--layers", "conv"};
  REQUIRE(nat::tools::nat(trained.workspace, judge).code == 0);
  std::string log = read_file(run + kLog);
  for (int i = 0; i < 4; ++i) log += log;  // longer than what is printed
  write_file(run + kLog, log);
  const Outcome outcome =
      Process(trained.workspace, judge, Limit{RLIMIT_FSIZE, log.size() + 10}).wait();
  CHECK(outcome.code == 8);
  CHECK(outcome.err.find(run + kLog + ": cannot write") != std::string::npos);
  CHECK(outcome.out.find("conv") != std::string::npos);
  CHECK(read_file(run + kLog) == log);
}

TEST_CASE("the report gives the untrained network the standard errors of its own shares") {
  const Trained trained;
  const std::string& run = trained.run;
  const std::string judged_by = R"("judged":{"data":"d","step":16},"conv":{)";
  const std::string figures =
      R"({"trained":0.99,"untrained":0.5,"stderr":0.00994987,"n_test":100})";
  write_file(run + "/results.json", "{" + judged_by + R"("knn":)" + figures + "}}");
  write_file(run + kLog, R"({"judge":"retrieval","options":{},"results":{)" + judged_by +
                             R"("recall_1":)" + figures + R"(,"map":)" + figures + "}}}\n");
  const std::string other = reported(trained.workspace, run);
  const std::string page = read_file(run + "/report.html");
  const auto cell = [](const std::string& value, const std::string& error) {
    return ">" + value + " <span class=\"error\">± " + error + "</span></td>";
  };
  for (const std::string& table : {page.substr(0, page.find(other)), other}) {
    CHECK(count(table, cell("50.0", "5.0")) == 1);
    CHECK(table.find(cell("99.0", "1.0")) != std::string::npos);
    CHECK(table.find(cell("+49.0", "5.1")) != std::string::npos);
  }
  // That of a mean over pictures is in no file.
  const std::string mean = other.substr(other.find("<th>mAP</th>"));
  CHECK(mean.find(cell("99.0", "1.0") + "<td>50.0</td><td class=\"gain\">+49.0</td>") !=
        std::string::npos);
}

TEST_CASE("the seed of a judge is another than that of the run where it is given") {
  const Trained trained;
  const auto figures = [&](const std::string& how, const char* seed) {
    std::vector<std::string> more = {"--json"};
    if (how == "cluster") {
      more.insert(more.end(), {"--layers", "conv", "--clusters", "9"});
    } else {
      more.insert(more.end(), {"--epochs", "1", "--labels", "64"});
    }
    if (seed != nullptr) more.insert(more.end(), {"--seed", seed});
    const std::string printed = judged(trained.workspace, trained.run, how, more);
    CHECK(Json::parse(lines_of(trained.run).back()).at("options").at("seed") ==
          (seed == nullptr ? 1 : std::stoi(seed)));
    return printed;
  };
  for (const char* how : {"mlp", "layers", "finetune", "cluster"}) {
    CAPTURE(how);
    const std::string own = figures(how, nullptr);
    CHECK(figures(how, "1") == own);
    const std::string other = figures(how, "7");
    CHECK(other != own);
    CHECK(figures(how, "7") == other);
  }
  check_refused(trained.workspace, {"eval", "knn", trained.run, "--seed", "2"}, 2,
                {"--seed", "eval knn does not take it"});
  check_refused(trained.workspace, {"eval", "mlp", trained.run, "--seed", "18446744073709551615"},
                2, {"--seed 18446744073709551615 is outside"});
}

TEST_CASE("an older checkpoint is judged, embedded and exported where its step is named") {
  const Trained trained;  // 16 steps
  const Workspace& workspace = trained.workspace;
  const std::string& run = trained.run;
  const auto knn = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--layers", "conv", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return judged(workspace, run, "knn", arguments);
  };
  const auto features = [&](const std::vector<std::string>& more) {
    const std::string file = workspace.at("features.npy");
    std::vector<std::string> arguments = {"embed", run, "--threads", "1", "--output", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    REQUIRE(nat::tools::nat(workspace, arguments).code == 0);
    return read_file(file);
  };
  const std::string early = knn({}), embedded = features({});
  REQUIRE(nat::tools::nat(workspace, {"resume", run, "--epochs", "3"}).code == 0);
  CHECK(knn({"--step", "16"}) == early);
  CHECK(knn({}) != early);
  CHECK(features({"--step", "16"}) == embedded);
  CHECK(features({}) != embedded);
  CHECK(features({"--step", "48"}) == features({}));

  // The report shows both: who names a step compares.
  const std::vector<std::string> lines = lines_of(run);
  REQUIRE(lines.size() == 3);
  CHECK_FALSE(Json::parse(lines[0]).at("options").contains("step"));
  CHECK(Json::parse(lines[1]).at("options").at("step") == 16);
  CHECK(Json::parse(lines[1]).at("results").at("judged").at("step") == 16);
  const std::string shown = reported(workspace, run);
  CHECK(count(shown, "after 16 steps; the run has 48 now.") == 1);
  CHECK(count(shown, "after 48 steps.") == 1);

  const std::string model = workspace.at("network.onnx"), picture = workspace.at("grey.pgm");
  write_file(picture, "P5 16 16 255\n" + std::string(256, '\x80'));
  const Outcome exported =
      nat::tools::nat(workspace, {"export", run, "--output", model, "--step", "16", "--json"});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);
  CHECK(Json::parse(exported.out).at("step") == 16);
  CHECK(nat::tools::nat(workspace, {"neighbors", run, picture, "--step", "32"}).code == 0);

  for (const std::vector<std::string>& command : {std::vector<std::string>{"eval", "knn", run},
                                                  {"embed", run, "--output", workspace.at("f")},
                                                  {"export", run, "--output", workspace.at("f")},
                                                  {"neighbors", run, picture}}) {
    CAPTURE(command.front());
    std::vector<std::string> absent = command;
    absent.insert(absent.end(), {"--step", "17"});
    check_refused(workspace, absent, 2, {"--step 17", run, "choose from 16, 32 and 48"});
  }
  check_refused(workspace, {"eval", "knn", run, "--step", "-1"}, 2, {"--step -1", "16, 32 and 48"});
  check_refused(workspace, {"eval", "knn", run, "--step", "x"}, 2, {"'x' is not a whole number"});
  write_file(run + "/checkpoints/step-000000032.safetensors", "damaged");
  check_refused(workspace, {"eval", "knn", run, "--step", "32"}, 4, {"step-000000032"});
}

TEST_CASE("the report is headed by what the judges found, and adds up the time of all epochs") {
  const Trained trained;
  const std::string& run = trained.run;
  const auto entry = [](const char* trained_share, const char* untrained_share) {
    return std::string(R"({"trained":)") + trained_share + R"(,"untrained":)" + untrained_share +
           R"(,"stderr":0.01,"n_test":100})";
  };
  write_file(run + "/results.json",
             R"({"judged":{"data":"d","step":16},"conv":{"knn":)" + entry("0.81", "0.72") +
                 R"(,"linear":)" + entry("0.82", "0.73") + R"(},"fc":{"linear":)" +
                 entry("0.83", "0.74") + R"(,"linear_1k":)" + entry("0.84", "0.75") +
                 R"(},"embedding":{"knn":)" + entry("0.85", "0.76") + "}}");
  write_file(run + "/timing.csv", "epoch,seconds,forward,backward\n0,50,10,30.25\n1,50,2.5,12\n");
  REQUIRE(nat::tools::nat(trained.workspace, {"report", run}).code == 0);
  const std::string page = read_file(run + "/report.html");
  for (const char* text : {"<dt>conv features, kNN</dt><dd>81.00 % (untrained 72.00 %)</dd>",
                           "<dt>fc features, 1,000 labels</dt><dd>84.00 % (untrained 75.00 %)</dd>",
                           "<dt>embedding, kNN</dt><dd>85.00 % (untrained 76.00 %)</dd>",
                           "<th>forward</th><td>12.5 s</td>", "<th>backward</th><td>42.2 s</td>",
                           "<th>total</th><td class=\"trained\">54.8 s</td>"}) {
    CAPTURE(text);
    CHECK(page.find(text) != std::string::npos);
  }
}

TEST_CASE("in the report no picture is its own neighbour") {
  const Trained trained;
  REQUIRE(nat::tools::nat(trained.workspace, {"report", trained.run}).code == 0);
  const std::string page = read_file(trained.run + "/report.html");
  // Noise makes every picture another one.
  const std::string row = "<div class=\"row\">", start = "src=\"data:image/png;base64,";
  int rows = 0;
  for (std::size_t at = page.find(row); at != std::string::npos; ++rows) {
    const std::size_t next = page.find(row, at + 1);
    const std::string shown = page.substr(at, std::min(next, page.find("</section>", at)) - at);
    const std::size_t picture = shown.find(start);
    const std::string query =
        shown.substr(picture, shown.find('"', picture + start.size()) - picture);
    CHECK(count(shown, start) == 1 + 8);
    CHECK(count(shown, query) == 1);
    at = next;
  }
  CHECK(rows == 7);
}

TEST_CASE("the report shows the last answer of every judge, and whether it is of the run's end") {
  const Trained trained({"--stop-after-steps", "16"});
  const Workspace elsewhere;
  const std::string& run = trained.run;
  const auto judge = [&](const std::string& how, const std::vector<std::string>& more) {
    judged(trained.workspace, run, how, more);
  };
  CHECK(reported(trained.workspace, run) == "");
  judge("all", {});
  CHECK(reported(trained.workspace, run) == "");  // it has a section of its own
  judge("knn", {"--layers", "conv"});
  judge("finetune", {"--epochs", "1", "--labels", "64"});
  judge("layers", {"--layers", "conv1", "--epochs", "1"});
  const std::string early = reported(trained.workspace, run);
  CHECK(count(early, "<h3>") == 3);
  CHECK(count(early, "On 128 test pictures after 16 steps.") == 3);
  CHECK(early.find("<code>layers = conv, k = 20, temperature = 0.0, labels = 512</code>") !=
        std::string::npos);
  CHECK(early.find("epochs = 1, lr = by place, schedule") != std::string::npos);
  CHECK(early.find("<th>Fine-tuned</th><th>From scratch</th><th>Difference</th></tr>") !=
        std::string::npos);
  CHECK(count(early, "<th>Raw pixels</th>") == 2);

  REQUIRE(nat::tools::nat(trained.workspace, {"resume", run}).code == 0);
  judge("knn", {"--layers", "conv"});
  judge("knn", {"--layers", "conv", "--k", "5"});
  const std::string other = make_data(elsewhere, 128, 64);
  judge("knn", {"--layers", "conv", "--data", other, "--k", "20"});
  const std::string late = reported(trained.workspace, run);
  CHECK(count(late, "<h3>kNN</h3>") == 3);
  CHECK(count(late, "<h3>") == 5);
  CHECK(count(late, "after 16 steps; the run has 64 now.") == 2);
  CHECK(count(late, "On 128 test pictures after 64 steps.") == 2);
  CHECK(count(late, "On 64 test pictures of " + other + " after 64 steps.") == 1);
  CHECK(lines_of(run).size() == 7);

  // What results.json no longer says is still in the log.
  judge("all", {"--data", other});
  CHECK(reported(trained.workspace, run).find("<h3>kNN and linear probes</h3>") !=
        std::string::npos);
}

TEST_CASE("all by some of the labels says so, in its file and in the report") {
  const Trained trained;
  const Json few =
      Json::parse(judged(trained.workspace, trained.run, "all", {"--labels", "64", "--json"}));
  CHECK(few.at("judged").at("labels") == 64);
  CHECK(few == Json::parse(read_file(trained.run + "/results.json")));
  CHECK(few.at("conv").at("linear").at("n_test") == 128);
  const auto report = [&] {
    const Outcome outcome = nat::tools::nat(trained.workspace, {"report", trained.run});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return read_file(trained.run + "/report.html");
  };
  CHECK(count(report(), "by the labels of 64 pictures") == 1);

  const Json all = Json::parse(judged(trained.workspace, trained.run, "all", {"--json"}));
  CHECK_FALSE(all.at("judged").contains("labels"));
  CHECK(all.at("raw") != few.at("raw"));
}

TEST_CASE("the untrained network sees all pictures before it is judged, however few have labels") {
  const Workspace workspace, copy;
  const std::string data = make_data(workspace), run = workspace.at("run");
  nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1", "--limit", "64"}));
  const std::string same_pictures = make_data(copy);
  const Json all_of_few = Json::parse(judged(workspace, run, "knn", {"--json"}));
  const Json few_of_all = Json::parse(
      judged(workspace, run, "knn", {"--data", same_pictures, "--labels", "64", "--json"}));
  int other = 0;
  for (const char* place : {"conv", "fc", "embedding"}) {
    const Json& one = all_of_few.at(place).at("knn");
    const Json& two = few_of_all.at(place).at("knn");
    CHECK(one.at("trained") == two.at("trained"));  // the same labels
    other += one.at("untrained") != two.at("untrained");
  }
  CHECK(other > 0);
  CHECK(all_of_few.at("raw") == few_of_all.at("raw"));
}

TEST_CASE("the untrained network sees 50 batches, those of a training that changes nothing") {
  const Trained trained({"--lr", "0", "--stop-after-steps", "50"});
  const std::vector<std::string> places = {"--layers", "conv,fc,embedding", "--json"};
  for (const char* how : {"knn", "linear", "retrieval"}) {
    const Json found = Json::parse(judged(trained.workspace, trained.run, how, places));
    for (const char* place : {"conv", "fc", "embedding"}) {
      for (const auto& [measure, scores] : found.at(place).items()) {
        CAPTURE(measure);
        CHECK(scores.at("trained") == scores.at("untrained"));
      }
    }
  }
}

TEST_CASE("classifiers learn for 20 epochs where these are more than 600 steps") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  std::vector<std::string> arguments =
      small_run(data, run, {"--limit", "256", "--stop-after-steps", "1"});
  *(std::find(arguments.begin(), arguments.end(), "--batch") + 1) = "8";  // 32 steps an epoch
  REQUIRE(nat::tools::nat(workspace, arguments).code == 75);
  judged(workspace, run, "finetune");
  CHECK(Json::parse(lines_of(run).back()).at("options").at("epochs") == 20);
}

TEST_CASE("layers learns at a rate of 50, shared by the numbers of a place") {
  const Trained trained;
  const auto at_rate = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--epochs", "1", "--json"});
    return Json::parse(judged(trained.workspace, trained.run, "layers", more));
  };
  const Json by_default = at_rate({});
  int other = 0;
  for (const auto& [place, rate, another] :
       {std::tuple{"conv1", "0.0244140625", "0.001"}, {"raw", "0.1953125", "0.001"}}) {
    CAPTURE(place);
    CHECK(at_rate({"--lr", rate}).at(place) == by_default.at(place));
    other += at_rate({"--lr", another}).at(place) != by_default.at(place);
  }
  CHECK(other == 2);
}

TEST_CASE("a place that is named twice is refused") {
  const Trained trained;
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "knn", trained.run},
        {"embed", trained.run, "--output", trained.workspace.at("features.safetensors")}}) {
    std::vector<std::string> twice = command;
    twice.insert(twice.end(), {"--layers", "conv,fc,conv"});
    check_refused(trained.workspace, twice, 2, {"--layers", "conv is named twice"});
  }
}

// An address sanitizer reserves more than any limit.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("features that memory does not hold are refused before the first is looked at") {
  const Trained trained;
  // 2,048 numbers at conv1, as floats: twice what they may take.
  constexpr std::size_t kMemory = std::size_t{512} << 20;
  constexpr int kPictures = 2 * kMemory / (2048 * 4);
  const Workspace other;
  const std::string many = make_data(other, kPictures, 16);
  const auto limited = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--layers", "conv1", "--data", many, "--threads", "1", "--device", "cpu"});
    return Process(trained.workspace, arguments, Limit{RLIMIT_AS, kMemory}).wait();
  };
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "knn", trained.run},
        {"embed", trained.run, "--output", trained.workspace.at("features.safetensors")}}) {
    const Outcome refused = limited(command);
    CAPTURE(refused.err);
    CHECK(refused.code == 7);
    CHECK(refused.err.find("2048 numbers each") != std::string::npos);
    CHECK(refused.err.find("there are 448 for that") != std::string::npos);
  }
  const Outcome few = limited({"eval", "knn", trained.run, "--labels", "64"});
  CHECK_MESSAGE(few.code == 0, few.err);
}

TEST_CASE("raw pixels that memory does not hold are left out before hours are spent, with a word") {
  const Workspace workspace;
  constexpr std::size_t kMemory = std::size_t{192} << 20;
  constexpr int kPictures = 11000;  // of 64 x 64 floats: more than seven eighths of that
  const std::string data = make_data(workspace, 64, kPictures), run = workspace.at("run");
  const Outcome trained = nat::tools::nat(
      workspace,
      small_run(data, run,
                {"--size", "64", "--stored-size", "64", "--width", "1", "--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const Outcome judged = Process(workspace,
                                 {"eval", "knn", run, "--layers", "embedding", "--threads", "1",
                                  "--device", "cpu", "--json"},
                                 Limit{RLIMIT_AS, kMemory})
                             .wait();
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CAPTURE(judged.err);
  CHECK(judged.err.find("raw pixels are left out: judging them takes 174 MiB, and there are 168") !=
        std::string::npos);
  const Json json = Json::parse(judged.out);
  CHECK(json.contains("embedding"));
  CHECK_FALSE(json.contains("raw"));
}
#endif

TEST_CASE("what all features would only show to be impossible is refused before they are taken") {
  const Trained trained;
  const auto refused = [&](std::vector<std::string> arguments, int code,
                           const std::vector<std::string>& words) {
    arguments.insert(arguments.begin(), {"eval"});
    arguments.insert(arguments.begin() + 2, trained.run);
    check_refused(trained.workspace, arguments, code, words);
  };
  refused({"knn", "--k", "513"}, 2, {"--k 513", "512 training pictures"});
  refused({"cluster", "--clusters", "129"}, 2, {"--clusters 129", "128 test pictures"});

  const Workspace alone;
  const std::string data = make_data(alone, 512, 4);  // one of each class
  refused({"retrieval", "--data", data}, 3, {"no class has two test pictures"});
  refused({"cluster", "--data", data, "--clusters", "5"}, 2, {"--clusters 5", "4 test pictures"});

  const Trained limited({"--epochs", "1", "--limit", "32"});
  check_refused(limited.workspace, {"eval", "knn", limited.run, "--labels", "48"}, 2,
                {"--labels 48", "the run has 32 pictures"});
}

TEST_CASE("a judgement is kept though nobody reads what is printed") {
  const Trained trained;
  const std::string command =
      nat_program() + " eval knn " + trained.run + " --layers embedding --threads 1 2>&1 | true";
  for (int i = 0; i < 3; ++i) REQUIRE(std::system(command.c_str()) == 0);
  CHECK(lines_of(trained.run).size() == 3);
}
