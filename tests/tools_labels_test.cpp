// Classifiers that are trained with labels, through the program: the whole network, pictures with
// several labels, and what is refused.
#include <nlohmann/json.hpp>
#include <tuple>

#include "tests/data_support.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// The VOC layout, 16 x 16 pixels: lying bars in the left half, a light square in the right half,
// both, or neither; now and then the square is difficult. Only training pictures show a "ghost".
std::string make_devkit(const Workspace& workspace) {
  const std::string year = workspace.at("VOC2007");
  const auto write_split = [&](const std::string& split, int first, int count) {
    std::string ids, bars, ghosts, squares;
    for (int i = first; i < first + count; ++i) {
      const auto draw = nat::philox(7, nat::RandomStream::synthetic, 2, std::uint64_t(i));
      const bool has_bars = (draw.value[0] & 1) != 0, has_square = (draw.value[1] & 1) != 0;
      const int top = static_cast<int>(draw.value[2] % 8);
      std::string pixels;
      for (int y = 0; y < 16; ++y) {
        for (int x = 0; x < 16; ++x) {
          const bool in_bars = has_bars && x < 7 && (y & 2) == 0;
          const bool in_square = has_square && x > 8 && y >= top && y < top + 6;
          const auto at = std::uint64_t(256 * i + 16 * y + x);
          const auto noise = nat::philox(7, nat::RandomStream::synthetic, 3, at).value[0] % 40;
          pixels.push_back(static_cast<char>(noise + (in_bars || in_square ? 180 : 30)));
        }
      }
      const std::string id = "2007_" + std::to_string(1000 + i);
      write_file(year + "/JPEGImages/" + id + ".jpg", "P5 16 16 255\n" + pixels);  // as PGM
      ids += id + "\n";
      bars += id + (has_bars ? "  1\n" : " -1\n");
      squares += id + (i % 11 == 0 ? "  0\n" : has_square ? "  1\n" : " -1\n");
      ghosts += id + (split == "trainval" && i % 2 == 0 ? "  1\n" : " -1\n");
    }
    const std::string lists = year + "/ImageSets/Main/";
    write_file(lists + split + ".txt", ids);
    write_file(lists + "bars_" + split + ".txt", bars);
    write_file(lists + "ghost_" + split + ".txt", ghosts);
    write_file(lists + "square_" + split + ".txt", squares);
  };
  write_split("trainval", 0, 256);
  write_split("test", 256, 100);
  return "voc:" + year;
}

// STL-10 of bars at random places: lying ones are of the first class, standing ones of the last.
std::string make_stl10(const Workspace& workspace) {
  const std::string folder = workspace.at("stl10_binary");
  const auto write_part = [&](const std::string& part, int count) {
    nat::data::Bytes pictures, labels;
    for (int i = 0; i < count; ++i) {
      const auto draw = nat::philox(count, nat::RandomStream::synthetic, 4, std::uint64_t(i));
      const bool lying = (draw.value[0] & 1) != 0;
      const int phase = static_cast<int>(draw.value[1] % 16);
      const auto picture = nat::data::stl10_picture([&](int x, int y) {
        const int level = (((lying ? y : x) + phase) & 8) != 0 ? 200 : 40;
        return nat::data::Colour{level, level / 2, 255 - level};
      });
      pictures.insert(pictures.end(), picture.begin(), picture.end());
      labels.push_back(lying ? 1 : 10);
    }
    workspace.write("stl10_binary/" + part + "_X.bin", pictures);
    if (part != "unlabeled") workspace.write("stl10_binary/" + part + "_y.bin", labels);
  };
  write_part("unlabeled", 96);
  write_part("train", 40);
  write_part("test", 24);
  return folder;
}

}  // namespace

TEST_CASE("the whole network is fine-tuned beside one that begins at nothing") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const auto finetune = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", "finetune", run, "--json"});
    const Outcome outcome = nat::tools::nat(workspace, more);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const auto json = nlohmann::json::parse(outcome.out);
    CHECK(json.size() == 2);  // judged, network; no raw pixels
    return json.at("network").at("finetune");
  };
  const auto softmax = finetune({"--epochs", "10"});
  CHECK(softmax.at("trained").get<double>() > 0.9);  // four classes
  CHECK(softmax.at("untrained").get<double>() > 0.9);
  CHECK(softmax.at("n_test").get<int>() == 128);
  CHECK(finetune({"--epochs", "10"}) == softmax);
  const auto square = finetune({"--epochs", "10", "--loss", "square", "--weight-decay", "1e-4"});
  CHECK(square.at("trained").get<double>() > 0.9);

  const Outcome diverged = nat::tools::nat(
      workspace, {"eval", "finetune", run, "--epochs", "1", "--labels", "64", "--lr", "1e6"});
  CHECK(diverged.code == 5);
  CHECK(diverged.err.find("a smaller --lr may help") != std::string::npos);

  // Two steps an epoch: as many epochs as 600 steps take, unless they are given.
  const Outcome thorough =
      nat::tools::nat(workspace, {"eval", "finetune", run, "--labels", "64", "--json"});
  REQUIRE_MESSAGE(thorough.code == 0, thorough.err);
  CHECK(thorough.err.find("epoch 300/300") != std::string::npos);

  // Few labels and a rate that changes next to nothing: what differs is where they begin. Of 128
  // pictures two networks may get as many right by chance, but not again and again.
  int differ = 0;
  for (const char* labels : {"32", "64", "96"}) {
    const auto still = finetune({"--epochs", "1", "--lr", "1e-6", "--labels", labels});
    if (still.at("trained") != still.at("untrained")) ++differ;
  }
  CHECK(differ > 0);

  const auto refused = [&](const std::vector<std::string>& more,
                           const std::vector<std::string>& words) {
    std::vector<std::string> arguments = {"eval", "finetune", run};
    arguments.insert(arguments.end(), more.begin(), more.end());
    check_refused(workspace, arguments, 2, words);
  };
  refused({"--layers", "conv"}, {"--layers", "finetune does not take it"});
  refused({"--labels", "513"}, {"--labels 513", "512"});
  refused({"--labels", "3"}, {"--labels 3", "4 classes"});
  refused({"--labels", "-1"}, {"--labels -1", "0 for all"});
  refused({"--loss", "hinge"}, {"hinge", "square"});
  refused({"--views", "3"}, {"--views 3", "1, 2 or 10"});
  refused({"--weight-decay", "2"}, {"--weight-decay", "2"});
  for (const auto& [how, option, value] : {std::tuple{"all", "--k", "5"},
                                           {"all", "--layers", "conv"},
                                           {"knn", "--epochs", "5"},
                                           {"mlp", "--k", "5"},
                                           {"cluster", "--labels", "64"},
                                           {"retrieval", "--loss", "square"},
                                           {"layers", "--clusters", "4"}}) {
    check_refused(workspace, {"eval", how, run, option, value}, 2,
                  {option, std::string("eval ") + how + " does not take it"});
  }
}

TEST_CASE("few labels that leave a class out are used, and the class is named") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  // 16 of the classes 0, 1 and 2, and 2 of class 3: four labels take none of these.
  const std::string data = workspace.at("data");
  std::string labels, images = idx_pictures(64, 1, &labels), kept_images = images.substr(0, 16);
  std::string kept_labels = labels.substr(0, 8);
  for (int i = 0; i < 64; ++i) {
    const bool rare = labels[8 + static_cast<std::size_t>(i)] == 3;
    if (rare && i > 8) continue;
    kept_images += images.substr(16 + 256 * static_cast<std::size_t>(i), 256);
    kept_labels += labels[8 + static_cast<std::size_t>(i)];
  }
  const std::size_t count = kept_labels.size() - 8;
  kept_images[7] = kept_labels[7] = static_cast<char>(count);
  write_file(data + "/train-images-idx3-ubyte", kept_images);
  write_file(data + "/train-labels-idx1-ubyte", kept_labels);
  write_file(data + "/t10k-images-idx3-ubyte", idx_pictures(16, 2, &labels));
  write_file(data + "/t10k-labels-idx1-ubyte", labels);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const Outcome few = nat::tools::nat(
      workspace, {"eval", "finetune", run, "--labels", "4", "--epochs", "1", "--json"});
  REQUIRE_MESSAGE(few.code == 0, few.err);
  CHECK(few.err.find("no label is given for 3") != std::string::npos);
}

TEST_CASE("the limit of a run is one of its own pictures, not of others that judge it") {
  const Workspace workspace, elsewhere;
  const std::string run = workspace.at("run"), other = make_data(elsewhere, 96, 32);
  REQUIRE(
      nat::tools::nat(workspace, small_run(make_data(workspace), run, {"--limit", "64"})).code ==
      0);
  // 80 neighbours: more than the 64 pictures of the run, not more than the 96 others.
  const std::vector<std::string> knn = {"eval", "knn", run, "--k", "80", "--layers", "conv"};
  check_refused(workspace, knn, 2, {"--k 80", "64"});
  std::vector<std::string> others = knn;
  others.insert(others.end(), {"--data", other});
  CHECK(nat::tools::nat(workspace, others).code == 0);
  check_refused(workspace, {"eval", "finetune", run, "--data", other, "--labels", "97"}, 2,
                {"--labels 97", "96"});
}

TEST_CASE("the run's own pictures are its own however they are written") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 96, 32), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--limit", "64"})).code == 0);
  const std::string link = workspace.at("link"), copy = workspace.at("copy");
  std::filesystem::create_directory_symlink(data, link);
  std::filesystem::copy(data, copy);
  const auto judged = [&](const std::string& named) {
    const Outcome outcome = nat::tools::nat(
        workspace, {"eval", "knn", run, "--layers", "conv", "--json", "--data", named});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const auto json = nlohmann::json::parse(outcome.out);
    return outcome.err + json.at("judged").at("data").get<std::string>();
  };
  for (const std::string& name : {data, data + "/", "idx:" + data, data + "/../data", link}) {
    CAPTURE(name);
    CHECK(judged(name) ==
          "judged the network of step 8 by 64 training and 32 test pictures\n" + data);
  }
  CHECK(judged(copy) ==
        "judged the network of step 8 by 96 training and 32 test pictures\n" + copy);
}

TEST_CASE("a run on the unlabelled pictures of STL-10 is judged by the labelled ones") {
  const Workspace workspace;
  const std::string folder = make_stl10(workspace), run = workspace.at("run");
  const auto unlabelled = small_run(folder + "/unlabeled_X.bin", run, {"--epochs", "1"});
  const Outcome trained = nat::tools::nat(workspace, unlabelled);
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  check_refused(workspace, {"eval", "knn", run}, 3, {"no test pictures", "stl10:" + folder});
  const Outcome judged = nat::tools::nat(
      workspace, {"eval", "knn", run, "--data", "stl10:" + folder, "--layers", "conv", "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  const auto json = nlohmann::json::parse(judged.out);
  CHECK(json.at("judged").at("data") == "stl10:" + folder);
  const auto& knn = json.at("conv").at("knn");
  CHECK(knn.at("n_test") == 24);
  CHECK(knn.at("trained").get<double>() > 0.8);  // two classes
}

TEST_CASE("ten views of a test picture are added up where crops are smaller than pictures") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(
      nat::tools::nat(workspace, small_run(data, run, {"--crop", "shift", "--size", "14"})).code ==
      0);
  const auto judged = [&](const char* views) {
    const Outcome outcome = nat::tools::nat(
        workspace, {"eval", "mlp", run, "--epochs", "6", "--views", views, "--json"});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out).at("conv").at("mlp");
  };
  const auto one = judged("1"), ten = judged("10");
  CHECK(ten.at("trained").get<double>() > 0.6);  // four classes
  CHECK(ten != one);
}

TEST_CASE("mirrored test pictures have the same two views, and are judged alike") {
  const Workspace workspace, elsewhere;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string mirrored = make_data(elsewhere), name = "/t10k-images-idx3-ubyte";
  std::string pictures = read_file(data + name);
  for (auto row = pictures.begin() + 16; row != pictures.end(); row += 16) {
    std::reverse(row, row + 16);
  }
  write_file(mirrored + name, pictures);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const auto judged = [&](const std::string& source, const char* views) {
    const Outcome outcome =
        nat::tools::nat(workspace, {"eval", "layers", run, "--data", source, "--epochs", "2",
                                    "--views", views, "--threads", "1", "--json"});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    auto json = nlohmann::json::parse(outcome.out);
    json.erase("judged");
    return json;
  };
  CHECK(judged(data, "2") == judged(mirrored, "2"));
  CHECK(judged(data, "1") != judged(mirrored, "1"));
}

TEST_CASE("classifiers refuse training and test pictures of different shapes") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  // 128 test pictures of 8 x 8 pixels.
  std::string small = read_file(data + "/t10k-images-idx3-ubyte").substr(0, 16 + 128 * 64);
  small[11] = small[15] = 8;
  write_file(data + "/t10k-images-idx3-ubyte", small);
  check_refused(workspace, {"eval", "mlp", run}, 3, {"8x8x1", "16x16x1"});
}

TEST_CASE("pictures with several labels are judged by the mean of average precisions") {
  const Workspace workspace;
  const std::string run = workspace.at("run"), devkit = make_devkit(workspace);
  const Outcome trained = nat::tools::nat(workspace, small_run(devkit, run));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.out.find("judge it with 'nat eval mlp " + run + "'") != std::string::npos);
  for (const auto& judge :
       {std::pair{"mlp", "conv"}, {"layers", "conv2"}, {"finetune", "network"}}) {
    const auto& [how, place] = judge;
    CAPTURE(judge.first);
    const Outcome outcome =
        nat::tools::nat(workspace, {"eval", how, run, "--epochs", "20", "--json"});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(outcome.err.find("the mean leaves out ghost, which no test picture shows") !=
          std::string::npos);
    const auto scores = nlohmann::json::parse(outcome.out).at(place);
    CHECK(scores.size() == 2);
    const std::string measure = std::string(how) == "layers" ? "linear_sgd" : how;
    for (const char* kind : {"_map11", "_map"}) {
      // Half of the pictures show each class: chance is 0.5, and a little more for map11.
      CHECK(scores.at(measure + kind).at("trained").get<double>() > 0.9);
      CHECK(scores.at(measure + kind).at("trained").get<double>() <= 1);
      CHECK(scores.at(measure + kind).at("n_test") == 100);
      CHECK_FALSE(scores.at(measure + kind).contains("stderr"));
    }
  }
  const Outcome few = nat::tools::nat(workspace, {"eval", "finetune", run, "--labels", "64",
                                                  "--epochs", "2", "--views", "2", "--json"});
  REQUIRE_MESSAGE(few.code == 0, few.err);
  const auto classes =
      nlohmann::json::parse(few.out).at("network").at("finetune_map").at("classes");
  CHECK(classes.size() == 2);  // bars and square
  // The area is not the mean over eleven recalls, nor are both the same by mistake.
  CHECK(nlohmann::json::parse(few.out).at("network").at("finetune_map11").at("untrained") !=
        nlohmann::json::parse(few.out).at("network").at("finetune_map").at("untrained"));
  CHECK(classes.at("square").at("trained").get<double>() > 0.3);

  // Kept with its figures of each class, and shown without.
  std::istringstream log(read_file(run + "/judgements.jsonl"));
  std::string line;
  for (int i = 0; i < 4; ++i) REQUIRE(std::getline(log, line));
  const auto kept = nlohmann::json::parse(line);
  CHECK(kept.at("options").at("loss") == "logistic");
  CHECK(kept.at("results") == nlohmann::json::parse(few.out));
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
  const std::string page = read_file(run + "/report.html");
  for (const char* text : {"<h3>The whole network, trained with labels</h3>", "mAP, 11 recalls",
                           "the mean leaves out ghost", "loss = logistic"}) {
    CAPTURE(text);
    CHECK(page.find(text) != std::string::npos);
  }

  check_refused(workspace, {"eval", "knn", run}, 2, {"several labels", "mlp"});
  check_refused(workspace, {"eval", "mlp", run, "--loss", "square"}, 2, {"square", "logistic"});

  // Where no test picture shows anything there is nothing to judge, which is said before training.
  const std::string lists = workspace.at("VOC2007/ImageSets/Main/");
  for (const char* name : {"bars", "square"}) {
    const std::string path = lists + name + "_test.txt";
    std::string flags = read_file(path);
    for (std::size_t at = 0; (at = flags.find("  1", at)) != std::string::npos;) {
      flags.replace(at, 3, " -1");
    }
    write_file(path, flags);
  }
  check_refused(workspace, {"eval", "mlp", run}, 3, {"no test picture shows any", "3 classes"});
}
