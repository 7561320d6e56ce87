// Loader: worker threads that turn a data set into batches of bytes ahead of the training loop.
//
//   Loader loader(pictures, {.batch_size = 256, .seed = seed, .threads = 2});
//
//   loader.start_epoch(epoch, first_batch);
//
//   while (const Batch* batch = loader.next()) { ... }
//
// Batch k of an epoch holds the ids at places k b .. k b + b - 1 of epoch_order: content and order
// are the same for any number of workers. Batches live in a ring of buffers that are used again and
// again: with pictures in memory an epoch allocates nothing after start_epoch.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "kernels/crop_box.h"

namespace nat::data {

struct Batch {
  std::int64_t step_in_epoch = 0;
  std::vector<std::int32_t> ids;         // (n)
  std::vector<std::int32_t> labels;      // (n), -1 without labels
  const std::uint8_t* pixels = nullptr;  // (n, height, width, channels) of Dataset::shape
  std::vector<CropBox> boxes;            // (n), in pixels of the n-th picture of `pixels`

  std::int64_t size() const { return static_cast<std::int64_t>(ids.size()); }
};

// Provides memory of so many bytes.
using PixelMemory = std::function<std::shared_ptr<std::uint8_t[]>(std::size_t)>;

struct LoaderOptions {
  int batch_size = 256;
  bool shuffle = true;
  bool drop_last = true;  // leave out a last batch that is not full; false delivers it short
  Augmentation augmentation = {};
  std::uint64_t seed = 0;
  int threads = 1;
  PixelMemory memory = {};  // where batches of pixels live; empty = ordinary memory
};

// Threads for who does not choose. Where the processors compute the step as well, one: more would
// take their time from it. Beside a GPU, which one thread cannot feed, all but two of the
// processors, at most 8, and no more than fit into 2 GiB: each thread holds a batch of its own, and
// two more are under way between them and the step.
int automatic_threads(bool processors_compute, int processors, std::int64_t batch_bytes);

class Loader {
 public:
  // The data set must outlive the loader. Error{usage} when an option is out of range, or when
  // drop_last leaves nothing because the batch is larger than the data; Error{memory} when the
  // machine does not give that many threads.
  Loader(const Dataset& dataset, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t pictures() const { return std::ssize(dataset_.usable_ids()); }
  std::int64_t batches_per_epoch() const;

  // Begins an epoch at any of its batches; whatever was prepared before is dropped.
  void start_epoch(std::uint32_t epoch, std::int64_t first_batch = 0);

  // The next batch, valid until the next call of next() or start_epoch(); null when the epoch is
  // over. What a worker threw is thrown here, in the place of its batch.
  const Batch* next();

  int threads() const { return options_.threads; }

  // Time that next() has waited for the workers since the epoch began.
  double data_wait_seconds() const { return wait_seconds_; }

 private:
  enum class State { free, filling, ready };
  struct Slot {
    State state = State::free;
    Batch batch;
    std::shared_ptr<std::uint8_t[]> pixels;
    std::exception_ptr failure;
  };

  void work();
  void fill(Slot& slot, std::int64_t step) const;
  void load_picture(Batch& batch, std::int64_t place, std::uint8_t* pixels) const;
  Slot& slot_of(std::int64_t step);
  void start_workers();
  void stop_workers();

  const Dataset& dataset_;
  LoaderOptions options_;
  double wait_seconds_ = 0;

  // Written by start_epoch while no worker is filling.
  std::uint32_t epoch_ = 0;
  std::vector<std::int32_t> order_;

  std::mutex mutex_;  // guards what follows; a filling slot belongs to its worker
  std::condition_variable slot_freed_, slot_ready_;
  std::vector<Slot> slots_;  // batch k lives in slot k mod slots
  std::int64_t next_to_fill_ = 0, next_to_deliver_ = 0, end_ = 0;
  bool lent_ = false;  // the batch before next_to_deliver_ is still in the caller's hands
  int filling_ = 0;
  bool closing_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace nat::data
