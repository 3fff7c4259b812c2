// Where large arrays are and how they are written: in the caches or in memory, on which pages.
#pragma once

#include "table.hpp"

namespace simdrop {

// What the caches hold: the size of the last level, within 16 .. 128 MiB.
u64 cache_bytes();

// How a call moves arrays of so many bytes each, of which it reads `operands` and writes one that
// may be among them. If together they exceed the caches, a result of its own is written around
// them: its lines then need not be read first. A smaller one is likely to be read again while it is
// in a cache. (With 32 MiB of cache and two threads, 8 MiB are written at 22 G float32/s through
// the cache and at 9.7 around it, 32 MiB at 7.0 and 7.9.)
Traffic traffic_of(u64 bytes, bool in_place, u64 operands = 1);

// From this many bytes on it pays to ask for large pages; NumPy asks from the same size on.
inline constexpr u64 kLargePageBytes = u64{4} << 20;

// Asks for large pages under memory that was just allocated and not yet touched. A page of 4 KiB
// costs half a microsecond when it is first written, several times what dropout costs on it.
// A hint: where the system does not know it, or is told not to follow it, nothing changes.
void ask_for_large_pages(void* data, u64 bytes);

}  // namespace simdrop
