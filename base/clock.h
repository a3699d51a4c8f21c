// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace envdial::base {

using MonoTime = std::chrono::steady_clock::time_point;  // for waits and ages within this process
using WallTime = std::chrono::system_clock::time_point;  // for what is shown, exported and kept across restarts

// Both clocks, read together once per turn of the loop and passed down, so that one turn sees one time.
struct Now {
  MonoTime mono;
  WallTime wall;
};

Now ReadClock();

// Processor time that the calling thread has used so far (CLOCK_THREAD_CPUTIME_ID).
std::chrono::nanoseconds ThreadCpuTime();

// RFC 3339 in UTC with milliseconds: "2026-11-21T05:30:02.417Z".
std::string FormatRfc3339(WallTime time);

// Seconds since the epoch, with the fraction, as Prometheus' timestamps are.
double ToUnixSeconds(WallTime time);

}  // namespace envdial::base
