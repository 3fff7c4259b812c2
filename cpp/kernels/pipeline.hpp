// Generation and use of keep bits as one pass over memory, written once for every instruction set.
//
// While group n + 2 is drawn, the ties of group n + 1 are resolved and group n is used, in
// ascending address order: the arithmetic of Philox hides behind the memory traffic, the prefetcher
// sees one steady stream, and ties, which are long chains of dependent instructions, run beside the
// planes. At p = 0.1, with eight planes and ties, time goes from left to right:
//
//   group n + 2   step       step         step         step  ...  step   finish
//   group n + 1        ties         ties         ties  ...               (pieces: tie_queue.hpp)
//   group n          use     use        use        use  ...  use
//
// What is done with the bits is a sink (sinks.hpp). The loop reaches it through pointers, a portion
// at a time, so that an instruction set has one loop and not one for each operation, type and
// store. The one exception is what nearly all calls do where arithmetic is what costs, float32
// scaled, with AVX-512: it has a loop of its own, and a word or two are used after each round of a
// step.
//
// Leaf files only: everything here has internal linkage.
#pragma once

#include "kernels/generate.hpp"

namespace simdrop {
namespace {

// to[j] = bits s .. s + 63 of the bit string that starts at from[j]; reads from[n] if s != 0.
inline void realign(u64* __restrict to, const u64* __restrict from, unsigned s, int n) {
  if (s == 0) {
    for (int j = 0; j < n; ++j) to[j] = from[j];
  } else {
    const unsigned up = 64 - s;
    for (int j = 0; j < n; ++j) to[j] = (from[j] >> s) | (from[j + 1] << up);
  }
}

// A sink takes the bits in order.
struct Sink {
  void* object;
  // how many elements it wants first, to reach an aligned address
  unsigned (*lead)(const void* object, u64 n);
  // 64 * n elements
  void (*words)(void* object, const u64* w, int n);
  // n <= 64 elements; the bits above are unspecified
  void (*partial)(void* object, u64 w, unsigned n);
};

template <class S>
Sink sink_of(S& sink) {
  return {&sink, [](const void* object, u64 n) { return static_cast<const S*>(object)->lead(n); },
          [](void* object, const u64* w, int n) { static_cast<S*>(object)->words(w, n); },
          [](void* object, u64 w, unsigned n) { static_cast<S*>(object)->partial(w, n); }};
}

// Any sink, as the loop sees it.
struct AnySink {
  static constexpr bool kBetween = false;
  Sink sink;
  unsigned lead(u64 n) const { return sink.lead(sink.object, n); }
  void words(const u64* w, int n) { sink.words(sink.object, w, n); }
  void partial(u64 w, unsigned n) { sink.partial(sink.object, w, n); }
};

// The words of a group on their way to the sink: shifted so that word 0 starts at the sink's next
// element, a few at a time, while the next group is drawn.
template <class S>
class Feed {
 public:
  explicit Feed(const S& sink) : sink_(sink) {}

  // Takes over `words` words and what follows them in the same string of bits.
  SIMDROP_NOINLINE void refill(const u64* from, unsigned shift, int words) {
    realign(ready_, from, shift, words + 1);
    at_ = 0;
    end_ = words;
  }
  // One place in the code, the sink's, reads all of the input: the prefetchers of some processors
  // tell streams apart by the address of the instruction.
  SIMDROP_NOINLINE void give(int words) {
    const int left = end_ - at_;
    const int n = left < words ? left : words;
    const int from = at_;
    at_ += n;
    sink_.words(ready_ + from, n);
  }
  void give_all() { give(kGroupWords); }
  void give_partial(unsigned elements) { sink_.partial(ready_[at_], elements); }

  // The next kWords words may be used between the rounds of a step instead.
  bool has(int words) const { return end_ - at_ >= words; }
  template <int kWords>
  auto between() const {
    return sink_.template between<kWords>(ready_ + at_);
  }
  void skip(int words) {
    at_ += words;
    sink_.skip(words);
  }
  const S& sink() const { return sink_; }

 private:
  S sink_;
  int at_ = 0;
  int end_ = 0;
  alignas(64) u64 ready_[kGroupWords + 8];
};

// Bits first .. first + n - 1, all within one stretch (see generate.hpp).
//
// A group's bits begin with a block of the mask, the sink's words wherever its memory is aligned.
// So each word of the sink, but for the first elements and the last, is cut out of two of the
// group:
//
//   first group, raw     |  word 0  |  word 1  |  word 2  |  ...  |  word 95 |     two to a block
//                         skip   lead
//                        |----->|----->|                            what is left waits in raw[-1]
//              ready                   |  word 0  |  word 1  | ... |
//                                 shift: where in a word of raw that is, in every group the same
//
//   next, raw  | word -1  |  word 0  |  word 1  |  ...  |  word 95 |
//              ready  |  word 0  |  word 1  |  ...  |  word 95 |
//
template <class V, class S>
void draw_stretch(const Plan& plan, u64 first, u64 n, S& sink) {
  Generator<V> group(plan, first);
  const int steps = group.steps();
  const int in_step = Generator<V>::words_between(plan, false);
  u64 block = first / kBlockElements;
  const u64 end_block = (first + n + kBlockElements - 1) / kBlockElements;
  const unsigned skip = static_cast<unsigned>(first % kBlockElements);

  // One word before the group keeps what the previous group left over, one after it is a guard.
  alignas(64) u64 raw_space[2][8 + kGroupWords + 8];
  raw_space[0][8 + kGroupWords] = raw_space[1][8 + kGroupWords] = 0;
  u64* raw = raw_space[0] + 8;       // of the group that is drawn,
  u64* finished = raw_space[1] + 8;  // and of the one before

  const auto begin = [&] {
    const u64 left = end_block - block;
    const int count = left < kGroupBlocks ? static_cast<int>(left) : kGroupBlocks;
    u64* const to = group.block();
    for (int j = 0; j < kGroupBlocks; ++j) to[j] = block + static_cast<u64>(j);
    block += static_cast<u64>(count);
    group.begin(count, raw);
  };

  Feed<S> feed(sink);
  unsigned shift = 0;  // where in a word the sink's next element lies, the same for all groups
  u64 whole = 0;       // whole words of the sink that no group has taken yet
  const auto take = [&](int words) {
    const int m = whole < static_cast<u64>(words) ? static_cast<int>(whole) : words;
    whole -= static_cast<u64>(m);
    return m;
  };
  // The elements that lie before an aligned address, then the words of the first group.
  const auto first_words = [&] {
    unsigned lead = sink.lead(n);
    if (lead > n) lead = static_cast<unsigned>(n);
    if (lead != 0) {
      feed.refill(finished + skip / 64, skip % 64, 1);
      feed.give_partial(lead);
      n -= lead;
    }
    const unsigned start = skip + lead;
    const int from = static_cast<int>(start / 64);
    shift = start % 64;
    whole = n / 64;
    feed.refill(finished + from, shift, take(kGroupWords - from - (shift != 0)));
  };

  bool first_group = true;
  const auto hand_over = [&] {
    if (first_group)
      first_words();
    else
      feed.refill(finished - (shift != 0), shift, take(kGroupWords));
    first_group = false;
    raw[-1] = finished[kGroupWords - 1];  // its upper bits wait for the next group
  };
  const auto finish = [&] {
    group.finish();
    u64* const free = finished;
    finished = raw;
    raw = free;
  };

  begin();
  for (int s = 0; s < steps; ++s) group.step(s);
  finish();
  while (block < end_block) {
    begin();
    for (int s = 0; s < steps; ++s) {
      bool used = false;
      if constexpr (S::kBetween) {
        constexpr int kWords = Generator<V>::kFullStepWords;
        if (group.is_full() && feed.has(kWords)) {
          group.step(s, feed.template between<kWords>());
          feed.skip(kWords);
          used = true;
        }
      }
      if (!used) {
        group.step(s);
        feed.give(in_step);
      }
      group.resolve_piece(s);
    }
    group.resolve_ties([] {});
    feed.give_all();
    hand_over();
    finish();
  }
  group.resolve_ties([&] { feed.give(in_step); });
  feed.give_all();
  hand_over();
  feed.give_all();
  if (n % 64 != 0) feed.give_partial(static_cast<unsigned>(n % 64));
  sink = feed.sink();
}

// The same for any first < 2^58.
template <class V, class S>
SIMDROP_NOINLINE void draw_to(const Plan& plan, u64 first, u64 n, S& sink) {
  while (n != 0) {
    const u64 room = kStretch - first % kStretch;
    const u64 m = n < room ? n : room;
    draw_stretch<V, S>(plan, first, m, sink);
    first += m;
    n -= m;
  }
}

template <class V>
void draw_to_sink(const Plan& plan, u64 first, u64 n, const Sink& sink) {
  AnySink any{sink};
  draw_to<V>(plan, first, n, any);
}

}  // namespace
}  // namespace simdrop
