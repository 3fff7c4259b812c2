// What a kernel needs to know about a mask: plain numbers, no Python, no std templates,
// because the leaf files (isa_*.cpp) include this header under their own ISA flags.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simdrop {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

// Mask format 1 (docs/mask-format.md).
inline constexpr int kMaskFormat = 1;
inline constexpr int kIndexBits = 58;        // element index i < 2^58
inline constexpr int kThresholdBits = 40;    // u(i) and T
inline constexpr int kTailPlane = 8;         // low 32 bits of u(i)
inline constexpr int kRandomBitsPlane = 16;  // uniform words
inline constexpr int kSpawnPlane = 17;       // seeds of spawned streams
inline constexpr int kNormalPlane = 18;      // normal deviates, one block for two of them
inline constexpr int kNormalIndexBits = 57;  // two deviates to a block, block number < 2^56
inline constexpr u64 kBlockElements = 128;   // bits of one Philox block
inline constexpr u64 kOne = u64{1} << kThresholdBits;

// What a kernel draws at a time: six chains of eight lanes (AVX-512). Work is best cut between
// groups.
inline constexpr int kGroupBlocks = 48;
inline constexpr u64 kGroupElements = kGroupBlocks * kBlockElements;

// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
inline constexpr int kRounds = 10;
inline constexpr u32 kMul0 = 0xD2511F53;
inline constexpr u32 kMul1 = 0xCD9E8D57;
inline constexpr u32 kWeyl0 = 0x9E3779B9;
inline constexpr u32 kWeyl1 = 0xBB67AE85;

enum class DType : int { f16, bf16, f32, f64 };
inline constexpr int kDTypes = 4;

// One draw, resolved once per call: the key schedule, the planes that decide, the arithmetic.
struct Plan {
  u32 key0[kRounds];
  u32 key1[kRounds];
  u32 stream_lo;
  u32 stream_hi;
  u32 top;   // T's high bits, 0 .. 256, compared with the bit planes
  u32 tail;  // T's low 32 bits, compared with the tail word when the planes tie
  // The planes that decide, most significant first: plane_first .. plane_last. None when
  // plane_first > plane_last: then every element is kept (top == 0) or dropped (top != 0).
  int plane_first;
  int plane_last;
};

// What is computed from the keep bits. Numbers are rounded to the compute type: float64 for
// float64, float32 for the other types.
enum class Op : int {
  scale,     // keep ? x * scale : +0
  affine,    // keep ? x * scale + shift : dropped
  residual,  // other + (keep ? (x + bias) * scale : +0)
  blend,     // keep ? x : other
};
inline constexpr int kOps = 4;

struct Operation {
  Op op = Op::scale;
  double scale = 1.0;
  double shift = 0.0;
  double dropped = 0.0;
  // Memory beside x and y, of their type. The bias of element i is bias[(bias_at + i) % period];
  // the 64 elements after its period repeat its beginning, and the period is at least 64.
  const void* other = nullptr;
  const void* bias = nullptr;
  u64 bias_at = 0;
  u64 bias_period = 0;
};

}  // namespace simdrop
