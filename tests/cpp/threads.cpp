// Stream, the pool of threads and the engine from many threads at once: what ThreadSanitizer is to
// look at.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <new>
#include <set>
#include <thread>
#include <vector>

#include "bindings/stream.hpp"
#include "engine/engine.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/parallel.hpp"

namespace {

using simdrop::u64;
using simdrop::u8;

constexpr int kThreads = 8;
std::atomic<int> failures{0};

void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what);
}

void together(const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k)
    threads.emplace_back([&, k] {
      ++ready;
      while (ready != kThreads) std::this_thread::yield();
      work(k);
    });
  for (std::thread& thread : threads) thread.join();
}

void no_number_is_taken_twice(u64 start, bool reaches_the_end) {
  constexpr u64 kEach = 20000;
  simdrop::Stream stream(1, {start, false});
  std::vector<std::vector<u64>> taken(kThreads);
  std::atomic<int> refused{0};
  together([&](int k) {
    for (u64 i = 0; i < kEach; ++i) try {
        const u64 count = 1 + i % 3;
        const u64 first = stream.take(count);
        for (u64 j = 0; j < count; ++j) taken[static_cast<std::size_t>(k)].push_back(first + j);
      } catch (const std::overflow_error&) {
        ++refused;
      }
  });
  std::set<u64> all;
  u64 total = 0;
  for (const auto& numbers : taken) {
    all.insert(numbers.begin(), numbers.end());
    total += numbers.size();
    for (std::size_t i = 1; i < numbers.size(); ++i)
      expect(numbers[i] > numbers[i - 1], "a thread's numbers ascend");
  }
  expect(all.size() == total, "no number is taken twice");
  expect(*all.begin() == start, "the first number is taken");
  expect(*all.rbegin() == start + (total - 1), "no number is left out");
  if (reaches_the_end) {
    expect(*all.rbegin() == ~u64{0}, "the last number is taken");
    expect(refused > 0 && stream.number().used_up, "then the stream is used up");
  } else {
    expect(refused == 0, "numbers are left");
  }
}

// The first number is where a zero of the counter could pass for its end: threads that begin new
// streams at the same moment are neither refused nor told that the numbers are used up.
void no_beginning_is_taken_for_the_end() {
  constexpr std::size_t kStreams = 5000;
  std::deque<simdrop::Stream> streams;
  for (std::size_t i = 0; i < kStreams; ++i)
    streams.emplace_back(1, simdrop::StreamNumber{0, false});
  std::vector<std::atomic<int>> arrived(kStreams);
  std::atomic<int> refused{0}, used_up{0};
  together([&](int k) {
    for (std::size_t i = 0; i < kStreams; ++i) {
      ++arrived[i];
      while (arrived[i] < kThreads) std::this_thread::yield();
      if (k % 2 == 0) used_up += streams[i].number().used_up;
      try {
        streams[i].take();
      } catch (const std::overflow_error&) {
        ++refused;
      }
    }
  });
  expect(refused == 0, "the first numbers are given");
  expect(used_up == 0, "a stream that begins is not used up");
  for (const simdrop::Stream& stream : streams)
    expect(stream.number().value == kThreads, "one number for each thread");
}

// One array in disjoint pieces, a shared Stream, and someone who keeps changing the instruction
// set and the thread count: the bytes are those of one thread.
void pieces_of_one_array() {
  constexpr u64 n = 400000;
  const simdrop::Draw draw{109951162778, 7, 3, 11};
  std::vector<float> expected(n, 1.5f), got(n, 1.5f);
  const auto view = [](float* data, u64 count) {
    return simdrop::View{data, simdrop::DType::f32, {static_cast<simdrop::i64>(count)}, {4}};
  };
  simdrop::dropout(draw, 1.25, view(expected.data(), n), view(expected.data(), n), 1);
  std::vector<u8> flags(n), expected_flags(n);
  const simdrop::Plan plan = simdrop::mask_plan(draw.threshold, draw.seed, draw.stream);
  simdrop::bytes(plan, draw.offset, n, expected_flags.data(), false, 1);
  std::atomic<u64> kept{0};
  together([&](int k) {
    const auto& tables = simdrop::available_tables();
    simdrop::use_table(tables[static_cast<std::size_t>(k) % tables.size()]->name);
    simdrop::set_num_threads(k % 3);
    const u64 piece = n / kThreads;
    const u64 begin = static_cast<u64>(k) * piece;
    simdrop::Draw mine = draw;
    mine.offset += begin;
    const simdrop::View part = view(got.data() + begin, piece);
    simdrop::dropout(mine, 1.25, part, part, 0);
    simdrop::bytes(plan, draw.offset + begin, piece, flags.data() + begin, false, 0);
    kept += simdrop::count_kept(plan, draw.offset + begin, piece, 0);
  });
  expect(std::memcmp(got.data(), expected.data(), n * 4) == 0, "pieces equal the whole");
  expect(flags == expected_flags, "flags of pieces equal those of the whole");
  u64 count = 0;
  for (const u8 flag : expected_flags) count += flag;
  expect(kept == count, "counts of pieces add up");
  expect(simdrop::count_kept(plan, draw.offset, n, 5) == count,
         "any number of threads counts alike");
}

// Every number of 0 .. n is worked on once, with space of its own for each thread, whoever else
// calls: one call at a time has the workers.
void ranges_cover_everything_once() {
  together([&](int k) {
    for (u64 n : {u64{1}, u64{63}, u64{64}, u64{1000}, u64{100000}}) {
      for (int round = 0; round < 20; ++round) {
        const int threads = 1 + (k + round) % 5;
        const int most = simdrop::most_threads({n, 64, 640, threads});
        std::vector<u8> times(n, 0);
        std::vector<u64> done(static_cast<std::size_t>(most), 0);
        simdrop::parallel_ranges(n, 64, 640, threads, [&](u64 begin, u64 end, int thread) {
          expect(thread < most, "threads are numbered below most_threads()");
          expect(begin % 64 == 0 && (end % 64 == 0 || end == n), "borders are multiples");
          for (u64 i = begin; i < end; ++i) ++times[i];
          done[static_cast<std::size_t>(thread)] += end - begin;
        });
        u64 total = 0;
        for (const u64 count : done) total += count;
        bool once = true;
        for (const u8 count : times) once = once && count == 1;
        expect(once && total == n, "each number is worked on once");
      }
    }
  });
}

// What is thrown on any thread arrives at the caller, and the pool works on.
void exceptions_arrive_at_the_caller() {
  for (int round = 0; round < 200; ++round) {
    bool caught = false;
    try {
      simdrop::parallel_ranges(1000, 1, 10, 4, [&](u64 begin, u64 end) {
        if (begin <= 500 && 500 < end) throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    expect(caught, "an exception arrives");
  }
}

}  // namespace

int main() {
  ranges_cover_everything_once();
  exceptions_arrive_at_the_caller();
  no_number_is_taken_twice(0, false);
  no_number_is_taken_twice(~u64{0} - 1000, true);
  no_beginning_is_taken_for_the_end();
  pieces_of_one_array();
  std::printf("threads: %s\n", failures == 0 ? "passed" : "FAILED");
  return failures == 0 ? 0 : 1;
}
