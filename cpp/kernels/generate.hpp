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
  static constexpr u32 kVectorWords = V::lanes * 2;

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
  int steps() const { return steps_of_group(planes_); }

  // Drawing a group leaves room for other work: after each step, and with ties as often again as
  // they are resolved in pieces. So many words of another group each time make all of them.
  static int words_between(const Plan& plan) {
    const int steps = steps_of_group(plan.plane_last - plan.plane_first + 1);
    const int times = steps + (plan.tail != 0 ? kTiePieces : 0);
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
    if (drawn<false, 1>(low, s, between)) return;
    if constexpr (kMost > 2) {
      if (drawn<false, 2>(low, s, between)) return;
    }
    compare_tail_ ? drawn<true, kMost>(low, s, between) : drawn<false, kMost>(low, s, between);
  }
  // Whether every step draws, and between() is called.
  bool is_full() const { return vectors_ == kVectors; }
  void step(int s) { step(s, Nothing{}); }

  // All steps are done.
  void finish() {
    if (!compare_tail_) return;
    tie_block_ = block_[now_];
    tie_keep_ = keep_;
    tie_words_ = static_cast<u32>(vectors_) * kVectorWords;
    ties_at_ = ties_end_ = 0;
  }

  // Decides the ties of the group that is finished, about one element in 256 and 24 of a group:
  // whatever is left of them. other_work() is called after each piece.
  template <class Work>
  SIMDROP_INLINE void resolve_ties(const Work& other_work) {
    while (tie_words_ != 0 || ties_at_ < ties_end_) {
      resolve_some();
      other_work();
    }
  }

  // The same in pieces, of which kTiePieces are nearly always enough: at first the words that have
  // ties are listed, then the tail words of so many ties are drawn each time. A piece is nothing
  // but latency, and that much longer than a step; so the pieces of one group belong between the
  // steps of the next.
  SIMDROP_INLINE bool resolves_piece(int piece) const {
    return compare_tail_ && piece < kTiePieces;
  }
  void resolve_some() {
    if (tie_words_ != 0) {
      ties_end_ = V::list_ties(tie_, tie_words_, tie_word_, tie_index_);
      tie_words_ = 0;
    } else {
      resolve_batch();
    }
  }

 private:
  static constexpr u32 kTieBatch = V::lanes * V::tie_chains;
  static constexpr u32 kTieCapacity = 2 * kGroupWords + kTieBatch;

 public:
  // one list, and batches for more than all but a twentieth of groups have
  static constexpr int kTiePieces = 1 + static_cast<int>((32 + kTieBatch - 1) / kTieBatch);

 private:
  // The words with ties wait in a queue. The lowest tie of the first ones is decided, and those
  // that have more go to the end.
  SIMDROP_NOINLINE void resolve_batch() {
    if (ties_end_ > kTieCapacity - kTieBatch) {
      for (u32 l = ties_at_; l < ties_end_; ++l) {
        tie_word_[l - ties_at_] = tie_word_[l];
        tie_index_[l - ties_at_] = tie_index_[l];
      }
      ties_end_ -= ties_at_;
      ties_at_ = 0;
    }
    const u32 at = ties_at_;
    typename V::Ties ties[V::tie_chains];
    SharedRounds<V> shared[V::tie_chains];
    u32 left = ties_end_ - at;
    for (u32 c = 0; c < V::tie_chains; ++c) {
      const u32 from = at + c * V::lanes;
      const u32 count = left < V::lanes ? left : V::lanes;
      left -= count;
      ties[c] = typename V::Ties(tie_word_ + from, tie_index_ + from, count, tie_block_);
      shared[c] = SharedRounds<V>(plan_, ties[c].block());
    }
    ties_at_ = ties_end_ - at < kTieBatch ? ties_end_ : at + kTieBatch;
    for (u32 c = 0; c < V::tie_chains; ++c)
      ties_end_ += ties[c].others(tie_word_ + ties_end_, tie_index_ + ties_end_);
    Words<V> u[V::tie_chains];
    draw_planes<V, 1, V::tie_chains>(u, shared, &tail_scalars_, key_, Nothing{});
    alignas(64) u64 flip[kTieBatch];
    for (u32 c = 0; c < V::tie_chains; ++c)
      ties[c].dropped(u[c].w01, u[c].w23, plan_.tail, flip + c * V::lanes);
    for (u32 l = 0; l < kTieBatch; ++l) tie_keep_[tie_index_[at + l]] ^= flip[l];
  }

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
  static int chunks(int planes) {
    return P == kMost ? planes / P : planes / P % 2;
  }
  template <int P = 1>
  static int steps_of_group(int planes) {
    int steps = chunks<P>(planes) * kSteps<P>;
    if constexpr (P < kMost) steps += steps_of_group<2 * P>(planes);
    return steps;
  }

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
          V::interleave(tie_ + at, V::bit_xor(ge[c].w01, gt[c].w01),
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
  PlaneScalars tail_scalars_;
  KeySchedule<V> key_;
  int now_ = 0;
  alignas(64) u64 block_[2][kGroupBlocks];
  SharedRounds<V> shared_[kVectors];
  Words<V> ge_[kVectors];             // u(i) >= T so far
  Words<V> gt_[kVectors];             // u(i) > T so far
  alignas(64) u64 tie_[kGroupWords];  // the ties as bits, where they are not listed yet
  u32 tie_words_ = 0;
  u32 ties_at_ = 0, ties_end_ = 0;                // the queue:
  alignas(64) u64 tie_word_[kTieCapacity];        // ties as bits of a word,
  alignas(64) u32 tie_index_[kTieCapacity] = {};  // and which word of the group that is,
  const u64* tie_block_ = nullptr;                // whose blocks
  u64* tie_keep_ = nullptr;                       // and keep bits these are
};

}  // namespace
}  // namespace simdrop
