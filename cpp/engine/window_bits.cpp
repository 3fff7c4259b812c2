// The keep bits of a window of a mask, without an array.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "engine/engine.hpp"
#include "format/bits.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/parallel.hpp"

namespace simdrop {
namespace {

// Draws the bits of elements begin .. end of a window, kGranule at a time, in C order of its shape:
// use(first element, number of elements, words).
class WindowBits {
 public:
  WindowBits(const Plan& plan, u64 offset, std::span<const i64> shape,
             std::span<const i64> index_steps)
      : plan_(plan), offset_(offset) {
    View nowhere;  // dimensions merge where the index steps evenly
    nowhere.shape.assign(shape.data(), shape.data() + shape.size());
    nowhere.strides.assign(shape.size(), 0);
    loop_ = merged_loop(nowhere, nowhere, index_steps);
    size_ = nowhere.size();
  }

  template <class Use>
  void for_each(bool invert, int threads, const Use& use) const {
    if (size_ == 0) return;
    parallel_ranges(size_, kGranule, kWorthwhile, threads, [&](u64 begin, u64 end) {
      u64 words[kGranule / 64 + 1];
      for (u64 chunk = begin; chunk < end; chunk += kGranule) {
        const u64 m = std::min(kGranule, end - chunk);
        std::memset(words, 0, sizeof(words));
        for_each_run(loop_, chunk, chunk + m, [&](u64 i, u64 n, const Steps& at) {
          draw(offset_ + static_cast<u64>(at[2]), n, i - chunk, words);
        });
        for (u64 k = 0; invert && k < (m + 63) / 64; ++k)
          words[k] = ~words[k] & (k == m / 64 ? low_mask(m % 64) : ~u64{0});
        use(chunk, m, words);
      }
    });
  }

 private:
  // The bits of n elements from `index` on, to bit `to` of `words`.
  void draw(u64 index, u64 n, u64 to, u64* words) const {
    const i64 step = loop_.steps.back()[2];
    u64 bits[kGranule / 64 + 1] = {};
    Tile tile{};
    tile.first = index;
    tile.bits = bits;
    tile.rows = step == 1 || step == 0 ? 1 : n;
    tile.columns = step == 1 ? n : 1;
    tile.row_step = static_cast<u64>(step);  // may be negative: indices are taken modulo 2^64
    active_table().row_bits(plan_, tile);
    if (step == 0 && (bits[0] & 1) != 0) {
      std::fill(bits, bits + n / 64, ~u64{0});
      bits[n / 64] = low_mask(n % 64);
    }
    const u64 shift = to % 64;
    for (u64 k = 0; k < (n + 63) / 64; ++k) {
      words[to / 64 + k] |= bits[k] << shift;
      if (shift != 0 && (bits[k] >> (64 - shift)) != 0)
        words[to / 64 + k + 1] |= bits[k] >> (64 - shift);
    }
  }

  const Plan& plan_;
  u64 offset_;
  Loop loop_;
  u64 size_;
};

}  // namespace

void window_packed(const Plan& plan, u64 offset, std::span<const i64> shape,
                   std::span<const i64> index_steps, u8* out, bool invert, int threads) {
  WindowBits(plan, offset, shape, index_steps)
      .for_each(invert, threads, [&](u64 first, u64 n, const u64* words) {
        std::memcpy(out + first / 8, words, (n + 7) / 8);
      });
}

void window_bytes(const Plan& plan, u64 offset, std::span<const i64> shape,
                  std::span<const i64> index_steps, u8* out, bool invert, int threads) {
  WindowBits(plan, offset, shape, index_steps)
      .for_each(invert, threads, [&](u64 first, u64 n, const u64* words) {
        for (u64 k = 0; k < n; k += 64) {
          u8 expanded[64];
          expand_bits(words[k / 64], expanded);
          std::memcpy(out + first + k, expanded, std::min<u64>(64, n - k));
        }
      });
}

u64 window_count(const Plan& plan, u64 offset, std::span<const i64> shape,
                 std::span<const i64> index_steps, int threads) {
  std::atomic<u64> total{0};
  WindowBits(plan, offset, shape, index_steps)
      .for_each(false, threads, [&](u64, u64 n, const u64* words) {
        u64 kept = 0;
        for (u64 k = 0; k < (n + 63) / 64; ++k) kept += static_cast<u64>(std::popcount(words[k]));
        total += kept;
      });
  return total;
}

}  // namespace simdrop
