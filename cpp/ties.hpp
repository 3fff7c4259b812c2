// The two verbs of a trait that deal with ties, in plain integer code, for instruction sets that
// have no vector form of them. Leaf files only: everything here has internal linkage.
#pragma once

#include "bits.hpp"

namespace simdrop {
namespace {

// Appends those of kLanes words that are not zero, with their numbers; returns the new end.
template <u32 kLanes>
u32 append_nonzero_words(const u64* w, const u32* number, u64* word, u32* index, u32 end) {
  for (u32 l = 0; l < kLanes; ++l) {
    word[end] = w[l];
    index[end] = number[l];
    end += w[l] != 0;
  }
  return end;
}

// For the lowest set bit of each word: its element of the group, the block of its tail word, and
// the word without it. A word of zero gives numbers that are valid and meaningless.
template <u32 kLanes>
void locate_lowest(const u64* word, const u32* index, const u64* block, u64* tail_block,
                   u32* element, u64* rest) {
  for (u32 l = 0; l < kLanes; ++l) {
    const u64 w = word[l];
    const u32 i = index[l] * 64 + static_cast<u32>(w == 0 ? 0 : lowest_bit(w));
    element[l] = i;
    rest[l] = w & (w - 1);
    tail_block[l] = (block[i / kBlockElements] << 5) + i % kBlockElements / 4;
  }
}

}  // namespace
}  // namespace simdrop
