// RUN/judgements.jsonl: what every 'nat eval' of a run has found, a line each, oldest first. Lines
// are only ever added, and hold no time: who judges alike once more finds the same line twice.
#pragma once

#include <string>
#include <vector>

#include "tools/run_folder.h"
#include "tools/verdict.h"

namespace nat::tools {

struct Judgement {
  std::string judge;  // of nat eval: "knn", "mlp", ...
  // What that judge takes, by the names of the flags, with the values that 0 and auto stood for.
  nlohmann::ordered_json options = nlohmann::ordered_json::object();
  Verdict verdict;
};

// Throws now what keep() would throw after the work: ErrorKind::io.
void require_keepable(const RunFolder& folder);
void keep(const RunFolder& folder, const Judgement& judgement);

// None where nothing was judged yet; a line that was being written when its writer was killed does
// not count. Error(checkpoint) names the line that is damaged.
std::vector<Judgement> kept_judgements(const RunFolder& folder);

}  // namespace nat::tools
