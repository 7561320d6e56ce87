// Barriers, warp collectives and fences.
#pragma once

#include <bit>
#include <concepts>

#include "tests/simt/block.h"

namespace simt {

// What CUDA's shuffles accept: 32- and 64-bit numbers.
template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <Shuffled T>
std::uint64_t to_bits(T value) {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<std::uint32_t>(value);
  } else {
    return std::bit_cast<std::uint64_t>(value);
  }
}
template <Shuffled T>
T from_bits(std::uint64_t bits) {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<T>(static_cast<std::uint32_t>(bits));
  } else {
    return std::bit_cast<T>(bits);
  }
}

template <Shuffled T>
T shuffle(unsigned mask, T value, unsigned source, const Where& where) {
  return from_bits<T>(
      running_block().collective(WarpOp::shuffle, mask, to_bits(value), source, where));
}

// Reduces int and unsigned alike: both widen to 64 bits without changing their order.
template <class T>
requires(std::same_as<T, int> || std::same_as<T, unsigned>) T
    reduce(WarpOp op, unsigned mask, T value, const Where& where) {
  const auto wide = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  return static_cast<T>(running_block().collective(op, mask, wide, 0, where));
}

void fence();  // between threads of different operating-system threads too

}  // namespace simt

inline void __syncthreads(simt::Where where = simt::Where::current()) {
  simt::running_block().barrier(simt::BarrierOp::sync, 0, where);
}
inline int __syncthreads_count(int predicate, simt::Where where = simt::Where::current()) {
  return simt::running_block().barrier(simt::BarrierOp::count, predicate, where);
}
inline int __syncthreads_and(int predicate, simt::Where where = simt::Where::current()) {
  return simt::running_block().barrier(simt::BarrierOp::all, predicate, where);
}
inline int __syncthreads_or(int predicate, simt::Where where = simt::Where::current()) {
  return simt::running_block().barrier(simt::BarrierOp::any, predicate, where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Where where = simt::Where::current()) {
  simt::running_block().collective(simt::WarpOp::sync, mask, 0, 0, where);
}
inline void __threadfence() { simt::fence(); }
inline void __threadfence_block() { simt::fence(); }
inline void __nanosleep(unsigned) { simt::running_block().yield(); }

// A segment is `width` lanes, a power of two; a lane whose source lies outside of its segment reads
// itself.
template <simt::Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              simt::Where where = simt::Where::current()) {
  const unsigned segment = static_cast<unsigned>(width) - 1, lane = simt::running_block().lane();
  return simt::shuffle(mask, value, (lane & ~segment) | (static_cast<unsigned>(source) & segment),
                       where);
}
template <simt::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 simt::Where where = simt::Where::current()) {
  const unsigned segment = static_cast<unsigned>(width) - 1, lane = simt::running_block().lane();
  return simt::shuffle(mask, value, (lane & segment) >= delta ? lane - delta : lane, where);
}
template <simt::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   simt::Where where = simt::Where::current()) {
  const unsigned segment = static_cast<unsigned>(width) - 1, lane = simt::running_block().lane();
  return simt::shuffle(mask, value, (lane & segment) + delta <= segment ? lane + delta : lane,
                       where);
}
template <simt::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  simt::Where where = simt::Where::current()) {
  const unsigned segment = static_cast<unsigned>(width) - 1, lane = simt::running_block().lane();
  const unsigned source = lane ^ static_cast<unsigned>(bits);
  return simt::shuffle(mask, value, source <= (lane | segment) ? source : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              simt::Where where = simt::Where::current()) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return static_cast<unsigned>(
      simt::running_block().collective(simt::WarpOp::ballot, mask, vote, 0, where));
}
inline int __all_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return static_cast<int>(
      simt::running_block().collective(simt::WarpOp::all, mask, vote, 0, where));
}
inline int __any_sync(unsigned mask, int predicate, simt::Where where = simt::Where::current()) {
  const std::uint64_t vote = predicate != 0 ? 1 : 0;
  return static_cast<int>(
      simt::running_block().collective(simt::WarpOp::any, mask, vote, 0, where));
}
template <simt::Shuffled T>
unsigned __match_any_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return static_cast<unsigned>(
      simt::running_block().collective(simt::WarpOp::match, mask, simt::to_bits(value), 0, where));
}

template <class T>
T __reduce_add_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::add, mask, value, where);
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::min, mask, value, where);
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::max, mask, value, where);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value,
                                  simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::bit_and, mask, value, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value,
                                 simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::bit_or, mask, value, where);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value,
                                  simt::Where where = simt::Where::current()) {
  return simt::reduce(simt::WarpOp::bit_xor, mask, value, where);
}
