// Normal deviates on their way into arrays.
#include <algorithm>
#include <vector>

#include "engine/engine.hpp"
#include "engine/gather.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

constexpr u64 kValues = 2 * kNormalPairs;  // deviates at a time

}  // namespace

void normal_noise(const Draw& draw, Noise noise, double sd, const View& x, const View& y,
                  int threads) {
  const u64 n = x.size();
  if (n == 0) return;
  const Plan plan = word_plan(kNormalPlane, draw.seed, draw.stream);
  const KernelTable& table = active_table();
  const NoiseKernel kernel = table.noise[static_cast<int>(noise)][static_cast<int>(x.dtype)];
  const Pieces from(x), to(y);
  const bool dense = from.is_dense() && to.is_dense();
  parallel_ranges(n, kValues, kNormalWorthwhile, threads, [&](u64 begin, u64 end) {
    alignas(64) u64 words[kValues];
    alignas(64) double z[kValues];
    alignas(64) u8 buffer[kValues * sizeof(double)];
    for (u64 i = begin; i < end;) {
      const u64 first = draw.offset + i;
      const u64 m = std::min(kValues - first % 2, end - i);
      const u64 pairs = (first % 2 + m + 1) / 2;
      table.packed(plan, first / 2 * kBlockElements, pairs * kBlockElements, words, false);
      table.deviates(words, pairs, z);
      if (dense) {
        kernel(z + first % 2, sd, from.at(i), to.at(i), m);
      } else {
        from.gather(i, i + m, buffer);
        kernel(z + first % 2, sd, buffer, buffer, m);
        to.scatter(i, i + m, buffer);
      }
      i += m;
    }
  });
}

}  // namespace simdrop
