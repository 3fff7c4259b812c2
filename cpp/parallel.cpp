#include "parallel.hpp"

#include <algorithm>
#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace simdrop {
namespace {

std::atomic<int> chosen_threads{0};
std::atomic<bool> forked{false};

#if defined(__unix__) || defined(__APPLE__)
// OpenMP's worker threads do not survive a fork, and libgomp waits for them for ever in the child
// (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=58378). A forked child therefore runs alone.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#endif

}  // namespace

int num_threads() {
  const int chosen = chosen_threads.load(std::memory_order_relaxed);
  if (chosen > 0) return chosen;
#ifdef _OPENMP
  return std::max(1, omp_get_max_threads());
#else
  return 1;
#endif
}

void set_num_threads(int threads) { chosen_threads.store(threads, std::memory_order_relaxed); }

void parallel_ranges(u64 n, [[maybe_unused]] u64 granule, [[maybe_unused]] u64 worthwhile,
                     [[maybe_unused]] int threads, const std::function<void(u64, u64)>& work) {
  u64 pieces = 1;
#ifdef _OPENMP
  if (!forked.load(std::memory_order_relaxed)) {
    pieces = static_cast<u64>(threads > 0 ? threads : num_threads());
    const u64 least = threads > 0 ? granule : worthwhile;
    pieces = std::max<u64>(1, std::min(pieces, n / least));
  }
#endif
  if (pieces == 1) {
    work(0, n);
    return;
  }
#ifdef _OPENMP
  const u64 step = (n / pieces + granule - 1) / granule * granule;
#pragma omp parallel for num_threads(static_cast<int>(pieces)) schedule(static, 1)
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(pieces); ++i) {
    const u64 begin = std::min(n, static_cast<u64>(i) * step);
    const u64 end = static_cast<u64>(i) + 1 == pieces ? n : std::min(n, begin + step);
    if (begin < end) work(begin, end);
  }
#endif
}

}  // namespace simdrop
