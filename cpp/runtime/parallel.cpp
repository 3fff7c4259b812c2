#include "runtime/parallel.hpp"

#include <algorithm>
#include <atomic>

#include "format/tuning.hpp"
#include "runtime/cpu_count.hpp"
#include "runtime/pool.hpp"

namespace simdrop {
namespace {

std::atomic<int> chosen_threads{0};

}  // namespace

int num_threads() {
  const int chosen = chosen_threads.load(std::memory_order_relaxed);
  return chosen > 0 ? chosen : default_threads();
}

void set_num_threads(int threads) { chosen_threads.store(threads, std::memory_order_relaxed); }

int most_threads(const Split& split) {
  const u64 least = split.threads > 0 ? split.granule : split.worthwhile;
  if (split.n < 2 * least) return 1;
  const u64 threads = static_cast<u64>(split.threads > 0 ? split.threads : num_threads());
  return static_cast<int>(std::min(threads, split.n / least));
}

void run_ranges(const Split& split, RangeCall work) {
  const int threads = most_threads(split);
  if (threads == 1) return work.call(work.work, 0, split.n, 0);
  // Pieces are so long that beginning one costs little, and take no more than about 50 us.
  const u64 least = split.threads > 0 ? split.granule : split.worthwhile / 4;
  const u64 most = std::max(split.granule, 4 * split.worthwhile);
  const Job job{
      split.n, split.granule, std::clamp<u64>(least, 1, most), most, static_cast<u64>(threads),
      work};
  if (!work_together(job, threads - 1, split.n >= kLongJob * split.worthwhile))
    work.call(work.work, 0, split.n, 0);
  call_ended();
}

}  // namespace simdrop
