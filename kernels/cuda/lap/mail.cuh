// What the blocks of a crew tell each other in a round of the auction: 64-bit messages that go
// straight into the shared memory of every block. A barrier of the cluster takes 0.67 us on an
// H100, nearly all of it to order whatever the threads have written; a message brings its own
// arrival along, and whoever waits for it waits for nothing else (PTX: st.async and mbarrier).
//
// A message lands in the same place of every block. Each round has an arrival of its own in each
// block, by turns one of two, which is complete when all messages of the round are there: those
// that the blocks announce to expect, and a greeting from each block. A block greets behind a
// barrier of its own, when it has read all messages of the round before, and nobody goes on without
// all greetings; so nobody is more than a round ahead, and messages of two rounds in a row must not
// share a place.
//
//   mail.open(crew)                 once, by all threads; the crew must meet before the first round
//   mail.begin_round(crew, count)   by all threads, which know how many messages there will be in
//                                   all; a barrier of the block lies behind the round before
//   mail.send(crew, place, message) by warps, all lanes
//   mail.wait(crew)                 by all threads: now every message is there, and all threads of
//                                   this block have sent theirs
//
// Under tests/simt, and where a block is alone, messages are ordinary writes and a round waits in a
// barrier of the crew, which is more than is promised here.
#pragma once

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

inline constexpr unsigned kMostClusterBlocks = 16;

template <class Crew>
class RoundMail {
 public:
  __device__ void open(const Crew&) {}
  __device__ void begin_round(const Crew&, int) {}
  __device__ void send(const Crew& crew, lap::Bid* place, const lap::Bid& message) const {
    if (lane() < crew.blocks()) *crew.in_block(place, lane()) = message;
  }
  __device__ void wait(const Crew& crew) { crew.sync(); }
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
template <>
class RoundMail<ClusterCrew> {
 public:
  __device__ void open(const ClusterCrew&) {
    if (threadIdx.x != 0) return;
    for (int turn = 0; turn < 2; ++turn) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(arrival(turn)) : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }

  __device__ void begin_round(const ClusterCrew& crew, int count) {
    if (threadIdx.x == 0) {
      const unsigned bytes = (static_cast<unsigned>(count) + crew.blocks()) * kMessage;
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(arrival(turn_)),
                   "r"(bytes)
                   : "memory");
    }
    if (threadIdx.x < crew.blocks()) {
      send_to(threadIdx.x, address_of(&state().greetings[crew.block()]), 0);
    }
  }

  __device__ void send(const ClusterCrew& crew, lap::Bid* place, const lap::Bid& message) const {
    static_assert(sizeof(lap::Bid) == kMessage);
    const auto bits = static_cast<unsigned long long>(static_cast<unsigned>(message.column)) |
                      static_cast<unsigned long long>(static_cast<unsigned>(message.price)) << 32;
    if (lane() < crew.blocks()) send_to(lane(), address_of(place), bits);
  }

  __device__ void wait(const ClusterCrew&) {
    const unsigned parity = turn_ / 2 % 2;
    unsigned is_complete = 0;
    while (is_complete == 0) {
      asm volatile(
          "{\n .reg .pred complete;\n"
          " mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 complete, [%1], %2;\n"
          " selp.u32 %0, 1, 0, complete;\n}"
          : "=r"(is_complete)
          : "r"(arrival(turn_)), "r"(parity)
          : "memory");
    }
    ++turn_;
  }

 private:
  static constexpr unsigned kMessage = 8;  // bytes

  struct State {
    unsigned long long arrivals[2];
    unsigned long long greetings[kMostClusterBlocks];  // nobody reads them
  };
  __device__ static State& state() {
    __shared__ State shared;
    return shared;
  }
  __device__ static unsigned address_of(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
  }
  __device__ static unsigned arrival(unsigned turn) {
    return address_of(&state().arrivals[turn % 2]);
  }
  __device__ static unsigned in_block(unsigned address, unsigned block) {
    unsigned there = 0;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
    return there;
  }
  __device__ void send_to(unsigned block, unsigned address, unsigned long long bits) const {
    asm volatile(
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];" ::"r"(
            in_block(address, block)),
        "l"(bits), "r"(in_block(arrival(turn_), block))
        : "memory");
  }

  unsigned turn_ = 0;
};
#endif

}  // namespace nat::gpu
