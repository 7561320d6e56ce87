// A run that is stopped, by whatever means, and resumed ends exactly like one that was left alone.
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/process_state.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// The VOC layout: 64 training and 8 test pictures of 20 x 20, grey stripes, with a cat in every
// second and a dog in every third one; every fifth cat is difficult. The content of a file decides
// its format, so these .jpg are PGM.
std::string make_devkit(const Workspace& workspace) {
  const std::string year = workspace.at("VOCdevkit/VOC2007");
  const auto write_split = [&](const std::string& split, int first, int count) {
    std::string ids, cats, dogs;
    for (int i = first; i < first + count; ++i) {
      const std::string id = "2007_" + std::to_string(100 + i);
      std::string pixels;
      for (int k = 0; k < 400; ++k) {
        pixels.push_back(static_cast<char>((k / 20 + i) % 7 < 3 ? 20 + 2 * i : 120 + k % 11));
      }
      write_file(year + "/JPEGImages/" + id + ".jpg", "P5 20 20 255\n" + pixels);
      ids += id + "\n";
      cats += id + (i % 2 != 0 ? " -1\n" : i % 5 == 0 ? "  0\n" : "  1\n");
      dogs += id + (i % 3 == 0 ? "  1\n" : " -1\n");
    }
    const std::string lists = year + "/ImageSets/Main/";
    write_file(lists + split + ".txt", ids);
    write_file(lists + "cat_" + split + ".txt", cats);
    write_file(lists + "dog_" + split + ".txt", dogs);
  };
  write_split("trainval", 0, 64);
  write_split("test", 64, 8);
  return workspace.at("VOCdevkit");
}

std::vector<double> timed_epochs(const std::string& run) {
  std::vector<double> epochs;
  for (const nat::MetricsRow& row : nat::read_csv(run + "/timing.csv")) {
    epochs.push_back(row.at("epoch"));
  }
  return epochs;
}

// The newest checkpoint that has its name; empty where there is none.
std::string last_saved(const std::string& run) {
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors")) newest = std::max(newest, name);
  }
  return newest;
}

std::vector<std::string> starting_or_going_on(const std::string& data, const std::string& run,
                                              const std::vector<std::string>& more) {
  if (std::filesystem::exists(run + "/config.toml")) return {"resume", run};
  return small_run(data, run, more);
}

}  // namespace

TEST_CASE("a run killed at 20 random moments equals the uninterrupted run byte for byte") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  const std::vector<std::string> frequent = {"--checkpoint-every-steps", "3"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, frequent)).code == 0);

  // Half of them wait for a checkpoint, so that no host is too slow to get that far.
  int kills = 0, kills_after_progress = 0;
  for (int attempt = 0; attempt < 200 && (kills < 20 || kills_after_progress < 10); ++attempt) {
    const std::string before = last_saved(run);
    Process process(workspace, starting_or_going_on(data, run, frequent));
    const auto word =
        nat::philox(7, nat::RandomStream::synthetic, 2, static_cast<std::uint64_t>(attempt))
            .value[0];
    const bool waits = attempt % 2 == 1;
    if (waits) wait_until([&] { return process.has_ended() || last_saved(run) != before; });
    std::this_thread::sleep_for(std::chrono::milliseconds(waits ? word % 30 : 20 + word % 180));
    process.send(SIGKILL);
    const Outcome outcome = process.wait();
    if (outcome.code == -SIGKILL) {
      ++kills;
      kills_after_progress += last_saved(run) != before;
      continue;
    }
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);  // finished before the kill: start over
    check_same_end(run, undisturbed);
    std::filesystem::remove_all(run);
  }
  CHECK(kills >= 20);
  CHECK(kills_after_progress >= 10);
  const Outcome outcome = nat::tools::nat(workspace, starting_or_going_on(data, run, frequent));
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(timed_epochs(run) == std::vector<double>{0, 1, 2, 3});
  check_same_end(run, undisturbed);
}

TEST_CASE("stopping after any number of steps exits with 75 and resumes to the same end") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  // With a rate that depends on the step.
  const std::vector<std::string> cosine = {"--schedule", "cosine"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, cosine)).code == 0);
  CHECK(nat::tools::nat(workspace,
                        small_run(data, run, {"--schedule", "cosine", "--stop-after-steps", "5"}))
            .code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "11"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "17"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_same_end(run, undisturbed);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);  // already done: nothing changes
  check_same_end(run, undisturbed);
}

TEST_CASE("a run that gets more epochs later ends like one that had them from the start") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, {"--epochs", "6"})).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const std::string before = read_file(run + "/config.toml");
  check_refused(workspace, {"resume", run, "--epochs", "3"}, 2, {"4 epochs", "--epochs 3"});
  check_refused(workspace, {"resume", run, "--epochs", "0"}, 2, {"--epochs", "0"});
  CHECK(read_file(run + "/config.toml") == before);
  // Two more, and once they are asked for the run knows of them.
  const Outcome stopped =
      nat::tools::nat(workspace, {"resume", run, "--epochs", "6", "--stop-after-steps", "1"});
  CHECK(stopped.code == 75);
  CHECK(stopped.err.find("epochs = 6 from here on (before: 4)") != std::string::npos);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_same_end(run, undisturbed);
  CHECK(read_file(run + "/config.toml").find("epochs = 6\n") != std::string::npos);
}

TEST_CASE("what resume is told for one time counts until the run is stopped, and is not kept") {
  const Workspace workspace;
  const std::string data = make_data(workspace), moved = workspace.at("moved");
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed)).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "5"})).code == 75);
  const std::string config = read_file(run + "/config.toml");
  std::filesystem::rename(data, moved);
  check_refused(workspace, {"resume", run}, 3, {data, "the path is that of the line 'data' in"});
  check_refused(workspace, {"resume", run, "--data", ""}, 2, {"--data is missing"});
  const Outcome nowhere = nat::tools::nat(workspace, {"resume", run, "--data", data});
  CHECK(nowhere.code == 3);
  CHECK(nowhere.err.find("config.toml") == std::string::npos);  // it was typed
  check_refused(workspace, {"resume", run, "--data", moved, "--keep-checkpoints", "0"}, 2,
                {"--keep-checkpoints 0"});

  const nat::test::ScopedFolder inside(workspace.at("."));
  const Outcome stopped = nat::tools::nat(
      workspace, {"resume", run, "--data", "moved", "--checkpoint-every-steps", "4",
                  "--keep-checkpoints", "2", "--knn-every", "1", "--stop-after-steps", "21"});
  REQUIRE_MESSAGE(stopped.code == 75, stopped.err);
  CHECK(stopped.out == run + ": stopped, saved; continue with 'nat resume " + run + " --data " +
                           moved +
                           " --checkpoint-every-steps 4 --keep-checkpoints 2 --knn-every 1'\n");
  for (const std::string& said :
       {"data = '" + moved + "' from here on (before: '" + data + "')",
        std::string("checkpoint-every-steps = 4 from here on (before: 0)"),
        std::string("knn-every = 1 from here on (before: 0)")}) {
    CAPTURE(stopped.err);
    CHECK(stopped.err.find(said) != std::string::npos);
  }
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints")) {
    kept.push_back(entry.path().filename().string());
  }
  std::sort(kept.begin(), kept.end());
  CHECK(kept ==
        std::vector<std::string>{"step-000000024.safetensors", "step-000000026.safetensors"});
  const auto rows = nat::read_csv(run + "/metrics.csv");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].count("knn") == 1);

  CHECK(read_file(run + "/config.toml") == config);
  std::filesystem::rename(moved, data);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(payload(newest_checkpoint(run)) == payload(newest_checkpoint(undisturbed)));
}

TEST_CASE("what is said at the end of a run on pictures that moved leads on to the same ones") {
  for (const bool is_limited : {false, true}) {
    CAPTURE(is_limited);
    const Workspace workspace;
    const std::string data = make_data(workspace), moved = workspace.at("moved");
    const std::string run = workspace.at("run");
    std::vector<std::string> flags = {"--epochs", "1", "--stop-after-steps", "1"};
    if (is_limited) flags.insert(flags.end(), {"--limit", "64"});
    REQUIRE(nat::tools::nat(workspace, small_run(data, run, flags)).code == 75);
    std::filesystem::rename(data, moved);
    const Outcome done = nat::tools::nat(workspace, {"resume", run, "--data", moved});
    REQUIRE_MESSAGE(done.code == 0, done.err);
    const std::string judge = "'nat eval all " + run;
    CHECK(done.out == run + ": trained 1 epoch; judge it with " +
                          (is_limited ? judge + "' once the line 'data' of " + run +
                                            "/config.toml is '" + moved + "'\n"
                                      : judge + " --data " + moved + "'\n"));
  }
}

TEST_CASE("a run that stops by the clock resumes to the same end") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed)).code == 0);
  // Any step takes longer than this: one a call.
  const std::vector<std::string> at_once = {"--stop-after-seconds", "1e-6"};
  CHECK(nat::tools::nat(workspace, small_run(data, run, at_once)).code == 75);
  CHECK(std::filesystem::exists(run + "/checkpoints/step-000000001.safetensors"));
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-seconds", "1e-6"}).code == 75);
  CHECK(std::filesystem::exists(run + "/checkpoints/step-000000002.safetensors"));
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-seconds", "1e6"}).code == 0);
  check_same_end(run, undisturbed);
  check_refused(workspace, {"resume", run, "--stop-after-seconds", "-1"}, 2,
                {"--stop-after-seconds -1", "outside"});
}

TEST_CASE("a run on targets of the basis resumes to the same end") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  std::vector<std::string> basis = {"--targets", "basis"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, basis)).code == 0);
  basis.insert(basis.end(), {"--stop-after-steps", "5"});
  CHECK(nat::tools::nat(workspace, small_run(data, run, basis)).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_same_end(run, undisturbed);
}

TEST_CASE("pictures of several labels train, resume to the same end and are described") {
  const Workspace workspace;
  const std::string devkit = make_devkit(workspace), data = "voc:" + devkit;
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  const Outcome trained = nat::tools::nat(workspace, small_run(data, undisturbed));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(nat::tools::nat(workspace, small_run(devkit, run, {"--stop-after-steps", "3"})).code == 75);
  const std::string manifest = read_file(run + "/manifest.jsonl");
  CHECK(manifest.find(R"("classes":["cat","dog"])") != std::string::npos);
  CHECK(manifest.find(R"({"id":5,"path":"JPEGImages/2007_105.jpg","labels":[]})") !=
        std::string::npos);
  CHECK(manifest.find(R"({"id":6,"path":"JPEGImages/2007_106.jpg","labels":["cat","dog"]})") !=
        std::string::npos);

  const std::string cats = devkit + "/VOC2007/ImageSets/Main/cat_trainval.txt";
  const std::string lines = read_file(cats);
  write_file(cats, lines.substr(0, lines.size() - 3) + " 1\n");  // a cat where there was none
  check_refused(workspace, {"resume", run}, 3, {"the data changed since the run began"});
  write_file(cats, lines);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_same_end(run, undisturbed);

  const Outcome inspected = nat::tools::nat(workspace, {"inspect", devkit, "--json"});
  REQUIRE_MESSAGE(inspected.code == 0, inspected.err);
  const auto described = nlohmann::json::parse(inspected.out);
  CHECK(described.at("format") == "voc");
  CHECK(described.at("pictures") == 64);
  CHECK(described.at("classes") == nlohmann::json{"cat", "dog"});
  for (const auto& [split, count] : {std::pair{"train", 64}, {"test", 8}}) {
    const std::string features = workspace.at("features.safetensors");
    const Outcome embedded =
        nat::tools::nat(workspace, {"embed", run, "--output", features, "--split", split});
    REQUIRE_MESSAGE(embedded.code == 0, embedded.err);
    const Outcome file = nat::tools::nat(workspace, {"inspect", features, "--json"});
    REQUIRE(file.code == 0);
    CHECK(nlohmann::json::parse(file.out).at("tensors").at("flags").at("shape") ==
          nlohmann::json{count, 2});
    std::vector<std::int32_t> flags(static_cast<std::size_t>(2 * count));
    nat::Checkpoint::load(features).read("flags", nat::DType::i32, {count, 2}, flags.data());
    for (int k = 0; k < count; ++k) {
      const int i = count == 8 ? 64 + k : k;
      CHECK(flags[static_cast<std::size_t>(2 * k)] == (i % 2 != 0 ? -1 : i % 5 == 0 ? 0 : 1));
      CHECK(flags[static_cast<std::size_t>(2 * k + 1)] == (i % 3 == 0 ? 1 : -1));
    }
  }
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
  CHECK(read_file(run + "/report.html").find("Labels are shown") == std::string::npos);

  const std::string none = workspace.at("none");
  check_refused(workspace, small_run(data, none, {"--knn-every", "1"}), 2,
                {"--knn-every", "one label a picture"});
  std::filesystem::remove(devkit + "/VOC2007/JPEGImages/2007_103.jpg");
  check_refused(workspace, small_run(data, none), 3, {"trainval.txt:4", "2007_103"});
  CHECK_FALSE(std::filesystem::exists(none));
}

TEST_CASE("a run that falls back to an older checkpoint times no epoch twice") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const auto epochs = [&](const std::string& file) {
    std::istringstream lines(read_file(run + file));
    std::string seen;
    for (std::string line; std::getline(lines, line);) {
      if (line.front() != 'e') seen += line.substr(0, line.find(','));
    }
    return seen;
  };
  REQUIRE(epochs("/timing.csv") == "0123");
  // Damaged: those of the last two epochs. The third newest ends epoch 1.
  for (int newest = 0; newest < 2; ++newest) std::filesystem::remove(newest_checkpoint(run));
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "5"}).code == 75);
  CHECK(epochs("/timing.csv") == "01");
  check_events(run);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(epochs("/timing.csv") == "0123");
  CHECK(epochs("/metrics.csv") == "0123");
  check_events(run);
  const std::string jsonl = read_file(run + "/timing.jsonl");
  CHECK(std::count(jsonl.begin(), jsonl.end(), '\n') == 4);
}

TEST_CASE("a run whose checkpoints are out of reach is not begun again") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string checkpoints = run + "/checkpoints", away = workspace.at("away");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const std::string metrics = read_file(run + "/metrics.csv");
  const std::string timing = read_file(run + "/timing.csv");
  std::filesystem::rename(checkpoints, away);
  const auto refused = [&](int code, const std::string& words) {
    check_refused(workspace, {"resume", run}, code, {words, "/checkpoints"});
    CHECK(read_file(run + "/metrics.csv") == metrics);
    CHECK(read_file(run + "/timing.csv") == timing);
  };
  refused(4, "has logged 4 epochs, but there is no checkpoint");
  std::filesystem::create_directory_symlink(workspace.at("unmounted"), checkpoints);
  refused(4, "has logged 4 epochs, but there is no checkpoint");
  std::filesystem::remove(checkpoints);
  std::ofstream(checkpoints) << "a file";
  refused(8, "cannot read");
  std::filesystem::remove(checkpoints);
  std::filesystem::rename(away, checkpoints);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--epochs", "5"}).code == 0);
}

TEST_CASE("a run without a checkpoint begins again only where it can have a folder for them") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string checkpoints = run + "/checkpoints";
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "2"})).code == 75);
  std::filesystem::remove_all(checkpoints);
  std::filesystem::create_directory_symlink(workspace.at("unmounted"), checkpoints);
  check_refused(workspace, {"resume", run}, 8, {checkpoints, "make it a folder"});
  std::filesystem::remove(checkpoints);
  std::ofstream(checkpoints) << "a file";
  check_refused(workspace, {"resume", run}, 8, {checkpoints});
  std::filesystem::remove(checkpoints);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
}

TEST_CASE("the timing of an epoch is written before its checkpoint, so none is ever missing") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  constexpr Limit kNoCheckpoint{RLIMIT_FSIZE, 100000};  // bytes: the logs and the manifest fit
  const Outcome full = Process(workspace, small_run(data, run), kNoCheckpoint).wait();
  CAPTURE(full.err);
  REQUIRE(full.code == 8);
  REQUIRE(full.err.find("checkpoints/step-000000016") != std::string::npos);
  CHECK(timed_epochs(run) == std::vector<double>{0});
  REQUIRE(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(timed_epochs(run) == std::vector<double>{0, 1, 2, 3});
  check_events(run);
}

TEST_CASE("TensorBoard's events of a run follow its logs, and are made again from them") {
  const Workspace workspace;
  const std::string run = workspace.at("run"), events = run + "/events.out.tfevents.nat";
  const std::vector<std::string> judged = {"--knn-every", "2"};
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run, judged)).code == 0);
  check_events(run);
  const auto read = nat::test::read_events(events);
  REQUIRE(read.size() == 4);
  CHECK(read[0].scalars.size() == 14);  // no kNN: that is in every second epoch
  CHECK(read[1].scalars.size() == 15);

  const std::string whole = read_file(events);
  const auto resume_with = [&](const std::string& content) {
    write_file(events, content);
    CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);  // is done: trains nothing
    check_events(run);
  };
  resume_with(whole);
  CHECK(read_file(events) == whole);
  resume_with(whole.substr(0, whole.size() - 1));
  CHECK(read_file(events).size() == whole.size());
  std::string damaged = whole;
  damaged[whole.size() / 2] ^= 1;
  resume_with(damaged);
  resume_with("");
  std::filesystem::remove(events);  // of a version that wrote none
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_events(run);
  CHECK(read_file(events).size() == whole.size());
}

TEST_CASE("timing.csv has the time of a step wherever it is measured") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(
      nat::tools::nat(workspace, small_run(make_data(workspace), run, {"--epochs", "1"})).code ==
      0);
  const std::string line = read_file(run + "/timing.jsonl");
  const auto row = nlohmann::json::parse(line.substr(0, line.find('\n')));
  // On CUDA a step is one recorded sequence, elsewhere the sum of its stages.
  const double stages = row.at("preprocess").get<double>() + row.at("forward").get<double>() +
                        row.at("assign").get<double>() + row.at("head").get<double>() +
                        row.at("backward").get<double>() + row.at("update").get<double>();
  const double recorded = row.at("recorded").get<double>();
  CHECK((stages > 0) != (recorded > 0));
  CHECK(stages + recorded <= row.at("seconds").get<double>());
}

TEST_CASE("a run stopped in the middle of a pool resumes to the same end") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string undisturbed = workspace.at("undisturbed"), run = workspace.at("run");
  // 16 steps an epoch in pools of 4, of which 6 is no multiple.
  std::vector<std::string> pooled = {"--assign-pool", "128", "--assign-every-steps", "6"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, pooled)).code == 0);
  pooled.insert(pooled.end(), {"--stop-after-steps", "6"});
  CHECK(nat::tools::nat(workspace, small_run(data, run, pooled)).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "9"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "6"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  check_same_end(run, undisturbed);
}

TEST_CASE("a pool of one batch is the run without a pool, byte for byte") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string plain = workspace.at("plain"), pooled = workspace.at("pooled");
  REQUIRE(nat::tools::nat(workspace, small_run(data, plain)).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, pooled, {"--assign-pool", "32"})).code == 0);
  check_same_end(plain, pooled);
}

TEST_CASE("larger pools find better targets, and every solver trains") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const auto first_epoch = [&](const std::string& name, const std::vector<std::string>& more) {
    const std::string run = workspace.at(name);
    REQUIRE(nat::tools::nat(workspace, small_run(data, run, more)).code == 0);
    const std::string jsonl = read_file(run + "/metrics.jsonl");
    return nlohmann::json::parse(jsonl.substr(0, jsonl.find('\n')));
  };
  const auto gain = [](const nlohmann::json& epoch) {
    return epoch.at("cosine_after").get<double>() - epoch.at("cosine_before").get<double>();
  };
  // At rate 0 both see the same features, and any exchange inside a batch is one inside the pool.
  const nlohmann::json still = first_epoch("still", {"--lr", "0"});
  const nlohmann::json pool = first_epoch("pool", {"--lr", "0", "--assign-pool", "256"});
  CHECK(gain(pool) > gain(still));
  const nlohmann::json exact = first_epoch("exact", {});
  CHECK(first_epoch("auction", {"--solver", "auction"}).at("moved") == exact.at("moved"));
  for (const char* solver : {"greedy", "sinkhorn"}) {
    const nlohmann::json epoch = first_epoch(solver, {"--solver", solver});
    CHECK(gain(epoch) > 0.1);
    CHECK(epoch.at("solver_gap").get<double>() > 0);
  }
  const nlohmann::json none = first_epoch("none", {"--solver", "none"});
  CHECK(none.at("moved") == 0);
  CHECK(none.at("reassigned") == 0);
  // Steps 0 and 8 of 16.
  CHECK(first_epoch("often", {"--assign-every-steps", "8"}).at("reassigned") == 0.125);
}

constexpr const char* kFirstEpoch = "/checkpoints/step-000000016.safetensors";

TEST_CASE("SIGINT and SIGTERM save and exit with 130 and 143") {
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    const Workspace workspace;
    const std::string data = make_data(workspace);
    const std::string run = workspace.at("run");
    Process process(workspace, small_run(data, run, {"--epochs", "100000"}));
    CHECK(wait_until([&] { return std::filesystem::exists(run + kFirstEpoch); }));
    for (int i = 0; i < 50; ++i) {  // the impatient ask again, which changes nothing
      process.send(signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const Outcome outcome = process.wait();
    CHECK(outcome.code == code);
    CHECK(outcome.out.find("nat resume") != std::string::npos);
    CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"}).code == 75);
  }
}

// One of the signal masks (SigCgt, SigBlk) of a process or thread, from its file in /proc.
std::uint64_t signal_mask(const std::filesystem::path& thread, const std::string& which) {
  const std::string status = read_file(thread.string() + "/status");
  const std::size_t at = status.find(which + ":");
  REQUIRE_MESSAGE(at != std::string::npos, status);
  return std::stoull(status.substr(at + which.size() + 1), nullptr, 16);
}

TEST_CASE("no signal handler runs on the stack of a computing thread") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  Process process(workspace, small_run(data, run, {"--epochs", "100000", "--threads", "2"}));
  CHECK(wait_until([&] { return std::filesystem::exists(run + kFirstEpoch); }));
  constexpr std::uint64_t kStops = 1u << (SIGINT - 1) | 1u << (SIGTERM - 1);
  const std::string folder = "/proc/" + std::to_string(process.id());
  CHECK((signal_mask(folder, "SigCgt") & kStops) == 0);
  int threads = 0;
  for (const auto& thread : std::filesystem::directory_iterator(folder + "/task")) {
    CHECK((signal_mask(thread.path(), "SigBlk") & kStops) == kStops);
    ++threads;
  }
  CHECK(threads >= 2);  // the loader is one
}

TEST_CASE("checkpoints come after every so many steps of the run, and after every epoch") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run,
                                               {"--epochs", "2", "--checkpoint-every-steps", "5",
                                                "--keep-checkpoints", "20"}))
              .code == 0);
  std::vector<std::string> names, expected;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints")) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const char* step : {"05", "10", "15", "16", "20", "25", "30", "32"}) {
    expected.push_back(std::string("step-0000000") + step + ".safetensors");
  }
  CHECK(names == expected);
}

TEST_CASE("one loader thread gives the same run as four") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string one = workspace.at("one"), four = workspace.at("four");
  REQUIRE(nat::tools::nat(workspace, small_run(data, one, {"--loaders", "1"})).code == 0);
  const Outcome outcome = nat::tools::nat(workspace, small_run(data, four, {"--loaders", "4"}));
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.find("loader threads 4\n") != std::string::npos);
  check_same_end(one, four);
  const Outcome resumed = nat::tools::nat(workspace, {"resume", four, "--loaders", "3"});
  CHECK(resumed.err.find("loader threads 3\n") != std::string::npos);
  // The number is automatic where nobody chooses it, and that is one beside computing processors.
  const std::string free = workspace.at("free");
  const Outcome chosen = nat::tools::nat(workspace, small_run(data, free, {"--device", "cpu"}));
  CHECK(chosen.err.find("loader threads 1\n") != std::string::npos);
  CHECK(chosen.err.find("loaders = 0\n") != std::string::npos);
}

TEST_CASE("the seed decides the run") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string a = workspace.at("a"), b = workspace.at("b"), c = workspace.at("c");
  REQUIRE(nat::tools::nat(workspace, small_run(data, a, {"--seed", "5"})).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, b, {"--seed", "5"})).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, c, {"--seed", "6"})).code == 0);
  check_same_end(a, b);
  CHECK(read_file(a + "/metrics.csv") != read_file(c + "/metrics.csv"));
}
