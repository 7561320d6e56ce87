// nat neighbors: what lies near a picture file.
#include <nlohmann/json.hpp>

#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// Training picture i of make_data as a file of its own.
std::string picture_file(const Workspace& workspace, int i) {
  constexpr std::size_t kHeader = 16, kBytes = 256;
  const std::string all = read_file(workspace.at("data/train-images-idx3-ubyte"));
  const std::string path = workspace.at("query" + std::to_string(i) + ".pgm");
  write_file(path,
             "P5 16 16 255\n" + all.substr(kHeader + static_cast<std::size_t>(i) * kBytes, kBytes));
  return path;
}

std::string trained_run(const Workspace& workspace, std::vector<std::string> more = {}) {
  const std::string run = workspace.at("run");
  more.insert(more.end(), {"--epochs", "2"});
  const Outcome outcome =
      nat::tools::nat(workspace, small_run(make_data(workspace, 256, 64), run, more));
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return run;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("a picture of the collection is nearest to itself, at every layer") {
  const Workspace workspace;
  const std::string run = trained_run(workspace);
  const std::string a = picture_file(workspace, 17), b = picture_file(workspace, 130);
  for (const char* layer : {"embedding", "conv", "conv1"}) {
    const Outcome outcome = nat::tools::nat(
        workspace, {"neighbors", run, b, a, "--k", "5", "--layer", layer, "--json"});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const auto json = nlohmann::json::parse(outcome.out);
    REQUIRE(json.size() == 2);
    CHECK(json[0].at("query") == b);
    CHECK(json[1].at("query") == a);
    CHECK(json[0].at("neighbors")[0].at("id") == 130);
    CHECK(json[1].at("neighbors")[0].at("id") == 17);
    CHECK(json[1].at("neighbors")[0].at("name") == "record 17");
    CHECK(json[1].at("neighbors")[0].at("label") == "1");
    for (const auto& found : json) {
      const auto& near = found.at("neighbors");
      REQUIRE(near.size() == 5);
      CHECK(near[0].at("cosine").get<double>() > 0.9999);
      for (std::size_t i = 1; i < near.size(); ++i) {
        CHECK(near[i].at("cosine").get<double>() <= near[i - 1].at("cosine").get<double>());
        CHECK(near[i].at("id") != near[0].at("id"));
      }
    }
  }
}

// IDX pictures keep their 16 grey pixels a side, whatever the run says of stored ones.
TEST_CASE("a picture is looked at in the size and the colours of the collection") {
  for (const char* front : {"clean", "high_pass", "sobel"}) {
    CAPTURE(front);
    const Workspace workspace;
    const std::string run = trained_run(workspace, {"--front", front, "--stored-size", "24"});
    const Outcome outcome = nat::tools::nat(
        workspace,
        {"neighbors", run, picture_file(workspace, 40), "--k", "1", "--layer", "conv", "--json"});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const auto near = nlohmann::json::parse(outcome.out)[0].at("neighbors")[0];
    CHECK(near.at("id") == 40);
    CHECK(near.at("cosine").get<double>() > 0.9999);
  }
}

TEST_CASE("neighbours may be those of other pictures, and go on a page with their pictures") {
  const Workspace workspace;
  const std::string run = trained_run(workspace), page = workspace.at("near.html");
  const std::string query = picture_file(workspace, 3);
  write_file(workspace.at("others/a.pgm"), read_file(picture_file(workspace, 8)));
  write_file(workspace.at("others/b.pgm"), read_file(query));
  const Outcome outcome = nat::tools::nat(
      workspace,
      {"neighbors", run, query, "--data", workspace.at("others"), "--k", "2", "--output", page});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const std::size_t b = outcome.out.find("1.000  b.pgm"), a = outcome.out.find("a.pgm");
  CHECK_MESSAGE(b < a, outcome.out);
  CHECK(a != std::string::npos);
  const std::string html = read_file(page);
  CHECK(occurrences(html, "data:image/png;base64,") == 3);
  CHECK(html.find("Nearest of 2 pictures of ") != std::string::npos);
  CHECK(html.find("<figcaption>1.00</figcaption>") != std::string::npos);  // the cosine

  const Outcome test = nat::tools::nat(workspace, {"neighbors", run, query, "--split", "test"});
  REQUIRE_MESSAGE(test.code == 0, test.err);
  CHECK(occurrences(test.out, "record ") == 8);
}

TEST_CASE("the limit of a run is one of its own pictures, not of others to look among") {
  const Workspace workspace, elsewhere;
  const std::string run = trained_run(workspace, {"--limit", "64"});
  const std::string query = picture_file(workspace, 3), other = make_data(elsewhere, 96, 8);
  const auto found = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"neighbors", run, query});
    const Outcome outcome = nat::tools::nat(workspace, more);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return occurrences(outcome.out, "record ");
  };
  CHECK(found({"--k", "64"}) == 64);
  CHECK(found({"--k", "96", "--data", other}) == 96);
  check_refused(workspace, {"neighbors", run, query, "--k", "65"}, 2, {"1 .. 64"});
}

TEST_CASE("what cannot be looked for is one line") {
  const Workspace workspace;
  const std::string run = trained_run(workspace), query = picture_file(workspace, 3);
  check_refused(workspace, {"neighbors", run}, 2, {"files is required"});
  check_refused(workspace, {"neighbors", workspace.at("none"), query}, 4, {"none"});
  check_refused(workspace, {"neighbors", run, workspace.at("gone.jpg")}, 3,
                {"gone.jpg: cannot be opened", "give another picture"});
  const std::string text = workspace.at("text.jpg"), cut = workspace.at("cut.pgm");
  write_file(text, "no picture");
  write_file(cut, "P5 16 16 255\n" + std::string(20, 'x'));
  check_refused(workspace, {"neighbors", run, query, text}, 3, {"text.jpg: not a known picture"});
  check_refused(workspace, {"neighbors", run, query, cut}, 3, {"cut.pgm: "});
  check_refused(workspace, {"neighbors", run, cut}, 3, {"nat: " + cut + ": ", "give another"});
  check_refused(workspace, {"neighbors", run, query, "--k", "0"}, 2, {"--k 0 is outside 1 .. 256"});
  check_refused(workspace, {"neighbors", run, query, "--k", "257"}, 2, {"--k 257 is outside"});
  check_refused(workspace, {"neighbors", run, query, "--layer", "conv9"}, 2, {"conv9"});
  check_refused(workspace, {"neighbors", run, query, "--output", run + "/report.html"}, 2,
                {"belongs to the run itself"});
  CHECK(!std::filesystem::exists(run + "/report.html"));
  const std::string before = read_file(query), link = workspace.at("link.html");
  std::filesystem::create_symlink(query, link);
  const std::string own = workspace.at("data/train-images-idx3-ubyte");
  const std::string pictures = read_file(own);
  for (const std::string& output : {query, link, own}) {
    check_refused(workspace, {"neighbors", run, query, "--output", output}, 2,
                  {"--output " + output, "that is a file of the pictures"});
  }
  CHECK(read_file(query) == before);
  CHECK(read_file(own) == pictures);
}
