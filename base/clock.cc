// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace envdial::base {

Now ReadClock() { return {.mono = std::chrono::steady_clock::now(), .wall = std::chrono::system_clock::now()}; }

std::chrono::nanoseconds ThreadCpuTime() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace envdial::base
