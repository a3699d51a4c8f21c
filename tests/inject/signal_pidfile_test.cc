// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "inject/signal_channel.h"
#include "tests/inject/signal_fixture.h"

namespace envdial::inject {
namespace {

using base::ErrorKind;
using ::testing::HasSubstr;

using SignalPidfileTest = SignalChannelTest;

TEST_F(SignalPidfileTest, ReadsThePidfilesThatProgramsWrite) {
  SignalApp app(Program());
  EXPECT_EQ(app.Ask('c'), kNone);
  const std::string pid = std::to_string(app.pid());
  std::uint64_t version = 1;
  SignalChannel channel(Pidfile(directory_ / "app.pid"), SIGHUP);
  for (const std::string& text : {pid, pid + "\n", pid + "\r\n", "  " + pid + " \n", pid + "\n/var/lib/db\n5432\n"}) {
    WritePidfile(text);
    EXPECT_EQ(Say(channel.Deliver(++version)), "delivered") << text;
    EXPECT_EQ(app.Ask('x'), kOne) << text;
  }
}

TEST_F(SignalPidfileTest, RefusesAPidfileThatHoldsNoPid) {
  const struct {
    std::string text;
    const char* said;
  } cases[] = {{"", "is empty"},
               {"\n1234\n", "is empty"},
               {" \t\r\n", "is empty"},
               {"secret\n", "is no pid"},
               {"12a\n", "is no pid"},
               {"12 13\n", "is no pid"},
               {"0\n", "is no pid"},
               {"-1\n", "is no pid"},
               {"+1\n", "is no pid"},
               {"0x10\n", "is no pid"},
               {"99999999999\n", "is no pid"},
               {std::string("1\0\n", 3), "is no pid"},
               {std::string(5000, '1'), "more than"}};
  SignalChannel channel(Pidfile(directory_ / "app.pid"), SIGHUP);
  for (const auto& [text, said] : cases) {
    SCOPED_TRACE(text.substr(0, 20));
    WritePidfile(text);
    const auto result = channel.Deliver(2);
    ExpectFailure(result, ErrorKind::kInvalid, said);
    EXPECT_THAT(Say(result), HasSubstr(directory_ / "app.pid"));
    EXPECT_THAT(Say(result), ::testing::Not(HasSubstr("secret"))) << "the file may be one that was not meant";
  }
}

TEST_F(SignalPidfileTest, RefusesAPidfileThatIsNoFile) {
  SignalApp app(Program());
  EXPECT_EQ(app.Ask('c'), kNone);
  const std::string path = directory_ / "app.pid";
  SignalChannel channel(Pidfile(path), SIGHUP);
  ExpectFailure(channel.Deliver(2), ErrorKind::kNotFound, "there is no pidfile " + path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "no regular file");
  std::filesystem::remove(path);
  std::ofstream(directory_ / "real.pid") << app.pid();
  std::filesystem::create_symlink(directory_ / "real.pid", path);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "symbolic link");
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "no regular file");
  std::filesystem::remove(path);
  EXPECT_EQ(app.Ask('x'), kNone);
  WritePidfile(std::to_string(app.pid()));
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
}

TEST_F(SignalPidfileTest, NeverSignalsItself) {
  SignalChannel channel(Pidfile(WritePidfile(std::to_string(::getpid()))), SIGTERM);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "names this sidecar itself");
}

TEST_F(SignalPidfileTest, SaysThatTheProcessOfAPidfileIsGone) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  SignalChannel channel(Pidfile(WritePidfile(std::to_string(pid))), SIGHUP);
  ExpectFailure(channel.Deliver(2), ErrorKind::kNotFound, "process " + std::to_string(pid) + " has ended");  // a zombie
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  ExpectFailure(channel.Deliver(2), ErrorKind::kNotFound, "there is no process " + std::to_string(pid));
}

TEST_F(SignalPidfileTest, DoesNotBelieveAPidfileThatIsOlderThanItsProcess) {
  SignalApp app(Program());
  EXPECT_EQ(app.Ask('c'), kNone);
  const std::string path = WritePidfile(std::to_string(app.pid()));
  const auto now = std::filesystem::last_write_time(path);
  SignalChannel channel(Pidfile(path), SIGHUP);
  std::filesystem::last_write_time(path, now - std::chrono::hours(1));
  ExpectFailure(channel.Deliver(2), ErrorKind::kNotFound, "is stale");
  EXPECT_EQ(app.Ask('x'), kNone);
  // A clock that was set by some seconds after the app had started makes no file stale.
  std::filesystem::last_write_time(path, now - std::chrono::seconds(10));
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
}

}  // namespace
}  // namespace envdial::inject
