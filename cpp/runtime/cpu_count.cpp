#include "runtime/cpu_count.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace simdrop {
namespace {

int hardware_threads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

#ifdef __linux__
// The least quota of a control group and those around it, in CPUs; 0 where there is none. Version 2
// has one hierarchy and "quota period" or "max period" in cpu.max; version 1 has one for the CPUs,
// and two files (Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst of Linux).
double group_quota() {
  double least = 0;
  const auto consider = [&](double quota, double period) {
    if (quota > 0 && period > 0 && (least == 0 || quota / period < least)) least = quota / period;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers(",");  // pieced together so because GCC 12 warns falsely (bug 105329)
    controllers.append(line, first + 1, second - first - 1).append(",");
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
      const std::string folder = root + (path == "/" ? "" : path);
      std::string quota, period;
      if (unified) {
        std::ifstream(folder + "/cpu.max") >> quota >> period;
      } else {
        std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(folder + "/cpu.cfs_period_us") >> period;
      }
      consider(std::atof(quota.c_str()), std::atof(period.c_str()));  // "max" is 0
      if (path.find('/') == std::string::npos) break;
    }
  }
  return least;
}

int allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return hardware_threads();  // more CPUs than the set has room for
}
#endif

// What does not change is found out as the library is loaded, here and wherever a call needs it
// (dispatch, memory): a process that is forked while another thread computes a function's static
// would wait for that thread, which it does not have.
int wanted_threads() {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  return std::clamp(text == nullptr ? 0 : std::atoi(text), 0, 4096);
}
const int wanted = wanted_threads();
#ifdef __linux__
const double quota = group_quota();
#else
const int hardware = hardware_threads();
#endif

}  // namespace

int cpu_count() {
#ifdef __linux__
  const int allowed = allowed_cpus();
  return quota > 0 ? std::clamp(static_cast<int>(std::ceil(quota)), 1, allowed) : allowed;
#else
  return hardware;
#endif
}

int default_threads() { return wanted > 0 ? wanted : cpu_count(); }

}  // namespace simdrop
