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
#include "kernels/tie_queue.hpp"

namespace simdrop {
namespace {

// The generator of one stretch of a mask whose element indices agree above their lowest 34 bits, so
// that neither the block numbers nor those of the tail words (i / 4) change in their upper words.
inline constexpr u64 kStretch = u64{1} << 34;

template <class V>
class Generator {
  static constexpr int kVectors = kGroupBlocks / static_cast<int>(V::lanes);
  static constexpr u32 kVectorWords = V::lanes * 2;

 public:
  Generator(const Plan& plan, u64 first)
      : plan_(plan),
        planes_(plan.plane_last - plan.plane_first + 1),
        compare_tail_(plan.tail != 0),
        key_(plan),
        ties_(plan, first, key_) {
    for (int k = 0; k < planes_; ++k)
      scalars_[k] = plane_scalars(plan, static_cast<u32>(first >> 39), plan.plane_first + k);
  }

  // How many calls of step() make a group.
  int steps() const { return steps_of_group(planes_); }

  // Drawing a group leaves room for other work after each step, and where its ties are not left to
  // the next group, after each piece of those. So many words of another group each time make all of
  // them.
  static int words_between(const Plan& plan, bool ties_too) {
    const int steps = steps_of_group(plan.plane_last - plan.plane_first + 1);
    const int times = steps + (ties_too && plan.tail != 0 ? TieQueue<V>::kPieces : 0);
    return times == 0 ? kGroupWords : (kGroupWords + times - 1) / times;
  }

  // A group is block() filled, begin, every step, finish, resolve_ties: `keep` gets its keep bits,
  // 64 to a word, in element order; ties count as kept until they are resolved. The next begin may
  // come before that, and should: it reads what the last steps have just written, which takes a
  // while to arrive.
  u64* block() { return block_[1 - now_]; }
  void begin(int count, u64* keep) {
    now_ = 1 - now_;
    keep_ = keep;
    vectors_ = (count + static_cast<int>(V::lanes) - 1) / static_cast<int>(V::lanes);
    for (int v = 0; v < vectors_; ++v)
      shared_[v] = SharedRounds<V>(plan_, V::load(block_[now_] + static_cast<u32>(v) * V::lanes));
    if (planes_ == 0)
      for (int j = 0; j < kGroupWords; ++j) keep[j] = plan_.top == 0 ? ~u64{0} : 0;
  }

  // Planes are drawn from the least significant that matters to the most significant: one alone
  // if their number is odd, and so on, the others V::planes at a time. A step draws some
  // vectors' planes, so many that `chains` chains run at once.
  // between() is called kBetweenRounds times meanwhile.
  template <class Between>
  void step(int s, const Between& between) {
    int low = planes_ - 1;  // of the planes of a step the least significant
    if constexpr (kSame<Between, Nothing>) {
      if (drawn<false, 1>(low, s, between)) return;
      if constexpr (kMost > 2) {
        if (drawn<false, 2>(low, s, between)) return;
      }
    }
    compare_tail_ ? drawn<true, kMost>(low, s, between) : drawn<false, kMost>(low, s, between);
  }
  // Whether all planes of all vectors are drawn; only then between() may be anything.
  bool is_full() const { return vectors_ == kVectors && planes_ == kMaskPlanes; }
  void step(int s) { step(s, Nothing{}); }

  // All steps are done.
  void finish() {
    if (compare_tail_) ties_.start(static_cast<u32>(vectors_) * kVectorWords, block_[now_], keep_);
  }

  // Decides the ties of the group that is finished, about one element in 256 and 24 of a group:
  // whatever is left of them. other_work() is called after each piece.
  template <class Work>
  SIMDROP_INLINE void resolve_ties(const Work& other_work) {
    while (!ties_.done()) {
      ties_.resolve_some();
      other_work();
    }
  }

  // The same in pieces, of which so many are nearly always enough: between the steps of the next
  // group.
  SIMDROP_INLINE void resolve_piece(int piece) {
    if (compare_tail_ && piece < TieQueue<V>::kPieces) ties_.resolve_some();
  }

 private:
  // P planes are drawn together, for kTogether<P> vectors at a time: the most, and less if the
  // number of planes leaves a remainder.
  static constexpr int kMost = V::planes;
  template <int P>
  static constexpr int kTogether = P > 1 ? V::chains / P
                                         : V::chains - (kVectors % V::chains == 0 ? 0 : 1);
  // So few steps that each leaves time for a stretch of memory: small ones cost from memory.
  static constexpr int kMostSteps = 6;
  template <int P>
  static constexpr int kSteps =
      kVectors / kTogether<P> < kMostSteps ? kVectors / kTogether<P> : kMostSteps;
  template <int P>
  static constexpr bool kDivides = kVectors % (kSteps<P> * kTogether<P>) == 0;
  static_assert((kMost == 2 || kMost == 4) && V::chains % kMost == 0);
  static_assert(kDivides<1> && kDivides<2> && (kMost == 2 || kDivides<4>));
  template <int P>
  static constexpr int chunks(int planes) {
    return P == kMost ? planes / P : planes / P % 2;
  }
  template <int P = 1>
  static constexpr int steps_of_group(int planes) {
    int steps = chunks<P>(planes) * kSteps<P>;
    if constexpr (P < kMost) steps += steps_of_group<2 * P>(planes);
    return steps;
  }

 public:
  // Words of another group to a step, if all planes are drawn.
  static constexpr int kFullStepWords = kGroupWords / steps_of_group(kMaskPlanes);

 private:
  // The threshold's bit in plane k.
  bool bit(int k) const { return ((plan_.top >> (kMaskPlanes - 1 - k)) & 1) != 0; }

  // Step s, if it is one of those with P planes; else counts on.
  template <bool kTail, int P, class Between>
  SIMDROP_INLINE bool drawn(int& low, int& s, const Between& between) {
    for (int chunk = chunks<P>(planes_); chunk > 0; --chunk, low -= P, s -= kSteps<P>) {
      if (s >= kSteps<P>) continue;
      draw<kTail, P>(low, s, between);
      return true;
    }
    return false;
  }

  template <bool kTail, int P, class Between>
  SIMDROP_NOINLINE void draw(int low, int s, const Between& between) {
    constexpr int N = kTogether<P>, kInStep = kVectors / kSteps<P>;
    int v = s * kInStep;
    const int end = v + kInStep < vectors_ ? v + kInStep : vectors_;
    for (; v + N <= end; v += N) draw_vectors<kTail, P, N>(low, v, between);
    for (; v < end; ++v) draw_vectors<kTail, P, 1>(low, v, between);
  }

  // Planes `low`, `low - 1` .. of N vectors.
  template <bool kTail, int P, int N, class Between>
  SIMDROP_INLINE void draw_vectors(int low, int v, const Between& between) {
    Words<V> u[P * N], ge[N], gt[N];
    draw_planes<V, P, N>(u, shared_ + v, scalars_ + low, key_, between.here());
    const bool starts = low == planes_ - 1;
    for (int c = 0; c < N; ++c) {
      // Word by word: a compiler may copy a whole struct in pieces, which then take a while to
      // arrive.
      ge[c].w01 = starts ? V::ones() : ge_[v + c].w01;
      ge[c].w23 = starts ? V::ones() : ge_[v + c].w23;
      gt[c].w01 = starts ? V::zeros() : gt_[v + c].w01;
      gt[c].w23 = starts ? V::zeros() : gt_[v + c].w23;
    }
    if constexpr (P == 1) {
      // The bit of the threshold is the lowest that is set; of random bits (one plane, no
      // threshold) the plane itself is the answer. It has no ties, which need all eight.
      for (int c = 0; c < N; ++c) ge[c] = u[c];
    }
    if constexpr (P > 1) fold<kTail, P, N>(ge, gt, u, low);
    const bool ends = low == P - 1;
    for (int c = 0; c < N; ++c) {
      if (!ends) {
        ge_[v + c].w01 = ge[c].w01;
        ge_[v + c].w23 = ge[c].w23;
        if constexpr (kTail) {
          gt_[v + c].w01 = gt[c].w01;
          gt_[v + c].w23 = gt[c].w23;
        }
      } else {
        const u32 at = static_cast<u32>(v + c) * kVectorWords;
        V::interleave(keep_ + at, ge[c].w01, ge[c].w23);
        if constexpr (kTail)
          V::interleave(ties_.bits() + at, V::bit_xor(ge[c].w01, gt[c].w01),
                        V::bit_xor(ge[c].w23, gt[c].w23));
      }
    }
  }

  // A branch for each bit of the threshold, then all planes at once.
  template <bool kTail, int P, int N, bool... kBits>
  SIMDROP_INLINE void fold(Words<V> (&ge)[N], Words<V> (&gt)[N], const Words<V> (&u)[P * N],
                           int low) const {
    constexpr int kKnown = sizeof...(kBits);
    if constexpr (kKnown < P) {
      bit(low - kKnown) ? fold<kTail, P, N, kBits..., true>(ge, gt, u, low)
                        : fold<kTail, P, N, kBits..., false>(ge, gt, u, low);
    } else {
      for (int c = 0; c < N; ++c) {
        fold_pairs<kBits...>(ge[c], u + c, N);
        if constexpr (kTail) fold_pairs<kBits...>(gt[c], u + c, N);
      }
    }
  }

  template <bool kLow, bool kHigh, bool... kOthers>
  SIMDROP_INLINE static void fold_pairs(Words<V>& acc, const Words<V>* u, int apart) {
    fold_one<kLow, kHigh>(acc, u[0], u[apart]);
    if constexpr (sizeof...(kOthers) > 0) fold_pairs<kOthers...>(acc, u + 2 * apart, apart);
  }

  template <bool kLowBit, bool kHighBit>
  SIMDROP_INLINE static void fold_one(Words<V>& acc, const Words<V>& low, const Words<V>& high) {
    acc = {V::template fold<kLowBit, kHighBit>(acc.w01, low.w01, high.w01),
           V::template fold<kLowBit, kHighBit>(acc.w23, low.w23, high.w23)};
  }

  const Plan& plan_;
  int planes_;
  bool compare_tail_;
  int vectors_ = 0;
  u64* keep_ = nullptr;
  PlaneScalars scalars_[kMaskPlanes];
  KeySchedule<V> key_;
  int now_ = 0;
  alignas(64) u64 block_[2][kGroupBlocks];
  SharedRounds<V> shared_[kVectors];
  Words<V> ge_[kVectors];  // u(i) >= T so far
  Words<V> gt_[kVectors];  // u(i) > T so far
  TieQueue<V> ties_;
};

}  // namespace
}  // namespace simdrop
