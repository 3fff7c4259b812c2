// The ties of a group on their way to a decision: those words that have any are listed, then the
// tail words of a batch of ties are drawn and compared, until none is left.
//
// That is done in pieces between the steps of the next group, because each is a long chain of
// instructions that would be waited for. Where the chains that run side by side are long enough to
// fill a core (V::spreads_ties, AVX-512), the pieces are short ones, and one batch nearly always
// serves a group:
//
//   list | spread: one tie to a word | locate the tail words | draw them | drop
//
// Elsewhere one piece does the last four for a small batch, which takes fewer instructions.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"
#include "format/plan.hpp"
#include "kernels/philox.hpp"

namespace simdrop {
namespace {

inline constexpr int kGroupWords = kGroupBlocks * 2;  // 64-bit words

template <class V>
class TieQueue {
  enum class Next { nothing, list, spread, locate, draw, drop, batch };
  static constexpr u32 kBatch = V::lanes * V::tie_chains;
  static constexpr u32 kCapacity = 2 * kGroupWords + kBatch;
  static constexpr int kBatches = static_cast<int>((32 + kBatch - 1) / kBatch);

 public:
  // Batches for more than all but a twentieth of groups have.
  static constexpr int kPieces = V::spreads_ties ? 2 + 3 * kBatches : 1 + kBatches;

  TieQueue(const Plan& plan, u64 first, const KeySchedule<V>& key)
      : plan_(plan),
        key_(key),
        scalars_(plane_scalars(plan, static_cast<u32>(first >> 34), kTailPlane)) {}

  // Where a group's ties are written as bits. They stay there until they are listed.
  u64* bits() { return bits_; }
  // So many words of them, of a group with these blocks and these keep bits.
  void start(u32 words, const u64* block, u64* keep) {
    words_ = words;
    block_ = block;
    keep_ = keep;
    at_ = spread_ = end_ = 0;
    next_ = Next::list;
  }
  bool done() const { return next_ == Next::nothing; }

  SIMDROP_INLINE void resolve_some() {
    switch (next_) {
      case Next::nothing:
        return;
      case Next::list:
        end_ = V::list_ties(bits_, words_, word_, index_);
        next_ = V::spreads_ties ? Next::spread : end_ == 0 ? Next::nothing : Next::batch;
        return;
      default:
        if constexpr (V::spreads_ties)
          resolve_part();
        else
          resolve_batch();
    }
  }

 private:
  SIMDROP_INLINE void resolve_part() {
    if (next_ == Next::spread) {
      spread();
      next_ = end_ == 0 ? Next::nothing : Next::locate;
    } else if (next_ == Next::locate) {
      locate();
      next_ = Next::draw;
    } else if (next_ == Next::draw) {
      draw();
      next_ = Next::drop;
    } else {
      drop();
      at_ += kBatch;
      next_ = Next::locate;
      if (at_ >= spread_) end_batches();
    }
  }

  // The lowest tie of each word is decided. Words that have more go to the end without it, as far
  // as there is room.
  void spread() {
    if (at_ == 0 && V::spread_ties(word_, index_, end_)) {
      spread_ = end_;
      return;
    }
    while (spread_ < end_ && end_ <= kCapacity - V::lanes) {
      const u32 left = end_ - spread_, n = left < V::lanes ? left : V::lanes;
      end_ += V::more_ties(word_ + spread_, index_ + spread_, n, word_ + end_, index_ + end_);
      spread_ += n;
    }
  }

  SIMDROP_NOINLINE void locate() {
    u32 left = spread_ - at_;
    for (u32 c = 0; c < V::tie_chains; ++c) {
      const u32 from = at_ + c * V::lanes, count = left < V::lanes ? left : V::lanes;
      left -= count;
      batch_[c] = typename V::Ties(word_ + from, index_ + from, count, block_);
    }
  }

  SIMDROP_NOINLINE void draw() {
    SharedRounds<V> shared[V::tie_chains];
    for (u32 c = 0; c < V::tie_chains; ++c) shared[c] = SharedRounds<V>(plan_, batch_[c].block());
    Words<V> u[V::tie_chains];
    draw_planes<V, 1, V::tie_chains>(u, shared, &scalars_, key_, Nothing{});
    for (u32 c = 0; c < V::tie_chains; ++c)
      batch_[c].dropped(u[c].w01, u[c].w23, plan_.tail, flip_ + c * V::lanes);
  }

  SIMDROP_INLINE void drop() {
    for (u32 l = 0; l < kBatch; ++l) keep_[index_[at_ + l]] ^= flip_[l];
  }

  // All that are spread are decided; there may have been no room for some.
  void end_batches() {
    end_ -= spread_;
    for (u32 l = 0; l < end_; ++l) {
      word_[l] = word_[spread_ + l];
      index_[l] = index_[spread_ + l];
    }
    spread_ = 0;
    next_ = Next::nothing;
    if (end_ == 0) return;
    next_ = Next::spread;
    at_ = 0;
  }

  // The same at once for the first words of the list.
  SIMDROP_NOINLINE void resolve_batch()
    requires(!V::spreads_ties)
  {
    if (end_ > kCapacity - kBatch) {
      for (u32 l = at_; l < end_; ++l) {
        word_[l - at_] = word_[l];
        index_[l - at_] = index_[l];
      }
      end_ -= at_;
      at_ = 0;
    }
    typename V::Ties ties[V::tie_chains];
    SharedRounds<V> shared[V::tie_chains];
    const u32 at = at_;
    u32 left = end_ - at;
    for (u32 c = 0; c < V::tie_chains; ++c) {
      const u32 from = at + c * V::lanes;
      const u32 count = left < V::lanes ? left : V::lanes;
      left -= count;
      ties[c] = typename V::Ties(word_ + from, index_ + from, count, block_);
      shared[c] = SharedRounds<V>(plan_, ties[c].block());
    }
    at_ = end_ - at < kBatch ? end_ : at + kBatch;
    for (u32 c = 0; c < V::tie_chains; ++c) end_ += ties[c].others(word_ + end_, index_ + end_);
    Words<V> u[V::tie_chains];
    draw_planes<V, 1, V::tie_chains>(u, shared, &scalars_, key_, Nothing{});
    alignas(64) u64 flip[kBatch];
    for (u32 c = 0; c < V::tie_chains; ++c)
      ties[c].dropped(u[c].w01, u[c].w23, plan_.tail, flip + c * V::lanes);
    for (u32 l = 0; l < kBatch; ++l) keep_[index_[at + l]] ^= flip[l];
    if (at_ == end_) next_ = Next::nothing;
  }

  const Plan& plan_;
  const KeySchedule<V>& key_;
  PlaneScalars scalars_;
  Next next_ = Next::nothing;
  u32 words_ = 0;
  u32 at_ = 0, spread_ = 0, end_ = 0;
  const u64* block_ = nullptr;
  u64* keep_ = nullptr;
  alignas(64) u64 bits_[kGroupWords];
  alignas(64) u64 word_[kCapacity];        // ties as bits of a word,
  alignas(64) u32 index_[kCapacity] = {};  // and which word of the group that is
  typename V::Ties batch_[V::tie_chains];
  alignas(64) u64 flip_[kBatch];
};

}  // namespace
}  // namespace simdrop
