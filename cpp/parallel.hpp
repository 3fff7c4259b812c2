// Splitting one call over threads. Results never depend on the split.
#pragma once

#include <functional>

#include "plan.hpp"

namespace simdrop {

int num_threads();                  // what a call uses unless told otherwise
void set_num_threads(int threads);  // 0: back to what OpenMP says (OMP_NUM_THREADS, threadpoolctl)

// Runs work(begin, end) on disjoint ranges that cover 0 .. n. Inner borders are multiples of
// `granule`. With threads == 0 the default applies and no thread gets less than `worthwhile`.
void parallel_ranges(u64 n, u64 granule, u64 worthwhile, int threads,
                     const std::function<void(u64, u64)>& work);

}  // namespace simdrop
