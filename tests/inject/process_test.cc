// SPDX-License-Identifier: Apache-2.0
#include "inject/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

namespace envdial::inject {
namespace {

using base::ErrorKind;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Not;

std::string StatOf(const std::string& name) {
  return "4711 (" + name +
         ") S 17 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 7 8 18446744073709551615 1 2 3 4\n";
}

TEST(ParseProcessStat, ReadsWhatFollowsTheLastParenthesis) {
  const struct {
    const char* name;
    const char* shown;
  } cases[] = {
      {"hunt-service", "hunt-service"},
      {"a b", "a b"},
      {"a) S 1 2 (b", "a) S 1 2 (b"},
      {") ", ") "},
      {"", ""},
      {"((", "(("},
      {"forged\nline", "forged?line"},
      {"\x1b[31m", "?[31m"},
      {"caf\xc3\xa9", "caf??"},
  };
  for (const auto& [name, shown] : cases) {
    SCOPED_TRACE(shown);
    const auto stat = ParseProcessStat(StatOf(name), 100);
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->name, shown);
    EXPECT_EQ(stat->parent, 17);
    EXPECT_EQ(stat->started, milliseconds(1'234'560));
  }
}

TEST(ParseProcessStat, KnowsOtherTicksAndALongUptime) {
  EXPECT_EQ(ParseProcessStat(StatOf("a"), 1000)->started, milliseconds(123'456));
  const std::string old = "1 (a) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 315360000001 7";
  EXPECT_EQ(ParseProcessStat(old, 100)->started, std::chrono::seconds(3'153'600'000) + milliseconds(10));
}

TEST(ParseProcessStat, TakesNothingElse) {
  for (const char* text : {"", "1", "1 (a", "1 (a)", "1 (a) ", ") (", "1 (a) S", "1 (a) S 2 3 4",
                           "1 (a) S x 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 7",
                           "1 (a) S 2 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 -5 7",
                           "1 (a) S 2 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99999999999999999999 7"}) {
    EXPECT_FALSE(ParseProcessStat(text, 100)) << text;
  }
  // Cut anywhere before the start time is complete, it is no stat; a cut within the number can't be seen.
  const std::string whole = StatOf("a) b");
  for (std::size_t size = 0; size < whole.find("123456"); ++size) {
    EXPECT_FALSE(ParseProcessStat(whole.substr(0, size), 100)) << size;
  }
}

TEST(ParseProcessStatus, ReadsTheSets) {
  const std::string text =
      "Name:\tUid:\\tSigCgt\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nSigQ:\t0/1\nSigPnd:\t0000000000000000\n"
      "ShdPnd:\t0000000000000004\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000001000\nSigCgt:\t8000000180014003\n";
  const auto status = ParseProcessStatus(text);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->caught, 0x8000000180014003U);
  EXPECT_EQ(status->ignored, 0x1000U);
  EXPECT_EQ(status->blocked, 0x10000U);
  EXPECT_EQ(status->user, 1000U);
  for (std::size_t size = 0; size < text.find("SigCgt:\t8"); ++size) {
    EXPECT_FALSE(ParseProcessStatus(text.substr(0, size))) << size;
  }
  EXPECT_FALSE(ParseProcessStatus("Name:\ta\nUid:\t0\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\txyz\n"));
}

TEST(Process, SeesItself) {
  const auto process = Process::Open(::getpid());
  ASSERT_TRUE(process) << process.error().message;
  EXPECT_FALSE(process->ended());
  const auto stat = process->Stat();
  ASSERT_TRUE(stat) << stat.error().message;
  EXPECT_EQ(stat->parent, ::getppid());
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  EXPECT_LE(stat->started, std::chrono::seconds(now.tv_sec + 1));
  EXPECT_GT(stat->started + std::chrono::hours(1), std::chrono::seconds(now.tv_sec));
  const auto status = process->Status();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->user, ::getuid());
}

TEST(Process, IsNotFoundWhereThereIsNone) {
  const auto process = Process::Open(0x3fffffff);  // above the kernel's highest pid
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(RunsOneOf(0x3fffffff, {"/bin/sh"}), false);
}

TEST(ScanByExe, FindsOthersAndNeverItself) {
  const std::vector<std::string> own{std::filesystem::read_symlink("/proc/self/exe")};
  EXPECT_EQ(RunsOneOf(::getpid(), own), true);
  EXPECT_EQ(RunsOneOf(::getpid(), {"/", own[0] + "x"}), false);
  const pid_t other = ::fork();
  if (other == 0) {
    for (;;) ::pause();
  }
  const auto scan = ScanByExe(own);
  EXPECT_EQ(::kill(other, SIGKILL), 0);
  EXPECT_EQ(::waitpid(other, nullptr, 0), other);
  ASSERT_TRUE(scan) << scan.error().message;
  EXPECT_THAT(scan->pids, AllOf(Contains(other), Not(Contains(::getpid()))));
}

// A process with this number where it is free and we may choose (CAP_CHECKPOINT_RESTORE); else none.
pid_t ForkWithNumber(pid_t wanted) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
  arguments.set_tid_size = 1;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid != 0) return static_cast<pid_t>(pid);
  for (;;) ::pause();
}

TEST(Process, IsNotTakenForAnotherThatGotItsNumber) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  const auto process = Process::Open(pid);
  ASSERT_TRUE(process) << process.error().message;
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  const pid_t heir = ForkWithNumber(pid);
  EXPECT_TRUE(heir == pid || heir < 0);
  EXPECT_TRUE(process->ended());
  EXPECT_EQ(process->Stat().error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(process->Status().error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(process->Signal(SIGTERM).error().kind, ErrorKind::kNotFound);
  if (heir > 0) {
    EXPECT_EQ(::waitpid(heir, nullptr, WNOHANG), 0) << "the signal reached the wrong process";
    ASSERT_EQ(::kill(heir, SIGKILL), 0);
    ASSERT_EQ(::waitpid(heir, nullptr, 0), heir);
  }
}

}  // namespace
}  // namespace envdial::inject
