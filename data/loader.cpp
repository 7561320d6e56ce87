#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <system_error>

#include "data/order.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// One batch in the caller's hands, one ready, and one a worker is filling.
constexpr int kSpareSlots = 2;

// Corner of the stored-size window that holds the crop, and the crop moved into it. A fractional
// crop nearly as large as the window may stick out by less than a pixel; it is pushed inside.
int enter_window(float& corner, float length, int window, int whole) {
  const auto middle =
      static_cast<int>(std::round(corner + (length - static_cast<float>(window)) / 2));
  const int start = std::clamp(middle, 0, whole - window);
  corner =
      std::clamp(corner - static_cast<float>(start), 0.0f, static_cast<float>(window) - length);
  return start;
}

}  // namespace

int automatic_threads(bool processors_compute, int processors, std::int64_t batch_bytes) {
  if (processors_compute) return 1;
  constexpr std::int64_t kMost = 8, kMostBytes = std::int64_t{2} << 30;
  constexpr int kOthers = 2;  // who launches the steps, and the rest of the machine
  const std::int64_t fitting = kMostBytes / std::max<std::int64_t>(batch_bytes, 1) - kSpareSlots;
  return static_cast<int>(
      std::max<std::int64_t>(1, std::min({kMost, std::int64_t{processors - kOthers}, fitting})));
}

Loader::Loader(const Dataset& dataset, LoaderOptions options)
    : dataset_(dataset), options_(std::move(options)) {
  NAT_CHECK(options_.batch_size >= 1, ErrorKind::usage, "batch size: ", options_.batch_size,
            " is not possible; give at least 1");
  NAT_CHECK(options_.threads >= 1, ErrorKind::usage, "loader threads: ", options_.threads,
            " is not possible; give at least 1");
  NAT_CHECK(batches_per_epoch() >= 1, ErrorKind::usage, "batch size: ", options_.batch_size,
            " is more than the ", pictures(), " pictures; give at most ", pictures());
  const PictureShape& shape = dataset.shape();
  check_augmentation(options_.augmentation, std::min(shape.height, shape.width));

  const auto batch_size =
      static_cast<std::size_t>(std::min<std::int64_t>(options_.batch_size, pictures()));
  slots_ = std::vector<Slot>(static_cast<std::size_t>(options_.threads + kSpareSlots));
  for (Slot& slot : slots_) {
    const std::size_t bytes = batch_size * static_cast<std::size_t>(shape.bytes());
    slot.pixels =
        options_.memory ? options_.memory(bytes) : std::make_shared<std::uint8_t[]>(bytes);
    slot.batch.pixels = slot.pixels.get();
    slot.batch.ids.reserve(batch_size);
    slot.batch.labels.reserve(batch_size);
    slot.batch.boxes.reserve(batch_size);
  }
  start_workers();
}

Loader::~Loader() { stop_workers(); }

void Loader::start_workers() {
  try {
    for (int t = 0; t < options_.threads; ++t) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop_workers();
    throw Error(ErrorKind::memory,
                str("thread ", workers_.size() + 1, " of ", options_.threads,
                    " that load pictures cannot be started (", error.code().message(),
                    "); give fewer --loaders, or end other programs"));
  } catch (...) {
    stop_workers();
    throw;
  }
}

void Loader::stop_workers() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  slot_freed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

std::int64_t Loader::batches_per_epoch() const {
  const std::int64_t b = options_.batch_size;
  return options_.drop_last ? pictures() / b : (pictures() + b - 1) / b;
}

Loader::Slot& Loader::slot_of(std::int64_t step) {
  return slots_[static_cast<std::size_t>(step) % slots_.size()];
}

void Loader::start_epoch(std::uint32_t epoch, std::int64_t first_batch) {
  NAT_CHECK(first_batch >= 0 && first_batch <= batches_per_epoch(), ErrorKind::usage, "epoch ",
            epoch, ": cannot begin at batch ", first_batch, " of ", batches_per_epoch(),
            "; resume with the batch size and data of the run");
  {
    std::unique_lock lock(mutex_);
    end_ = next_to_fill_;  // nothing more to claim
    slot_ready_.wait(lock, [&] { return filling_ == 0; });
    epoch_ = epoch;
    order_ = epoch_order(options_.seed, epoch, pictures(), options_.shuffle);
    for (Slot& slot : slots_) {
      slot.state = State::free;
      slot.failure = nullptr;
    }
    next_to_fill_ = next_to_deliver_ = first_batch;
    end_ = batches_per_epoch();
    lent_ = false;
    wait_seconds_ = 0;
  }
  slot_freed_.notify_all();
}

const Batch* Loader::next() {
  const auto began = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  if (lent_) {
    slot_of(next_to_deliver_ - 1).state = State::free;
    lent_ = false;
    slot_freed_.notify_one();
  }
  if (next_to_deliver_ == end_) return nullptr;
  Slot& slot = slot_of(next_to_deliver_);
  slot_ready_.wait(lock, [&] { return slot.state == State::ready; });
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (slot.failure) std::rethrow_exception(slot.failure);
  ++next_to_deliver_;
  lent_ = true;
  return &slot.batch;
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    slot_freed_.wait(lock, [&] {
      return closing_ || (next_to_fill_ < end_ && slot_of(next_to_fill_).state == State::free);
    });
    if (closing_) return;
    const std::int64_t step = next_to_fill_++;
    Slot& slot = slot_of(step);
    slot.state = State::filling;
    ++filling_;
    lock.unlock();
    try {
      fill(slot, step);
    } catch (...) {
      slot.failure = std::current_exception();
    }
    lock.lock();
    slot.state = State::ready;
    --filling_;
    slot_ready_.notify_all();
  }
}

void Loader::fill(Slot& slot, std::int64_t step) const {
  const std::int64_t begin = step * options_.batch_size;
  const std::int64_t n = std::min<std::int64_t>(options_.batch_size, pictures() - begin);
  Batch& batch = slot.batch;
  batch.step_in_epoch = step;
  batch.ids.resize(static_cast<std::size_t>(n));
  batch.labels.resize(static_cast<std::size_t>(n));
  batch.boxes.resize(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto place = static_cast<std::size_t>(order_[static_cast<std::size_t>(begin + i)]);
    batch.ids[static_cast<std::size_t>(i)] = dataset_.usable_ids()[place];
    load_picture(batch, i, slot.pixels.get() + i * dataset_.shape().bytes());
  }
}

void Loader::load_picture(Batch& batch, std::int64_t place, std::uint8_t* pixels) const {
  const auto i = static_cast<std::size_t>(place);
  const std::int32_t id = batch.ids[i];
  const PictureShape whole = dataset_.extent(id);
  const PictureShape& window = dataset_.shape();
  CropBox box =
      crop_box(options_.augmentation, options_.seed, epoch_, id, whole.width, whole.height);
  const int left = enter_window(box.x, box.width, window.width, whole.width);
  const int top = enter_window(box.y, box.height, window.height, whole.height);
  dataset_.read_window(id, left, top, pixels);
  batch.labels[i] = dataset_.label(id);
  batch.boxes[i] = box;
}

}  // namespace nat::data
