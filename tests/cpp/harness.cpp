// Proves and times every kernel of every instruction set of this machine, without Python.
//
//   kernel_harness [--quick] [--expect NAME,NAME,...] [--time]
//
// --expect fails unless exactly these instruction sets are found, best first: a test that silently
// ran on less would prove less. --quick takes fewer inputs (for emulators). --time measures.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "family.hpp"
#include "format/make_plan.hpp"
#include "hostile.hpp"
#include "inputs.hpp"
#include "minimal.hpp"
#include "numbers.hpp"
#include "runtime/dispatch.hpp"

namespace {

using harness::Checker;
using harness::Mask;
using harness::Places;
using harness::Side;
using simdrop::DType;
using simdrop::KernelTable;
using simdrop::Traffic;
using std::uint64_t;

constexpr DType kDTypes[] = {DType::f16, DType::bf16, DType::f32, DType::f64};
constexpr uint64_t kItem[] = {2, 2, 4, 8};
constexpr uint64_t kTenth = 109951162778;  // p = 0.1, for checks that are about something else
// The longest mask as doubles with two places between them, and the largest rectangle of rows.
constexpr std::size_t kCapacity = std::size_t{2} << 20;

double scale_of(uint64_t threshold) {
  return threshold >> 40 != 0 ? 1.0 : 1.0 / (1.0 - std::ldexp(static_cast<double>(threshold), -40));
}

Mask part(const Mask& whole, uint64_t n) {
  return {whole.source,
          whole.threshold,
          whole.first,
          {whole.u.begin(), whole.u.begin() + static_cast<std::ptrdiff_t>(n)}};
}

// All that a mask can be used for, with the addresses given.
void check_all(Checker& checker, const KernelTable& table, const Mask& mask, DType dtype,
               Places places) {
  static const std::vector<uint64_t> values = harness::special_values();
  const double scale = scale_of(mask.threshold);
  const bool in_place = mask.n() % 2 == 0;
  checker.dropout(table, dtype, mask, scale, values, in_place,
                  mask.n() % 3 == 0 ? Traffic::far : Traffic::near, places);
  const std::size_t offset = mask.n() * kItem[static_cast<int>(dtype)] % 64;
  checker.dropout(table, dtype, mask, scale, values, false, Traffic::around,
                  {0, offset, places.side});
  checker.packed(table, mask, false, places);
  checker.bytes(table, mask, mask.n() % 3 == 0, places);
  checker.count(table, mask);
}

// Lengths and starts: every border of the generator.
void check_borders(Checker& checker, const KernelTable& table, bool quick) {
  unsigned number = 0;
  for (const uint64_t start : harness::kStarts) {
    const definition::Source source = harness::kSources[number % std::size(harness::kSources)];
    const uint64_t threshold = number % 3 == 0 ? uint64_t{1} << 39 : kTenth;
    const uint64_t longest = quick ? 6208 : harness::kLongest;
    const Mask whole{source, threshold, start, definition::uniforms(source, start, longest)};
    for (const uint64_t n : harness::kLengths) {
      if (n > longest) continue;
      const Side side = number % 2 == 0 ? Side::end : Side::start;
      const DType dtype = kDTypes[number % 4];
      check_all(checker, table, part(whole, n), dtype, {0, 0, side});
      ++number;
    }
  }
}

// Thresholds and sources: every path through the planes, the ties and the arithmetic.
void check_probabilities(Checker& checker, const KernelTable& table, bool quick) {
  const std::vector<uint64_t> values = harness::special_values();
  for (const definition::Source& source : harness::kSources) {
    const uint64_t n = quick ? 1500 : 7001;
    const uint64_t start = 77;
    Mask mask{source, 0, start, definition::uniforms(source, start, n)};
    // The number of an element itself as the threshold, and the two beside it: it is dropped from
    // exactly one more than its number on.
    std::vector<uint64_t> thresholds;
    for (const auto& [value, why] : harness::kThresholds) thresholds.push_back(value);
    for (const uint64_t u : {mask.u[0], mask.u[n / 2]}) {
      thresholds.push_back(u);
      thresholds.push_back(u + 1);
    }
    for (const uint64_t threshold : thresholds) {
      mask.threshold = threshold;
      for (const DType dtype : kDTypes) {
        checker.dropout(table, dtype, mask, scale_of(threshold), values, true, Traffic::far, {});
        checker.dropout(table, dtype, mask, 1.0, values, false, Traffic::level3, {});  // classic
      }
      for (const bool invert : {false, true}) {
        checker.packed(table, mask, invert, {});
        checker.bytes(table, mask, invert, {});
      }
      checker.count(table, mask);
    }
  }
}

// Addresses: every offset in a cache line for the output, some for the input, and stores that
// bypass the cache, which need alignment.
void check_addresses(Checker& checker, const KernelTable& table, bool quick) {
  const std::vector<uint64_t> values = harness::special_values();
  const definition::Source source = harness::kSources[4];
  const Mask whole{source, kTenth, 5, definition::uniforms(source, 5, 7000)};
  for (const uint64_t n : {uint64_t{61}, uint64_t{700}, uint64_t{6800}}) {
    if (quick && n > 700) continue;
    const Mask mask = part(whole, n);
    for (std::size_t y = 0; y < 64; y += quick ? 7 : 1) {
      for (const std::size_t x : {std::size_t{0}, std::size_t{1}, std::size_t{32}, y}) {
        const DType dtype = kDTypes[(x + y / 2) % 4];
        const Places places{x, y, (x + y) % 2 == 0 ? Side::end : Side::start};
        checker.dropout(table, dtype, mask, 1.25, values, false, Traffic::around, places);
        checker.dropout(table, dtype, mask, 1.25, values, false, Traffic::near, places);
      }
      for (const DType dtype : kDTypes)
        checker.dropout(table, dtype, mask, 1.25, values, true,
                        y % 3 == 0   ? Traffic::around
                        : y % 3 == 1 ? Traffic::around_alone
                                     : Traffic::far,
                        {0, y, Side::end});
      checker.packed(table, mask, false, {0, y, Side::end});
      checker.bytes(table, mask, false, {0, y, Side::start});
    }
  }
}

// Given bits and strides: every bit offset, and steps of all kinds.
void check_apply(Checker& checker, const KernelTable& table, bool quick) {
  const std::vector<uint64_t> values = harness::special_values();
  const definition::Source source = harness::kSources[1];
  const Mask whole{source, uint64_t{3} << 38, 0, definition::uniforms(source, 0, 7000)};
  for (const DType dtype : kDTypes) {
    const auto item = static_cast<std::int64_t>(kItem[static_cast<int>(dtype)]);
    const std::int64_t steps[][2] = {
        {item, item},          // dense
        {-item, item},         // backwards
        {2 * item, 3 * item},  // every second, every third
        {item + 1, item},      // unaligned elements
        {item, -2 * item},     // scattered backwards
        {0, item},             // one element broadcast
    };
    for (const auto& step : steps) {
      if (step[0] == 0) continue;  // broadcast inputs are copied element by element: see below
      for (uint64_t bit = 0; bit < 70; bit += quick ? 13 : 3)
        for (const uint64_t n : {1, 63, 64, 65, 200})
          checker.apply(
              table, dtype, part(whole, n), bit, 1.25, values, step[0], step[1],
              {static_cast<std::size_t>(bit) % 64, 0, bit % 2 == 0 ? Side::end : Side::start});
      checker.apply(table, dtype, part(whole, quick ? 700 : 7000), 11, 1.25, values, step[0],
                    step[1], {});
    }
    // A step of zero: one value for all, so that every place holds it.
    checker.apply(table, dtype, part(whole, 500), 5, 1.25, {values[20]}, 0, item, {});
  }
}

// Rectangles: their borders, rows that start anywhere in a block, rows in different stretches.
void check_tiles(Checker& checker, const KernelTable& table, bool quick) {
  constexpr uint64_t kStretch = uint64_t{1} << 34;
  const struct Rectangle {
    uint64_t rows, columns, first, row_step;
  } cases[] = {
      {1, 1, 0, 1},                         // the smallest
      {64, 64, 0, 64},                      // one square of bits
      {65, 129, 3, 131},                    // one row and one column more than whole blocks
      {100, 512, 0, 512},                   // as wide as a tile
      {70, 200, kStretch - 10 * 300, 300},  // the first row of the next stretch starts inside it
      {70, 200, kStretch - 10 * 300 - 50, 300},  // a row spans two stretches
      {5, 300, 7, kStretch + 1},                 // each row in a stretch of its own
  };
  unsigned number = 0;
  for (const auto& c : cases)
    for (const DType dtype : kDTypes)
      for (const uint64_t threshold : {uint64_t{1} << 39, kTenth}) {
        const std::size_t offset = ++number * kItem[static_cast<int>(dtype)] % 64;
        checker.tile(table, dtype, harness::kSources[number % std::size(harness::kSources)],
                     threshold, c.first, c.row_step, c.rows, c.columns, number % 3 * 16,
                     {0, offset, number % 2 == 0 ? Side::end : Side::start});
      }
  const Rectangle rows_only[] = {
      {2, 13000, 77, 13000},           // longer than two groups, one after another
      {2, 6144, 0, 7000},              // a group each
      {3, 6145, 127, 6145 + 3},        // and one element more
      {700, 1, 5, 1},                  // more than a group's list of pieces has places
      {700, 1, 5, 1000},               // a block each
      {300, 7, 1, 7},                  // share blocks
      {40, 64, 64, 128},               // whole words, in half of the blocks
      {60, 65, 3, 3},                  // overlap, as elements that share bits do
      {1, 20000, kStretch - 9000, 1},  // one row that spans two stretches
  };
  // All types with the small ones; the others in turn.
  for (const auto* list : {&cases[0], &rows_only[0]})
    for (std::size_t k = 0; k < (list == cases ? std::size(cases) : std::size(rows_only)); ++k) {
      const Rectangle& c = list[k];
      const bool small = c.rows * c.columns <= 5000;
      ++number;
      for (const DType dtype : kDTypes)
        if (small || static_cast<unsigned>(dtype) == number % std::size(kDTypes))
          for (const uint64_t threshold : {uint64_t{1} << 39, kTenth})
            if (small || threshold == kTenth || !quick)
              checker.rows(table, dtype, harness::kSources[number % std::size(harness::kSources)],
                           threshold, c.first, c.row_step, c.rows, c.columns, number % 4 * 6,
                           {0, number * 8 % 64, number % 2 == 0 ? Side::end : Side::start});
    }
  if (!quick)
    checker.tile(table, DType::f16, harness::kSources[1], kTenth, 11, 1000, simdrop::kTileRows, 2,
                 0, {0, 2, Side::end});  // as long as a tile
}

// Matrices of bits: each way of turning them over, at its borders, with and without gaps, rows
// taken from the last to the first.
void check_transposes(Checker& checker, const KernelTable& table, bool quick) {
  // 1: a copy; 2 to 4: interleaved or separated; 7, 8, 9, 16, 17, 32, 33, 64: whole squares and
  // parts of them, 65 and 100: a second one; 513, 700: more than a strip of words
  for (const uint64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 33, 64, 65, 100, 513, 700})
    for (const uint64_t columns : {1, 2, 3, 4, 5, 7, 8, 16, 17, 32, 33, 64, 65, 130, 513, 700}) {
      if (quick && rows * columns > 10000) continue;
      for (const uint64_t gap : {0, 8, 13})
        for (const uint64_t to_gap : {0, 8, 13}) {
          const uint64_t at = rows + columns + gap + to_gap;
          checker.transpose(table, rows, columns, gap, at % 2 == 1, 0, 0, to_gap, 1 + at % 3);
          checker.transpose(table, rows, columns, gap, at % 2 == 0, at % 67, at % 71, to_gap, 1);
        }
    }
  // Columns that begin with words: one square of bits to nine, a part of one more; a word of
  // columns to four, and more than a strip; several matrices, which share strips if they are narrow
  for (const uint64_t rows : {64, 128, 576, 640, 700})
    for (const uint64_t columns : {33, 64, 65, 128, 129, 200, 256, 257, 600})
      for (const uint64_t count : {1, 2, 9}) {
        if (quick && rows * columns * count > 40000) continue;
        const uint64_t to_gap = 64 - rows % 64;
        checker.transpose(table, rows, columns, 0, false, 0, 64, to_gap, count);
        checker.transpose(table, rows, columns, 5, true, rows % 67, 128, to_gap, count);
      }
  for (const uint64_t words : {1, 2, 3, 8, 9, 100}) checker.reverse(table, words);
}

// Planes as they are: uniform words, seeds of streams, and the planes of a mask.
void check_words(Checker& checker, const KernelTable& table) {
  for (const definition::Source& source : harness::kSources)
    for (const int plane : {0, 7, 8, 16, 17, 255})
      for (const uint64_t first : {uint64_t{0}, uint64_t{4}, (uint64_t{1} << 34) - 8})
        for (const uint64_t n : {1, 2, 3, 4, 5, 31, 193, 400})
          checker.words(table, source, plane, first, n, {});
}

// Billions of elements a second, the best of several runs, in an array that fits into L2.
void time_kernels(const KernelTable& table) {
  constexpr uint64_t n = uint64_t{1} << 16;
  static std::vector<unsigned char> x(n * 8 + 64);
  const auto rate = [&](auto call) {
    double best = 0;
    for (int run = 0; run < 30; ++run) {
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < 4; ++k) call();
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - start;
      best = std::max(best, 4 * static_cast<double>(n) / took.count());
    }
    return best;
  };
  unsigned char* to = x.data() + (64 - reinterpret_cast<std::uintptr_t>(x.data()) % 64);
  for (const double p : {0.5, 0.1}) {
    const simdrop::Plan plan = simdrop::mask_plan(simdrop::threshold_of(p), 42, 0);
    std::printf("%-8s p %.1f  G elements/s: ", table.name, p);
    const char* names[] = {"f16", "bf16", "f32", "f64"};
    for (int d = 0; d < 4; ++d)
      std::printf("%s %.2f  ", names[d],
                  rate([&] { table.dropout[0][d](plan, 0, {}, to, to, n, Traffic::near); }));
    std::printf("packed %.2f  ", rate([&] { table.packed(plan, 0, n, to, false); }));
    std::printf("bytes %.2f  ", rate([&] { table.bytes(plan, 0, n, to, false); }));
    uint64_t kept = 0;
    std::printf("count %.2f", rate([&] { kept += table.count(plan, 0, n); }));
    std::printf("  (kept %.4f)\n", static_cast<double>(kept) / (120.0 * static_cast<double>(n)));
  }
}

struct Digests {
  uint64_t kernels, others;
};

// No entry of a table is left empty. (Sanitizers make addresses of functions no constants, so this
// is not asserted where the table is made.)
void check_full(const KernelTable& table) {
  void (*entries[harness::kEntries])();
  std::memcpy(entries, reinterpret_cast<const char*>(&table) + sizeof(const char*),
              sizeof(entries));
  for (const auto entry : entries)
    if (entry == nullptr) {
      std::fprintf(stderr, "FAILED: the table %s lacks an entry\n", table.name);
      std::exit(1);
    }
}

Digests check_table(Checker& checker, const KernelTable& table, bool quick,
                    uint64_t& other_failures) {
  check_full(table);
  checker.restart_digest();
  check_borders(checker, table, quick);
  check_probabilities(checker, table, quick);
  check_addresses(checker, table, quick);
  check_apply(checker, table, quick);
  check_words(checker, table);
  check_tiles(checker, table, quick);
  check_transposes(checker, table, quick);
  Digests digests{checker.digest(), 0xCBF29CE484222325};
  other_failures += harness::check_others(table, quick, digests.others);
  return digests;
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false, once = false, timing = false;
  std::string expected;
  for (int a = 1; a < argc; ++a) {
    if (std::strcmp(argv[a], "--quick") == 0) {
      quick = true;
    } else if (std::strcmp(argv[a], "--once") == 0) {  // not in every environment
      once = true;
    } else if (std::strcmp(argv[a], "--time") == 0) {
      timing = true;
    } else if (std::strcmp(argv[a], "--expect") == 0 && a + 1 < argc) {
      expected = argv[++a];
    } else {
      std::fprintf(stderr, "usage: %s [--quick] [--once] [--expect NAME,NAME,...] [--time]\n",
                   argv[0]);
      return 2;
    }
  }
  std::string found;
  for (const KernelTable* table : simdrop::available_tables()) {
    if (!found.empty()) found += ',';
    found += table->name;
  }
  std::printf("instruction sets: %s\n", found.c_str());
  if (!expected.empty() && found != expected) {
    std::fprintf(stderr, "FAILED: expected %s\n", expected.c_str());
    return 1;
  }
  if (timing) {
    for (const KernelTable* table : simdrop::available_tables()) time_kernels(*table);
    return 0;
  }
  bool good = harness::numbers_are_right();
  Checker checker(kCapacity);
  Digests first{}, first_quick{};
  uint64_t other_failures = 0;
  const auto agree = [&](Digests& known, const Digests& found) {
    if (known.kernels == 0) known = found;
    good = good && known.kernels == found.kernels && known.others == found.others;
  };
  std::vector<const KernelTable*> tables = simdrop::available_tables();
  tables.push_back(&simdrop::kMinimalTable);
  for (const KernelTable* table : tables) {
    const uint64_t before = checker.calls();
    const Digests found = check_table(checker, *table, quick, other_failures);
    std::printf("%-8s %llu calls, digest %016llx\n", table->name,
                static_cast<unsigned long long>(checker.calls() - before),
                static_cast<unsigned long long>(found.kernels));
    agree(first, found);
    agree(first_quick, quick ? found : check_table(checker, *table, true, other_failures));
    // What the minimal leaf proves is that the defaults are right, and those have no environment.
    if (once || table == &simdrop::kMinimalTable) continue;
    // The caller's floating-point environment reaches no result, and the caller keeps it.
    for (const harness::Environment environment : harness::kEnvironments)
      agree(first_quick,
            check_table(checker, harness::hostile(*table, environment), true, other_failures));
  }
  std::printf("environments lost: %llu\n", static_cast<unsigned long long>(harness::Hostile::lost));
  good = good && harness::Hostile::lost == 0;
  good = good && checker.failures() == 0 && other_failures == 0;
  std::printf("%llu calls, %llu failures: %s\n", static_cast<unsigned long long>(checker.calls()),
              static_cast<unsigned long long>(checker.failures()), good ? "passed" : "FAILED");
  return good ? 0 : 1;
}
