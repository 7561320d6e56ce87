// nat lap: the best assignment of the rows of a matrix to its columns, with its proof.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "engine/durable_file.h"
#include "engine/run_log.h"
#include "tools/commands.h"
#include "tools/lap_refinement.h"
#include "tools/matrix_file.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  std::string file, out, solver = "auto", device = "cpu";
  int threads = 0;
  bool minimise = false, maximise = false, json = false;
};

constexpr const char* kStandardOutput = "-";

struct Solved {
  RefinedAssignment assignment;
  std::string solver;
  double seconds = 0;
};

LapSolver solver_named(const std::string& name) {
  return name == "auto" ? LapSolver::automatic : name == "jv" ? LapSolver::jv : LapSolver::auction;
}

// Only the auction has rounds.
std::string name_of_solver(const Asked& asked, const RefinedAssignment& assignment) {
  if (asked.solver != "auto") return asked.solver;
  return assignment.rounds > 0 ? "auction" : "jv";
}

Solved solve(const Asked& asked, const SquareMatrix& matrix) {
  Options where;
  where.device = asked.device;
  where.dtype = "f32";
  where.threads = asked.threads;
  const auto ctx = make_context(where);
  LapOptions options;
  options.solver = solver_named(asked.solver);
  const auto began = std::chrono::steady_clock::now();
  std::vector<double> scores = matrix.values;
  if (!asked.maximise) {
    for (double& score : scores) score = -score;
  }
  Solved solved;
  solved.assignment = refine_assignment(*ctx, options, matrix.n, scores);
  if (!asked.maximise) {
    solved.assignment.value = 0 - solved.assignment.value;  // never -0
    solved.assignment.bound = 0 - solved.assignment.bound;
  }
  solved.solver = name_of_solver(asked, solved.assignment);
  solved.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return solved;
}

nlohmann::ordered_json describe(const Asked& asked, std::int64_t n, const Solved& solved) {
  const RefinedAssignment& assignment = solved.assignment;
  const double gap = std::abs(assignment.gap());
  return {{"file", data::printable(asked.file)},
          {"n", n},
          {"goal", asked.maximise ? "max" : "min"},
          {"value", assignment.value},
          {"bound", assignment.bound},
          {"gap", gap},
          {"status", gap == 0 ? "optimal" : "bounded"},
          {"solver", solved.solver},
          {"solves", assignment.solves},
          {"quantum", assignment.quantum},
          {"rounds", assignment.rounds},
          {"bids", assignment.bids},
          {"paths", assignment.paths},
          {"steps", assignment.steps},
          {"seconds", solved.seconds}};
}

// What is no file, such as a terminal, may be both.
bool is_matrix_itself(const Asked& asked) {
  const std::string matrix = asked.file == kStandardInput ? "/dev/stdin" : asked.file;
  std::error_code ignored;  // there is no such file yet
  return std::filesystem::is_regular_file(asked.out, ignored) &&
         std::filesystem::equivalent(matrix, asked.out, ignored);
}

void require_output(const Asked& asked) {
  NAT_CHECK(!is_matrix_itself(asked), ErrorKind::usage, "--out ", data::printable(asked.out),
            ": that is the matrix itself; choose another name");
  require_writable(asked.out);
}

// Line i holds the column of row i, both counted from 0.
void write_assignment(const std::string& path, const std::vector<std::int32_t>& column_of_row) {
  std::string text;
  for (const std::int32_t column : column_of_row) text += std::to_string(column) + '\n';
  write_durably(path, text);
}

void print(const nlohmann::ordered_json& json, bool as_json) {
  if (as_json) {
    std::printf("%s\n", json.dump(2).c_str());
    return;
  }
  for (const auto& [key, value] : json.items()) {
    const std::string text = value.is_string()         ? value.get<std::string>()
                             : value.is_number_float() ? shortest(value.get<double>())
                                                       : value.dump();
    std::printf("%-10s %s\n", key.c_str(), text.c_str());
  }
}

}  // namespace

Command lap_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "lap", "assign the rows of a matrix to its columns, each to one, with a proof");
  const auto asked = std::make_shared<Asked>();
  app->add_option("file", asked->file,
                  "square matrix: csv, .npy or OR-Library text, also .gz; a file, a pipe or - "
                  "for the standard input")
      ->required();
  CLI::Option* min = app->add_flag("--min", asked->minimise, "smallest sum (the default)");
  app->add_flag("--max", asked->maximise, "largest sum")->excludes(min);
  app->add_option("--solver", asked->solver, "auto, jv or auction")
      ->check(CLI::IsMember({"auto", "jv", "auction"}))
      ->capture_default_str();
  app->add_option("--device", asked->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
      ->capture_default_str();
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  app->add_option("--out", asked->out,
                  "write the assignment: line i holds the column of row i; - for the standard "
                  "output");
  app->add_flag("--json", asked->json, "print JSON");
  return {app, [=] {
            NAT_CHECK(!asked->json || asked->out != kStandardOutput, ErrorKind::usage,
                      "--out -: both the assignment and --json would go to the standard output; "
                      "give the name of a file");
            if (asked->out == kStandardOutput) asked->out = "/dev/stdout";
            const SquareMatrix matrix = read_square_matrix(asked->file);
            if (!asked->out.empty()) require_output(*asked);
            const Solved solved = solve(*asked, matrix);
            if (!asked->out.empty()) write_assignment(asked->out, solved.assignment.column_of_row);
            print(describe(*asked, matrix.n, solved), asked->json);
            return 0;
          }};
}

}  // namespace nat::tools
