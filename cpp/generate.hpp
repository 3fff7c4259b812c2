// Keep bits of a group of 48 blocks (6144 elements), written once for every instruction set.
//
// u(i) is compared with T bit-serially, from the least significant plane that
// matters to the most significant: with t the bit of T in that plane,
//
//     keep = t ? keep & u : keep | u          (u(i) >= T, starting from "equal so far": all ones)
//
// so a plane costs one logic instruction per register. The same recurrence started from zeros
// gives u(i) > T; where the two differ the eight bits tie and the tail word decides.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "bits.hpp"
#include "philox.hpp"

namespace simdrop {
namespace {

inline constexpr int kGroupBlocks = 48;               // six chains of eight lanes (AVX-512)
inline constexpr int kGroupWords = kGroupBlocks * 2;  // 64-bit words
inline constexpr u64 kGroupElements = kGroupBlocks * kBlockElements;

// The generator of one stretch of a mask whose element indices agree above their lowest 34 bits, so
// that neither the block numbers nor those of the tail words (i / 4) change in their upper words.
inline constexpr u64 kStretch = u64{1} << 34;

template <class V>
class Generator {
  static constexpr int kVectors = kGroupBlocks / static_cast<int>(V::lanes);
  static constexpr int kMaxPlanes = 8;

 public:
  Generator(const Plan& plan, u64 first)
      : plan_(plan),
        planes_(plan.plane_last - plan.plane_first + 1),
        compare_tail_(plan.tail != 0),
        key_(plan) {
    for (int k = 0; k < planes_; ++k)
      scalars_[k] = plane_scalars(plan, static_cast<u32>(first >> 39), plan.plane_first + k);
    tail_scalars_ = plane_scalars(plan, static_cast<u32>(first >> 34), kTailPlane);
  }

  // How many calls of step() make a group, and how many pauses a group has for other work: one
  // after each step, one after finish, about three in settle.
  int steps() const { return planes_; }
  int pauses() const { return compare_tail_ ? planes_ + 4 : planes_; }

  // A group is block() filled, begin, every step, finish, settle. The next begin may come before
  // settle, and should: settle reads what finish has just written, which takes a while to arrive.
  u64* block() { return block_[1 - now_]; }
  void begin(int count) {
    now_ = 1 - now_;
    vectors_ = (count + static_cast<int>(V::lanes) - 1) / static_cast<int>(V::lanes);
    for (int v = 0; v < vectors_; ++v)
      shared_[v] = SharedRounds<V>(plan_, V::load(block_[now_] + static_cast<u32>(v) * V::lanes));
  }

  // Step s draws one plane of the group, least significant first.
  void step(int s) {
    const int k = planes_ - 1 - s;
    // Of random bits (one plane, no threshold) the plane itself is the answer.
    const bool t = planes_ == 1 || ((plan_.top >> (kMaxPlanes - 1 - k)) & 1) != 0;
    if (s == 0)
      compare_tail_ ? (t ? plane<true, true, true>(k) : plane<true, true, false>(k))
                    : plane<true, false, true>(k);
    else if (compare_tail_)
      t ? plane<false, true, true>(k) : plane<false, true, false>(k);
    else
      t ? plane<false, false, true>(k) : plane<false, false, false>(k);
  }

  // Writes the group's keep bits, 64 to a word, in element order; ties count as kept.
  SIMDROP_NOINLINE void finish(u64* keep) {
    if (planes_ == 0) {
      const u64 fill = plan_.top == 0 ? ~u64{0} : 0;
      for (int j = 0; j < kGroupWords; ++j) keep[j] = fill;
      return;
    }
    constexpr u32 kWords = V::lanes * 2;
    for (u32 v = 0; v < static_cast<u32>(vectors_); ++v)
      V::interleave(keep + v * kWords, ge_[v].w01, ge_[v].w23);
    if (!compare_tail_) return;
    for (u32 v = 0; v < static_cast<u32>(vectors_); ++v)
      V::interleave(tie_ + v * kWords, V::bit_xor(ge_[v].w01, gt_[v].w01),
                    V::bit_xor(ge_[v].w23, gt_[v].w23));
    tie_block_ = block_[now_];
    list_ties(static_cast<u32>(vectors_) * kWords);
  }

  // Decides the ties that finish found, about one element in 256 and 24 of a group. Their tail
  // words are drawn kTieBatch at a time; share() is called after each batch.
  template <class Share>
  SIMDROP_INLINE void settle(u64* keep, const Share& share) {
    if (!compare_tail_) return;
    for (u32 count = tie_words_; ties_ != 0; list_ties(count)) {
      for (u32 at = 0; at < ties_; at += kTieBatch) {
        settle_batch(keep, at);
        share();
      }
      if (ties_ < kTieCapacity / 2) break;  // the list was not cut short
    }
  }

 private:
  static constexpr u32 kTieBatch = V::lanes * V::tie_chains;
  // The list is cut short when less than a group's words fit: then there are more than half of
  // these.
  static constexpr u32 kTieCapacity = 3 * kGroupWords;

  void list_ties(u32 words) {
    tie_words_ = words;
    ties_ = V::list_ties(tie_, words, tie_bit_, tie_index_, kTieCapacity);
    for (u32 l = 0; l < kTieBatch; ++l) tie_bit_[ties_ + l] = tie_index_[ties_ + l] = 0;
  }

  SIMDROP_NOINLINE void settle_batch(u64* keep, u32 at) {
    typename V::Ties ties[V::tie_chains];
    SharedRounds<V> shared[V::tie_chains];
    for (u32 c = 0; c < V::tie_chains; ++c) {
      const u32 from = at + c * V::lanes;
      ties[c] = typename V::Ties(tie_bit_ + from, tie_index_ + from, tie_block_);
      shared[c] = SharedRounds<V>(plan_, ties[c].block());
    }
    Words<V> u[V::tie_chains];
    draw_plane<V>(u, shared, tail_scalars_, key_);
    alignas(64) u64 flip[kTieBatch];
    for (u32 c = 0; c < V::tie_chains; ++c)
      ties[c].dropped(u[c].w01, u[c].w23, plan_.tail, flip + c * V::lanes);
    for (u32 l = 0; l < kTieBatch; ++l) keep[tie_index_[at + l]] ^= flip[l];
  }

  // One plane of the group. First: of the group; Tail: ties matter; Bit: the threshold's bit.
  template <bool First, bool Tail, bool Bit>
  SIMDROP_NOINLINE void plane(int k) {
    int v = 0;
    for (; v + V::chains <= vectors_; v += V::chains) chains<First, Tail, Bit, V::chains>(k, v);
    for (; v < vectors_; ++v) chains<First, Tail, Bit, 1>(k, v);
  }

  template <bool First, bool Tail, bool Bit, int N>
  SIMDROP_INLINE void chains(int k, int v) {
    Words<V> u[N];
    draw_plane<V>(u, shared_ + v, scalars_[k], key_);
    for (int c = 0; c < N; ++c) {
      compare<First, Bit>(ge_[v + c], u[c], V::ones());
      if constexpr (Tail) compare<First, Bit>(gt_[v + c], u[c], V::zeros());
    }
  }

  // acc = Bit ? acc & u : acc | u, starting from `start`
  template <bool First, bool Bit>
  SIMDROP_INLINE static void compare(Words<V>& acc, const Words<V>& u, typename V::Pair start) {
    const auto a01 = First ? start : acc.w01;
    const auto a23 = First ? start : acc.w23;
    acc.w01 = Bit ? V::bit_and(a01, u.w01) : V::bit_or(a01, u.w01);
    acc.w23 = Bit ? V::bit_and(a23, u.w23) : V::bit_or(a23, u.w23);
  }

  const Plan& plan_;
  int planes_;
  bool compare_tail_;
  int vectors_ = 0;
  PlaneScalars scalars_[kMaxPlanes];
  PlaneScalars tail_scalars_;
  KeySchedule<V> key_;
  int now_ = 0;
  alignas(64) u64 block_[2][kGroupBlocks];
  SharedRounds<V> shared_[kVectors];
  Words<V> ge_[kVectors];             // u(i) >= T so far
  Words<V> gt_[kVectors];             // u(i) > T so far
  alignas(64) u64 tie_[kGroupWords];  // the ties as bits, then each listed
  u32 tie_words_ = 0;
  u32 ties_ = 0;
  alignas(64) u64 tie_bit_[kTieCapacity + kTieBatch];    // as a bit of its word,
  alignas(64) u32 tie_index_[kTieCapacity + kTieBatch];  // and which word of the group that is,
  const u64* tie_block_ = nullptr;                       // whose blocks these are
};

}  // namespace
}  // namespace simdrop
