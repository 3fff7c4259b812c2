// The chosen inputs of the kernel tests, each with its reason. A kernel works in lanes (4 or 8
// counters), words (64 elements), blocks (128), groups (6144) and stretches (2^34): what can go
// wrong goes wrong at their borders.
#pragma once

#include <cstdint>
#include <vector>

#include "definition.hpp"

namespace harness {

using std::uint64_t;

inline constexpr uint64_t kLengths[] = {
    0,                         // nothing to do
    1,                         // the smallest partial word
    2,     3,     4,     5,    // below the lanes of any vector
    7,     8,     9,           // a byte of packed bits and its neighbours
    15,    16,    17,          // a vector of float32 (AVX-512)
    31,    32,    33,          // a vector of 16-bit elements (AVX-512)
    63,    64,    65,          // a word of bits
    127,   128,   129,         // a block
    191,   255,   256,   257,  // where a sink starts to align its output first
    511,   513,                // lanes of blocks: 4 (AVX2, NEON)
    1023,  1025,               // lanes of blocks: 8 (AVX-512)
    2000,                      // some vectors of a group full, one in part, the others empty
    6080,                      // a group less one word
    6143,  6144,  6145,        // a group
    6208,                      // a group and one word
    12287, 12288, 12289,       // two groups
    20011,                     // several groups, and a rest of no round length
};
inline constexpr uint64_t kLongest = 20011;

inline constexpr uint64_t kStarts[] = {
    0,  // aligned with everything
    1,  // every border moves by one
    63,
    64,
    65,   // words
    100,  // the middle of a block
    127,
    128,  // blocks
    6143,
    6144,                            // groups count from the first element, not from 0
    (uint64_t{1} << 32) - 70,        // the index passes 32 bits
    (uint64_t{1} << 34) - 70,        // a stretch ends: the tail's block number passes 32 bits
    (uint64_t{1} << 34) - 6144,      // it ends with a group
    (uint64_t{1} << 34) - 10001,     // it ends inside a group
    (uint64_t{1} << 39) - 70,        // the block number passes 32 bits
    (uint64_t{1} << 39) + 3,         // behind that
    (uint64_t{1} << 57) + 12345,     // high bits of the block number are set
    (uint64_t{1} << 58) - kLongest,  // the last elements there are
};

struct Threshold {
  uint64_t value;
  const char* why;
};
inline constexpr Threshold kThresholds[] = {
    {uint64_t{1} << 39, "1/2: one plane"},
    {uint64_t{1} << 38, "1/4: two planes, dropped where both are 0"},
    {uint64_t{3} << 38, "3/4: two planes, kept where either is 1"},
    {uint64_t{5} << 35, "5/32: five planes"},
    {uint64_t{1} << 32, "1/256: eight planes, no tail"},
    {uint64_t{255} << 32, "255/256: eight planes of ones, no tail"},
    {109951162778, "0.1: eight planes and the tail"},
    {329853488333, "0.3: the tail, rounded down"},
    {989560464998, "0.9: the tail, above one half"},
    {uint64_t{0xAB} << 32 | 1, "the smallest tail"},
    {uint64_t{0x55} << 32 | 0xFFFFFFFF, "the largest tail"},
    {uint64_t{0x80} << 32 | 0x80000000, "the sign bit of the tail: unsigned comparison"},
    {1, "the smallest: all planes 0, and the tail"},
    {(uint64_t{1} << 40) - 1, "the largest below all: all planes 1, and the tail"},
    {0, "nothing dropped"},
    {uint64_t{1} << 40, "everything dropped"},
};

inline constexpr definition::Source kSources[] = {
    {0, 0},                                    // the published known answer
    {42, 0},                                   // an ordinary seed
    {~uint64_t{0}, ~uint64_t{0}},              // every addition carries
    {uint64_t{1} << 32, uint64_t{1} << 32},    // only the high words
    {0x243F6A8885A308D3, 0x13198A2E03707344},  // digits of pi: nothing special in any word
    {0xFFFFFFFF, 0xFFFFFFFF00000000},          // words of ones beside words of zeros
};

// Values, as the bits of a float64; a narrower dtype takes the low bits, for which there are
// special values too. What is special in each is said where it is made.
inline std::vector<uint64_t> special_values() {
  std::vector<uint64_t> values = {
      // float64
      0x0000000000000000,
      0x8000000000000000,  // zeros
      0x3FF0000000000000,
      0xBFF0000000000000,  // ones
      0x0000000000000001,
      0x800FFFFFFFFFFFFF,  // subnormals, smallest and largest
      0x0010000000000000,
      0x7FEFFFFFFFFFFFFF,  // normals, smallest and largest: the product overflows
      0x7FF0000000000000,
      0xFFF0000000000000,  // infinities
      0x7FF0000000000001,
      0xFFF8000000000123,  // NaN: signalling, quiet with a payload
      // float32
      0x80000000,
      0x3F800000,
      0x00000001,
      0x807FFFFF,
      0x00800000,
      0x7F7FFFFF,
      0xFF7FFFFF,
      0x7F800000,
      0xFF800000,
      0x7F800001,
      0xFFC01234,
      0x7FBFFFFF,
      // float16
      0x8000,
      0x3C00,
      0x0001,
      0x83FF,
      0x0400,
      0x7BFF,
      0xFBFF,
      0x7C00,
      0xFC00,
      0x7C01,
      0xFE01,
      0x7DFF,
      0x03FF,
      0x3555,
      0x7BFE,
      // bfloat16
      0x3F80,
      0x0080,
      0x807F,
      0x7F7F,
      0xFF7F,
      0x7F80,
      0xFF80,
      0x7F81,
      0xFFC1,
      0x7FBF,
      0x3EAB,
  };
  // Nothing special: any bits at all, from a generator that all machines agree on.
  uint64_t state = 0x9E3779B97F4A7C15;
  while (values.size() < 997) {  // a prime: values meet all places of a vector
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    values.push_back(state);
  }
  return values;
}

}  // namespace harness
