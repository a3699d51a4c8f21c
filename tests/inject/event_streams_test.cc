// SPDX-License-Identifier: Apache-2.0
#include "inject/event_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/inject/control_fixture.h"

namespace envdial::inject {
namespace {

using base::State;
using std::chrono::milliseconds;
using testing::HasSubstr;
using Json = nlohmann::json;

struct Event {
  std::string type;
  std::string id;
  Json data;
};

// More than the kernel takes on a stream that nobody reads.
const std::string kLarge(1 << 18, 'x');

// Through a whole server. The streams are asked for by HTTP/1.0, so that there are no chunks between the events.
class EventStreamTest : public ControlServerTest {
 protected:
  std::unique_ptr<RawClient> Watch(const std::string& headers = "") {
    auto client = Connect();
    client->Send("GET /v1/watch HTTP/1.0\r\n" + headers + "\r\n");
    EXPECT_TRUE(TurnUntil([&] { return client->TakeUntil("\r\n\r\n").has_value(); }));
    return client;
  }

  Event Next(RawClient& client) {
    std::optional<std::string> text;
    EXPECT_TRUE(TurnUntil([&] { return (text = client.TakeUntil("\n\n")).has_value(); }));
    Event event;
    for (std::size_t at = 0; text && at + 1 < text->size();) {
      const std::string line = text->substr(at, text->find('\n', at) - at);
      at += line.size() + 1;
      if (line.starts_with("event: ")) event.type = line.substr(7);
      if (line.starts_with("id: ")) event.id = line.substr(4);
      if (line.starts_with("data: ")) event.data = Json::parse(line.substr(6));
    }
    return event;
  }
};

TEST_F(EventStreamTest, BeginsWithTheSnapshot) {
  Publish(7, "500");
  const auto client = Connect();
  client->Ask("/v1/watch");
  ASSERT_TRUE(TurnUntil([&] { return client->received().find("\n\n") != std::string::npos; }));
  const std::string headers = client->TakeUntil("\r\n\r\n").value_or("");
  EXPECT_THAT(headers, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(headers, HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_THAT(headers, HasSubstr("Cache-Control: no-store\r\n"));
  EXPECT_THAT(client->received(), HasSubstr("event: snapshot\nid: 7\ndata: " + Get("/v1/snapshot").body + "\n"));
}

TEST_F(EventStreamTest, TellsTheFirstPublicationToo) {
  const auto client = Watch();
  const Event nothing = Next(*client);
  EXPECT_EQ(nothing.type, "snapshot");
  EXPECT_EQ(nothing.id, "0");
  EXPECT_EQ(nothing.data["state"], "not_ready");
  EXPECT_TRUE(nothing.data["dials"][0]["value"].is_null());
  Publish(1, "500");
  const Event first = Next(*client);
  EXPECT_EQ(first.id, "1");
  EXPECT_EQ(first.data["dials"][0]["value"], "500");
}

TEST_F(EventStreamTest, TellsEachChangeOnce) {
  Publish(7, "500");
  const auto client = Watch();
  EXPECT_EQ(Next(*client).id, "7");
  Publish(8, "600");
  const Event changed = Next(*client);
  EXPECT_EQ(changed.type, "snapshot");
  EXPECT_EQ(changed.data["version"], 8);
  Publish(8, "600", State::kStale);
  const Event stale = Next(*client);
  EXPECT_EQ(stale.type, "state");
  EXPECT_EQ(stale.id, "");
  EXPECT_EQ(stale.data, Json({{"state", "stale"}}));
  Publish(8, "600", State::kStale);
  Publish(9, "700", State::kReady);
  const Event both = Next(*client);
  EXPECT_EQ(both.type, "snapshot") << "a state under a new version is in the snapshot";
  EXPECT_EQ(both.data["state"], "ready");
  TurnFor(milliseconds(50));
  EXPECT_EQ(client->received(), "");
  EXPECT_EQ(server_->updates_coalesced(), 0U);
}

TEST_F(EventStreamTest, SkipsASnapshotThatItsReaderHasSeen) {
  Publish(7, "500", State::kStale);
  const auto client = Watch("Last-Event-ID: 7\r\n");
  const Event first = Next(*client);
  EXPECT_EQ(first.type, "state") << "which may have changed while the reader was away";
  EXPECT_EQ(first.data["state"], "stale");
  Publish(8, "600");
  EXPECT_EQ(Next(*client).id, "8");
  for (const char* other : {"6", "8000", "0", "", "seven", "-7", "7.0", "99999999999999999999"}) {
    const Event event = Next(*Watch("last-event-id: " + std::string(other) + "\r\n"));
    EXPECT_EQ(event.type, "snapshot") << other;
    EXPECT_EQ(event.id, "8") << other;
  }
}

TEST_F(EventStreamTest, BeatsForAllStreamsAndOnlyWhileThereAreAny) {
  Serve({.heartbeat = milliseconds(20)});
  Publish(7, "500");
  TurnFor(milliseconds(100));
  EXPECT_EQ(content_.age_asked, 0);
  auto first = Watch();
  auto second = Watch();
  for (RawClient* client : {first.get(), second.get()}) {
    EXPECT_EQ(Next(*client).type, "snapshot");
    for (int i = 0; i < 3; ++i) {
      const Event beat = Next(*client);
      EXPECT_EQ(beat.type, "heartbeat");
      EXPECT_EQ(beat.id, "");
      EXPECT_EQ(beat.data, Json({{"version", 7}, {"age_ms", 1'234}}));
    }
  }
  first.reset();
  second.reset();
  ASSERT_TRUE(TurnUntil([&] { return server_->clients() == 0; }));
  const int asked = content_.age_asked;
  TurnFor(milliseconds(100));
  EXPECT_EQ(content_.age_asked, asked);
  const auto third = Watch();
  EXPECT_EQ(Next(*third).type, "snapshot");
  EXPECT_EQ(Next(*third).type, "heartbeat");
}

TEST_F(EventStreamTest, ASlowReaderGetsTheNewestAndNotWhatWasBetween) {
  Publish(7, "500");
  const auto slow = Watch();
  const auto quick = Watch();
  EXPECT_EQ(Next(*slow).id, "7");
  EXPECT_EQ(Next(*quick).id, "7");
  slow->StopReading();
  for (std::uint64_t version = 8; version <= 30; ++version) {
    Publish(version, kLarge + std::to_string(version), version == 30 ? State::kStale : State::kReady);
    EXPECT_EQ(Next(*quick).id, std::to_string(version));
  }
  slow->ReadAgain();
  std::vector<std::uint64_t> told;
  while (told.empty() || told.back() < 30) {
    const Event event = Next(*slow);
    ASSERT_EQ(event.type, "snapshot");
    told.push_back(event.data["version"].get<std::uint64_t>());
    EXPECT_EQ(event.data["dials"][0]["value"], kLarge + std::to_string(told.back())) << "whole, and not mixed";
    EXPECT_EQ(event.data["state"], told.back() == 30 ? "stale" : "ready");
  }
  EXPECT_TRUE(std::ranges::is_sorted(told));
  EXPECT_LE(told.size(), 3U) << "no queue";
  EXPECT_EQ(server_->updates_coalesced(), 23 - told.size());
  Publish(31, "700");
  EXPECT_EQ(Next(*slow).id, "31");
}

TEST_F(EventStreamTest, ASlowReaderHearsOfAStateThatItMissed) {
  Serve({.heartbeat = milliseconds(5)});
  Publish(7, kLarge);
  const auto slow = Watch();
  slow->StopReading();
  Publish(7, kLarge, State::kStale);
  ASSERT_TRUE(TurnUntil([&] { return content_.age_asked > 5; }));
  content_.age = milliseconds(9'999);
  slow->ReadAgain();
  const Event first = Next(*slow);
  EXPECT_EQ(first.type, "snapshot");
  EXPECT_EQ(first.data["state"], "ready");
  const Event missed = Next(*slow);
  EXPECT_EQ(missed.type, "state");
  EXPECT_EQ(missed.data["state"], "stale");
  const Event beat = Next(*slow);
  EXPECT_EQ(beat.type, "heartbeat");
  EXPECT_EQ(beat.data["age_ms"], 9'999) << "those that it could not take were not kept for it";
  EXPECT_EQ(server_->updates_coalesced(), 0U);
}

TEST_F(EventStreamTest, StaysOpenWithNobodyWriting) {
  Serve({.idle_timeout = milliseconds(50)});
  Publish(7, "500");
  const auto client = Watch();
  EXPECT_EQ(Next(*client).id, "7");
  TurnFor(milliseconds(1'000));
  EXPECT_FALSE(client->closed());
  Publish(8, "600");
  EXPECT_EQ(Next(*client).id, "8");
}

TEST_F(EventStreamTest, AReaderThatVanishesIsForgotten) {
  Publish(7, kLarge);
  const auto stays = Watch();
  EXPECT_EQ(Next(*stays).id, "7");
  auto midway = Watch();
  auto behind = Watch();
  behind->StopReading();
  auto half = Watch();
  half->EndSending();
  EXPECT_TRUE(TurnUntil([&] { return server_->clients() == 3; })) << "who closes one side has gone";
  Publish(8, kLarge);
  behind.reset();
  midway.reset();
  Publish(9, kLarge);
  EXPECT_TRUE(TurnUntil([&] { return server_->clients() == 1; }));
  Publish(10, "600");
  Event last = Next(*stays);
  while (last.id != "10") last = Next(*stays);
  for (std::uint64_t version = 11; version < 40; ++version) {
    auto brief = Watch();
    brief.reset();
    Publish(version, "700");
  }
  EXPECT_TRUE(TurnUntil([&] { return server_->clients() == 1; }));
}

TEST_F(EventStreamTest, GoesAwayWithStreamsThatAreOpen) {
  Publish(7, kLarge);
  const auto client = Watch();
  const auto slow = Watch();
  slow->StopReading();
  server_.reset();
  EXPECT_TRUE(TurnUntil([&] { return client->closed(); }));
}

}  // namespace
}  // namespace envdial::inject
