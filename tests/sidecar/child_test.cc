// SPDX-License-Identifier: Apache-2.0
#include "sidecar/child.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include "base/unique_fd.h"
#include "tests/base/temp_directory.h"

namespace envdial::sidecar {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

class ChildTest : public testing::Test {
 protected:
  // Starts a shell's command and waits until it has ended, without reaping it.
  std::optional<Ended> Run(std::vector<std::string> command, bool own_group = false) {
    Launch launch{.command = std::move(command),
                  .environment = {"PATH=/usr/bin:/bin", "OUT=" + out_},
                  .own_group = own_group,
                  .death_signal = SIGTERM};
    const auto child = Child::Start(std::move(launch), inherited_);
    if (!child) return std::nullopt;
    child_ = *child;
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child->pid()), &info, WEXITED | WNOWAIT);
    return NextEnded();
  }

  int CodeOf(std::vector<std::string> command) {
    const auto ended = Run(std::move(command));
    if (!ended) return -1;
    Reap(ended->pid);
    return ended->code;
  }

  // What a shell's command writes to "$OUT".
  std::string OutputOf(const std::string& command) {
    EXPECT_EQ(CodeOf({"sh", "-c", command}), 0) << command;
    std::ifstream file(out_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  base::TempDirectory directory_;
  std::string out_ = directory_ / "out";
  Inherited inherited_ = Inherited::Read();
  std::optional<Child> child_;  // the newest
};

TEST_F(ChildTest, ItsEndIsToldAsAShellTellsIt) {
  EXPECT_EQ(CodeOf({"true"}), 0);
  EXPECT_EQ(CodeOf({"sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(CodeOf({"sh", "-c", "kill -KILL $$"}), 137);
  EXPECT_EQ(CodeOf({"no-such-program-anywhere"}), 127);
  EXPECT_EQ(CodeOf({directory_ / "neither"}), 127);
  EXPECT_EQ(CodeOf({directory_.path()}), 126);
}

TEST_F(ChildTest, AnEndedOneKeepsItsNumberUntilItIsReaped) {
  const auto ended = Run({"true"});
  ASSERT_TRUE(ended);
  EXPECT_EQ(NextEnded()->pid, ended->pid);
  Reap(ended->pid);
  EXPECT_FALSE(NextEnded());
}

TEST_F(ChildTest, GetsWhatWeWereGivenAndNothingOfOurs) {
  const base::UniqueFd ours(::open("/dev/null", O_RDONLY));  // as libcurl's socket pair, it would be inherited
  ASSERT_GT(ours.get(), STDERR_FILENO);
  const std::string before = OutputOf("ls /proc/$$/fd >$OUT");
  EXPECT_THAT(before, Not(HasSubstr("\n" + std::to_string(ours.get()) + "\n")));
  inherited_.descriptors.push_back(ours.get());
  EXPECT_THAT(OutputOf("ls /proc/$$/fd >$OUT"), HasSubstr("\n" + std::to_string(ours.get()) + "\n"));

  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  inherited_.files = {.rlim_cur = 77, .rlim_max = limit.rlim_max};
  EXPECT_EQ(OutputOf("ulimit -n >$OUT"), "77\n");
}

TEST_F(ChildTest, SignalsAreAsWeWereGivenThemAndNoneIsBlocked) {
  inherited_.ignored = {SIGHUP};
  sigset_t term, before;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, &before);
  const auto pipe_before = ::signal(SIGPIPE, SIG_IGN);
  const std::string status = OutputOf("exec grep ^Sig /proc/self/status >$OUT");
  ::signal(SIGPIPE, pipe_before);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000001"));
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
}

TEST_F(ChildTest, WhatWeWereToldToIgnoreIsKnown) {
  const auto before = ::signal(SIGUSR2, SIG_IGN);
  EXPECT_THAT(Inherited::Read().ignored, Contains(SIGUSR2));
  ::signal(SIGUSR2, before);
  EXPECT_THAT(Inherited::Read().ignored, Not(Contains(SIGUSR2)));
}

TEST_F(ChildTest, KillReachesItsGroupAlsoWhenItHasEnded) {
  // The sleeper holds the pipe open for as long as it lives.
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read(ends[0]);
  base::UniqueFd write(ends[1]);
  inherited_.descriptors.push_back(write.get());
  const auto ended = Run({"sh", "-c", "sleep 1000 &"}, true);
  ASSERT_TRUE(ended);
  write.Reset();
  EXPECT_EQ(::getpgid(ended->pid), ended->pid);
  Reap(ended->pid);
  EXPECT_TRUE(child_->left_somebody());
  child_->Kill();
  char byte = 0;
  EXPECT_EQ(::read(read.get(), &byte, 1), 0);
}

TEST_F(ChildTest, KillReachesOneThatLeftItsGroup) {
  // It closes the pipe when it has left.
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read(ends[0]);
  base::UniqueFd write(ends[1]);
  inherited_.descriptors.push_back(write.get());
  const std::string leave = "import os, signal; os.setpgid(0, os.getpgid(os.getppid())); os.close(" +
                            std::to_string(write.get()) + "); signal.pause()";
  Launch launch{.command = {"python3", "-I", "-S", "-c", leave},
                .environment = {"PATH=/usr/bin:/bin"},
                .own_group = true,
                .death_signal = SIGTERM};
  const auto child = Child::Start(std::move(launch), inherited_);
  ASSERT_TRUE(child);
  write.Reset();
  char byte = 0;
  EXPECT_EQ(::read(read.get(), &byte, 1), 0);
  EXPECT_NE(::getpgid(child->pid()), child->pid());
  child->Kill();
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child->pid()), &info, WEXITED);
  EXPECT_EQ(info.si_status, SIGKILL);
}

TEST(MakeEnvironmentTest, DialsReplaceWhatWasThere) {
  const char* const before[] = {"PATH=/bin", "A=old", "ENVDIAL_RUN_DIR=elsewhere", "AB=1", "odd", nullptr};
  EXPECT_THAT(MakeEnvironment(before, {{"A", "1"}, {"B", ""}}, "/run/envdial", ""),
              UnorderedElementsAre("PATH=/bin", "AB=1", "odd", "A=1", "B=", "ENVDIAL_RUN_DIR=/run/envdial"));
}

TEST(MakeEnvironmentTest, ThePreloadedLibraryComesBeforeOthers) {
  const char* const none[] = {nullptr};
  const char* const empty[] = {"LD_PRELOAD=", nullptr};
  const char* const other[] = {"LD_PRELOAD=/lib/other.so", nullptr};
  EXPECT_THAT(MakeEnvironment(none, {}, "/r", "/lib/ours.so"), Contains("LD_PRELOAD=/lib/ours.so"));
  EXPECT_THAT(MakeEnvironment(empty, {}, "/r", "/lib/ours.so"), Contains("LD_PRELOAD=/lib/ours.so"));
  EXPECT_THAT(MakeEnvironment(other, {}, "/r", "/lib/ours.so"),
              UnorderedElementsAre("ENVDIAL_RUN_DIR=/r", "LD_PRELOAD=/lib/ours.so:/lib/other.so"));
  EXPECT_THAT(MakeEnvironment(other, {}, "/r", ""), Contains("LD_PRELOAD=/lib/other.so"));
}

}  // namespace
}  // namespace envdial::sidecar
