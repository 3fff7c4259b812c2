// The pool of threads that help a call with its work.
#pragma once

#include <algorithm>

#include "format/integers.hpp"

namespace simdrop {

// Calls a function object that lives longer, without an allocation.
struct RangeCall {
  const void* work;
  void (*call)(const void* work, u64 begin, u64 end, int thread);
};

// Half of what would be fair at a time: large pieces at first, small ones at the end, so that the
// threads end together.
struct Job {
  u64 n, granule, least, most;
  u64 threads;
  RangeCall work;

  u64 end_of_piece(u64 begin) const {
    const u64 fair = std::clamp((n - begin) / (2 * threads), least, most);
    return std::min(n, begin + (fair + granule - 1) / granule * granule);
  }
};

// Does the job with so many helpers at the most; returns false, with nothing done, where the caller
// is faster alone: another call has the helpers, they sleep and the job is not `is_long`, other
// processes keep them from their CPUs, or there are none.
bool work_together(const Job& job, int helpers, bool is_long);

// To be called after each call, whoever did its work: what comes soon after is worth a thread.
void call_ended();

}  // namespace simdrop
