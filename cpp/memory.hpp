// How large results are written: through the caches or around them, on pages of which size.
#pragma once

#include "plan.hpp"

namespace simdrop {

// Whether a result of so many bytes, made out of place, is written around the caches. Its lines
// then need not be read first; a smaller one is likely to be read again while it is in a cache.
bool writes_around_caches(u64 bytes);

// The size from which on that is so: half the last-level cache, so that source and result fill it;
// within 8 .. 64 MiB. With a cache of 32 MiB and two threads, 8 MiB are written at 22 G float32/s
// through the cache and at 9.7 around it, 32 MiB at 7.0 and 7.9.
u64 stream_bytes();

// From this many bytes on it pays to ask for large pages; NumPy asks from the same size on.
inline constexpr u64 kLargePageBytes = u64{4} << 20;

// Asks for large pages under memory that was just allocated and not yet touched. A page of 4 KiB
// costs half a microsecond when it is first written, several times what dropout costs on it.
// A hint: where the system does not know it, or is told not to follow it, nothing changes.
void ask_for_large_pages(void* data, u64 bytes);

}  // namespace simdrop
