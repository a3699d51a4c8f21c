// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "inject/process.h"

namespace envdial::inject {

// "HUP", "SIGHUP", "USR1", …: the number. kInvalid for a name that is none, and for signals that nobody can catch.
base::Result<int> ParseSignal(std::string_view name);

// Which process is to be told: --signal-to exe:/path or pidfile:/path.
struct SignalTarget {
  enum class Kind { kExe, kPidfile };
  Kind kind = Kind::kExe;
  std::string path;  // absolute

  // kInvalid, with what was found and expected.
  static base::Result<SignalTarget> Parse(std::string_view text);

  // What signalling it may need, as DropPrivileges() takes it: CAP_KILL for a process by pidfile, which may be another
  // user's. One that is found by its executable is always of our own user, because no other's can be seen.
  std::vector<std::string> capabilities() const;
};

// Tells the app by a signal that a new version is there. Only a process that catches it (SigCgt of /proc/PID/status:
// the default action of most signals is to end the process) is signalled, by a pidfd that was opened before the process
// was looked at, so that its number can't have gone to another meanwhile. Of several processes with one executable only
// those are meant whose parent is none of them: a master, not its workers. A process that started after the version was
// there has read it, and needs no signal. A pidfile that is older than the process it names is stale: the number has
// gone to another process.
class SignalChannel {
 public:
  SignalChannel(SignalTarget target, int signal);

  // Signals for `version`, which the app must be able to read by now. Calling it again for the same version is how a
  // failure is retried: who was signalled for it is not signalled again. kNotFound: no such process (yet); kInvalid: it
  // does not catch the signal (yet), or the pidfile has no usable pid; kDenied: another user's process, or /proc hides
  // it; kIo, kCorrupt. As long as the cause is the same, so is the message.
  base::Result<void> Deliver(std::uint64_t version);

 private:
  // A process that is to be told, and what was seen of it.
  struct Candidate {
    Process process;
    ProcessStat stat;
  };
  struct Told {
    pid_t pid;
    std::chrono::nanoseconds started;
    bool operator==(const Told&) const = default;
  };

  base::Result<std::vector<Candidate>> Find() const;
  base::Result<std::vector<Candidate>> FindByExe() const;
  base::Result<std::vector<Candidate>> FindByPidfile() const;
  base::Result<void> Tell(const Candidate& candidate);

  SignalTarget target_;
  int signal_;
  std::uint64_t version_ = 0;
  std::chrono::nanoseconds published_{};  // when `version_` was first to be told, by CLOCK_BOOTTIME
  std::vector<Told> told_;                // who was signalled for `version_`
};

}  // namespace envdial::inject
