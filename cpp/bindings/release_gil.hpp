// Lets other Python threads run during work that is long enough to be worth it.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

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

}  // namespace simdrop
