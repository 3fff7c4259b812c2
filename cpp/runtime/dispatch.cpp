#include "runtime/dispatch.hpp"

#include <atomic>
#include <stdexcept>

#include "runtime/cpu.hpp"

namespace simdrop {
namespace {

struct Candidate {
  const KernelTable* table;
  bool supported;
};

std::vector<const KernelTable*> find_tables() {
  const Candidate candidates[] = {
#if defined(__x86_64__) || defined(_M_X64)
      {&kAvx512Table, cpu_has_avx512()},
      {&kAvx2Table, cpu_has_avx2()},
#elif defined(__aarch64__) || defined(_M_ARM64)
      {&kNeonTable, true},
#endif
      {&kScalarTable, true},
  };
  std::vector<const KernelTable*> found;
  for (const Candidate& c : candidates)
    if (c.supported) found.push_back(c.table);
  return found;
}

// Found out as the library is loaded (cpu_count.cpp says why).
const std::vector<const KernelTable*> tables = find_tables();
std::atomic<const KernelTable*> active{tables.front()};

}  // namespace

const std::vector<const KernelTable*>& available_tables() { return tables; }

const KernelTable& active_table() { return *active.load(std::memory_order_relaxed); }

void use_table(const std::string& name) {
  std::string accepted;
  for (const KernelTable* table : tables) {
    if (name == table->name) {
      active.store(table, std::memory_order_relaxed);
      return;
    }
    accepted += accepted.empty() ? "'" : ", '";
    accepted += table->name;
    accepted += "'";
  }
  const bool known = name == "avx512" || name == "avx2" || name == "neon";
  throw std::invalid_argument("isa: got '" + name + "', " +
                              (known ? "which this processor or build does not support"
                                     : "which is not the name of an instruction set") +
                              "; accepted here: " + accepted);
}

}  // namespace simdrop
