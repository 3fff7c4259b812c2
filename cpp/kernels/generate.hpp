// Keep bits of a group of 48 blocks (6144 elements), written once for every instruction set.
//
// u(i) is compared with T bit-serially, from the least significant plane that matters to the most
// significant: with t the bit of T in that plane,
//
//     keep = t ? keep & u : keep | u          (u(i) >= T, starting from "equal so far": all ones)
//
// so a plane costs one logic instruction per register. The same recurrence started from zeros
// gives u(i) > T; where the two differ the eight bits tie and the tail word decides.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "format/bits.hpp"
#include "format/plan.hpp"
#include "kernels/philox.hpp"

namespace simdrop {
namespace {

inline constexpr int kGroupWords = kGroupBlocks * 2;  // 64-bit words

// The generator of one stretch of a mask whose element indices agree above their lowest 34 bits, so
// that neither the block numbers nor those of the tail words (i / 4) change in their upper words.
inline constexpr u64 kStretch = u64{1} << 34;

template <class V>
class Generator {
  static constexpr int kVectors = kGroupBlocks / static_cast<int>(V::lanes);

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

  // How many calls of step() make a group.
  int steps() const { return planes_; }

  // Drawing a group leaves room for other work: after each step, and with ties after finish and
  // about three times in resolve_ties. So many words of another group each time make all of them.
  static int words_between(const Plan& plan) {
    const int planes = plan.plane_last - plan.plane_first + 1;
    const int times = plan.tail != 0 ? planes + 4 : planes;
    return times == 0 ? kGroupWords : (kGroupWords + times - 1) / times;
  }

  // A group is block() filled, begin, every step, finish, resolve_ties. The next begin may come
  // before resolve_ties, and should: that reads what finish has just written, which takes a while
  // to arrive.
  u64* block() { return block_[1 - now_]; }
  void begin(int count) {
    now_ = 1 - now_;
    vectors_ = (count + static_cast<int>(V::lanes) - 1) / static_cast<int>(V::lanes);
    for (int v = 0; v < vectors_; ++v)
      shared_[v] = SharedRounds<V>(plan_, V::load(block_[now_] + static_cast<u32>(v) * V::lanes));
  }

  // Planes are drawn from the least significant that matters to the most significant: one alone if
  // their number is odd, the others in pairs, half of the group's vectors in a step.
  void step(int s) {
    if (planes_ % 2 != 0 && s-- == 0) return single_plane();
    const int low =
        planes_ - 1 - planes_ % 2 - s / 2 * 2;  // of the two planes the less significant
    const bool starts = s / 2 == 0 && planes_ % 2 == 0;
    const int from = s % 2 * kHalf;
    const int end = from + kHalf < vectors_ ? from + kHalf : vectors_;
    if (compare_tail_)
      two_planes<true>(low, from, end, starts);
    else
      two_planes<false>(low, from, end, starts);
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
  // words are drawn kTieBatch at a time; other_work() is called after each batch.
  template <class Work>
  SIMDROP_INLINE void resolve_ties(u64* keep, const Work& other_work) {
    if (!compare_tail_) return;
    for (u32 count = tie_words_; ties_ != 0; list_ties(count)) {
      for (u32 at = 0; at < ties_; at += kTieBatch) {
        resolve_batch(keep, at);
        other_work();
      }
      if (ties_ < kTieCapacity / 2) break;  // the list was not cut short
    }
  }

 private:
  static constexpr u32 kTieBatch = V::lanes * V::tie_chains;
  // The list is cut short when less than a group's words fit: then there are more than half of
  // kTieCapacity.
  static_assert(kTieCapacity >= 3 * kGroupWords);

  void list_ties(u32 words) {
    tie_words_ = words;
    ties_ = V::list_ties(tie_, words, tie_bit_, tie_index_, kTieCapacity);
    for (u32 l = 0; l < kTieBatch; ++l) tie_bit_[ties_ + l] = tie_index_[ties_ + l] = 0;
  }

  SIMDROP_NOINLINE void resolve_batch(u64* keep, u32 at) {
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

  // Chains of a pair of planes: half of them are of the one, half of the other.
  static constexpr int kPairVectors = V::chains / 2;
  static constexpr int kHalf = kVectors / 2;
  static_assert(kGroupBlocks % V::lanes == 0 && 2 * kHalf == kVectors);  // two halves make all
  static_assert(2 * kPairVectors == V::chains && kHalf % kPairVectors == 0);

  // The threshold's bit in plane k. Of random bits (one plane, no threshold) the plane itself is
  // the answer, as if the bit were set.
  bool bit(int k) const { return planes_ == 1 || ((plan_.top >> (kMaskPlanes - 1 - k)) & 1) != 0; }

  // The first plane of an odd number: all of its vectors. It has no ties, which need all eight, and
  // the bit of its threshold is the lowest that is set.
  SIMDROP_NOINLINE void single_plane() {
    int v = 0;
    for (; v + V::chains <= vectors_; v += V::chains) single_chains<V::chains>(v);
    for (; v < vectors_; ++v) single_chains<1>(v);
  }
  template <int N>
  SIMDROP_INLINE void single_chains(int v) {
    Words<V> u[N];
    draw_plane<V>(u, shared_ + v, scalars_[planes_ - 1], key_);
    for (int c = 0; c < N; ++c) ge_[v + c] = u[c];
  }

  // Planes `low` and `low - 1` of some vectors.
  template <bool Tail>
  SIMDROP_NOINLINE void two_planes(int low, int from, int end, bool starts) {
    if (starts) {
      for (int v = from; v < end; ++v) {
        ge_[v] = {V::ones(), V::ones()};
        gt_[v] = {V::zeros(), V::zeros()};
      }
    }
    if (end - from == kHalf) {
      for (int v = 0; v < kHalf; v += kPairVectors) pair_chains<Tail, kPairVectors>(low, from + v);
    } else {
      for (int v = from; v < end; ++v) pair_chains<Tail, 1>(low, v);
    }
  }

  template <bool Tail, int N>
  SIMDROP_INLINE void pair_chains(int low, int v) {
    Words<V> u[2 * N];
    draw_planes<V, N>(u, shared_ + v, scalars_[low], scalars_[low - 1], key_);
    const bool low_bit = bit(low);
    const bool high_bit = bit(low - 1);
    if (low_bit)
      high_bit ? fold<Tail, true, true, N>(u, v) : fold<Tail, true, false, N>(u, v);
    else
      high_bit ? fold<Tail, false, true, N>(u, v) : fold<Tail, false, false, N>(u, v);
  }

  template <bool Tail, bool LowBit, bool HighBit, int N>
  SIMDROP_INLINE void fold(const Words<V> (&u)[2 * N], int v) {
    for (int c = 0; c < N; ++c) {
      fold_one<LowBit, HighBit>(ge_[v + c], u[c], u[N + c]);
      if constexpr (Tail) fold_one<LowBit, HighBit>(gt_[v + c], u[c], u[N + c]);
    }
  }

  template <bool LowBit, bool HighBit>
  SIMDROP_INLINE static void fold_one(Words<V>& acc, const Words<V>& low, const Words<V>& high) {
    acc = {V::template fold<LowBit, HighBit>(acc.w01, low.w01, high.w01),
           V::template fold<LowBit, HighBit>(acc.w23, low.w23, high.w23)};
  }

  const Plan& plan_;
  int planes_;
  bool compare_tail_;
  int vectors_ = 0;
  PlaneScalars scalars_[kMaskPlanes];
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
