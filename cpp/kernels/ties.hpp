// The verbs of a trait that deal with ties (V::list_ties, V::Ties) in plain integer code, for
// instruction sets that have no vector form of them. Leaf files only: everything here has internal
// linkage.
#pragma once

#include "format/bits.hpp"
#include "format/plan.hpp"

namespace simdrop {
namespace {

// Lists those of `count` words that are not zero, and their numbers; returns how many. V::nonzero
// tells which of V::lanes words that are.
template <class V>
u32 list_words(const u64* words, u32 count, u64* word, u32* index) {
  u32 n = 0;
  for (u32 from = 0; from < count; from += 32) {
    u64 found = 0;
    const u32 m = count - from < 32 ? count - from : 32;
    for (u32 j = 0; j < m; j += V::lanes) found |= u64{V::nonzero(words + from + j)} << j;
    for (; found != 0; found &= found - 1) {
      const u32 j = from + static_cast<u32>(lowest_bit(found));
      word[n] = words[j];
      index[n++] = j;
    }
  }
  return n;
}

// The lowest ties of V::lanes words.
template <class V>
class TieLanes {
 public:
  TieLanes() = default;

  // There may be fewer words, or none. `index` numbers them within the group, `block` has the
  // group's block numbers.
  TieLanes(const u64* word, const u32* index, u32 count, const u64* block) {
    for (u32 l = 0; l < V::lanes; ++l) {
      const u64 w = l < count ? word[l] : 0;
      index_[l] = index[l];
      bit_[l] = w & (0 - w);
      others_[l] = w ^ bit_[l];
      const u32 i = index[l] * 64 + static_cast<u32>(w == 0 ? 0 : lowest_bit(w));
      tail_block_[l] = (block[i / kBlockElements] << 5) + i % kBlockElements / 4;
      tail_word_[l] = i % 4;
    }
  }

  // The blocks of the tail words.
  auto block() const { return V::load(tail_block_); }

  // Lists the words that have more ties, without these; returns how many. Writes V::lanes of them.
  u32 others(u64* word, u32* index) const {
    u32 n = 0;
    for (u32 l = 0; l < V::lanes; ++l) {
      word[n] = others_[l];
      index[n] = index_[l];
      n += others_[l] != 0;
    }
    return n;
  }

  // flip[l] = the bit, if its tail word is below `tail`
  template <class Pair>
  void dropped(Pair w01, Pair w23, u32 tail, u64* flip) const {
    alignas(64) u32 words[4 * V::lanes];
    V::interleave(words, w01, w23);
    for (u32 l = 0; l < V::lanes; ++l) flip[l] = words[4 * l + tail_word_[l]] < tail ? bit_[l] : 0;
  }

 private:
  u32 index_[V::lanes];
  u64 bit_[V::lanes], others_[V::lanes];
  alignas(64) u64 tail_block_[V::lanes];
  u32 tail_word_[V::lanes];  // which of the four words of its block
};

}  // namespace
}  // namespace simdrop
