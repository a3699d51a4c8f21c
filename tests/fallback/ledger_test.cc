// SPDX-License-Identifier: Apache-2.0
#include "fallback/ledger.h"

#include "tests/fallback/ledger_fixture.h"

namespace envdial::fallback {
namespace {

using namespace std::chrono_literals;
using Kinds = std::vector<Event::Kind>;

TEST(Ledger, VersionGrowsWithAValueAndWithNothingElse) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_EQ(f.version(), 1u);
  EXPECT_FALSE(f.Read({Value("600", 41), Value("hard", 42)}).published);
  EXPECT_FALSE(f.Read({Value(" 600 ", 50), Value("hard", 42)}).published) << "the same value under another revision";
  EXPECT_TRUE(f.ledger().store_stale()) << "the revision is to be kept all the same";
  EXPECT_EQ(f.version(), 1u);
  EXPECT_TRUE(f.Read({Value("700", 51), Value("hard", 42)}).published);
  EXPECT_EQ(f.version(), 2u);
}

TEST(Ledger, ARefusedRevisionKeepsThePresentValueAndIsJudgedOnce) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  const Refreshed refreshed = f.Read({Value("9000", 50), Value("hard", 42)});
  EXPECT_FALSE(refreshed.published);
  EXPECT_TRUE(refreshed.shown);
  EXPECT_EQ(f.events(), Kinds{Event::Kind::kRefused});
  EXPECT_EQ(f.value(0), "600");
  ASSERT_TRUE(f.dial(0).rejected);
  EXPECT_EQ(f.dial(0).rejected->reason, "max");
  EXPECT_EQ(f.dial(0).rejected->revision, 50u);
  f.Read({Value("9000", 50), Value("hard", 42)});
  EXPECT_TRUE(f.events().empty());
  f.Read({Value("700", 51), Value("hard", 42)});
  EXPECT_FALSE(f.dial(0).rejected);
  EXPECT_EQ(f.value(0), "700");
}

TEST(Ledger, AStepIsJudgedInAnUnbrokenWatchOnly) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  f.Read({Value("1300", 50), Value("hard", 42)});
  EXPECT_EQ(f.dial(0).rejected->reason, "max_step");
  f.Read({Value("1300", 50), Value("hard", 42)}, false);
  EXPECT_EQ(f.value(0), "600") << "a refused revision stays refused, only a new one can be a first reading";
  f.Read({Value("1400", 60), Value("hard", 42)}, false);
  EXPECT_EQ(f.value(0), "1400");
}

TEST(Ledger, AClampedValueComesIntoForceAndIsTold) {
  LedgerFixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "max": 10, "on_violation": "clamp"}]})");
  f.Read({Value("99", 5)}, false);
  EXPECT_EQ(f.value(0), "10");
  EXPECT_EQ(f.events(), Kinds{Event::Kind::kClamped});
  EXPECT_EQ(f.dial(0).rejected->reason, "clamped");
  f.Read({Value("99", 5)});
  EXPECT_TRUE(f.events().empty());
  EXPECT_EQ(f.origin(0), base::kOriginConsul);
}

TEST(Ledger, DeletionKeepsOrGivesTheDefault) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_TRUE(f.Read({Absent(), Absent()}).published);
  EXPECT_EQ(f.events(), (Kinds{Event::Kind::kDeletedDefault, Event::Kind::kDeletedKept}));
  EXPECT_EQ(f.value(0), "500");
  EXPECT_EQ(f.origin(0), base::kOriginDefault);
  EXPECT_EQ(f.value(1), "hard");
  EXPECT_EQ(f.origin(1), base::kOriginConsul);
  f.Read({Absent(), Absent()});
  EXPECT_TRUE(f.events().empty());
  const Kept kept = f.ledger().ToKept();
  EXPECT_TRUE(kept.keys[0].deletion_confirmed);
  EXPECT_FALSE(kept.keys[0].value);
  EXPECT_EQ(kept.keys[1].value, "hard");

  LedgerFixture after_restart(kTwoDials, kept);
  EXPECT_TRUE(after_restart.Fail().published) << "a confirmed deletion is as good as a value: nothing to wait for";
  EXPECT_EQ(after_restart.value(0), "500");
  EXPECT_EQ(after_restart.version(), f.version());
}

TEST(Ledger, AHeldKeyChangesNothing) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_FALSE(f.Read({Held(), Held()}).published);
  EXPECT_EQ(f.value(0), "600");
}

TEST(Ledger, ADeletedRevisionThatIsRestoredIsTakenAgain) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("300", 20), Value("hard", 42)});
  f.Read({Absent(), Value("hard", 42)});
  EXPECT_EQ(f.value(0), "500");
  base::KeyReading restored = Value("300", 20);
  restored.restored = true;
  EXPECT_TRUE(f.Read({restored, Value("hard", 42)}).published);
  EXPECT_EQ(f.value(0), "300");
}

TEST(Ledger, ARefusedRevisionStaysRefusedThroughADeletion) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("300", 20), Value("hard", 42)});
  f.Read({Value("900", 43), Value("hard", 42)});
  f.Read({Absent(), Value("hard", 42)});
  EXPECT_FALSE(f.Read({Value("900", 43), Value("hard", 42)}).published);
  EXPECT_EQ(f.value(0), "500");
}

TEST(Ledger, ARestoredRevisionIsTakenWithoutJudgingTheStep) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  base::KeyReading restored = Value("100", 20);
  restored.restored = true;
  EXPECT_TRUE(f.Read({restored, Value("hard", 42)}).published);
  EXPECT_EQ(f.value(0), "100");
  EXPECT_EQ(f.ledger().known(0).revision, 20u);
  EXPECT_EQ(f.events(), (Kinds{Event::Kind::kRestored, Event::Kind::kAccepted}));
}

TEST(Ledger, AnAtomicGroupTakesAllOrNothing) {
  LedgerFixture f(R"({"prefix": "p/", "atomic": true, "dials": [
      {"env": "A", "key": "a", "type": "int", "max": 10, "default": 1},
      {"env": "B", "key": "b", "type": "int", "max": 10, "default": 1}]})");
  f.Read({Value("2", 1), Value("3", 2)}, false);
  f.Read({Value("4", 3), Value("99", 4)});
  EXPECT_EQ(f.value(0), "2");
  EXPECT_EQ(f.value(1), "3");
  f.Read({Value("5", 5), Value("99", 4)});
  EXPECT_EQ(f.value(0), "2") << "the bad value still stands in the reading";
  EXPECT_TRUE(f.Read({Value("5", 5), Value("6", 6)}).published);
  EXPECT_EQ(f.value(0), "5");
  EXPECT_EQ(f.value(1), "6");
}

TEST(Ledger, AFirstReadingThatAnAtomicGroupHeldBackIsStillAFirstReading) {
  LedgerFixture f(R"({"prefix": "p/", "atomic": true, "dials": [
      {"env": "A", "key": "a", "type": "int", "max_step": 1, "default": 1},
      {"env": "B", "key": "b", "type": "int", "max": 10, "default": 1}]})");
  f.Read({Value("2", 1), Value("3", 2)}, false);
  f.Read({Value("50", 8), Value("99", 9)}, false);
  EXPECT_EQ(f.value(0), "2");
  f.Read({Value("50", 8), Value("4", 10)});
  EXPECT_EQ(f.value(0), "50") << "no step is judged across the break";
  f.Read({Value("60", 11), Value("4", 10)});
  EXPECT_EQ(f.value(0), "50") << "in the unbroken watch it is";
}

TEST(Ledger, BecomesStaleByTheClockAndFreshByAnAnswer) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_EQ(f.ledger().NextDeadline(), f.now().mono + 10s);
  EXPECT_FALSE(f.After(9999ms).shown);
  EXPECT_TRUE(f.After(1ms).published) << "when_stale has a value of its own";
  EXPECT_EQ(f.state(), base::State::kStale);
  EXPECT_EQ(f.value(1), "safe");
  EXPECT_EQ(f.origin(1), base::kOriginStale);
  EXPECT_EQ(f.dial(1).set, "hard");
  EXPECT_EQ(f.value(0), "600");
  EXPECT_EQ(f.ledger().NextDeadline(), f.now().mono + 20s);
  f.After(20s);
  EXPECT_EQ(f.ledger().NextDeadline(), std::nullopt);
  EXPECT_TRUE(f.Read({Value("600", 41), Value("hard", 42)}, false).published);
  EXPECT_EQ(f.state(), base::State::kReady);
  EXPECT_EQ(f.value(1), "hard");
}

TEST(Ledger, AStaleAnswerIsNoContact) {
  LedgerFixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  f.After(9s);
  base::Reading reading;
  reading.keys = {Value("610", 43), Value("hard", 42)};
  reading.unbroken = true;
  reading.fresh = false;
  reading.contact = f.now().wall;
  f.ledger().Apply(0, reading, f.now());
  f.ledger().Refresh(f.now());
  EXPECT_EQ(f.value(0), "610") << "its values may be used";
  f.After(1s);
  EXPECT_EQ(f.state(), base::State::kStale);
}

TEST(Ledger, NeverAsksToBeWokenInThePastForEver) {
  LedgerFixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "stale_after": "1s"}]})");
  f.After(100s);
  EXPECT_EQ(f.version(), 0u);
  EXPECT_EQ(f.ledger().NextDeadline(), std::nullopt);
}

TEST(Ledger, ASecretIsInNoRejection) {
  LedgerFixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "secret": true, "default": 1}]})");
  f.Read({Value("hunter2", 5)}, false);
  ASSERT_TRUE(f.dial(0).rejected);
  EXPECT_EQ(f.dial(0).rejected->value, "");
  EXPECT_EQ(f.dial(0).rejected->message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace envdial::fallback
