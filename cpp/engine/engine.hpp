// From a plan and memory to kernel calls: contiguous or strided, on one thread or several.
// Nothing here knows of Python. Arguments have been checked.
#pragma once

#include "engine/layout.hpp"
#include "format/make_plan.hpp"
#include "kernels/table.hpp"

namespace simdrop {

// A mask without its shape: 1 = p in 2^-40, the stream of numbers, and the index of element 0.
struct Draw {
  u64 threshold;
  u64 seed;
  u64 stream;
  u64 offset;
};

// In all of the following x and y have one shape and dtype; they are the same memory or disjoint.

// y = Op::scale or Op::affine of x and a bit for each element.
void dropout(const Draw& draw, const Operation& operation, const View& x, const View& y,
             int threads);

// Op::scale: y = keep ? x * scale : +0.
inline void dropout(const Draw& draw, double scale, const View& x, const View& y, int threads) {
  Operation operation;
  operation.scale = scale;
  dropout(draw, operation, x, y, threads);
}

// Op::scale or Op::affine with the bit at index draw.offset + sum(i_a * index_steps[a]) for element
// i of x: a window of a mask, steps of 0 where elements share a bit. Without steps it is dropout().
void dropout_window(const Draw& draw, const Operation& operation, const View& x, const View& y,
                    std::span<const i64> index_steps, int threads);

// y = Op::residual or Op::blend of x and another array of its shape and dtype (fused.cpp). A bias
// has one element for each of the last dimension of x; its `data` may be null.
void dropout_fused(const Draw& draw, Op op, double scale, const View& x, const View& bias,
                   const View& other, const View& y, int threads);

// y = x with normal deviates first, first + 1, ... of the draw (noise.cpp).
void normal_noise(const Draw& draw, Noise noise, double sd, const View& x, const View& y,
                  int threads);

// If every element is kept as it is or all are cleared: bits are copied or set to 0, never
// computed with. Returns whether that was the case.
bool copy_or_clear(u64 threshold, const Operation& operation, const View& x, const View& y,
                   int threads);

// As many of `threads` as a call on n elements has enough work for; at least one.
int worthwhile_threads(u64 n, int threads);

void packed(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads);
void bytes(const Plan& plan, u64 first, u64 n, u8* out, bool invert, int threads);
u64 count_kept(const Plan& plan, u64 first, u64 n, int threads);

// The same for a window, in C order of its shape (window_bits.cpp).
void window_packed(const Plan& plan, u64 offset, std::span<const i64> shape,
                   std::span<const i64> index_steps, u8* out, bool invert, int threads);
void window_bytes(const Plan& plan, u64 offset, std::span<const i64> shape,
                  std::span<const i64> index_steps, u8* out, bool invert, int threads);
u64 window_count(const Plan& plan, u64 offset, std::span<const i64> shape,
                 std::span<const i64> index_steps, int threads);

}  // namespace simdrop
