// Rows that are looked up, as of an embedding, and places that are chosen, as of tokens.
#pragma once

#include "engine/engine.hpp"

namespace simdrop {

// Whether all of `count` indices are from 0 to `rows` - 1.
bool indices_within(const i64* indices, u64 count, u64 rows);

// y[i] = keep(indices[i]) ? weight[indices[i]] * scale : +0 for rows of a matrix, each with one bit
// of the mask; y is dense. The indices lie within the matrix.
void rows_kept(const Draw& draw, double scale, const View& weight, std::span<const i64> indices,
               u8* y, int threads);

// total[indices[i]] += keep(indices[i]) ? gradient[i] * scale : nothing, in the order of i, each
// rounded to the type: float32 or float64, both dense.
void sum_rows_kept(const Draw& draw, double scale, const View& gradient,
                   std::span<const i64> indices, const View& total, int threads);

// For each of `samples` the `kept` of `tokens` places whose words are the smallest, the earlier one
// of equals; in their own order if `ordered`, else by their words. Those of sample s go to
// out + s * pitch, with `first` + s * `apart` added.
struct Places {
  u64 samples, tokens, kept;
  bool ordered;
  i64 first, apart;
};
void smallest_places(const Places& places, const u32* words, i64* out, u64 pitch);

}  // namespace simdrop
