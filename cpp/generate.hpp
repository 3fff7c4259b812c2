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

struct Iota {
  u32 n[kGroupWords];
  constexpr Iota() : n() {
    for (u32 j = 0; j < kGroupWords; ++j) n[j] = j;
  }
};
alignas(64) constexpr Iota kIota;

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

  // How many calls of step() make a group.
  int steps() const { return planes_; }

  // A group is block() filled, begin, every step, finish, settle. The next begin may come before
  // settle, and should: settle reads what finish has just written, which takes a while to arrive.
  u64* block() { return block_[1 - now_]; }
  void begin(int count) {
    now_ = 1 - now_;
    vectors_ = (count + static_cast<int>(V::lanes) - 1) / static_cast<int>(V::lanes);
    for (int v = 0; v < vectors_; ++v)
      shared_[v] = SharedRounds<V>(plan_, V::load(block_[now_] + static_cast<u32>(v) * V::lanes));
    for (int v = 0; v < vectors_; ++v) {
      ge_[v] = {V::ones(), V::ones()};
      gt_[v] = {V::zeros(), V::zeros()};
    }
  }

  // Step s draws one plane of the group, least significant first.
  void step(int s) {
    const int k = planes_ - 1 - s;
    // Of random bits (one plane, no threshold) the plane itself is the answer.
    const bool t = planes_ == 1 || ((plan_.top >> (kMaxPlanes - 1 - k)) & 1) != 0;
    if (compare_tail_)
      t ? plane<true, true>(k) : plane<true, false>(k);
    else
      t ? plane<false, true>(k) : plane<false, false>(k);
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
    tie_block_ = block_[now_];
    ties_ = 0;
    for (u32 v = 0; v < static_cast<u32>(vectors_); ++v) {
      alignas(64) u64 tie[kWords];
      V::interleave(tie, V::bit_xor(ge_[v].w01, gt_[v].w01), V::bit_xor(ge_[v].w23, gt_[v].w23));
      const u32* number = kIota.n + v * kWords;
      ties_ = V::append_nonzero(tie, number, tie_word_, tie_index_, ties_);
      ties_ = V::append_nonzero(tie + V::lanes, number + V::lanes, tie_word_, tie_index_, ties_);
    }
  }

  // Decides the ties that finish found, about one element in 256 and 24 of a group: the tail words
  // of the lowest tie of each word are drawn V::lanes at a time; what is left of the words goes
  // round again.
  SIMDROP_NOINLINE void settle(u64* keep) {
    if (!compare_tail_) return;
    for (u32 n = ties_; n != 0; n = ties_) {
      for (u32 j = 0; j < V::lanes; ++j) tie_word_[n + j] = tie_index_[n + j] = 0;
      ties_ = 0;
      for (u32 at = 0; at < n; at += V::lanes) {
        alignas(64) u64 rest[V::lanes];
        alignas(64) u32 element[V::lanes];
        const SharedRounds<V> shared(
            plan_, V::locate(tie_word_ + at, tie_index_ + at, tie_block_, element, rest));
        Words<V> u[1];
        draw_plane<V>(u, &shared, tail_scalars_, key_);
        alignas(64) u32 tail[V::lanes * 4];
        V::interleave(tail, u[0].w01, u[0].w23);
        const u32 lanes = n - at < V::lanes ? n - at : V::lanes;
        for (u32 l = 0; l < lanes; ++l) {
          const u32 i = element[l];
          const u64 dropped = tail[l * 4 + i % 4] < plan_.tail;
          keep[i / 64] ^= dropped << (i % 64);
        }
        ties_ = V::append_nonzero(rest, tie_index_ + at, tie_word_, tie_index_, ties_);
      }
    }
  }

 private:
  // One plane of the group. Tail: ties matter; Bit: the threshold's bit.
  template <bool Tail, bool Bit>
  SIMDROP_NOINLINE void plane(int k) {
    int v = 0;
    for (; v + V::chains <= vectors_; v += V::chains) chains<Tail, Bit, V::chains>(k, v);
    for (; v < vectors_; ++v) chains<Tail, Bit, 1>(k, v);
  }

  template <bool Tail, bool Bit, int N>
  SIMDROP_INLINE void chains(int k, int v) {
    Words<V> u[N];
    draw_plane<V>(u, shared_ + v, scalars_[k], key_);
    for (int c = 0; c < N; ++c) {
      compare<Bit>(ge_[v + c], u[c]);
      if constexpr (Tail) compare<Bit>(gt_[v + c], u[c]);
    }
  }

  template <bool Bit>
  SIMDROP_INLINE static void compare(Words<V>& acc, const Words<V>& u) {
    acc.w01 = Bit ? V::bit_and(acc.w01, u.w01) : V::bit_or(acc.w01, u.w01);
    acc.w23 = Bit ? V::bit_and(acc.w23, u.w23) : V::bit_or(acc.w23, u.w23);
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
  Words<V> ge_[kVectors];  // u(i) >= T so far
  Words<V> gt_[kVectors];  // u(i) > T so far
  u32 ties_ = 0;           // words that hold a tie
  const u64* tie_block_ = nullptr;
  alignas(64) u64 tie_word_[kGroupWords + 8];
  alignas(64) u32 tie_index_[kGroupWords + 8];
};

}  // namespace
}  // namespace simdrop
