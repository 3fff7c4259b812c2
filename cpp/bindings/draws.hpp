// What a call is given to draw from.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/stream.hpp"

namespace simdrop {

// The stream that an object is, or null (bind_stream.cpp).
Stream* stream_of(pybind11::handle object);

// Where the numbers of a draw come from: the stream that an object is, or the one that an integer
// is the seed of, from its beginning. Errors call it `name`.
class Draws {
 public:
  Draws(const char* name, pybind11::handle object);

  u64 seed() const { return stream_ != nullptr ? stream_->seed() : seed_; }
  u64 take() { return stream_ != nullptr ? stream_->take() : 0; }

 private:
  Stream* stream_;
  u64 seed_ = 0;
};

}  // namespace simdrop
