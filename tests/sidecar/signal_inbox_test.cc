// SPDX-License-Identifier: Apache-2.0
#include "sidecar/signal_inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>

#include "tests/base/loop_fixture.h"

namespace envdial::sidecar {
namespace {

class SignalInboxTest : public base::LoopTest {
 protected:
  void Open(const std::vector<int>& ignored = {}) {
    inbox_ = SignalInbox::Open(loop_, ignored, [this](const ReceivedSignal& signal, base::Now) {
               seen_.push_back(signal);
             }).value();
  }
  bool Saw(int number) const {
    return std::ranges::any_of(seen_, [number](const ReceivedSignal& signal) { return signal.number == number; });
  }

  std::vector<ReceivedSignal> seen_;
  std::unique_ptr<SignalInbox> inbox_;
};

TEST_F(SignalInboxTest, EverySignalThatCanBePassedOnIsTaken) {
  Open();
  // Not SIGTSTP here: it takes back a SIGCONT that is still waiting.
  const std::vector<int> sent{SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2, SIGWINCH,
                              SIGCONT, SIGALRM, SIGURG,  SIGIO,   SIGRTMIN, SIGRTMAX};
  for (const int signal : sent) ::kill(::getpid(), signal);
  for (const int signal : sent) EXPECT_TRUE(TurnUntil([&] { return Saw(signal); })) << signal;
  EXPECT_TRUE(std::ranges::none_of(seen_, &ReceivedSignal::from_kernel));
  EXPECT_EQ(seen_.size(), sent.size());
  ::kill(::getpid(), SIGTSTP);
  EXPECT_TRUE(TurnUntil([&] { return Saw(SIGTSTP); }));
}

TEST_F(SignalInboxTest, WhatIsIgnoredStaysIgnoredButNotTheEndOfChildren) {
  const auto hup = ::signal(SIGHUP, SIG_IGN);
  const auto child = ::signal(SIGCHLD, SIG_IGN);
  Open({SIGHUP, SIGCHLD});
  for (const int signal : {SIGHUP, SIGCHLD, SIGUSR1}) ::kill(::getpid(), signal);
  EXPECT_TRUE(TurnUntil([&] { return Saw(SIGCHLD) && Saw(SIGUSR1); }));
  EXPECT_FALSE(Saw(SIGHUP));
  ::signal(SIGHUP, hup);
  ::signal(SIGCHLD, child);
}

TEST_F(SignalInboxTest, TheKernelsOwnAreToldApart) {
  Open();
  const itimerval soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 1}};
  ::setitimer(ITIMER_REAL, &soon, nullptr);
  EXPECT_TRUE(TurnUntil([&] { return Saw(SIGALRM); }));
  EXPECT_TRUE(seen_.front().from_kernel);
}

TEST_F(SignalInboxTest, TheMaskIsAsBeforeWhenItIsGone) {
  sigset_t before, after;
  ::sigprocmask(SIG_SETMASK, nullptr, &before);
  Open();
  inbox_.reset();
  ::sigprocmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(::sigismember(&before, SIGTERM), ::sigismember(&after, SIGTERM));
}

}  // namespace
}  // namespace envdial::sidecar
