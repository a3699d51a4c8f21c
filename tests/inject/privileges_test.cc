// SPDX-License-Identifier: Apache-2.0
#include "inject/privileges.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace envdial::inject {
namespace {

constexpr char kNothing[] = "0000000000000000";
constexpr char kOnlyKill[] = "0000000000000020";
constexpr uid_t kNobody = 65534;

struct Child {
  std::string said;                           // what it wrote
  std::map<std::string, std::string> status;  // its /proc/PID/status, read by us while it lived
  std::string core_limit;                     // the line of /proc/PID/limits
};

// Runs `work` in a child, whose answer and state are looked at before it ends.
Child InChild(const std::function<std::string()>& work) {
  std::array<int, 2> answer{};
  std::array<int, 2> go{};
  EXPECT_EQ(::pipe(answer.data()), 0);
  EXPECT_EQ(::pipe(go.data()), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(go[1]);
    ::alarm(30);
    const std::string said = work() + "\n";
    [[maybe_unused]] const ssize_t written = ::write(answer[1], said.data(), said.size());
    char end = 0;
    [[maybe_unused]] const ssize_t got = ::read(go[0], &end, 1);  // until the parent has looked
    ::_exit(0);
  }
  EXPECT_GT(pid, 0);
  ::close(answer[1]);
  ::close(go[0]);
  Child child;
  char byte = 0;
  while (::read(answer[0], &byte, 1) == 1 && byte != '\n') child.said += byte;
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream status(proc + "/status");
  for (std::string line; std::getline(status, line);) {
    const std::size_t colon = line.find(":\t");
    if (colon != std::string::npos) child.status[line.substr(0, colon)] = line.substr(colon + 2);
  }
  std::ifstream limits(proc + "/limits");
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with("Max core file size")) child.core_limit = line;
  }
  ::close(go[1]);
  ::close(answer[0]);
  int ended = 0;
  EXPECT_EQ(::waitpid(pid, &ended, 0), pid);
  EXPECT_EQ(ended, 0);
  return child;
}

std::string DropAllBut(const std::vector<std::string>& keep) {
  const auto dropped = DropPrivileges(keep);
  if (!dropped) return dropped.error().message;
  const auto left = RemainingCapabilities(keep);
  if (!left) return left.error().message;
  if (::prctl(PR_GET_DUMPABLE) != 0) return "dumpable";
  return left->empty() ? "dropped" : *left;
}

std::string Drop() { return DropAllBut({}); }

void ExpectNothingLeft(const Child& child) {
  EXPECT_EQ(child.said, "dropped");
  for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"}) EXPECT_EQ(child.status.at(set), kNothing) << set;
  EXPECT_EQ(child.status.at("NoNewPrivs"), "1");
  EXPECT_NE(child.core_limit.find(" 0  "), std::string::npos) << child.core_limit;
  EXPECT_EQ(child.core_limit.find("unlimited"), std::string::npos) << child.core_limit;
}

bool Has(cap_value_t cap) {
  cap_t caps = ::cap_get_proc();
  cap_flag_value_t value = CAP_CLEAR;
  const bool known = ::cap_get_flag(caps, cap, CAP_PERMITTED, &value) == 0;
  ::cap_free(caps);
  return known && value == CAP_SET;
}

bool MaySetCapabilities() { return ::cap_get_bound(CAP_SETPCAP) > 0 && ::geteuid() == 0; }

TEST(DropPrivileges, LeavesNothing) {
  const Child child = InChild(Drop);
  ExpectNothingLeft(child);
  if (MaySetCapabilities()) {
    EXPECT_EQ(child.status.at("CapBnd"), kNothing);
  }
}

TEST(DropPrivileges, LeavesNothingOfTheAmbientAndInheritableSets) {
  const Child child = InChild([] {
    if (::geteuid() == 0) {
      cap_t caps = ::cap_get_proc();
      const cap_value_t chown = CAP_CHOWN;
      const bool set = ::cap_set_flag(caps, CAP_INHERITABLE, 1, &chown, CAP_SET) == 0 && ::cap_set_proc(caps) == 0 &&
                       ::cap_set_ambient(CAP_CHOWN, CAP_SET) == 0;
      ::cap_free(caps);
      if (!set) return std::string("could not prepare");
      if (RemainingCapabilities().value_or("").find("cap_chown") == std::string::npos) return std::string("not told");
    }
    return Drop();
  });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, WorksForAnotherUser) {
  const Child child = InChild([] {
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) return std::string("setuid");
    return Drop();
  });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, WorksTwice) {
  const Child child = InChild([] { return Drop() == "dropped" ? Drop() : "the first time failed"; });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, CannotBeUndone) {
  const Child child = InChild([]() -> std::string {
    if (const std::string dropped = Drop(); dropped != "dropped") return dropped;
    cap_t caps = ::cap_from_text("all=ep");
    const bool regained = ::cap_set_proc(caps) == 0;
    ::cap_free(caps);
    if (regained) return "capabilities set again";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) return "no_new_privs cleared";
    // A program started by root would gain root's capabilities, were it not for no_new_privs and the bounding set.
    return std::system("grep -q '^CapEff:.0000000000000000$' /proc/self/status") == 0 ? "dropped" : "gained by exec";
  });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, KeepsWhatIsNamed) {
  const Child child = InChild([]() -> std::string {
    if (const std::string dropped = DropAllBut({"cap_kill"}); dropped != "dropped") return dropped;
    return "left: " + RemainingCapabilities().value_or("unreadable");
  });
  const bool had = Has(CAP_KILL);
  EXPECT_EQ(child.said, had ? "left: cap_kill" : "left: ");
  for (const char* set : {"CapEff", "CapPrm"}) EXPECT_EQ(child.status.at(set), had ? kOnlyKill : kNothing) << set;
  for (const char* set : {"CapInh", "CapAmb"}) EXPECT_EQ(child.status.at(set), kNothing) << set;
  EXPECT_EQ(child.status.at("NoNewPrivs"), "1");
  if (MaySetCapabilities()) {
    EXPECT_EQ(child.status.at("CapBnd"), kNothing);
  }
}

TEST(DropPrivileges, DoesNotMissWhatWasNotThere) {
  const Child child = InChild([] {
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) return std::string("setuid");
    return DropAllBut({"cap_kill"});
  });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, CanGiveUpLaterWhatItKept) {
  const Child child = InChild([] { return DropAllBut({"cap_kill"}) == "dropped" ? Drop() : "the first time failed"; });
  ExpectNothingLeft(child);
}

TEST(DropPrivileges, KnowsCapabilitiesByName) {
  const Child child = InChild([] { return DropAllBut({"cap_to_fly"}); });
  EXPECT_NE(child.said.find("cap_to_fly"), std::string::npos) << child.said;
}

TEST(RemainingCapabilities, NameAKeptOneThatCouldBePassedOn) {
  const Child child = InChild([]() -> std::string {
    cap_t caps = ::cap_from_text("cap_kill=p cap_chown=i");
    const bool set = ::cap_set_proc(caps) == 0;
    ::cap_free(caps);
    if (!set) return ::geteuid() == 0 ? "could not prepare" : "cap_chown";  // nothing to have where nothing is
    return RemainingCapabilities({"cap_chown", "cap_kill"}).value_or("unreadable");
  });
  EXPECT_EQ(child.said, "cap_chown");
}

TEST(RemainingCapabilities, AreNamed) {
  const Child child = InChild([]() -> std::string {
    cap_t caps = ::cap_from_text("cap_kill,cap_chown=p");
    const bool set = ::cap_set_proc(caps) == 0;
    ::cap_free(caps);
    if (!set) return ::geteuid() == 0 ? "could not prepare" : "cap_chown,cap_kill";  // nothing to have where nothing is
    return RemainingCapabilities().value_or("unreadable");
  });
  EXPECT_EQ(child.said, "cap_chown,cap_kill");
}

}  // namespace
}  // namespace envdial::inject
