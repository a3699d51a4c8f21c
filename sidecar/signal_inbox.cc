// SPDX-License-Identifier: Apache-2.0
#include "sidecar/signal_inbox.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace envdial::sidecar {
namespace {

// Faults, limits and failed writes of our own; what a terminal does to a background process that reads or writes; and
// the two that nobody can take.
constexpr std::array kOurOwn{SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGTRAP, SIGSYS,
                             SIGPIPE, SIGXFSZ, SIGXCPU, SIGTTIN, SIGTTOU, SIGKILL, SIGSTOP};

sigset_t PassedOn(const std::vector<int>& ignored) {
  sigset_t signals;
  ::sigfillset(&signals);  // without those that the C library needs for itself
  for (const int signal : kOurOwn) ::sigdelset(&signals, signal);
  for (const int signal : ignored) ::sigdelset(&signals, signal);
  ::sigaddset(&signals, SIGCHLD);
  return signals;
}

}  // namespace

base::Result<std::unique_ptr<SignalInbox>> SignalInbox::Open(base::EventLoop& loop, const std::vector<int>& ignored,
                                                             Callback callback) {
  const sigset_t signals = PassedOn(ignored);
  base::UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return std::unexpected(base::ErrnoError(errno, "take signals: signalfd"));
  ::signal(SIGCHLD, SIG_DFL);  // an ignored one reaps children before they can be asked how they ended
  sigset_t before;
  ::sigprocmask(SIG_SETMASK, &signals, &before);
  return std::unique_ptr<SignalInbox>(new SignalInbox(loop, std::move(fd), before, std::move(callback)));
}

SignalInbox::SignalInbox(base::EventLoop& loop, base::UniqueFd fd, const sigset_t& before, Callback callback)
    : fd_(std::move(fd)),
      before_(before),
      callback_(std::move(callback)),
      watcher_(loop, fd_.get(), base::FdWatcher::kRead, [this](auto, base::Now now) { Read(now); }) {}

SignalInbox::~SignalInbox() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

// One for each turn of the loop: the callback may end the loop, and what comes after that is not for us.
void SignalInbox::Read(base::Now now) {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return;
  callback_({static_cast<int>(info.ssi_signo), info.ssi_code == SI_KERNEL}, now);
}

void SignalInbox::StopSelf() {
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::sigprocmask(SIG_UNBLOCK, &stop, nullptr);
  ::sigprocmask(SIG_BLOCK, &stop, nullptr);
}

}  // namespace envdial::sidecar
