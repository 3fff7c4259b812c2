// The boundary between the baseline code and the leaf files: one table of kernels per
// instruction set. A leaf file exports its table and no other symbol.
#pragma once

#include "format/plan.hpp"

namespace simdrop {

// Where arrays are. It changes how fast a result comes, never the result.
enum class Traffic : int {
  near = 0,       // in the caches, or so small that it may be
  level3 = 8,     // the same, beyond level 2: only a loop that can do it evenly asks ahead
  far = 5,        // in memory: what comes next is asked for ahead of time
  around = 7,     // the same, and stores bypass the caches; out of place only
  far_alone = 4,  // the same two where the processor itself follows a stream that pauses
  around_alone = 6,
};
namespace {  // leaf files may not share a function
inline constexpr bool asks_ahead(Traffic traffic) { return (static_cast<int>(traffic) & 1) != 0; }
inline constexpr bool bypasses(Traffic traffic) { return (static_cast<int>(traffic) & 2) != 0; }
}  // namespace

// y[j] = the operation on x[j] and keep(first + j) for j < n; x == y is allowed, any other
// overlap is not.
using DropoutKernel = void (*)(const Plan& plan, u64 first, const Operation& operation,
                               const void* x, void* y, u64 n, Traffic traffic);

// The same with the keep bits given: bit `bit + j` of `bits` for j < n, and elements that lie
// x_step and y_step bytes apart. Reads at most the words that hold those bits and one more.
// `traffic` counts only where both lie side by side.
using ApplyKernel = void (*)(const u64* bits, u64 bit, u64 n, const Operation& operation,
                             const void* x, i64 x_step, void* y, i64 y_step, Traffic traffic);

// Normal deviates (docs/normal-deviates.md) on their way into an array.
enum class Noise : int {
  replace,   // y = sd * z
  add,       // y = x + sd * z
  multiply,  // y = x * (1 + sd * z)
};
inline constexpr int kNoises = 3;
using NoiseKernel = void (*)(const double* z, double sd, const void* x, void* y, u64 n);

// A rectangle of an array whose memory does not run along its last axis: columns lie along memory,
// rows along the mask's index. At most kTileRows by kTileColumns.
struct Tile {
  u64 rows, columns;
  u64 first;     // index of row 0, column 0
  u64 row_step;  // from a row to the next in the mask's index; 1 from a column to the next
  const unsigned char* x;
  unsigned char* y;
  i64 x_row, x_column, y_row, y_column;  // steps in bytes
  bool far;                              // see Traffic
  u64* bits;                             // column c's keep bits at c * kTileColumnWords
};
// Draws the bits of one tile while the other, whose bits were drawn before, is used. Either may be
// null.
using TileKernel = void (*)(const Plan& plan, const Operation& operation, const Tile* draw,
                            const Tile* use);

// The same rectangle where the memory of a row runs along the mask's index too, whatever its size:
// each row is drawn and applied.
using RowKernel = void (*)(const Plan& plan, const Operation& operation, const Tile& tile);

// Bits that are turned over: bit c of row r, at from_bit + r * from_pitch + c of `from`, becomes
// bit r of column c, at to_bit + c * to_pitch + r of `to`, where there are zeros; and the same in
// `count` matrices, which lie from_next and to_next bits apart. Up to kBitsBeyond words of `from`
// beyond what is asked for are read.
struct BitMatrix {
  const u64* from;
  i64 from_bit, from_pitch;
  u64* to;
  u64 to_bit, to_pitch;
  u64 rows, columns;
  u64 count;
  i64 from_next;
  u64 to_next;
};
inline constexpr u64 kBitsBeyond = 10;

struct KernelTable {
  const char* name;
  DropoutKernel dropout[kOps][kDTypes];
  ApplyKernel apply[kPlainOps][kDTypes];
  TileKernel tile[kPlainOps][kDTypes];
  RowKernel rows[kPlainOps][kDTypes];
  // The keep bits of a rectangle, one row after another without a gap, into `bits`; only as many
  // bytes are written as hold them.
  void (*row_bits)(const Plan& plan, const Tile& tile);
  void (*transpose_bits)(const BitMatrix& matrix);
  // The last bit of all words becomes the first.
  void (*reverse_bits)(u64* words, u64 count);
  // y = the pattern over and over, for n bytes; it starts at a multiple of 8 bytes, y at any
  // multiple of the element that it repeats
  void (*fill)(const void* pattern64, void* y, u64 n, Traffic traffic);
  // After stores of `apply` and `fill` around the caches: others see them from here on.
  void (*fence)();
  // z[2 j] and z[2 j + 1] from words 2 j and 2 j + 1
  void (*deviates)(const u64* words, u64 pairs, double* z);
  NoiseKernel noise[kNoises][kDTypes];
  // keep bits first .. first + n - 1, least significant bit first, into ceil(n / 8) bytes; the
  // bits that pad the last byte are 0. `invert` writes the dropped bits instead.
  void (*packed)(const Plan& plan, u64 first, u64 n, void* out, bool invert);
  // the same as bytes of 0 and 1
  void (*bytes)(const Plan& plan, u64 first, u64 n, void* out, bool invert);
  // how many of them are kept
  u64 (*count)(const Plan& plan, u64 first, u64 n);
};

extern const KernelTable kScalarTable;
#if defined(__x86_64__) || defined(_M_X64)
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const KernelTable kNeonTable;
#endif

}  // namespace simdrop
