// SPDX-License-Identifier: Apache-2.0
#include "inject/signal_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>

#include "inject/privileges.h"
#include "tests/inject/signal_fixture.h"

namespace envdial::inject {
namespace {

using base::ErrorKind;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uid_t kNobody = 65534;
std::chrono::nanoseconds BootTime() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// A process' start time is told in ticks: what starts after this is seen to have started later.
void WaitForNextTick() {
  const auto until = BootTime() + std::chrono::nanoseconds(2'000'000'000 / ::sysconf(_SC_CLK_TCK));
  while (BootTime() < until) ::sched_yield();
}

// What `work` says in a child of its own, which may give up rights.
std::string InChild(const std::function<std::string()>& work) {
  std::array<int, 2> answer{};
  EXPECT_EQ(::pipe(answer.data()), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(30);
    const std::string said = work();
    const bool written = ::write(answer[1], said.data(), said.size()) == static_cast<ssize_t>(said.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(answer[1]);
  std::string said;
  char byte = 0;
  while (::read(answer[0], &byte, 1) == 1) said += byte;
  ::close(answer[0]);
  int ended = 0;
  EXPECT_EQ(::waitpid(pid, &ended, 0), pid);
  EXPECT_EQ(ended, 0);
  return said;
}

TEST(ParseSignal, KnowsNamesWithAndWithoutSig) {
  const struct {
    const char* name;
    int signal;
  } cases[] = {{"HUP", SIGHUP},   {"SIGHUP", SIGHUP}, {"USR1", SIGUSR1},      {"SIGUSR2", SIGUSR2},
               {"TERM", SIGTERM}, {"INT", SIGINT},    {"SIGWINCH", SIGWINCH}, {"QUIT", SIGQUIT}};
  for (const auto& [name, signal] : cases) EXPECT_EQ(ParseSignal(name).value_or(0), signal) << name;
}

TEST(ParseSignal, RefusesTheRest) {
  for (const char* name : {"", "SIG", "1", "hup", "HUP ", "SIGSIGHUP", "SIGNAL", "RTMIN", "NOSUCH", "EXIT", "0"}) {
    const auto signal = ParseSignal(name);
    ASSERT_FALSE(signal) << name;
    EXPECT_EQ(signal.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(signal.error().message, AllOf(HasSubstr('"' + std::string(name) + '"'), HasSubstr("expected")));
  }
  for (const char* name : {"KILL", "SIGKILL", "STOP", "SIGSTOP"}) {
    const auto signal = ParseSignal(name);
    ASSERT_FALSE(signal) << name;
    EXPECT_THAT(signal.error().message, HasSubstr("nobody can catch"));
  }
}

TEST(SignalTarget, IsParsed) {
  const auto exe = SignalTarget::Parse("exe:/usr/bin/a:b");
  ASSERT_TRUE(exe);
  EXPECT_EQ(exe->kind, SignalTarget::Kind::kExe);
  EXPECT_EQ(exe->path, "/usr/bin/a:b");
  EXPECT_TRUE(exe->capabilities().empty());
  const auto pidfile = SignalTarget::Parse("pidfile:/run/a.pid");
  ASSERT_TRUE(pidfile);
  EXPECT_EQ(pidfile->kind, SignalTarget::Kind::kPidfile);
  EXPECT_EQ(pidfile->path, "/run/a.pid");
  EXPECT_EQ(pidfile->capabilities(), std::vector<std::string>{"cap_kill"});
  for (const char* text : {"", "exe", "exe:", "exe:a", "exe:./a", "pidfile:", "pidfile:a", "/usr/bin/a", "pid:/a",
                           "EXE:/a", "exe :/a", "exe: /a", "exe:/", "pidfile:/run/"}) {
    const auto target = SignalTarget::Parse(text);
    ASSERT_FALSE(target) << text;
    EXPECT_EQ(target.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(target.error().message, HasSubstr("expected exe:/path"));
  }
}

TEST_F(SignalChannelTest, SignalsOncePerVersion) {
  SignalApp app(Program());
  EXPECT_EQ(app.Ask('c'), kNone);
  for (const SignalTarget& target : {Exe(directory_ / "app"), Pidfile(WritePidfile(std::to_string(app.pid())))}) {
    SignalChannel channel(target, SIGHUP);
    for (const std::uint64_t version : {2U, 3U, 7U}) {
      EXPECT_EQ(Say(channel.Deliver(version)), "delivered");
      EXPECT_EQ(app.Ask('x'), kOne);
      EXPECT_EQ(Say(channel.Deliver(version)), "delivered");
      EXPECT_EQ(app.Ask('x'), kNone);
    }
  }
}

TEST_F(SignalChannelTest, SparesWhoDoesNotCatchItUntilTheyDo) {
  const struct {
    char letter;
    const char* said;
  } cases[] = {{'x', "does not catch SIGHUP"}, {'i', "ignores SIGHUP"}, {'b', "blocks SIGHUP and has no handler"}};
  for (const auto& [letter, said] : cases) {
    SCOPED_TRACE(said);
    const std::string program = Program(std::string("app-") + letter);
    SignalApp app(program);
    EXPECT_EQ(app.Ask(letter), kNone);
    SignalChannel channel(Exe(program), SIGHUP);
    const auto first = channel.Deliver(2);
    ExpectFailure(first, ErrorKind::kInvalid, "process " + std::to_string(app.pid()) + " (app-" + letter + ") " + said);
    EXPECT_EQ(Say(channel.Deliver(2)), first.error().message) << "the same cause, the same message";
    EXPECT_EQ(app.Ask('c'), kNone);
    EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
    EXPECT_EQ(app.Ask('x'), letter == 'b' ? kNone : kOne);
  }
}

TEST_F(SignalChannelTest, MeansTheMasterNotItsWorkers) {
  SignalApp app(Program());
  EXPECT_EQ(app.Ask('c'), kNone);
  const pid_t first = app.Fork();
  const pid_t second = app.Fork();
  SignalChannel channel(Exe(directory_ / "app"), SIGHUP);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
  EXPECT_EQ(app.AskWorker(first), kNone);
  EXPECT_EQ(app.AskWorker(second), kNone);
  // The worker catches it all the same, as one that is named finds out.
  SignalChannel by_pidfile(Pidfile(WritePidfile(std::to_string(second))), SIGHUP);
  EXPECT_EQ(Say(by_pidfile.Deliver(2)), "delivered");
  EXPECT_EQ(app.AskWorker(second), Lines{"worker HUP"});
}

TEST_F(SignalChannelTest, TellsEachOfSeveralOnceAlsoWhereOneFails) {
  const std::string program = Program();
  SignalApp ready(program);
  SignalApp late(program);
  EXPECT_EQ(ready.Ask('c'), kNone);
  SignalChannel channel(Exe(program), SIGHUP);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "process " + std::to_string(late.pid()));
  EXPECT_EQ(ready.Ask('x'), kOne);
  ExpectFailure(channel.Deliver(2), ErrorKind::kInvalid, "process " + std::to_string(late.pid()));
  EXPECT_EQ(late.Ask('c'), kNone);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(ready.Ask('x'), kNone);
  EXPECT_EQ(late.Ask('x'), kOne);
  EXPECT_EQ(Say(channel.Deliver(3)), "delivered");
  EXPECT_EQ(ready.Ask('x'), kOne);
  EXPECT_EQ(late.Ask('x'), kOne);
}

TEST_F(SignalChannelTest, WhoStartsAfterTheVersionNeedsNoSignal) {
  const std::string program = Program();
  SignalChannel channel(Exe(program), SIGHUP);
  EXPECT_THAT(Say(channel.Deliver(2)), HasSubstr("no process is seen to run " + program));
  WaitForNextTick();
  SignalApp app(program);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered") << "it need not even catch the signal";
  EXPECT_EQ(app.Ask('c'), kNone);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kNone);
  EXPECT_EQ(Say(channel.Deliver(3)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
}

TEST_F(SignalChannelTest, LeavesOthersAlone) {
  SignalApp app(Program("app"));
  SignalApp other(Program("app2"));
  EXPECT_EQ(app.Ask('c'), kNone);
  EXPECT_EQ(other.Ask('c'), kNone);
  SignalChannel channel(Exe(directory_ / "app"), SIGHUP);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
  EXPECT_EQ(other.Ask('x'), kNone);
}

TEST_F(SignalChannelTest, FindsAnExecutableThatWasDeletedOrReplacedOrIsNamedByALink) {
  const std::string program = Program();
  const std::string link = directory_ / "current";
  SignalApp app(program);
  EXPECT_EQ(app.Ask('c'), kNone);
  std::filesystem::create_symlink(program, link);
  SignalChannel by_link(Exe(link), SIGHUP);
  EXPECT_EQ(Say(by_link.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
  std::filesystem::remove(program);
  SignalChannel channel(Exe(program), SIGHUP);
  EXPECT_EQ(Say(channel.Deliver(2)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
  Program();
  EXPECT_EQ(Say(channel.Deliver(3)), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
}

TEST_F(SignalChannelTest, SaysThatItCannotSeeWhatOthersRun) {
  const std::string program = Program();
  SignalApp app(program);
  EXPECT_EQ(app.Ask('c'), kNone);
  EXPECT_EQ(app.Ask('u'), kNone);
  const std::string pidfile = WritePidfile(std::to_string(app.pid()));
  const auto unprivileged = [](const SignalTarget& target) {
    if (auto dropped = DropPrivileges(); !dropped) return dropped.error().message;
    SignalChannel channel(target, SIGHUP);
    const auto result = channel.Deliver(2);
    return (result || result.error().kind == ErrorKind::kDenied ? "" : "another kind: ") + Say(result);
  };
  EXPECT_THAT(InChild([&] { return unprivileged(Exe(program)); }),
              AllOf(HasSubstr("no process is seen to run " + program), HasSubstr("name it by pidfile: instead")));
  EXPECT_EQ(app.Ask('x'), kNone);
  EXPECT_EQ(InChild([&] { return unprivileged(Pidfile(pidfile)); }), "delivered") << "the same user needs no rights";
  EXPECT_EQ(app.Ask('x'), kOne);
}

TEST_F(SignalChannelTest, NeedsCapKillForAnotherUsersProcess) {
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  const bool is_root = ::geteuid() == 0;  // who is not, has no other user's process to try this with
  SignalApp app(Program(), is_root ? std::optional(kNobody) : std::nullopt);
  EXPECT_EQ(app.Ask('c'), kNone);
  const SignalTarget target = Pidfile(WritePidfile(std::to_string(app.pid())));
  const auto deliver = [&](const std::vector<std::string>& keep) {
    if (auto dropped = DropPrivileges(keep); !dropped) return dropped.error().message;
    SignalChannel channel(target, SIGHUP);
    return Say(channel.Deliver(2));
  };
  EXPECT_EQ(InChild([&] { return deliver(target.capabilities()); }), "delivered");
  EXPECT_EQ(app.Ask('x'), kOne);
  const std::string without = InChild([&] { return deliver({}); });
  if (is_root) {
    EXPECT_THAT(without, AllOf(HasSubstr("is user 65534's"), HasSubstr("CAP_KILL")));
  } else {
    EXPECT_EQ(without, "delivered");
  }
  EXPECT_EQ(app.Ask('x'), is_root ? kNone : kOne);
}

}  // namespace
}  // namespace envdial::inject
