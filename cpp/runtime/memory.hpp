// Where large arrays are and how they are written: in the caches or in memory, on which pages.
#pragma once

#include "kernels/table.hpp"

namespace simdrop {

// What the caches hold: the size of the last level, within the bounds of tuning.hpp.
u64 cache_bytes();

// How a call moves arrays of so many bytes each, of which it reads `operands` and writes one that
// may be among them. If together they exceed the caches, a result of its own is written around
// them: its lines then need not be read first. A smaller one is likely to be read again while it is
// in a cache.
Traffic traffic_of(u64 bytes, bool in_place, u64 operands = 1);
// The same for one contiguous array that is read.
Traffic contiguous_traffic_of(u64 bytes, bool in_place);

// Asks for large pages under memory that was just allocated and not yet touched, if it is large.
// A hint: where the system does not know it, or is told not to follow it, nothing changes.
void ask_for_large_pages(void* data, u64 bytes);

}  // namespace simdrop
