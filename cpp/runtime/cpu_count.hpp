// How many threads a process should use.
#pragma once

namespace simdrop {

// The CPUs that this process may use: its affinity mask, and the quota of its control group.
int cpu_count();

// OMP_NUM_THREADS (its first number, read once), else cpu_count().
int default_threads();

}  // namespace simdrop
