// Programs with one planted bug each. A tool that has never reported an error cannot be told from
// one that is not running: simt_selftest runs every one of them, with the bug and without.
#pragma once

#include <array>
#include <cstddef>

namespace simt::test {

// What the build can see.
enum class Configuration { plain, address, thread };
#if defined(NAT_SIMT_ASAN)
inline constexpr Configuration kConfiguration = Configuration::address;
#elif defined(NAT_SIMT_TSAN)
inline constexpr Configuration kConfiguration = Configuration::thread;
#else
inline constexpr Configuration kConfiguration = Configuration::plain;
#endif

struct PlantedBug {
  const char* name;
  // A part of the report in each configuration; null where the bug cannot be seen.
  const char *plain, *address, *thread;

  constexpr const char* report() const {
    return kConfiguration == Configuration::plain     ? plain
           : kConfiguration == Configuration::address ? address
                                                      : thread;
  }
};

inline constexpr const char* kWrong = "wrong values";
inline constexpr const char* kRace = "WARNING: ThreadSanitizer: data race";
inline constexpr const char* kPoisoned = "AddressSanitizer: use-after-poison";

constexpr PlantedBug everywhere(const char* name, const char* report) {
  return {name, report, report, report};
}

inline constexpr std::array kPlantedBugs = {
    // synchronisation
    PlantedBug{"missing barrier", kWrong, kWrong, kRace},
    PlantedBug{"buffer reused without a barrier", kWrong, kWrong, kRace},
    PlantedBug{"warp shares memory without __syncwarp", nullptr, nullptr, kRace},
    PlantedBug{"plain update across blocks", nullptr, nullptr, kRace},
    PlantedBug{"missing grid.sync", nullptr, nullptr, kRace},
    PlantedBug{"missing cluster.sync", nullptr, nullptr, kRace},
    PlantedBug{"cluster.sync between clusters", nullptr, nullptr, kRace},
    PlantedBug{"shared memory of another block without cluster.sync", nullptr, nullptr, kRace},
    everywhere("shared memory of a block that has not begun", "may not have begun"),
    everywhere("shared memory of a block that has ended", "may have ended"),
    everywhere("shared memory of a block that does not exist", "there is no block 2"),
    everywhere("barrier in a branch", "divergent barrier"),
    everywhere("threads of a warp wait in two places", "divergent warp"),
    everywhere("lost barrier", "deadlock"),
    everywhere("block ends before grid.sync", "blocks wait in grid.sync"),
    everywhere("grid.sync in an ordinary launch", "not cooperative"),
    everywhere("grid.sync in two places", "blocks that wait for each other do so at"),
    everywhere("cluster.sync in two places", "blocks that wait for each other do so at"),
    everywhere("one lane misses cluster.sync", "deadlock"),
    everywhere("cluster.sync in a launch without clusters", "without clusters"),
    // lanes
    everywhere("half mask", "does not take part"),
    everywhere("lane outside of its mask", "not in its own mask"),
    everywhere("lane that does not exist", "names lanes that do not exist"),
    everywhere("lane that has ended", "does not take part"),
    // memory
    PlantedBug{"static shared memory overrun", nullptr, "out of bounds", nullptr},
    PlantedBug{"dynamic shared memory overrun", "beyond the 128 bytes", kPoisoned,
               "beyond the 128 bytes"},
    PlantedBug{"global memory overrun by one", "behind the end of an allocation", kPoisoned,
               "behind the end of an allocation"},
    PlantedBug{"misaligned float4", nullptr, "misaligned address", nullptr},
    everywhere("uninitialised shared memory", kWrong),
    everywhere("uninitialised device memory", kWrong),
    PlantedBug{"use after free", kWrong, kPoisoned, kWrong},
    everywhere("stack overflow", "stack"),
    everywhere("host memory given to a kernel", "address of host memory"),
    PlantedBug{"host touches device memory", "host code touched device memory", kPoisoned,
               "host code touched device memory"},
    everywhere("copy in the wrong direction", "not where its kind says"),
    // launches
    everywhere("block too large", "the block is too large"),
    everywhere("grid too large in y", "the grid is too large in y or z"),
    everywhere("too much shared memory", "too much dynamic shared memory"),
    everywhere("much shared memory without asking", "without cudaFuncSetAttribute"),
    everywhere("cooperative launch too large", "cannot all be resident"),
    everywhere("cluster too large", "more than 8 blocks"),
    everywhere("cluster does not divide the grid", "does not divide the grid"),
    everywhere("cluster in y", "in y or z are not modelled"),
    everywhere("clusters in a cooperative launch", "cooperative launch of clusters"),
    everywhere("clusters on a device without", "the device has no clusters"),
    // captures
    everywhere("synchronising in a capture", "cudaErrorStreamCaptureUnsupported"),
    everywhere("allocating in a capture", "cudaErrorStreamCaptureUnsupported"),
    everywhere("default stream in a capture", "cudaErrorStreamCaptureImplicit"),
    everywhere("forked stream not joined", "cudaErrorStreamCaptureUnjoined"),
};

}  // namespace simt::test
