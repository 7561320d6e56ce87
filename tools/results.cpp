#include "tools/results.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "engine/durable_file.h"
#include "tools/judge.h"
#include "tools/judgements.h"
#include "tools/session.h"

namespace nat::tools {

namespace {
constexpr const char* kFile = "results.json";
}

std::optional<Verdict> kept_results(const RunFolder& folder) {
  const std::filesystem::path path = folder.file(kFile);
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (status.type() == std::filesystem::file_type::not_found) return {};
  std::ifstream in;  // closed, it reads as damaged: of a folder, or a circle of links
  if (std::filesystem::is_regular_file(status)) in.open(path);
  try {
    return from_json(nlohmann::ordered_json::parse(in));
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::checkpoint,
                str(path.string(), " is damaged or incomplete; make it again with 'nat eval all ",
                    shell_quoted(folder.path().string()), "'"));
  }
}

Verdict judge_all(const RunFolder& folder, const Options& options) {
  JudgeOptions judging;
  const auto ctx = make_context(options);
  Verdict verdict = judge(*ctx, folder, options, judging);
  if (!verdict.remark.empty()) std::fprintf(stderr, "%s\n", verdict.remark.c_str());
  write_durably(folder.file(kFile), to_json(verdict).dump(2) + "\n");
  keep(folder, {.judge = "all", .options = {{"labels", judging.labels}}, .verdict = verdict});
  return verdict;
}

// A few pictures tell, as long as one can be read.
void require_judgeable(const std::string& command, const Options& options) {
  constexpr std::int64_t kFew = 16;
  Options tolerant = options;
  tolerant.max_bad_percent = 100;
  const auto is_labelled = [&](data::Split split) {
    return open_data(tolerant, split, "", kFew)->labelled();
  };
  const bool has_test = data::has_split(data::parse_spec(options.data), data::Split::test);
  NAT_CHECK(has_test && is_labelled(data::Split::train) && is_labelled(data::Split::test),
            ErrorKind::data, command, ": --data ", options.data,
            " does not have one label a picture and a test split, which judging needs; use 'nat "
            "train' for such pictures");
}

}  // namespace nat::tools
