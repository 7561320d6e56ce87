#include "kernels/cpu/lap/scan.h"

#include <cstring>
#include <utility>

namespace nat::cpu {

using lap::kClosed;
using lap::kFar;
using lap::TopTwo;

namespace {

// One AVX2 register. Registers of 16 lanes are no faster here: what they save in the loop they lose
// in combining the lanes, up to about n = 1024.
#if defined(__AVX2__)
constexpr int kScanLanes = 8;
#else
constexpr int kScanLanes = 4;
#endif
static_assert(lap::kRowMultiple % kScanLanes == 0);

// How far ahead elements of a row are asked for. Rows come in no order that the processor could
// guess, and its own prefetching begins anew at each page. Asking behind the last row does no harm;
// rows that are shorter are not asked for.
constexpr std::int64_t kAhead = 512;

using Lanes __attribute__((vector_size(kScanLanes * sizeof(std::int32_t)))) = std::int32_t;

Lanes load(const std::int32_t* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
void store(Lanes lanes, std::int32_t* to) { std::memcpy(to, &lanes, sizeof lanes); }
Lanes min(Lanes a, Lanes b) { return a < b ? a : b; }
Lanes max(Lanes a, Lanes b) { return a > b ? a : b; }
Lanes all(std::int32_t value) { return value - Lanes{}; }
Lanes iota() {
  Lanes lanes{};
  for (int i = 0; i < kScanLanes; ++i) lanes[i] = i;
  return lanes;
}

// The lane `distance` away: exchanging at distances kScanLanes/2, ..., 2, 1 and combining each time
// leaves in every lane the result over all lanes.
template <int distance, int... lane>
Lanes exchange(Lanes lanes, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(lanes, lanes, (lane ^ distance)...);
}
template <int distance>
Lanes exchange(Lanes lanes) {
  return exchange<distance>(lanes, std::make_integer_sequence<int, kScanLanes>{});
}

template <int distance = kScanLanes / 2>
Lanes minimum(Lanes lanes) {
  lanes = min(lanes, exchange<distance>(lanes));
  if constexpr (distance > 1) lanes = minimum<distance / 2>(lanes);
  return lanes;
}

struct TopTwoLanes {
  Lanes best, second;
};
template <int distance = kScanLanes / 2>
TopTwoLanes maximum(TopTwoLanes a) {
  const TopTwoLanes b{exchange<distance>(a.best), exchange<distance>(a.second)};
  a = {max(a.best, b.best), max(min(a.best, b.best), max(a.second, b.second))};
  if constexpr (distance > 1) a = maximum<distance / 2>(a);
  return a;
}

}  // namespace

TopTwo top_two(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns) {
  Lanes best = all(-kClosed), second = best, where{}, column = iota();
  for (std::int64_t j = 0; j < columns; j += kScanLanes, column += kScanLanes) {
    if (columns > kAhead) __builtin_prefetch(score + j + kAhead);
    const Lanes profit = load(score + j) - load(ask + j);
    second = max(second, min(best, profit));
    where = profit > best ? column : where;
    best = max(best, profit);
  }
  const TopTwoLanes top = maximum({best, second});
  const Lanes at = minimum(best == top.best ? where : all(kClosed));
  return {top.best[0], top.second[0], at[0]};
}

std::int32_t most_profit(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns) {
  Lanes most = all(-kClosed);
  for (std::int64_t j = 0; j < columns; j += kScanLanes) {
    most = max(most, load(score + j) - load(ask + j));
  }
  return -minimum(-most)[0];
}

Nearest relax(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns,
              std::int32_t base, std::int32_t row, std::int32_t* distance, std::int32_t* from) {
  Lanes nearest = all(kFar), where{}, column = iota();
  for (std::int64_t j = 0; j < columns; j += kScanLanes, column += kScanLanes) {
    if (columns > kAhead) __builtin_prefetch(score + j + kAhead);
    const Lanes offer = base + load(ask + j) - load(score + j);
    const Lanes known = load(distance + j);
    const Lanes shortest = min(offer, known);
    store(shortest, distance + j);
    store(offer < known ? all(row) : load(from + j), from + j);
    where = shortest < nearest ? column : where;
    nearest = min(nearest, shortest);
  }
  const Lanes least = minimum(nearest);
  return {least[0], minimum(nearest == least ? where : all(kClosed))[0]};
}

void raise_to(const std::int32_t* score, std::int64_t columns, std::int32_t row,
              std::int32_t* highest, std::int32_t* holder) {
  for (std::int64_t j = 0; j < columns; j += kScanLanes) {
    const Lanes offered = load(score + j), most = load(highest + j);
    store(offered > most ? all(row) : load(holder + j), holder + j);
    store(max(offered, most), highest + j);
  }
}

}  // namespace nat::cpu
