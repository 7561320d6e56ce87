// EventLog: scalars of a run in the event file that TensorBoard watches.
//
//   EventLog events("runs/a/events.out.tfevents.nat");   // the name must contain "tfevents"
//   events.append(3, {{"train/loss", 1.53}, {"evaluate/knn", kNan}});   // NaN: left out
//
// The file is a sequence of TFRecords [1], integers with their lowest byte first:
//
//   u64 length | u32 masked CRC of these 8 bytes | payload | u32 masked CRC of the payload
//   masked(crc) = rotate_right(crc, 15) + 0xa282ead8, of CRC-32C [2]
//
// A payload is a message Event [3, 4] in the wire format of Protocol Buffers:
//
//   Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
//   Summary { repeated Value { string tag = 1; float simple_value = 2 } = 1 }
//
// The first one holds the version, "brain.Event:2", every other one a row. A row is one write, so
// that whoever watches sees it at once and whole. Opening a file keeps the rows before the first
// damaged or half-written record and drops the rest, which a viewer would not read either.
//
// Errors: ErrorKind::io when writing fails (the row is then not in the file).
//
// [1] https://www.tensorflow.org/tutorials/load_data/tfrecord
// [2] Castagnoli's polynomial: RFC 3720, section 12.1 and appendix B.4
// [3] https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto
// [4] https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/summary.proto
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "engine/log_file.h"
#include "engine/run_log.h"

namespace nat {

class EventLog {
 public:
  explicit EventLog(const std::filesystem::path& path);  // opens the file, or creates it

  std::uint64_t rows() const { return ends_.size() - 1; }
  // Scalars by tag, stored as float32, with the time of this call. What stands before the slash of
  // a tag groups the charts.
  void append(std::int64_t step, const MetricsRow& scalars);
  void truncate_to_rows(std::uint64_t rows);  // the first of them, or all where there are fewer

 private:
  void adopt();
  void append_record(std::string_view payload);

  LogFile file_;
  std::vector<std::uint64_t> ends_;  // of the version and of every row, in bytes
};

// The checksum of iSCSI and of TFRecords, not the one of zlib: 0xe3069283 for "123456789".
std::uint32_t crc32c(std::string_view bytes);

}  // namespace nat
