// The numbers of a run for TensorBoard: one event an epoch, whose step is the epoch and whose
// scalars are columns of metrics.csv and timing.csv, tagged "train/loss" and so on
// (docs/file-formats.md). The file holds nothing that those two do not, so it can always be made
// once more from them.
#pragma once

#include <cstdint>

#include "engine/event_log.h"
#include "engine/run_log.h"
#include "tools/run_folder.h"

namespace nat::tools {

class RunEvents {
 public:
  explicit RunEvents(const RunFolder& folder);

  void append(std::int64_t epoch, const MetricsRow& metrics, const MetricsRow& timing);
  bool empty() const { return log_.rows() == 0; }
  void clear() { log_.truncate_to_rows(0); }
  // One event for every row that the folder's metrics.csv has now: later ones go, missing ones are
  // made up for.
  void match_metrics();

 private:
  const RunFolder folder_;
  EventLog log_;
};

}  // namespace nat::tools
