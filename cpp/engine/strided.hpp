// The ways of a call on n elements whose memory is not one stretch in the mask's order (engine.cpp
// chooses).
#pragma once

#include "engine/layout.hpp"
#include "format/operation.hpp"
#include "format/plan.hpp"

namespace simdrop {

// Each element has an index of its own, and the index steps by 1 along the last axis
// (strided.cpp).
void strided(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk, u64 n,
             int threads);

// The same where memory runs in another order than the index, or backwards, in pieces whose bits
// are drawn first and then brought into the order of memory (boxes.cpp). Returns whether that was
// so.
bool in_memory_order(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk,
                     u64 n, int threads);

// Elements share bits, or the index steps by more (broadcast.cpp).
void shared_or_stepped(const Plan& plan, const Operation& operation, DType dtype, const Walk& walk,
                       u64 n, int threads);

}  // namespace simdrop
