// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::inject {

// Of /proc/PID/stat.
struct ProcessStat {
  std::string name;  // the command's, cut by the kernel to 15 bytes; made printable, because the process chose it
  pid_t parent = 0;
  std::chrono::nanoseconds started{};  // by CLOCK_BOOTTIME, rounded down to a tick
};

// Of /proc/PID/status. In the sets, bit n - 1 stands for signal n.
struct ProcessStatus {
  std::uint64_t caught = 0;
  std::uint64_t ignored = 0;
  std::uint64_t blocked = 0;  // by the first thread
  uid_t user = 0;
};

// Pure. None if `text` is not what proc(5) describes.
std::optional<ProcessStat> ParseProcessStat(std::string_view text, long ticks_per_second);
std::optional<ProcessStatus> ParseProcessStatus(std::string_view text);

// One process, held by a pidfd: what is read here may be another's only if the process ended and was reaped meanwhile,
// and then Signal() reaches nobody. Nothing here waits for the process (the files read need no lock of its memory).
class Process {
 public:
  // kNotFound if there is none with this number; kIo, kDenied if the kernel or a seccomp filter has no pidfd_open.
  static base::Result<Process> Open(pid_t pid);

  pid_t pid() const { return pid_; }
  // Also while nobody has reaped it yet.
  bool ended() const;
  // kNotFound if it has ended, kDenied if /proc hides it (hidepid), kCorrupt, kIo.
  base::Result<ProcessStat> Stat() const;
  base::Result<ProcessStatus> Status() const;
  // kNotFound if it has ended, kDenied, kIo.
  base::Result<void> Signal(int signal) const;

 private:
  Process(pid_t pid, base::UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
  base::Result<std::string> Read(const char* file) const;

  pid_t pid_;
  base::UniqueFd fd_;
};

// Whether the process with this number runs one of `paths`, be the file still there or deleted (say, by an upgrade).
// None if that can't be seen: it is another user's, holds capabilities that we have not, or is not dumpable
// (ptrace(2), "access mode checking"). What can't be seen because it ended runs nothing.
std::optional<bool> RunsOneOf(pid_t pid, const std::vector<std::string>& paths);

// All processes but our own that run one of `paths`, as RunsOneOf() sees them: one readlink for each in /proc.
struct ExeScan {
  std::vector<pid_t> pids;
  bool some_unseen = false;
};
base::Result<ExeScan> ScanByExe(const std::vector<std::string>& paths);

}  // namespace envdial::inject
