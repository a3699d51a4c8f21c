// SPDX-License-Identifier: Apache-2.0
#include "sidecar/service_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "guard/dials_file.h"
#include "tests/base/loop_fixture.h"
#include "tests/base/temp_directory.h"

namespace envdial::sidecar {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// The service manager's end of the socket.
class Manager {
 public:
  explicit Manager(const std::string& name) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto size = offsetof(sockaddr_un, sun_path) + name.size() + (name.front() == '@' ? 0 : 1);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)), 0)
        << std::strerror(errno);
  }

  // What came since the last call, one text for each message.
  std::vector<std::string> Read() {
    std::vector<std::string> messages;
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (size < 0) return messages;
      messages.emplace_back(buffer.data(), static_cast<std::size_t>(size));
    }
  }

 private:
  base::UniqueFd socket_;
};

class ServiceNotifierTest : public base::LoopTest {
 protected:
  ServiceNotifierTest() { Clear(); }
  ~ServiceNotifierTest() override { Clear(); }

  static void Clear() {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  static void Set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
  static base::Result<std::optional<ServiceManager>> TakeWith(const std::string& time, const std::string& pid) {
    Set("NOTIFY_SOCKET", "/run/notify");
    Set("WATCHDOG_USEC", time);
    Set("WATCHDOG_PID", pid);
    return TakeServiceManager();
  }

  base::TempDirectory directory_;
  std::string path_ = directory_.path() + "/notify";
  Log log_{LogFormat::kText, LogLevel::kError};
};

TEST_F(ServiceNotifierTest, WithoutASocketNobodyIsTold) {
  Set("WATCHDOG_USEC", "1000");
  EXPECT_EQ(TakeServiceManager().value(), std::nullopt);
}

TEST_F(ServiceNotifierTest, TheVariablesAreReadAndRemoved) {
  const auto manager = TakeWith("30000000", std::to_string(::getpid())).value();
  EXPECT_EQ(manager->socket, "/run/notify");
  EXPECT_EQ(manager->watchdog, 30s);
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) EXPECT_EQ(std::getenv(name), nullptr);
}

TEST_F(ServiceNotifierTest, AWatchdogOfAnotherProcessIsNotOurs) {
  EXPECT_EQ(TakeWith("30000000", std::to_string(::getppid())).value()->watchdog, std::nullopt);
  EXPECT_EQ(TakeWith("30000000", "").value()->watchdog, 30s);
  EXPECT_EQ(TakeWith("", "").value()->watchdog, std::nullopt);
}

TEST_F(ServiceNotifierTest, WhatNoServiceManagerWouldSayIsRefused) {
  for (const char* time : {"0", "-1", "30s", "1 ", "18446744073709551615", "18446744073709551616"}) {
    EXPECT_EQ(TakeWith(time, "").error().kind, base::ErrorKind::kInvalid) << time;
  }
  EXPECT_EQ(TakeWith("1000", "me").error().kind, base::ErrorKind::kInvalid);
  for (const std::string& socket : {std::string("notify"), std::string("/"), std::string("@"), std::string("vsock:2:1"),
                                    "/" + std::string(107, 'x')}) {
    Set("NOTIFY_SOCKET", socket);
    EXPECT_FALSE(TakeServiceManager()) << socket;
  }
}

TEST_F(ServiceNotifierTest, TellsOfTheStartOnceAndOfEachChange) {
  Manager manager(path_);
  ServiceNotifier notifier(loop_, log_, {.socket = path_, .watchdog = {}});
  notifier.Tell(false, "waiting");
  notifier.Tell(false, "waiting");
  notifier.Tell(true, "ready");
  notifier.Tell(true, "ready");
  notifier.Tell(false, "two\nlines");
  notifier.Tell(true, "ready");
  notifier.TellStopping();
  EXPECT_THAT(manager.Read(), ElementsAre("STATUS=waiting\n", "READY=1\nSTATUS=ready\n", "STATUS=two lines\n",
                                          "STATUS=ready\n", "STOPPING=1\nSTATUS=ready\n"));
}

TEST_F(ServiceNotifierTest, AnAbstractSocketWillDo) {
  const std::string name = "@envdial-test-" + std::to_string(::getpid());
  Manager manager(name);
  ServiceNotifier notifier(loop_, log_, {.socket = name, .watchdog = {}});
  notifier.Tell(true, "ready");
  EXPECT_THAT(manager.Read(), ElementsAre("READY=1\nSTATUS=ready\n"));
}

// That it hears of no loop which hangs is in tests/e2e/test_service_manager.py.
TEST_F(ServiceNotifierTest, TheWatchdogHearsFromTheLoop) {
  Manager manager(path_);
  const ServiceNotifier notifier(loop_, log_, {.socket = path_, .watchdog = 20ms});
  EXPECT_THAT(manager.Read(), ElementsAre("WATCHDOG=1\n"));
  std::size_t signs = 0;
  EXPECT_TRUE(TurnUntil([&] { return (signs += manager.Read().size()) >= 5; }));
}

TEST_F(ServiceNotifierTest, WhatTheSocketHasNoRoomForIsSentLater) {
  std::optional<Manager> manager(path_);
  ServiceNotifier notifier(loop_, log_, {.socket = path_, .watchdog = {}});
  int filled = 0;
  while (filled < 10'000 && !notifier.behind()) notifier.Tell(false, "waiting " + std::to_string(filled++));
  ASSERT_TRUE(notifier.behind());
  notifier.Tell(true, "ready");
  for (const std::string& message : manager->Read()) EXPECT_EQ(message.find("READY"), std::string::npos);
  std::vector<std::string> late;
  EXPECT_TRUE(TurnUntil([&] { return !(late = manager->Read()).empty(); }));
  EXPECT_THAT(late, ElementsAre("READY=1\nSTATUS=ready\n"));
}

TEST_F(ServiceNotifierTest, AManagerThatIsAwayIsToldWhenItIsBack) {
  ServiceNotifier notifier(loop_, log_, {.socket = path_, .watchdog = {}});
  notifier.Tell(true, "ready");
  Manager manager(path_);
  std::vector<std::string> late;
  EXPECT_TRUE(TurnUntil([&] { return !(late = manager.Read()).empty(); }));
  EXPECT_THAT(late, ElementsAre("READY=1\nSTATUS=ready\n"));
}

TEST(ServiceStatusTest, SaysWhatItDoesOrWaitsFor) {
  const guard::Config config = *guard::ParseDials({{"test.json", R"({"dials": [
      {"env": "A", "key": "a", "type": "int", "default": 1}, {"env": "B", "key": "b", "type": "int"}]})"}});
  base::Snapshot snapshot{.version = 0, .published = {}, .state = base::State::kNotReady, .dials = {}};
  snapshot.dials.resize(2);
  snapshot.dials[0].value = "1";
  EXPECT_EQ(ServiceStatus(config, snapshot), "not ready: waiting for a value of B");
  snapshot.dials[1].value = "2";
  EXPECT_EQ(ServiceStatus(config, snapshot), "not ready: waiting for Consul");
  snapshot.version = 7;
  snapshot.state = base::State::kReady;
  EXPECT_EQ(ServiceStatus(config, snapshot), "ready, version 7");
  snapshot.state = base::State::kStale;
  EXPECT_EQ(ServiceStatus(config, snapshot), "stale: Consul is not heard of; serving version 7");
}

}  // namespace
}  // namespace envdial::sidecar
