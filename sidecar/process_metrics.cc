// SPDX-License-Identifier: Apache-2.0
#include "sidecar/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <memory>
#include <string>

#include "base/input_file.h"

namespace envdial::sidecar {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

double CountOpenFds() {
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir("/proc/self/fd"));
  if (!directory) return 0;
  double count = 0;
  while (const dirent* entry = ::readdir(directory.get())) count += entry->d_name[0] != '.';
  return count - 1;  // the directory itself
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

ProcessMetrics ReadProcessMetrics(base::WallTime started) {
  ProcessMetrics metrics;
  metrics.start_time_seconds = base::ToUnixSeconds(started);
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) metrics.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) metrics.max_fds = static_cast<double>(files.rlim_cur);
  metrics.open_fds = CountOpenFds();
  constexpr std::size_t kMaxStatmBytes = 256;  // seven numbers
  if (const auto statm = base::ReadInputFile("/proc/self/statm", kMaxStatmBytes)) {
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    std::uint64_t pages[2] = {};
    const char* position = statm->data();
    for (std::uint64_t& number : pages) {
      position = std::from_chars(position, statm->data() + statm->size(), number).ptr + 1;
    }
    metrics.virtual_bytes = static_cast<double>(pages[0]) * page;
    metrics.resident_bytes = static_cast<double>(pages[1]) * page;
  }
  return metrics;
}

}  // namespace envdial::sidecar
