// From a plan and memory to kernel calls: contiguous or strided, on one thread or several.
// Nothing here knows of Python. Arguments have been checked.
#pragma once

#include "layout.hpp"
#include "make_plan.hpp"

namespace simdrop {

// A mask without its shape: 1 = p in 2^-40, the stream of numbers, and the index of element 0.
struct Draw {
  u64 threshold;
  u64 seed;
  u64 stream;
  u64 offset;
};

// y = keep ? x * scale : 0. x and y have one shape and dtype; they are the same memory or disjoint.
void dropout(const Draw& draw, double scale, const View& x, const View& y, int threads);

// As many of `threads` as a call on n elements has enough work for; at least one.
int worthwhile_threads(u64 n, int threads);

void packed(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads);
void bytes(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads);
u64 count_kept(const Plan& plan, u64 first, u64 n, int threads);

}  // namespace simdrop
