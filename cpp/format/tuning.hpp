// Every constant that decides how fast something is, and why it has its value. None decides what a
// result is. Measured with AVX-512 on Zen 5 where nothing else is said.
//
// How many chains of an instruction set run at once belongs to it: `chains` in isa_*.cpp.
//
// For leaf files too.
#pragma once

#include "format/integers.hpp"

namespace simdrop {

// ---- The generator -----------------------------------------------------------------------------

// Blocks drawn at a time: six vectors of eight lanes (AVX-512), and whole ones of the others too.
inline constexpr int kGroupBlocks = 48;

// ---- Memory, inside a call ---------------------------------------------------------------------

// From memory, lines are asked for so many bytes ahead: 8 KiB hide the latency and leave most of
// the first cache to the generator (of the speed of scaling, at p = 0.1, 4 KiB reach 0.77, 6 to 16
// KiB 0.93). The processor's own prefetcher stops while bits are drawn.
inline constexpr u64 kAhead = 8192;

// Elements from which on it pays to start at an aligned address, or to store around the caches.
inline constexpr u64 kWorthAligning = 256;
// The same for memory that is filled, in bytes.
inline constexpr u64 kWorthStreaming = 512;

// Rectangles of arrays whose memory does not run along the mask's index: rows lie along that index,
// columns along memory. Columns this long hide that memory jumps from one to the next; the bits of
// 512 of them take 0.5 MiB, within level 2. (4096 by 1024 reach 0.65 of scaling, these 0.83.)
inline constexpr u64 kTileRows = 8192;
inline constexpr u64 kTileColumns = 512;
// Words from one column's bits to the next: an odd number of lines, so that not all columns lie in
// one set of a cache.
inline constexpr u64 kTileColumnWords = kTileRows / 64 + 8;
// Tiles are cut for the sake of threads, but no shorter than this: runs in memory would get short.
inline constexpr u64 kFewestTileRows = 1024;
// Strips of 64 rows whose bits are handed out together: eight words of a column are one line.
inline constexpr u64 kTileStrips = 8;

// Rows that lie apart in the mask's index or in memory.
// Pieces of rows that one group of the generator serves; more would take more of the first cache
// than the bits.
inline constexpr int kGroupPieces = 4 * kGroupBlocks;
// Elements of a row from which on it is computed by itself; shorter ones are gathered, 64 elements
// at a time.
inline constexpr u64 kWorthStartingRow = 64;
// The same for what reaches an aligned address: it costs two words that are not whole, 30 ns.
inline constexpr u64 kWorthAligningRow = 2048;
// Words of bits of several rows that are used at a time, where memory has no gaps.
inline constexpr u64 kJoinedWords = 8;

// Pairs of normal deviates to one round of the loops: whole vectors of any width.
inline constexpr int kRoundPairs = 32;

// ---- Memory, of a call -------------------------------------------------------------------------

// What the caches are taken to hold: the last level, within these bounds (virtual machines may be
// told of one that they share with many, or of none). Beyond, what comes next is asked for and
// results are written around the caches: with 32 MiB of cache and two threads, 8 MiB are written at
// 22 G float32/s through the cache and at 9.7 around it, 32 MiB at 7.0 and 7.9.
inline constexpr u64 kLeastCache = u64{16} << 20;
inline constexpr u64 kMostCache = u64{128} << 20;
// What level 2 is taken to hold. Beyond, float32 that is scaled between the rounds of the planes is
// asked for ahead (p = 0.1, 4 MiB: 1.13 times as fast, 16 MiB: 1.19).
inline constexpr u64 kLevelTwo = u64{3} << 19;

// From this many bytes on it pays to ask for large pages; NumPy asks from the same size on. A page
// of 4 KiB costs half a microsecond when it is first written, several times what dropout costs.
inline constexpr u64 kLargePageBytes = u64{4} << 20;

// ---- Arrays that are not one piece of memory ---------------------------------------------------

// Keep bits drawn before they are used: 3 KiB, little beside the first cache, and the start of a
// call of a kernel no longer counts.
inline constexpr u64 kHeldBits = 4 * kGroupBlocks * 128;

// Boxes of arrays that lie in memory in another order than the mask's: so many elements, whose bits
// take 128 KiB, twice; from memory half of it. At the least so many along the index, a whole block,
// and along memory, if there are; then so many along the index, of which whole vectors of words
// are turned over (1 Mi transposed: 205 us with 128 of them, 151 with 512, 134 with 1024).
inline constexpr u64 kBoxElements = 1 << 20;
inline constexpr u64 kFewestBoxElements = 16384;  // where threads share them
inline constexpr u64 kBoxDrawn = 128;
inline constexpr u64 kBoxRun = 1024;
inline constexpr u64 kBoxVectors = 1024;

// Elements gathered from strided arrays at a time: with a second array 96 KiB, within level 2.
inline constexpr u64 kGathered = 6144;
// Rows shorter than this are gathered, computed as one piece and taken back: a start of a kernel
// for each takes longer (rows of 7 of 8: 15 ns a row, gathered 2). From 200 on the caches and
// memory disagree.
inline constexpr u64 kWorthBuffer = 160;

// Elements of rows that are handed to a thread at a time: about 20 us.
inline constexpr u64 kRowsElements = 16 * kGroupBlocks * 128;
// An axis shorter than this does not fill groups of the generator, if there is a longer one.
inline constexpr i64 kFewRows = 16;
// An axis along which memory is walked, against the order of the mask, is at least so long: columns
// of bits are made for it.
inline constexpr i64 kLongAxis = 32;
// A window may leave out so many elements after each that they are cheaper drawn all the same than
// the others one by one (16 ns each of either kind).
inline constexpr u64 kMostSkipped = 32;

// Runs of elements that share a bit and are longer than this are scaled or filled one by one; the
// bits of shorter ones are written out for each element first.
inline constexpr u64 kLongRun = 256;
// Rows of bits that are repeated are written out if they are no longer than this: half of what is
// written out at a time.
inline constexpr u64 kLongestPeriod = kGroupBlocks * 128 / 2;

// Pairs of normal deviates at a time: four groups of the generator.
inline constexpr u64 kNormalPairs = 4 * kGroupBlocks;

// ---- Threads -----------------------------------------------------------------------------------

// Work is cut between groups of the generator.
inline constexpr u64 kGranule = kGroupBlocks * 128;

// Elements below which a second thread costs more than it brings: waking it takes microseconds.
inline constexpr u64 kWorthwhile = 10 * kGranule;
// The same for normal deviates: 2.5 ns each on Zen 4, where dropout costs 0.14.
inline constexpr u64 kNormalWorthwhile = 32 * kNormalPairs;

// A job is long, and worth waking a thread that sleeps, if it is so many times as long as what is
// worth a thread.
inline constexpr u64 kLongJob = 32;

// Elements from which on other Python threads may run meanwhile: about a microsecond of work.
inline constexpr u64 kWorthReleasing = 16384;

// Times of the pool, in microseconds.
// After a job a thread looks for the next one for so long before it sleeps: the time between two
// calls of a loop.
inline constexpr int kSpinTime = 20;
// Waking a thread that sleeps takes 20 to 70 us on a virtual machine, as long as a small job. So it
// is woken for a job that comes so soon after another that more will come (and hypervisors do not
// let a CPU sleep at once), or for a long one.
inline constexpr int kSoonTime = 200;
// A piece takes about 50 us. Who has to wait so much longer for the end of one, or asks for help
// that does not come, shares the CPUs with other processes, and works alone for a while: at first
// for kAloneTime, twice as long each time that it happens again soon.
inline constexpr int kLateTime = 100;
inline constexpr int kAloneTime = 20'000;
inline constexpr int kMostAloneTime = 320'000;
// So often in a row help may fail to come: a CPU that sleeps takes a while to wake up.
inline constexpr int kMostMisses = 16;
// More threads than CPUs only take turns. Up to eight are started all the same, so that whoever
// tests on a small machine sees several at work.
inline constexpr int kThreadsAlways = 8;

}  // namespace simdrop
