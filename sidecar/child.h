// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace envdial::sidecar {

// What this process was started with, and a program that it starts is to get as if nobody stood between: read before
// anything is opened or changed.
struct Inherited {
  std::vector<int> descriptors;  // above stderr: sockets, /dev/fd/63 of a shell's <(…)
  std::vector<int> ignored;      // signals, as nohup(1) leaves SIGHUP
  rlimit files{};                // RLIMIT_NOFILE

  // Without /proc no descriptors are known, and none is passed on.
  static Inherited Read();
};

// How a program is to be started.
struct Launch {
  std::vector<std::string> command;      // looked for on the PATH; at least one
  std::vector<std::string> environment;  // NAME=value
  bool own_group = false;                // as the leader of a process group of its own
  int death_signal = 0;                  // that the kernel sends to it if we die first
};

// The environment `inherited` (NAME=value, ended by a null pointer) with `dials` in it, the run directory's path as
// ENVDIAL_RUN_DIR, and `preload`, if it is not empty, in front of LD_PRELOAD.
std::vector<std::string> MakeEnvironment(const char* const* inherited, const std::map<std::string, std::string>& dials,
                                         const std::string& run_dir, const std::string& preload);

// A program that we started: its number is its own until Reap() was called for it, so that a signal reaches nobody
// else.
class Child {
 public:
  // Starts it with the inherited signal dispositions, descriptors and limits, an empty signal mask, and nothing of
  // ours. Like a shell's, a program that cannot be executed says so on stderr and ends with 127 (not found) or 126.
  // kIo if no process could be made.
  static base::Result<Child> Start(Launch launch, const Inherited& inherited);

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // SIGKILL for it, and where it leads a process group for all that are left in that.
  void Kill() const;
  // After Reap(): whether the process group that it led has members yet, ended ones that nobody reaped among them.
  bool left_somebody() const;

 private:
  Child(pid_t pid, bool own_group) : pid_(pid), own_group_(own_group) {}

  pid_t pid_;
  bool own_group_;
};

// A child process that has ended; as pid 1 that may be an orphan of somebody else's.
struct Ended {
  pid_t pid = 0;
  int code = 0;  // as a shell tells it: 128 + n after signal n
};

// One that has ended and was not reaped yet; the number is still taken. None: all live.
std::optional<Ended> NextEnded();
void Reap(pid_t pid);

}  // namespace envdial::sidecar
