#include "tools/judgements.h"

#include <fstream>

#include "engine/durable_file.h"
#include "kernels/check.h"

namespace nat::tools {

namespace {

std::filesystem::path log_of(const RunFolder& folder) { return folder.file("judgements.jsonl"); }

std::string to_line(const Judgement& judgement) {
  nlohmann::ordered_json json = {{"judge", judgement.judge},
                                 {"options", judgement.options},
                                 {"results", to_json(judgement.verdict)}};
  if (!judgement.verdict.remark.empty()) json["remark"] = judgement.verdict.remark;
  return json.dump();
}

Judgement parse(const std::string& line) {
  const auto json = nlohmann::ordered_json::parse(line);
  Judgement judgement;
  json.at("judge").get_to(judgement.judge);
  judgement.options = entries(json.at("options"));
  judgement.verdict = from_json(json.at("results"));
  judgement.verdict.remark = json.value("remark", "");
  return judgement;
}

}  // namespace

void require_keepable(const RunFolder& folder) { require_appendable(log_of(folder)); }

void keep(const RunFolder& folder, const Judgement& judgement) {
  append_durably(log_of(folder), to_line(judgement));
}

std::vector<Judgement> kept_judgements(const RunFolder& folder) {
  std::ifstream in(log_of(folder), std::ios::binary);
  std::vector<Judgement> found;
  std::string line;
  while (std::getline(in, line) && !in.eof()) {  // eof: no newline, so the line is unfinished
    try {
      found.push_back(parse(line));
    } catch (const nlohmann::json::exception&) {
      throw Error(ErrorKind::checkpoint,
                  str(log_of(folder).string(), ": line ", found.size() + 1,
                      " is damaged or incomplete; take it out, or judge again into a new file"));
    }
  }
  return found;
}

}  // namespace nat::tools
