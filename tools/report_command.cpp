// nat report: the run as one HTML page.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "tools/commands.h"
#include "tools/one_time_options.h"
#include "tools/run_report.h"

namespace nat::tools {

Command report_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("report", "write RUN/report.html: results, curves, filters, neighbours");
  const auto run = std::make_shared<std::string>();
  app->add_option("run", *run, "folder of the run")->required();
  const auto pictures = std::make_shared<std::string>();
  app->add_option("--data", *pictures,
                  "pictures to show neighbours among, if not those of the run");
  const auto where = std::make_shared<OneTimeOptions>();
  where->add_to(*app, kElsewhere);
  const auto as_json = std::make_shared<bool>(false);
  app->add_flag("--json", *as_json, "print the outcome as JSON");
  return {app, [=] {
            const RunFolder folder = RunFolder::open(*run);
            const WrittenReport report =
                write_report(folder, where->instead_of(folder.options()), *pictures);
            std::fputs(report.remarks.c_str(), stderr);
            const std::string path = report.page.string();
            const std::string json = nlohmann::json({{"report", data::printable(path)}}).dump();
            std::printf("%s\n", *as_json ? json.c_str() : path.c_str());
            return 0;
          }};
}

}  // namespace nat::tools
