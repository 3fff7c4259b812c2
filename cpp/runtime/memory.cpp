#include "runtime/memory.hpp"

#include <algorithm>
#include <cstdint>

#include "format/tuning.hpp"
#include "runtime/cpu.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace simdrop {

namespace {

// Found out as the library is loaded (cpu_count.cpp says why).
const u64 cache = std::clamp<u64>(last_level_cache(), kLeastCache, kMostCache);
const bool alone = cpu_follows_streams();

}  // namespace

u64 cache_bytes() { return cache; }

Traffic traffic_of(u64 bytes, bool in_place, u64 operands) {
  const u64 arrays = operands + (in_place ? 0 : 1);
  if (arrays * bytes <= cache_bytes()) return Traffic::near;
  if (in_place) return alone ? Traffic::far_alone : Traffic::far;
  return alone ? Traffic::around_alone : Traffic::around;
}

Traffic contiguous_traffic_of(u64 bytes, bool in_place) {
  const Traffic traffic = traffic_of(bytes, in_place);
  const bool beyond = (in_place ? 1 : 2) * bytes > kLevelTwo;
  return traffic == Traffic::near && beyond && !alone ? Traffic::level3 : traffic;
}

void ask_for_large_pages([[maybe_unused]] void* data, [[maybe_unused]] u64 bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kLargePageBytes) return;
  constexpr std::uintptr_t kPage = 4096;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (address + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (address + bytes) / kPage * kPage;
  (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace simdrop
