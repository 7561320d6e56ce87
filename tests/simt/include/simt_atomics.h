// Atomic functions: relaxed, like CUDA's, so that ThreadSanitizer sees them as atomic but as no
// synchronisation.
#pragma once

#include <algorithm>
#include <concepts>

#include "tests/simt/block.h"

namespace simt {

template <class T>
concept AtomicInteger =
    std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <class T>
concept AtomicOrdered = AtomicInteger<T> || std::same_as<T, long long>;
template <class T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float> || std::same_as<T, double>;
template <class T>
concept AtomicWord = AtomicInteger<T> || std::same_as<T, float>;

// *address = update(*address); returns the value before.
template <class T, class Update>
T atomic_update(T* address, Update update) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T next = update(old);
    if (__atomic_compare_exchange(address, &old, &next, false, __ATOMIC_RELAXED,
                                  __ATOMIC_RELAXED)) {
      return old;
    }
  }
}

// Lets the other threads of the block go on now and then, for the sake of spin locks.
void yield_sometimes();

}  // namespace simt

template <simt::AtomicNumber T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return old + value; });
}
template <class T>
requires(std::same_as<T, int> || std::same_as<T, unsigned>) T
    atomicSub(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return old - value; });
}
template <simt::AtomicOrdered T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return std::max(old, value); });
}
template <simt::AtomicOrdered T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return std::min(old, value); });
}
template <simt::AtomicInteger T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return old & value; });
}
template <simt::AtomicInteger T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return old | value; });
}
template <simt::AtomicInteger T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) { return old ^ value; });
}
template <simt::AtomicWord T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  simt::yield_sometimes();
  return simt::atomic_update(address, [=](T) { return value; });
}
template <simt::AtomicInteger T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  simt::yield_sometimes();
  __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
