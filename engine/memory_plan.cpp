#include "engine/memory_plan.h"

#include <algorithm>
#include <iomanip>
#include <numeric>
#include <sstream>

namespace nat {

namespace {
constexpr std::size_t kAlignment = 256;

bool alive_together(const MemoryPlan::Slot& a, const MemoryPlan::Slot& b) {
  return a.first <= b.last && b.first <= a.last;
}

// The lowest offset at which `slot` fits between the neighbours (sorted by offset) it may not
// touch.
std::size_t lowest_fit(const MemoryPlan::Slot& slot,
                       std::vector<const MemoryPlan::Slot*> neighbours) {
  std::sort(neighbours.begin(), neighbours.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  std::size_t offset = 0;
  for (const auto* neighbour : neighbours) {
    if (offset + slot.bytes <= neighbour->offset) break;
    offset = std::max(offset, neighbour->offset + neighbour->bytes);
  }
  return offset;
}
}  // namespace

std::size_t MemoryPlan::add(std::string name, std::size_t bytes, int first, int last) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  slots_.push_back({std::move(name), rounded, first, last, 0});
  return slots_.size() - 1;
}

void MemoryPlan::extend(std::size_t slot, int last) {
  slots_[slot].last = std::max(slots_[slot].last, last);
}

void MemoryPlan::place(bool share) {
  std::vector<std::size_t> order(slots_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return slots_[a].bytes > slots_[b].bytes; });
  std::vector<const Slot*> placed;
  total_ = 0;
  for (const std::size_t index : order) {
    Slot& slot = slots_[index];
    std::vector<const Slot*> neighbours;
    for (const Slot* other : placed) {
      if (!share || alive_together(slot, *other)) neighbours.push_back(other);
    }
    slot.offset = lowest_fit(slot, std::move(neighbours));
    total_ = std::max(total_, slot.offset + slot.bytes);
    placed.push_back(&slot);
  }
}

std::size_t MemoryPlan::lower_bound() const {
  std::size_t peak = 0;
  for (const Slot& moment : slots_) {
    std::size_t alive = 0;
    for (const Slot& slot : slots_) {
      if (slot.first <= moment.first && moment.first <= slot.last) alive += slot.bytes;
    }
    peak = std::max(peak, alive);
  }
  return peak;
}

std::string MemoryPlan::table() const {
  std::ostringstream out;
  const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  out << std::fixed << std::setprecision(2);
  out << std::left << std::setw(28) << "tensor" << std::right << std::setw(12) << "MiB"
      << std::setw(14) << "offset MiB" << std::setw(8) << "from" << std::setw(6) << "to" << '\n';
  for (const Slot& slot : slots_) {
    out << std::left << std::setw(28) << slot.name << std::right << std::setw(12) << mib(slot.bytes)
        << std::setw(14) << mib(slot.offset) << std::setw(8) << slot.first << std::setw(6)
        << slot.last << '\n';
  }
  out << "arena " << mib(total_) << " MiB, lower bound " << mib(lower_bound()) << " MiB\n";
  return out.str();
}

}  // namespace nat
