// SPDX-License-Identifier: Apache-2.0
#include "consul/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/consul/watch_fixture.h"
#include "tests/support/scripted_consul.h"

namespace envdial::consul {
namespace {

using namespace std::chrono_literals;
using test::Close;
using test::Found;
using test::Hold;
using test::NotFound;
using test::Raw;
using test::ScriptedAnswer;
using test::ScriptedConsul;
using test::ScriptedRequest;
using test::Status;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

const WatchTarget kSingle{.name = "a/x", .is_prefix = false, .keys = {"a/x"}};
const WatchTarget kPrefix{.name = "a/", .is_prefix = true, .keys = {"a/x", "a/y"}};

std::uint64_t IndexOf(const ScriptedRequest& request) {
  const auto index = request.Parameter("index");
  return index ? std::stoull(*index) : 0;
}

// Answers as long as the index asked for is not `index`, and holds the request then.
ScriptedConsul::Script Once(std::uint64_t index, ScriptedAnswer answer) {
  return [index, answer](const ScriptedRequest& request) { return IndexOf(request) == index ? Hold() : answer; };
}

std::size_t CountOf(const WatchStatus& status, IndexReset reset) {
  return status.index_resets[static_cast<std::size_t>(reset)];
}

std::size_t CountOf(const WatchStatus& status, Reason reason) {
  return status.polls_failed[static_cast<std::size_t>(reason)];
}

class WatchTest : public WatchFixture {
 protected:
  // Starts a scripted Consul and adds it to the addresses.
  std::unique_ptr<ScriptedConsul> StartConsul(ScriptedConsul::Script script) {
    auto consul = std::make_unique<ScriptedConsul>(loop_, std::move(script));
    options_.addresses.push_back(consul->endpoint());
    return consul;
  }
};

TEST_F(WatchTest, FirstValueThenALongPoll) {
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));

  ASSERT_EQ(recorder.readings.size(), 1U);
  EXPECT_EQ(recorder.Newest(), "500@7");
  EXPECT_FALSE(recorder.readings[0].unbroken);
  EXPECT_TRUE(recorder.readings[0].fresh);
  EXPECT_TRUE(recorder.readings[0].complete);
  EXPECT_EQ(recorder.readings[0].contact, recorder.reading_times[0].wall);
  ASSERT_EQ(consul->requests().size(), 2U);
  EXPECT_EQ(consul->requests()[0].target, "/v1/kv/a/x");
  EXPECT_EQ(consul->requests()[1].target, "/v1/kv/a/x?index=7&wait=2500ms");
  EXPECT_EQ(consul->connections(), 1U);

  const WatchStatus& status = watch->status();
  EXPECT_EQ(status.address, consul->endpoint().ToString());
  EXPECT_TRUE(status.connected);
  EXPECT_EQ(status.last_contact, recorder.readings[0].contact);
  EXPECT_EQ(status.polls_changed, 1U);
  EXPECT_EQ(status.polls_unchanged, 0U);
  EXPECT_FALSE(status.last_error);
}

TEST_F(WatchTest, NothingHappensBeforeStart) {
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  Watch watch(loop_, *http_, options_, kSingle, recorder);
  EXPECT_EQ(watch.target().name, "a/x");
  EXPECT_FALSE(watch.status().connected);
  EXPECT_FALSE(watch.status().last_contact);
  EXPECT_TRUE(consul->requests().empty());
}

TEST_F(WatchTest, AChangeIsReadFromTheLongPoll) {
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->SetScript(Once(9, Found(9, {{"a/x", "600", 9}})));
  consul->AnswerHeld(Found(9, {{"a/x", "600", 9}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "600@9");
  EXPECT_TRUE(recorder.readings.back().unbroken);
  EXPECT_EQ(recorder.readings.size(), 2U);
  EXPECT_EQ(watch->status().polls_changed, 2U);
  EXPECT_EQ(consul->connections(), 1U);
}

TEST_F(WatchTest, AnIdleWatchKeepsOneConnectionAndIsInContact) {
  options_.timeout = 600ms;  // the wait is 500 ms
  const auto consul = StartConsul([](const ScriptedRequest& request) {
    return Found(7, {{"a/x", "500", 7}}).After(IndexOf(request) == 7 ? 510ms : 0ms);
  });
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return recorder.readings.size() == 4; }));
  EXPECT_EQ(consul->connections(), 1U);
  EXPECT_EQ(consul->requests()[1].Parameter("wait"), "500ms");
  EXPECT_EQ(watch->status().polls_changed, 1U);
  EXPECT_EQ(watch->status().polls_unchanged, 3U);
  EXPECT_EQ(watch->status().last_contact, recorder.reading_times[3].wall);
  EXPECT_THAT(recorder.failures, IsEmpty());
}

TEST_F(WatchTest, APrefixWithUndeclaredKeys) {
  const auto consul =
      StartConsul(Once(9, Found(9, {{"a/", "", 3}, {"a/x", "500", 7}, {"a/typo", "1", 9}, {"a/b/", "", 4}})));
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(consul->requests()[0].target, "/v1/kv/a/?recurse");
  EXPECT_EQ(recorder.Newest(), "500@7 -");
  EXPECT_THAT(recorder.readings[0].undeclared, ElementsAre("a/typo"));
  EXPECT_THAT(watch->status().undeclared, ElementsAre("a/typo"));
  EXPECT_EQ(watch->status().undeclared_total, 1U);
}

TEST_F(WatchTest, ADeletionIsConfirmedFirst) {
  const auto consul = StartConsul(Once(9, Found(9, {{"a/x", "500", 7}, {"a/y", "1", 9}})));
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->SetScript(
      [](const ScriptedRequest& request) { return request.Parameter("consistent") ? NotFound(12) : Hold(); });
  consul->AnswerHeld(Found(12, {{"a/x", "500", 7}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "500@7 -");
  ASSERT_EQ(consul->requests().size(), 4U);
  EXPECT_EQ(consul->requests()[2].target, "/v1/kv/a/y?consistent");
  EXPECT_EQ(consul->requests()[3].target, "/v1/kv/a/?recurse&index=12&wait=2500ms");
  EXPECT_EQ(consul->connections(), 1U);
  EXPECT_EQ(watch->status().polls_changed, 2U);
}

TEST_F(WatchTest, ADeletionThatIsNotConfirmedIsHeldAndAFailure) {
  const auto consul = StartConsul(Once(9, Found(9, {{"a/x", "500", 7}, {"a/y", "1", 9}})));
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->SetScript([](const ScriptedRequest& request) {
    return request.Parameter("consistent") ? Status(403, "Permission denied") : Hold();
  });
  consul->AnswerHeld(Found(12, {{"a/x", "600", 12}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "600@12 held");
  ASSERT_EQ(recorder.failures.size(), 1U);
  EXPECT_EQ(recorder.failures[0].reason, Reason::kDenied);
  EXPECT_FALSE(recorder.readings.back().complete);
  EXPECT_FALSE(recorder.readings.back().fresh) << "while this goes on the group must become stale";
  EXPECT_EQ(recorder.failures[0].message, "confirm a/y: " + consul->endpoint().ToString() + ": 403: Permission denied");
  EXPECT_EQ(CountOf(watch->status(), Reason::kDenied), 1U);
  EXPECT_EQ(watch->status().polls_changed, 1U);
  EXPECT_FALSE(watch->status().connected);
  EXPECT_EQ(consul->requests().back().target, "/v1/kv/a/?recurse") << "it starts over, so that it is seen again";
}

TEST_F(WatchTest, AWholePrefixDeletedIsHeldUntilOneReturns) {
  const auto consul = StartConsul(Once(9, Found(9, {{"a/x", "500", 7}, {"a/y", "1", 9}})));
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->SetScript([](const ScriptedRequest&) { return Hold(); });
  for (const std::uint64_t index : {12U, 13U}) {
    consul->AnswerHeld(NotFound(index));
    ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
    EXPECT_EQ(recorder.Newest(), "held held");
    EXPECT_TRUE(recorder.readings.back().mass_deletion_held);
  }
  EXPECT_EQ(watch->status().mass_deletions_held, 1U);
  EXPECT_TRUE(watch->status().mass_deletion_standing);
  EXPECT_TRUE(watch->status().mass_deletion_since);
  EXPECT_THAT(recorder.failures, IsEmpty());

  consul->SetScript(
      [](const ScriptedRequest& request) { return request.Parameter("consistent") ? NotFound(14) : Hold(); });
  consul->AnswerHeld(Found(14, {{"a/y", "2", 14}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "- 2@14");
  EXPECT_FALSE(watch->status().mass_deletion_standing);
  EXPECT_FALSE(watch->status().mass_deletion_since);
  EXPECT_EQ(watch->status().mass_deletions_held, 1U);
}

TEST_F(WatchTest, ARestoredRevisionIsTakenAndCounted) {
  const auto consul = StartConsul(Once(9, Found(9, {{"a/x", "500", 9}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->SetScript(Once(5, Found(5, {{"a/x", "400", 5}})));
  consul->AnswerHeld(Found(5, {{"a/x", "400", 5}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(consul->requests()[2].target, "/v1/kv/a/x?consistent");
  EXPECT_EQ(consul->requests()[3].target, "/v1/kv/a/x") << "the index went backwards";
  ASSERT_EQ(recorder.readings.size(), 3U);
  EXPECT_EQ(Recorder::Describe(recorder.readings[1]), "400@5r");
  EXPECT_FALSE(recorder.readings[1].unbroken);
  EXPECT_EQ(Recorder::Describe(recorder.readings[2]), "400@5");
  EXPECT_EQ(CountOf(watch->status(), IndexReset::kRestored), 1U);
  EXPECT_EQ(CountOf(watch->status(), IndexReset::kBackwards), 1U);
  ASSERT_TRUE(watch->status().last_oddity);
  EXPECT_THAT(watch->status().last_oddity->message, HasSubstr("Consul was restored"));
  EXPECT_EQ(watch->status().last_oddity->count, 1U) << "the index of the same answer is no second oddity";
  EXPECT_EQ(watch->status().answers_refuted, 0U);
}

TEST_F(WatchTest, ALowerRevisionThatTheLeaderDoesNotHaveIsNotTaken) {
  const auto consul = StartConsul(Once(9, Found(9, {{"a/x", "500", 9}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->AnswerHeld(Found(5, {{"a/x", "400", 5}}));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  for (const auto& reading : recorder.readings) EXPECT_EQ(Recorder::Describe(reading), "500@9");
  EXPECT_EQ(CountOf(watch->status(), IndexReset::kRestored), 0U);
  EXPECT_EQ(watch->status().answers_refuted, 1U);
  ASSERT_TRUE(watch->status().last_oddity);
  EXPECT_THAT(watch->status().last_oddity->message, HasSubstr("an older value of a/x was answered"));
  EXPECT_TRUE(watch->status().connected) << "it is no failure";
}

TEST_F(WatchTest, AFailureIsToldAndTheNextPollStartsOver) {
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  consul->AnswerHeld(Status(500, "No cluster leader"));
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  ASSERT_EQ(recorder.failures.size(), 1U);
  EXPECT_EQ(recorder.failures[0].reason, Reason::kServer);
  EXPECT_EQ(recorder.failures[0].message, consul->endpoint().ToString() + ": 500: No cluster leader");
  EXPECT_EQ(consul->requests()[2].target, "/v1/kv/a/x");
  ASSERT_EQ(recorder.readings.size(), 2U);
  EXPECT_FALSE(recorder.readings[1].unbroken);

  const WatchStatus& status = watch->status();
  EXPECT_TRUE(status.connected);
  EXPECT_EQ(status.failures_in_a_row, 0U);
  ASSERT_TRUE(status.last_error) << "kept after the heal";
  EXPECT_EQ(status.last_error->reason, Reason::kServer);
  EXPECT_EQ(status.polls_changed, 1U);
  EXPECT_EQ(status.polls_unchanged, 1U);
}

TEST_F(WatchTest, TheFirstFailureOfARowIsRemembered) {
  const auto consul = StartConsul([](const ScriptedRequest&) { return Status(500, "No cluster leader"); });
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return recorder.failures.size() == 1; }));
  const auto since = watch->status().last_error->time;
  ASSERT_TRUE(RunUntil([&] { return recorder.failures.size() == 3; }));
  EXPECT_EQ(watch->status().failures_in_a_row, 3U);
  EXPECT_EQ(watch->status().last_error->since, since);
  EXPECT_GT(watch->status().last_error->time, since);
  EXPECT_FALSE(watch->status().connected);
  EXPECT_THAT(recorder.readings, IsEmpty());
}

TEST_F(WatchTest, FailuresHaveTheirReasons) {
  options_.timeout = 600ms;
  struct Row {
    const char* name;
    ScriptedAnswer answer;
    Reason reason;
  };
  const Row kRows[] = {
      {"closed", Close(), Reason::kRefused},
      {"no answer", Hold(), Reason::kTimeout},
      {"not HTTP", Raw("hello\r\n\r\n"), Reason::kMalformed},
      {"cut short", Raw("HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 100\r\n\r\n[{"), Reason::kMalformed},
      {"a page", Status(200, "<html>").With("Content-Type: text/html"), Reason::kMalformed},
      {"404 of a proxy", Status(404, "not here"), Reason::kMalformed},
      {"moved", Status(301, "").With("Location: /elsewhere"), Reason::kMalformed},
      {"denied", Status(403, "Permission denied"), Reason::kDenied},
      {"throttled", Status(429, "slow down"), Reason::kThrottled},
      {"no leader", Status(500, "No cluster leader"), Reason::kServer},
      {"filtered", NotFound(7).With("X-Consul-Results-Filtered-By-ACLs: true"), Reason::kDenied},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    options_.addresses.clear();
    const auto consul = StartConsul([&](const ScriptedRequest&) { return row.answer; });
    Recorder recorder(1);
    const auto watch = StartWatch(kSingle, recorder);
    ASSERT_TRUE(RunUntil([&] { return !recorder.failures.empty(); }));
    EXPECT_EQ(recorder.failures[0].reason, row.reason) << recorder.failures[0].message;
    EXPECT_THAT(recorder.failures[0].message, StartsWith(consul->endpoint().ToString() + ": "));
    EXPECT_EQ(recorder.failures[0].message.find(consul->endpoint().ToString(), 1), std::string::npos);
    EXPECT_EQ(CountOf(watch->status(), row.reason), 1U);
    EXPECT_THAT(recorder.readings, IsEmpty());
  }
}

TEST_F(WatchTest, TheAddressThatWorksIsKept) {
  const auto dead = StartConsul([](const ScriptedRequest&) { return Close(); });
  const auto alive = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return alive->held() == 1; }));
  EXPECT_EQ(watch->status().address, alive->endpoint().ToString());
  EXPECT_EQ(recorder.failures.size(), 1U);
  alive->AnswerHeld(Found(8, {{"a/x", "600", 8}}));
  ASSERT_TRUE(RunUntil([&] { return recorder.Newest() == "600@8"; }));
  EXPECT_EQ(recorder.failures.size(), 1U);
  EXPECT_EQ(watch->status().address, alive->endpoint().ToString());
}

TEST_F(WatchTest, AStaleAnswerIsNoContactButItsValuesAreUsed) {
  options_.consistency = Consistency::kStale;
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  auto lagging = Found(8, {{"a/x", "600", 8}});
  std::replace(lagging.headers.begin(), lagging.headers.end(), std::string("X-Consul-LastContact: 0"),
               std::string("X-Consul-LastContact: 60000"));
  auto leaderless = Found(9, {{"a/x", "700", 9}});
  std::replace(leaderless.headers.begin(), leaderless.headers.end(), std::string("X-Consul-KnownLeader: true"),
               std::string("X-Consul-KnownLeader: false"));

  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(consul->requests()[0].target, "/v1/kv/a/x?stale");
  const auto contact = watch->status().last_contact;
  consul->SetScript([](const ScriptedRequest&) { return Hold(); });
  consul->AnswerHeld(lagging);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "600@8");
  EXPECT_FALSE(recorder.readings.back().fresh);
  EXPECT_EQ(recorder.readings.back().contact, recorder.reading_times.back().wall - 60s);
  consul->AnswerHeld(leaderless);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "700@9");
  EXPECT_FALSE(recorder.readings.back().fresh);
  EXPECT_EQ(watch->status().last_contact, contact);
  EXPECT_TRUE(watch->status().connected);
}

TEST_F(WatchTest, ZeroCountsAsOne) {
  const auto consul = StartConsul(Once(1, NotFound(0)));
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  EXPECT_EQ(recorder.Newest(), "-");
  EXPECT_EQ(CountOf(watch->status(), IndexReset::kZero), 1U);
  ASSERT_TRUE(watch->status().last_oddity);
  EXPECT_THAT(watch->status().last_oddity->message, HasSubstr("X-Consul-Index 0"));
}

TEST_F(WatchTest, DestroyingItCancelsEverything) {
  const auto consul = StartConsul(Once(7, Found(7, {{"a/x", "500", 7}})));
  Recorder recorder(1);
  auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul->held() == 1; }));
  watch.reset();
  consul->AnswerHeld(Found(8, {{"a/x", "600", 8}}));
  RunFor(50ms);
  EXPECT_EQ(recorder.readings.size(), 1U);
  EXPECT_EQ(consul->requests().size(), 2U);

  watch = StartWatch(kSingle, recorder);
  watch.reset();
  RunFor(50ms);
  EXPECT_EQ(consul->requests().size(), 2U) << "nor is one made that was only planned";
}

}  // namespace
}  // namespace envdial::consul
