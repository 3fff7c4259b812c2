// A pool of threads without a barrier. The calling thread takes pieces of the work like any worker
// and never waits for one that nobody has begun: when another process keeps a worker from running,
// the caller does the work itself. (OpenMP's loops end with a barrier, so that a call waits for
// whoever has been pushed aside, and its threads spin between calls and push others aside.)
#include "runtime/pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "format/tuning.hpp"
#include "runtime/cpu_count.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#endif

namespace simdrop {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr microseconds kSpin{kSpinTime}, kSoon{kSoonTime}, kLate{kLateTime};
constexpr microseconds kAlone{kAloneTime}, kMostAlone{kMostAloneTime};

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for a while without sleeping; returns whether it has come true. Whoever is waited for may
// have been woken on this very CPU, so that it is offered again and again.
template <class Condition>
bool spin_until(const Condition& holds, microseconds most) {
  const auto end = Clock::now() + most;
  do {
    for (int i = 0; i < 32; ++i) {
      if (holds()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (Clock::now() < end);
  return holds();
}

class Pool {
 public:
  // One call at a time has the workers; who comes meanwhile works alone.
  bool try_run(const Job& job, int helpers, bool is_long) {
    const std::unique_lock<std::mutex> own(owner_, std::try_to_lock);
    if (!own.owns_lock()) return false;
    const auto start = Clock::now();
    if (start < alone_until_) return false;
    const bool soon = start - Clock::time_point(Clock::duration(last_end_)) < kSoon;
    place_workers(start_workers(helpers));
    if (workers_ == 0 || (asleep_ == workers_ && !soon && !is_long)) return false;
    // Nobody reads these now: the last job is closed, and its workers have left.
    job_ = job;
    failure_ = nullptr;
    next_ = 0;
    came_ = 0;
    seats_ = std::min(helpers, workers_);
    open_ = true;
    wake(std::min(helpers, workers_));
    const u64 taken = take_pieces(0);
    close(start, taken);
    if (failure_) std::rethrow_exception(failure_);
    return true;
  }

  // A call has ended, whoever did its work.
  void ended() { last_end_ = Clock::now().time_since_epoch().count(); }

 private:
  // Returns whether there are more than before.
  bool start_workers(int wanted) {
    const int before = workers_;
    wanted = std::min(wanted, std::max(cpu_count(), kThreadsAlways) - 1);
    if (workers_ >= wanted || Clock::now() < start_again_) return false;
#if defined(__unix__) || defined(__APPLE__)
    // Signals are for the threads of the program.
    sigset_t all, own;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &own);
#endif
    try {
      handles_.reserve(static_cast<std::size_t>(wanted));
      for (; workers_ < wanted; ++workers_) {
        std::thread worker([this] { serve(); });
        handles_.push_back(worker.native_handle());
        worker.detach();
      }
    } catch (const std::exception&) {  // then those that there are will do
      start_again_ = Clock::now() + kMostAlone;
    }
#if defined(__unix__) || defined(__APPLE__)
    pthread_sigmask(SIG_SETMASK, &own, nullptr);
#endif
    return workers_ != before;
  }

  // Keeps the workers off the caller's CPU: one that is woken there waits until the caller sleeps,
  // however idle the other CPUs are. The caller's affinity mask, as it is now, holds for them too.
  void place_workers([[maybe_unused]] bool are_new) {
#ifdef __linux__
    const int here = sched_getcpu();
    cpu_set_t set;
    if (here < 0 || sched_getaffinity(0, sizeof(set), &set) != 0) return;
    if (CPU_COUNT(&set) > 1) CPU_CLR(static_cast<std::size_t>(here), &set);
    if (!are_new && CPU_EQUAL(&set, &placed_)) return;
    placed_ = set;
    for (const auto handle : handles_) pthread_setaffinity_np(handle, sizeof(set), &set);
#endif
  }

  void wake(int helpers) {
    ++jobs_;
    if (asleep_ == 0) return;
    const std::lock_guard<std::mutex> lock(sleep_);
    for (; helpers > 0; --helpers) work_comes_.notify_one();
  }

  // A worker's life. It is never joined: the pool is never destroyed.
  void serve() {
    u64 seen = 0;
    for (;;) {
      const auto has_come = [&] { return jobs_ != seen; };
      spin_until([&] { return !open_ || has_come(); }, kLate);  // others finish their pieces
      if (!spin_until(has_come, kSpin)) {
        std::unique_lock<std::mutex> lock(sleep_);
        ++asleep_;
        work_comes_.wait(lock, has_come);
        --asleep_;
      }
      seen = jobs_;
      help();
    }
  }

  // Joins the open job if it has a seat left. Either the caller that closes it sees this worker
  // among `active_`, or the worker sees that it is closed: both write, then read.
  void help() {
    ++active_;
    if (open_ && seats_.fetch_sub(1) > 0) take_pieces(++came_);
    if (--active_ == 0 && caller_sleeps_) {
      const std::lock_guard<std::mutex> lock(sleep_);
      work_ends_.notify_one();
    }
  }

  // Returns how many it took.
  u64 take_pieces(int thread) {
    u64 taken = 0;
    try {
      for (;; ++taken) {
        u64 begin = next_, end;
        do end = job_.end_of_piece(begin);
        while (!next_.compare_exchange_weak(begin, end));
        if (begin == end) break;
        job_.work.call(job_.work.work, begin, end, thread);
      }
    } catch (...) {  // nothing of ours throws here; what does must not end the process
      next_ = job_.n;
      const std::lock_guard<std::mutex> lock(sleep_);
      failure_ = std::current_exception();
    }
    return taken;
  }

  // Waits for the pieces that have been begun, and learns from how the help was.
  void close(Clock::time_point start, u64 taken) {
    misses_ = came_ != 0 ? 0 : misses_ + 1;
    const auto done = Clock::now();
    open_ = false;
    const auto idle = [&] { return active_ == 0; };
    if (!spin_until(idle, kLate)) {
      caller_sleeps_ = true;
      std::unique_lock<std::mutex> lock(sleep_);
      work_ends_.wait(lock, idle);
      caller_sleeps_ = false;
    }
    const auto end = Clock::now();
    // Pieces take longer where instructions are simple or memory is far: what is late is told by
    // those of the caller.
    const auto late = kLate + 2 * (done - start) / std::max<u64>(taken, 1);
    if (end - done > late || misses_ >= kMostMisses) {
      misses_ = 0;
      alone_ = end - alone_until_ < alone_ ? std::min(2 * alone_, kMostAlone) : kAlone;
      alone_until_ = end + alone_;
    }
  }

  std::mutex owner_;  // of what is between here and the next comment
  int workers_ = 0;
  std::vector<std::thread::native_handle_type> handles_;
#ifdef __linux__
  cpu_set_t placed_{};
#endif
  Clock::time_point start_again_{}, alone_until_{};
  microseconds alone_ = kAlone;
  int misses_ = 0;
  // The job: written by the owner while it is closed, read by whoever has joined it.
  Job job_{};
  std::exception_ptr failure_;
  alignas(64) std::atomic<u64> next_{0};
  alignas(64) std::atomic<u64> jobs_{0};
  std::atomic<bool> open_{false}, caller_sleeps_{false};
  std::atomic<int> seats_{0}, came_{0}, active_{0};
  std::mutex sleep_;
  std::atomic<int> asleep_{0};
  std::atomic<Clock::rep> last_end_{0};
  std::condition_variable work_comes_, work_ends_;
};

// Never destroyed: a worker may sleep in it when the process ends.
std::atomic<Pool*> pool{new Pool};

#if defined(__unix__) || defined(__APPLE__)
// Threads do not survive a fork, nor can it be known in what state they left the pool: the child
// starts a new one.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif

}  // namespace

bool work_together(const Job& job, int helpers, bool is_long) {
  return pool.load()->try_run(job, helpers, is_long);
}

void call_ended() { pool.load()->ended(); }

}  // namespace simdrop
