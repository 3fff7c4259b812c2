// Splitting one call over threads. Results never depend on the split.
#pragma once

#include <memory>
#include <type_traits>

#include "format/integers.hpp"
#include "runtime/pool.hpp"

namespace simdrop {

// What a call uses unless told otherwise: what set_num_threads said, else OMP_NUM_THREADS, else as
// many threads as this process may use CPUs (cpu_count.hpp).
int num_threads();
void set_num_threads(int threads);  // 0: back to that

// Work on 0 .. n, cut so that inner borders are multiples of `granule`. With threads == 0 the
// default applies and no thread gets less than `worthwhile`.
struct Split {
  u64 n;
  u64 granule;
  u64 worthwhile;
  int threads;
};

// How many threads may take part, at least one; each has a number from 0 on of its own.
int most_threads(const Split& split);

void run_ranges(const Split& split, RangeCall work);

// Runs work(begin, end) or work(begin, end, thread) on disjoint ranges that cover 0 .. n. What a
// range needs beside the stack is allocated before, for most_threads() of them: a call that runs
// out of memory must not have written anything.
template <class Work>
void parallel_ranges(u64 n, u64 granule, u64 worthwhile, int threads, const Work& work) {
  const auto call = [](const void* object, u64 begin, u64 end, [[maybe_unused]] int thread) {
    const Work& f = *static_cast<const Work*>(object);
    if constexpr (std::is_invocable_v<const Work&, u64, u64, int>)
      f(begin, end, thread);
    else
      f(begin, end);
  };
  run_ranges({n, granule, worthwhile, threads}, {std::addressof(work), call});
}

}  // namespace simdrop
