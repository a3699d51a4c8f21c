// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::sidecar {

// A signal that was sent to this process.
struct ReceivedSignal {
  int number = 0;
  bool from_kernel = false;  // not by another process: a terminal's Ctrl-C, a hangup
};

// Takes, in the loop, every signal that can be passed on to another process, in place of what it would do to this one.
// Those that tell of a fault or a limit of ours keep their meaning. Unlike base::SignalWatcher it tells who sent it:
// signalfd(2) does. The signals are blocked for that, until it is destroyed.
class SignalInbox {
 public:
  using Callback = std::function<void(const ReceivedSignal&, base::Now)>;

  // `ignored` stay ignored, but for SIGCHLD, without which nobody knows when a child ends. kIo.
  static base::Result<std::unique_ptr<SignalInbox>> Open(base::EventLoop& loop, const std::vector<int>& ignored,
                                                         Callback callback);
  SignalInbox(const SignalInbox&) = delete;
  SignalInbox& operator=(const SignalInbox&) = delete;
  ~SignalInbox();

  // Does to this process what SIGTSTP does by default: stops it, where somebody is there to continue it (POSIX,
  // "orphaned process group"). Returns when it was continued.
  void StopSelf();

 private:
  SignalInbox(base::EventLoop& loop, base::UniqueFd fd, const sigset_t& before, Callback callback);
  void Read(base::Now now);

  base::UniqueFd fd_;
  sigset_t before_;  // the mask
  Callback callback_;
  base::FdWatcher watcher_;
};

}  // namespace envdial::sidecar
