// Memory in which an access outside a buffer shows: pages that may not be touched on both sides,
// known bytes between them and the buffer, and those bytes poisoned for AddressSanitizer.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__has_include)
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address))
#endif

namespace harness {

inline constexpr std::size_t kLine = 64;  // addresses are chosen modulo the longest vector
inline constexpr unsigned char kGuard = 0xC5;

enum class Side { start, end };

class Guarded {
 public:
  explicit Guarded(std::size_t capacity) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    size_ = (capacity + 2 * kLine + page - 1) / page * page;
    mapping_size_ = size_ + 2 * page;
    void* mapping = mmap(nullptr, mapping_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) std::abort();
    mapping_ = static_cast<unsigned char*>(mapping);
    start_ = mapping_ + page;
    if (mprotect(start_, size_, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  ~Guarded() { munmap(mapping_, mapping_size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // A buffer whose address is `offset` modulo 64, as close to a forbidden page as that allows.
  unsigned char* place(std::size_t bytes, std::size_t offset, Side side) {
    if (bytes + 2 * kLine > size_) std::abort();
    std::size_t at = offset;
    if (side == Side::end) {
      at = size_ - bytes;
      at -= (at + kLine - offset) % kLine;
    }
    ASAN_UNPOISON_MEMORY_REGION(start_, size_);
    before_ = at < kCompared ? at : kCompared;
    const std::size_t room = size_ - at - bytes;
    after_ = room < kCompared ? room : kCompared;
    buffer_ = start_ + at;
    bytes_ = bytes;
    std::memset(buffer_ - before_, kGuard, before_ + bytes + after_);
    ASAN_POISON_MEMORY_REGION(start_, at);
    ASAN_POISON_MEMORY_REGION(buffer_ + bytes, room);
    return buffer_;
  }

  // True if the bytes around the buffer are as they were.
  bool intact() const {
    ASAN_UNPOISON_MEMORY_REGION(start_, size_);
    bool same = true;
    for (std::size_t j = 1; j <= before_; ++j) same &= *(buffer_ - j) == kGuard;
    for (std::size_t j = 0; j < after_; ++j) same &= buffer_[bytes_ + j] == kGuard;
    return same;
  }

 private:
  static constexpr std::size_t kCompared = 512;
  unsigned char* mapping_;
  unsigned char* start_;
  unsigned char* buffer_ = nullptr;
  std::size_t size_, mapping_size_;
  std::size_t bytes_ = 0, before_ = 0, after_ = 0;
};

}  // namespace harness
