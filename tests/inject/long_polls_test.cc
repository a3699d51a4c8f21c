// SPDX-License-Identifier: Apache-2.0
#include "inject/long_polls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/inject/control_fixture.h"

namespace envdial::inject {
namespace {

using base::State;
using std::chrono::milliseconds;
using Json = nlohmann::json;

// Through a whole server.
using LongPollTest = ControlServerTest;

TEST_F(LongPollTest, ShowsAChangeOfStateUnderTheSameVersion) {
  Publish(3, "500", State::kReady);
  EXPECT_EQ(Json::parse(Get("/v1/snapshot").body)["state"], "ready");
  const auto waiting = Waiting("/v1/snapshot?after=3");
  Publish(3, "500", State::kStale);
  EXPECT_EQ(Json::parse(Get("/v1/snapshot").body)["state"], "stale");
  EXPECT_EQ(server_->clients(), 1U) << "no new version, no answer";
}

TEST_F(LongPollTest, AnswersAtOnceWhereTheVersionDiffers) {
  Publish(7, "500");
  for (const char* query : {"after=6", "after=8", "after=0", "wait=10m", "after=7&wait=0s"}) {
    EXPECT_EQ(Json::parse(Get(std::string("/v1/snapshot?") + query).body)["version"], 7) << query;
  }
}

TEST_F(LongPollTest, IsWokenByTheNextVersion) {
  const auto from_nothing = Waiting("/v1/snapshot?after=0&wait=10m");
  Publish(7, "500");
  EXPECT_EQ(Json::parse(Answer(*from_nothing).body)["version"], 7);

  const auto first = Waiting("/v1/snapshot?after=7");
  const auto second = Waiting("/v1/snapshot?after=7&wait=1m");
  Publish(8, "600");
  EXPECT_EQ(server_->clients(), 0U);
  for (RawClient* client : {first.get(), second.get()}) {
    const Json json = Json::parse(Answer(*client).body);
    EXPECT_EQ(json["version"], 8);
    EXPECT_EQ(json["dials"][0]["value"], "600");
  }
  // The same connections go on.
  first->Ask("/v1/snapshot?after=8");
  second->Ask("/livez");
  EXPECT_EQ(Answer(*second).status, 200);
  Publish(9, "700");
  EXPECT_EQ(Json::parse(Answer(*first).body)["version"], 9);
}

TEST_F(LongPollTest, EndsWithItsWait) {
  Publish(7, "500");
  const auto later = Waiting("/v1/snapshot?after=7&wait=10m");
  const auto start = std::chrono::steady_clock::now();
  const auto client = Waiting("/v1/snapshot?after=7&wait=120ms");
  const RawAnswer answer = Answer(*client);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(120));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(Json::parse(answer.body)["version"], 7);
  EXPECT_EQ(server_->clients(), 1U);
  EXPECT_FALSE(later->Take());
}

TEST_F(LongPollTest, OutlastsTheIdleTimeout) {
  Serve({.idle_timeout = milliseconds(300)});
  Publish(7, "500");
  const auto silent = Connect();
  const auto waiting = Waiting("/v1/snapshot?after=7&wait=10m");
  EXPECT_TRUE(TurnUntil([&] { return silent->closed(); })) << "a silent connection is cut";
  TurnFor(milliseconds(600));
  EXPECT_FALSE(waiting->closed());
  EXPECT_EQ(server_->clients(), 1U);
  Publish(8, "600");
  EXPECT_EQ(Json::parse(Answer(*waiting).body)["version"], 8);
  EXPECT_TRUE(TurnUntil([&] { return waiting->closed(); })) << "and so is this one, once it is idle";
}

TEST_F(LongPollTest, AClientThatVanishesIsForgotten) {
  Publish(7, "500");
  auto first = Waiting("/v1/snapshot?after=7&wait=10m");
  auto second = Waiting("/v1/snapshot?after=7&wait=10m");
  auto third = Waiting("/v1/snapshot?after=7&wait=10m");
  second.reset();
  EXPECT_TRUE(TurnUntil([&] { return server_->clients() == 2; }));
  third->EndSending();
  EXPECT_TRUE(TurnUntil([&] { return server_->clients() == 1; }));
  Publish(8, "600");
  EXPECT_EQ(Json::parse(Answer(*first).body)["version"], 8);
}

TEST_F(LongPollTest, AClientThatVanishesAsItIsAnsweredHurtsNobody) {
  Publish(7, "500");
  for (std::uint64_t version = 8; version < 40; ++version) {
    auto client = Waiting("/v1/snapshot?after=" + std::to_string(version - 1));
    client.reset();
    Publish(version, "600");
    EXPECT_EQ(server_->clients(), 0U);
  }
  EXPECT_EQ(Get("/v1/values/MAX").body, "600");
}

TEST_F(LongPollTest, PipelinedRequestsOfAWaitingClientAreAnsweredAfterIt) {
  Publish(7, "500");
  const auto client = Waiting("/v1/snapshot?after=7");
  client->Ask("/livez");
  client->Ask("/v1/values/MAX");
  TurnFor(milliseconds(50));
  EXPECT_TRUE(client->received().empty());
  Publish(8, "600");
  EXPECT_EQ(Json::parse(Answer(*client).body)["version"], 8);
  EXPECT_EQ(Answer(*client).body, "ok\n");
  EXPECT_EQ(Answer(*client).body, "600");
}

TEST_F(LongPollTest, AWaitingClientThatSendsWithoutEndIsCut) {
  Publish(7, "500");
  const auto stays = Waiting("/v1/snapshot?after=7");
  const auto client = Waiting("/v1/snapshot?after=7");
  client->Send(std::string(64 * 1024, 'x'));
  EXPECT_TRUE(TurnUntil([&] { return client->closed(); }));
  EXPECT_EQ(server_->clients(), 1U);
  Publish(8, "600");
  EXPECT_EQ(Json::parse(Answer(*stays).body)["version"], 8);
}

TEST_F(LongPollTest, LargeSnapshotsOutliveTheirPublication) {
  Publish(7, "500");
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(Waiting("/v1/snapshot?after=7"));
  const std::string large(1024 * 1024, 'y');
  Publish(8, large);
  Publish(9, "700");
  for (const auto& client : clients) {
    const Json json = Json::parse(Answer(*client).body);
    EXPECT_EQ(json["version"], 8);
    EXPECT_EQ(json["dials"][0]["value"].get_ref<const std::string&>(), large);
  }
}

TEST_F(LongPollTest, PublishingFromWithinAnAnswerIsFine) {
  Publish(7, "500");
  const auto waiting = Waiting("/v1/snapshot?after=7");
  content_.on_status = [this] { Publish(8, "600"); };
  EXPECT_EQ(Get("/v1/status").status, 200);
  EXPECT_EQ(Json::parse(Answer(*waiting).body)["version"], 8);
}

TEST_F(LongPollTest, GoesAwayWithClientsThatWait) {
  const auto waiting = Waiting("/v1/snapshot?after=0&wait=10m");
  const auto idle = Connect();
  server_.reset();
  EXPECT_TRUE(TurnUntil([&] { return waiting->closed() && idle->closed(); }));
}

}  // namespace
}  // namespace envdial::inject
