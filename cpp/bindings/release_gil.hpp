// Lets other Python threads run during work that is long enough to be worth it.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>
#include <type_traits>

#include "format/tuning.hpp"

namespace simdrop {

// Not pybind11's gil_scoped_release: a thread that comes back when the interpreter has ended is
// ended by Python (before 3.14) with pthread_exit, which unwinds the stack; from a destructor that
// is std::terminate, and the process dies. Such a thread has to wait for the end of the process,
// which is what Python 3.14 lets it do.
class ReleaseGil {
 public:
  explicit ReleaseGil(u64 elements)
      : state_(elements >= kWorthReleasing ? PyEval_SaveThread() : nullptr) {}
  ReleaseGil(const ReleaseGil&) = delete;
  ReleaseGil& operator=(const ReleaseGil&) = delete;
  ~ReleaseGil() {
    if (state_ == nullptr) return;
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

// Does the work without the interpreter's lock. What it gives is a number or nothing: an object of
// Python's would be counted while others count too, as would a copy of one that is made on the way
// out of a block with a ReleaseGil, so that none is used but here.
template <class Work>
auto without_gil(u64 elements, const Work& work) {
  using Result = std::invoke_result_t<const Work&>;
  static_assert(std::is_void_v<Result> || std::is_arithmetic_v<Result>);
  const ReleaseGil released(elements);
  return work();
}

}  // namespace simdrop
