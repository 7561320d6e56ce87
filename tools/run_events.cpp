#include "tools/run_events.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace nat::tools {

namespace {

// By what TensorBoard puts side by side.
const std::vector<std::pair<std::string, std::vector<std::string>>> kGroups = {
    {"train",
     {"lr", "loss", "loss_before_assignment", "won_by_assignment", "won_by_sgd", "cosine_before",
      "cosine_after"}},
    {"assignment", {"moved", "reassigned", "solver_steps", "solver_paths", "solver_gap"}},
    {"evaluate", {"knn"}},
    {"timing", {"images_per_second", "data_wait"}}};

// No column but `epoch` is in both rows.
MetricsRow scalars_of(const MetricsRow& metrics, const MetricsRow& timing) {
  MetricsRow scalars;
  for (const auto& [group, columns] : kGroups) {
    for (const std::string& column : columns) {
      for (const MetricsRow* row : {&metrics, &timing}) {
        const auto value = row->find(column);
        if (value != row->end()) scalars[str(group, '/', column)] = value->second;
      }
    }
  }
  return scalars;
}

}  // namespace

RunEvents::RunEvents(const RunFolder& folder)
    : folder_(folder), log_(folder.file("events.out.tfevents.nat")) {}

void RunEvents::append(std::int64_t epoch, const MetricsRow& metrics, const MetricsRow& timing) {
  log_.append(epoch, scalars_of(metrics, timing));
}

// Events are missing where the process was killed between the checkpoint of an epoch and its event,
// where the file was damaged, and in runs of versions that wrote none.
void RunEvents::match_metrics() {
  const std::vector<MetricsRow> metrics = read_csv(folder_.file("metrics.csv"));
  log_.truncate_to_rows(metrics.size());
  std::map<double, MetricsRow> timing;
  for (const MetricsRow& row : read_csv(folder_.file("timing.csv"))) {
    if (const auto epoch = row.find("epoch"); epoch != row.end()) timing[epoch->second] = row;
  }
  for (std::uint64_t epoch = log_.rows(); epoch < metrics.size(); ++epoch) {
    append(static_cast<std::int64_t>(epoch), metrics[epoch], timing[static_cast<double>(epoch)]);
  }
}

}  // namespace nat::tools
