// DropBlock: blocks of elements that are dropped together, as bits.
#pragma once

#include <memory>

#include "engine/engine.hpp"

namespace simdrop {

// An array of bits (maps, spatial dimensions ...). Where the seed of a place is dropped, a block of
// `size` elements along each spatial dimension begins: a place is where a whole block fits.
struct Blocks {
  u64 maps;
  Dimensions<i64> sides;  // of a map, all at least `size` if there are seeds
  u64 size;
  const u8* seeds;  // a bit for each place in C order, 1: a block begins, and 8 bytes to spare
  bool many;        // blocks are expected to cover an element more than once
};

struct KeepBits {
  std::unique_ptr<u64[]> words;  // in C order, and three to spare
  u64 n = 0;
  u64 kept = 0;
};

KeepBits block_bits(const Blocks& blocks, int threads);

// y = Op::scale of x and given bits, which lie `bit_steps` apart along the dimensions of x.
void dropout_given(const KeepBits& bits, std::span<const i64> bit_steps, const Operation& operation,
                   const View& x, const View& y, int threads);

}  // namespace simdrop
