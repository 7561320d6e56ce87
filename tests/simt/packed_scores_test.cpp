// Scores of assignments in three bytes each (kernels/cuda/lap/packed_scores.cuh): which
// problems fit, and that what is read is what was written.
#include <doctest/doctest.h>

#include <climits>
#include <vector>

#include "kernels/cuda/lap/resident.cuh"
#include "tests/opcases/device.h"
#include "tests/opcases/lap_check.h"
#include "tests/opcases/lap_hazards.h"

namespace nat::test {
namespace {

// Packs a problem by a cluster of blocks of one warp each; then every block unpacks what lies in
// the one behind it.
template <int kChunks>
__global__ void pack_and_unpack(gpu::LapProblem problem, std::int32_t* unpacked, int* unfit) {
  const gpu::ClusterCrew crew;
  const gpu::LapShare share = gpu::LapShare::of(crew);
  if (!gpu::pack_rows<kChunks>(share, problem, gpu::scores_on_desk(problem, share)) &&
      threadIdx.x == 0) {
    atomicAdd(unfit, 1);
  }
  crew.sync();
  const gpu::SharedRows rows(crew, problem);
  const auto n = static_cast<std::int32_t>(problem.n);
  const auto neighbour = static_cast<std::int32_t>((crew.block() + 1) % crew.blocks());
  for (std::int32_t row = neighbour; row < n; row += static_cast<std::int32_t>(crew.blocks())) {
    for (auto first = static_cast<std::int32_t>(8 * gpu::lane()); first < problem.columns;
         first += 8 * static_cast<std::int32_t>(gpu::kWarp)) {
      const gpu::LaneNumbers scores = rows.eight(row, first);
      for (std::int32_t k = 0; k < 8; ++k) {
        const bool is_same = scores.of[k] == rows.row(row)[first + k];
        unpacked[row * problem.columns + first + k] = is_same ? scores.of[k] : INT_MIN;
      }
    }
  }
  crew.sync();
}

template <int kChunks>
void launch_packing(Context& ctx, const gpu::LapProblem& problem, std::int32_t* unpacked,
                    int* unfit) {
  constexpr unsigned kBlocks = 4;
  gpu::launch(ctx,
              {.grid = dim3(kBlocks),
               .block = dim3(gpu::kWarp),
               .shared_bytes = gpu::desk_bytes(problem.desk, problem.n, problem.columns, kBlocks),
               .cluster = kBlocks},
              pack_and_unpack<kChunks>, problem, unpacked, unfit);
}

// Of scores that are levels; returns whether they fit into three bytes.
bool check_packed(Context& ctx, std::size_t n, const Scores& scores) {
  const auto rows = static_cast<std::int64_t>(n), columns = lap::padded(rows);
  std::vector<std::int32_t> doubled(static_cast<std::size_t>(rows * columns), 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      doubled[i * static_cast<std::size_t>(columns) + j] =
          2 * static_cast<std::int32_t>(scores[i * n + j]);
    }
  }
  const Buffer given(ctx.device, doubled.size() * sizeof(std::int32_t), "doubled scores");
  const Buffer found(ctx.device, given.bytes(), "unpacked scores");
  const Buffer unfit(ctx.device, sizeof(int), "blocks");
  const Shape all(rows * columns);
  upload(ctx, doubled, View(given.data(), DType::i32, all));
  gpu::LapProblem problem{};
  problem.n = rows;
  problem.columns = columns;
  problem.scores = given.as<std::int32_t>();
  problem.desk = gpu::LapDesk::scores;
  upload(ctx, std::vector<std::int32_t>{0}, View(unfit.data(), DType::i32, Shape(1)));
  const auto pack = columns <= gpu::kChunkColumns       ? launch_packing<1>
                    : columns <= 2 * gpu::kChunkColumns ? launch_packing<2>
                                                        : launch_packing<4>;
  pack(ctx, problem, found.as<std::int32_t>(), unfit.as<int>());
  const auto unpacked = host_copy<std::int32_t>(ctx, View(found.data(), DType::i32, all));
  if (host_copy<std::int32_t>(ctx, View(unfit.data(), DType::i32, Shape(1)))[0] != 0) return false;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t begin = i * static_cast<std::size_t>(columns);
    const std::int32_t constant = doubled[begin] - unpacked[begin];
    CHECK((constant == kLapLevels || constant == kLapLevels + 2));
    std::size_t wrong = 0;
    for (std::size_t j = begin; j < begin + n; ++j) wrong += doubled[j] - unpacked[j] != constant;
    CHECK(wrong == 0);
  }
  return true;
}

TEST_CASE(
    "scores in three bytes are what they were, unless a row holds the lowest and the highest") {
  Context ctx(kDevice);
  for (const std::size_t n : {2, 7, 8, 9, 33, 255, 256, 257, 511, 513}) {
    CAPTURE(n);
    Scores scores = random_scores(n, n, kLapLevels);
    scores[0] = kLapLevels;
    scores[n - 1] = 1;
    scores[n] = 0;
    scores[2 * n - 1] = kLapLevels - 1;
    CHECK(check_packed(ctx, n, scores));
    scores[n - 1] = 0;
    CHECK_FALSE(check_packed(ctx, n, scores));
  }
}

gpu::LapDesk desk_of(std::int64_t n, std::int64_t blocks, std::size_t kib) {
  return gpu::desk_for(n, lap::padded(n), blocks, kib << 10);
}

// The largest problem whose scores `blocks` have room for.
std::int64_t most_rows(std::int64_t blocks, std::size_t kib) {
  std::int64_t n = 1;
  while (desk_of(n + 1, blocks, kib) >= gpu::LapDesk::scores) ++n;
  return n;
}

TEST_CASE("what fits into shared memory is what the documents say") {
  constexpr std::size_t kHopper = 227, kA100 = 163, kSmaller = 99;
  CHECK(most_rows(1, kHopper) == 270);
  CHECK(most_rows(8, kHopper) == 736);
  CHECK(most_rows(16, kHopper) == 1024);
  CHECK(most_rows(1, kA100) == 224);
  CHECK(most_rows(1, kSmaller) == 175);
  CHECK(desk_of(256, 8, kHopper) == gpu::LapDesk::all_scores);
  CHECK(desk_of(4096, 0, kHopper) == gpu::LapDesk::all);
  CHECK(desk_of(16384, 0, kHopper) == gpu::LapDesk::search);
}

// The cases of "what fits into shared memory changes nothing" in kernels_lap_hazards_test.cpp.
TEST_CASE("with little shared memory every desk comes up") {
  for (const std::int64_t blocks : {0, 1, 8}) {
    CHECK(desk_of(30, blocks, 5) == gpu::LapDesk::none);
    CHECK(desk_of(30, blocks, 6) == gpu::LapDesk::search);
    CHECK(desk_of(300, blocks, 9) == gpu::LapDesk::search);
  }
  CHECK(desk_of(40, 1, 7) == gpu::LapDesk::all);
  CHECK(desk_of(40, 8, 7) == gpu::LapDesk::scores);
  CHECK(desk_of(40, 1, 9) == gpu::LapDesk::all_scores);
  CHECK(desk_of(40, 8, 9) == gpu::LapDesk::all_scores);
}

}  // namespace
}  // namespace nat::test
