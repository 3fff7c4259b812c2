// What a kernel needs to know about a mask: plain numbers, no Python, no std templates,
// because the leaf files (isa_*.cpp) include this header under their own ISA flags.
#pragma once

#include "format/dtypes.hpp"
#include "format/integers.hpp"
#include "format/operation.hpp"
#include "format/tuning.hpp"

namespace simdrop {

// Mask format 1 (docs/mask-format.md).
inline constexpr int kMaskFormat = 1;
inline constexpr int kIndexBits = 58;        // element index i < 2^58
inline constexpr int kThresholdBits = 40;    // u(i) and T
inline constexpr int kMaskPlanes = 8;        // high 8 bits of u(i), one in each
inline constexpr int kTailPlane = 8;         // low 32 bits of u(i)
inline constexpr int kRandomBitsPlane = 16;  // uniform words
inline constexpr int kSpawnPlane = 17;       // seeds of spawned streams
inline constexpr int kNormalPlane = 18;      // normal deviates, one block for two of them
inline constexpr int kNormalIndexBits = 57;  // two deviates to a block, block number < 2^56
inline constexpr u64 kBlockElements = 128;   // bits of one Philox block
inline constexpr u64 kOne = u64{1} << kThresholdBits;
static_assert(kThresholdBits == kMaskPlanes + 32);
static_assert(kGranule == kGroupBlocks * kBlockElements && kHeldBits % kGranule == 0);

// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
inline constexpr int kRounds = 10;
inline constexpr u32 kMul0 = 0xD2511F53;
inline constexpr u32 kMul1 = 0xCD9E8D57;
inline constexpr u32 kWeyl0 = 0x9E3779B9;
inline constexpr u32 kWeyl1 = 0xBB67AE85;

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

}  // namespace simdrop
