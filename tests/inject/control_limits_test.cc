// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/inject/control_fixture.h"

namespace envdial::inject {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::HasSubstr;
using Json = nlohmann::json;

TEST(ControlLimits, AreWhatTheDescriptorsAllow) {
  const struct {
    std::size_t files, waiting, path, tcp;
  } cases[] = {
      {0, 8, 10, 1},  // a few, if anything at all
      {64, 32, 40, 4},
      {256, 136, 170, 17},
      {1'024, 696, 870, 87},  // a usual soft limit
      {1'471, 1'016, 1'270, 127},
      {1'472, 1'024, 1'280, 128},
      {1'048'576, 1'024, 1'280, 128},  // a usual hard one
  };
  for (const auto& [files, waiting, path, tcp] : cases) {
    const ControlLimits limits = ControlLimits::For(files);
    EXPECT_EQ(limits.waiting, waiting) << files;
    EXPECT_EQ(limits.path_connections, path) << files;
    EXPECT_EQ(limits.tcp_connections, tcp) << files;
  }
}

class ControlLimitsTest : public ControlServerTest {
 protected:
  using Clients = std::vector<std::unique_ptr<RawClient>>;

  // `count` clients that ask for `target` and wait.
  Clients AllWaiting(std::size_t count, const std::string& target) {
    Clients clients;
    const std::size_t before = server_->clients();
    while (clients.size() < count) {
      clients.push_back(Connect());
      clients.back()->Ask(target);
      // The listening socket's queue is short.
      if (clients.size() % 50 == 0) TurnUntil([&] { return server_->clients() == before + clients.size(); });
    }
    EXPECT_TRUE(TurnUntil([&] { return server_->clients() == before + count; }));
    return clients;
  }
};

TEST_F(ControlLimitsTest, The1025thMayNotWaitAndEverythingElseIsAnswered) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GE(files.rlim_cur, 3'000U) << "two descriptors for each client";
  Serve({.limits = ControlLimits::For(files.rlim_cur), .idle_timeout = minutes(10)});
  const auto port = server_->ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(port) << port.error().message;
  Publish(7, "500");
  Clients polls = AllWaiting(1'000, "/v1/snapshot?after=7&wait=10m");
  const Clients streams = AllWaiting(24, "/v1/watch");

  for (const char* target : {"/v1/snapshot?after=7", "/v1/watch"}) {
    const RawAnswer refused = Get(target);
    EXPECT_EQ(refused.status, 503) << target;
    EXPECT_EQ(refused.Header("Retry-After"), "1") << target;
    EXPECT_THAT(Json::parse(refused.body)["error"].get<std::string>(), HasSubstr("1024")) << target;
  }
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get("/v1/snapshot").status, 200) << "what does not wait is answered";
  EXPECT_EQ(Put("/v1/applied", R"({"consumer":"a","version":7})").status, 204);
  const auto over_tcp = RawClient::ToPort(loop_, static_cast<std::uint16_t>(*port));
  over_tcp->Ask("/livez");
  EXPECT_EQ(Answer(*over_tcp).status, 200);
  EXPECT_EQ(server_->clients(), 1'024U);

  polls.pop_back();
  ASSERT_TRUE(TurnUntil([&] { return server_->clients() == 1'023; }));
  polls.push_back(Waiting("/v1/snapshot?after=7"));
  Publish(8, "600");
  for (const auto& client : polls) ASSERT_EQ(Json::parse(Answer(*client).body)["version"], 8);
  EXPECT_EQ(server_->clients(), 24U);
}

TEST_F(ControlLimitsTest, SilentConnectionsShutNobodyOut) {
  Serve({.limits = {.path_connections = 20, .tcp_connections = 4, .waiting = 10}, .idle_timeout = minutes(10)});
  const auto port = server_->ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(port) << port.error().message;
  Publish(7, "500");
  const Clients waiting = AllWaiting(10, "/v1/snapshot?after=7&wait=10m");
  Clients silent;
  for (int i = 0; i < 60; ++i) {
    silent.push_back(i % 2 == 0 ? Connect() : RawClient::ToPort(loop_, static_cast<std::uint16_t>(*port)));
    if (i % 3 == 0) silent.back()->Send("GET /livez HT");
    TurnFor(milliseconds(1));
  }
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Get("/livez").status, 200);
  const auto over_tcp = RawClient::ToPort(loop_, static_cast<std::uint16_t>(*port));
  over_tcp->Ask("/livez");
  EXPECT_EQ(Answer(*over_tcp).status, 200);
  EXPECT_TRUE(TurnUntil([&] { return silent.front()->closed(); })) << "it made room";
  EXPECT_EQ(server_->clients(), 10U) << "who waits does not";
  Publish(8, "600");
  for (const auto& client : waiting) EXPECT_EQ(Json::parse(Answer(*client).body)["version"], 8);
}

}  // namespace
}  // namespace envdial::inject
