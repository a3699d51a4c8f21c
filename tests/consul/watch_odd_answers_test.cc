// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/consul/watch_fixture.h"
#include "tests/support/scripted_consul.h"

namespace envdial::consul {
namespace {

using test::Found;
using test::Hold;
using test::NotFound;
using test::ScriptedAnswer;
using test::ScriptedConsul;
using test::ScriptedRequest;
using testing::AllOf;
using testing::HasSubstr;

const WatchTarget kSingle{.name = "a/x", .is_prefix = false, .keys = {"a/x"}};
const WatchTarget kPrefix{.name = "a/", .is_prefix = true, .keys = {"a/x", "a/y"}};

// What is answered that a Consul in good order does not answer.
class WatchOddAnswersTest : public WatchFixture {
 protected:
  std::unique_ptr<Watch> StartAgainst(const ScriptedConsul& consul, WatchTarget target, Recorder& recorder) {
    options_.addresses = {consul.endpoint()};
    return StartWatch(std::move(target), recorder);
  }
};

// The two keys are only ever changed together. A poll that lacks one of them, and a consistent read after the next
// change, must not be put together to what never was.
TEST_F(WatchOddAnswersTest, AnAnswerAndAConfirmationOfAnotherMomentAreNotMixed) {
  const ScriptedAnswer before = Found(9, {{"a/x", "1", 9}, {"a/y", "1", 9}});
  const ScriptedAnswer lacking = Found(9, {{"a/y", "1", 9}});
  const ScriptedAnswer after = Found(20, {{"a/x", "2", 20}, {"a/y", "2", 20}});
  ScriptedConsul consul(loop_,
                        [&](const ScriptedRequest& request) { return request.Parameter("index") ? Hold() : before; });
  Recorder recorder(2);
  const auto watch = StartAgainst(consul, kPrefix, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul.held() == 1; }));
  consul.SetScript([&](const ScriptedRequest& request) {
    if (request.target == "/v1/kv/a/x?consistent") return Found(20, {{"a/x", "2", 20}});
    return request.Parameter("index") ? Hold() : request.Parameter("consistent") ? after : lacking;
  });
  consul.AnswerHeld(lacking);
  ASSERT_TRUE(RunUntil([&] { return recorder.Newest() == "2@20 2@20"; }));
  for (const auto& reading : recorder.readings) {
    EXPECT_THAT(Recorder::Describe(reading), testing::AnyOf("1@9 1@9", "2@20 2@20"));
  }
  EXPECT_EQ(consul.requests()[3].target, "/v1/kv/a/?recurse&consistent") << "the leader is asked for the whole";
  ASSERT_TRUE(RunUntil([&] { return consul.held() == 1; }));
  EXPECT_EQ(consul.requests().back().target.find("consistent"), std::string::npos) << "and then nobody is";
  EXPECT_EQ(watch->status().answers_refuted, 1U);
  EXPECT_THAT(watch->status().last_oddity->message, AllOf(HasSubstr("a/x was answered to be gone")));
  EXPECT_FALSE(watch->status().last_error);
}

TEST_F(WatchOddAnswersTest, AKeyThatIsGoneMeanwhileIsGone) {
  ScriptedConsul consul(loop_, [](const ScriptedRequest& request) {
    return request.Parameter("index") ? Hold() : Found(9, {{"a/x", "1", 9}});
  });
  Recorder recorder(1);
  const auto watch = StartAgainst(consul, kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul.held() == 1; }));
  consul.SetScript([](const ScriptedRequest& request) { return request.Parameter("index") ? Hold() : NotFound(30); });
  consul.AnswerHeld(Found(12, {{"a/x", "0", 5}}));
  ASSERT_TRUE(RunUntil([&] { return recorder.Newest() == "-"; }));
  EXPECT_THAT(watch->status().last_oddity->message, HasSubstr("a/x was answered; a consistent read says it is gone"));
}

// A server that lags may still show what was deleted before the sidecar was restarted.
TEST_F(WatchOddAnswersTest, ADeletionFromBeforeTheStartIsUndoneByTheLeaderOnly) {
  bool there = false;
  ScriptedConsul consul(loop_, [&](const ScriptedRequest& request) {
    if (request.Parameter("index")) return Hold();
    if (!request.Parameter("consistent")) return Found(9, {{"a/x", "old", 5}});
    return there ? Found(40, {{"a/x", "new", 40}}) : NotFound(30);
  });
  for (const char* newest : {"-", "new@40"}) {
    Recorder recorder(1);
    recorder.known[0].deletion_kept = true;
    const auto watch = StartAgainst(consul, kSingle, recorder);
    ASSERT_TRUE(RunUntil([&] { return !recorder.readings.empty(); }));
    EXPECT_EQ(Recorder::Describe(recorder.readings.front()), newest);
    EXPECT_FALSE(watch->status().last_oddity);
    there = true;
  }
}

// As where the guard refuses the value that is there now, and the default stays.
TEST_F(WatchOddAnswersTest, OfADeletionFromBeforeTheStartTheLeaderIsAskedOnce) {
  ScriptedConsul consul(loop_, [](const ScriptedRequest& request) {
    return request.Parameter("index") ? Hold() : Found(9, {{"a/x", "bad", 9}});
  });
  Recorder recorder(1);
  recorder.known[0].deletion_kept = true;
  recorder.on_reading = [&] { recorder.known[0] = {.revision = {}, .deletion_kept = true}; };
  const auto watch = StartAgainst(consul, kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return consul.held() == 1; }));
  consul.AnswerHeld(Found(10, {{"a/x", "worse", 10}}));
  ASSERT_TRUE(RunUntil([&] { return consul.held() == 1 && recorder.readings.size() == 2; }));
  EXPECT_EQ(recorder.Newest(), "worse@10");
  EXPECT_EQ(consul.requests().size(), 4U) << "a poll, the leader, and two that are held";
}

TEST_F(WatchOddAnswersTest, ARowOfOdditiesIsOne) {
  ScriptedConsul consul(loop_, [](const ScriptedRequest&) { return Found(0, {{"a/x", "500", 5}}); });
  Recorder recorder(1);
  const auto watch = StartAgainst(consul, kSingle, recorder);
  EXPECT_FALSE(watch->status().last_oddity);
  ASSERT_TRUE(RunUntil([&] { return watch->status().last_oddity && watch->status().last_oddity->count == 4; }));
  EXPECT_LT(watch->status().last_oddity->since, watch->status().last_oddity->time);
}

}  // namespace
}  // namespace envdial::consul
