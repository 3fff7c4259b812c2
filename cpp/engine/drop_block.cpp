#include "engine/drop_block.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "format/bits.hpp"
#include "format/tuning.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/memory.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// Sets n bits from bit `at` on.
void set_run(u64* words, u64 at, u64 n) {
  words += at / 64;
  for (u64 shift = at % 64; n != 0; shift = 0) {
    const u64 m = std::min(n, 64 - shift);
    *words++ |= low_mask(static_cast<unsigned>(m)) << shift;
    n -= m;
  }
}

// Sets those of n bits from bit `at` on that are set from bit `first` of `bytes` on.
void set_where(u64* words, u64 at, const u8* bytes, u64 first, u64 n) {
  for (u64 m; n != 0; n -= m, at += m, first += m) {
    m = std::min<u64>(n, 56);  // what is left of 64 bits when the first byte is not whole
    u64 run;
    std::memcpy(&run, bytes + first / 8, 8);
    run = run >> (first % 8) & low_mask(static_cast<unsigned>(m));
    u64* const to = words + at / 64;
    const u64 shift = at % 64;
    to[0] |= run << shift;
    if (shift + m > 64) to[1] |= run >> (64 - shift);
  }
}

// Sets each bit whose fellow `distance` before it is set.
void or_shifted(u64* words, u64 n, u64 distance) {
  const u64 far = distance / 64, shift = distance % 64;
  for (u64 k = n; k-- > far;) {
    u64 w = words[k - far] << shift;
    if (shift != 0 && k > far) w |= words[k - far - 1] >> (64 - shift);
    words[k] |= w;
  }
}

// Spreads the seeds of some maps; the bits of a map have no gaps.
class Spreader {
 public:
  explicit Spreader(const Blocks& blocks) : blocks_(blocks) {
    const std::size_t rank = blocks.sides.size();
    pitch_.assign(rank, 1);
    for (std::size_t d = rank; d-- > 0;) {
      pitch_[d] = elements_;
      elements_ *= side(d);
      places_ *= side(d) < blocks.size ? 0 : places(d);
    }
    if (places_ == 0 || blocks.many) return;
    rows_ = {0};  // of a block
    for (std::size_t d = 0; d + 1 < rank; ++d) {
      const std::size_t count = rows_.size();
      for (u64 k = 1; k < blocks.size; ++k)
        for (std::size_t r = 0; r < count; ++r) rows_.push_back(rows_[r] + k * pitch_[d]);
    }
  }

  u64 map_elements() const { return elements_; }

  // Sets the bits of the blocks of maps begin .. end; bit 0 of `words` is the first of map `begin`.
  void spread(u64 begin, u64 end, u64* words) const {
    if (places_ == 0) return;
    blocks_.many ? spread_rows(begin, end, words) : place_each(begin, end, words);
  }

 private:
  u64 side(std::size_t d) const { return static_cast<u64>(blocks_.sides[d]); }
  u64 places(std::size_t d) const { return side(d) - blocks_.size + 1; }

  // Where in a map a place is.
  u64 position(u64 place) const {
    u64 at = 0;
    for (std::size_t d = blocks_.sides.size(); d-- > 0; place /= places(d))
      at += place % places(d) * pitch_[d];
    return at;
  }

  // The quicker way when blocks are few.
  void place_each(u64 begin, u64 end, u64* words) const {
    const u64 last = end * places_;
    for (u64 at = begin * places_; at < last; at += 64) {
      u64 seeds;
      std::memcpy(&seeds, blocks_.seeds + at / 8, 8);
      seeds &= ~u64{0} << (at % 8);
      const u64 base = at / 8 * 8;
      if (last - base < 64) seeds &= low_mask(static_cast<unsigned>(last - base));
      at = base;
      for (; seeds != 0; seeds &= seeds - 1) {
        const u64 seed = base + static_cast<u64>(lowest_bit(seeds));
        const u64 to = (seed / places_ - begin) * elements_ + position(seed % places_);
        for (const u64 row : rows_) set_run(words, to + row, blocks_.size);
      }
    }
  }

  // All seeds, then along each dimension in turn, doubling the reach each time.
  void spread_rows(u64 begin, u64 end, u64* words) const {
    const u64 row = places(blocks_.sides.size() - 1);
    for (u64 map = begin; map < end; ++map)
      for (u64 place = 0; place < places_; place += row)
        set_where(words, (map - begin) * elements_ + position(place), blocks_.seeds,
                  map * places_ + place, row);
    const u64 count = ((end - begin) * elements_ + 63) / 64;
    for (const u64 pitch : pitch_)
      for (u64 reach = 1, step; reach < blocks_.size; reach += step) {
        step = std::min(reach, blocks_.size - reach);
        or_shifted(words, count, step * pitch);
      }
  }

  const Blocks& blocks_;
  std::vector<u64> pitch_, rows_;
  u64 elements_ = 1, places_ = 1;
};

}  // namespace

KeepBits block_bits(const Blocks& blocks, int threads) {
  const Spreader spreader(blocks);
  const u64 map = spreader.map_elements();
  KeepBits bits;
  bits.n = blocks.maps * map;
  bits.words = std::make_unique<u64[]>((bits.n + 63) / 64 + 3);
  if (bits.n == 0) return bits;
  // Some maps at a time, whose bits begin a word and stay in the first cache.
  const u64 whole = 64 / std::gcd(map, u64{64});
  const u64 group = whole * std::max<u64>(1, kGathered / (whole * map));
  std::atomic<u64> kept{0};
  parallel_ranges(blocks.maps, group, std::max<u64>(1, kWorthwhile / map), threads,
                  [&](u64 begin, u64 end) {
                    u64 count = 0;
                    for (u64 now = begin; now < end; now += group) {
                      const u64 next = std::min(end, now + group);
                      u64* const words = bits.words.get() + now * map / 64;
                      spreader.spread(now, next, words);
                      const u64 n = (next - now) * map;
                      for (u64 k = 0; k < (n + 63) / 64; ++k) {
                        words[k] = ~words[k];
                        if (n - 64 * k < 64) words[k] &= low_mask(static_cast<unsigned>(n % 64));
                        count += popcount(words[k]);
                      }
                    }
                    kept += count;
                  });
  bits.kept = kept;
  return bits;
}

void dropout_given(const KeepBits& bits, std::span<const i64> bit_steps, const Operation& operation,
                   const View& x, const View& y, int threads) {
  if (x.size() == 0) return;
  const Loop loop = merged_loop(x, y, bit_steps);
  const Steps step = loop.steps.back();
  const u64 n = x.size();
  const Traffic traffic = traffic_of(n * item_size(x.dtype), x.data == y.data);
  const ApplyKernel apply =
      active_table().apply[static_cast<int>(operation.op)][static_cast<int>(x.dtype)];
  parallel_ranges(n, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
    for_each_run(loop, begin, end, [&](u64, u64 length, const Steps& at) {
      const u8* from = static_cast<const u8*>(x.data) + at[0];
      u8* to = static_cast<u8*>(y.data) + at[1];
      const u64 bit = static_cast<u64>(at[2]);
      if (step[2] == 1) {
        apply(bits.words.get(), bit, length, operation, from, step[0], to, step[1], traffic);
        return;
      }
      for (u64 j = 0; j < length; ++j) {  // maps of one element with shared channels
        const u64 own = bit + j * static_cast<u64>(step[2]);
        apply(bits.words.get(), own, 1, operation, from, step[0], to, step[1], traffic);
        from += step[0];
        to += step[1];
      }
    });
    if (traffic != Traffic::near) active_table().fence();
  });
}

}  // namespace simdrop
