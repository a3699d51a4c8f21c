// SPDX-License-Identifier: Apache-2.0
// How the ledger begins: the first publication, and what the store brings back.
#include "tests/fallback/ledger_fixture.h"

namespace envdial::fallback {
namespace {

using namespace std::chrono_literals;

TEST(LedgerStart, PublishesNothingBeforeTheFirstAnswerOrTheWaitsEnd) {
  LedgerFixture f(kTwoDials);
  EXPECT_FALSE(f.After(2999ms).published);
  EXPECT_EQ(f.state(), base::State::kNotReady);
  EXPECT_EQ(f.version(), 0u);
  EXPECT_EQ(f.value(0), "(none)");
  EXPECT_TRUE(f.After(1ms).published);
  EXPECT_EQ(f.value(0), "500");
  EXPECT_EQ(f.origin(0), base::kOriginDefault);
  EXPECT_EQ(f.version(), 1u);
  EXPECT_EQ(f.state(), base::State::kReady);
}

TEST(LedgerStart, PublishesAtOnceWhenEveryGroupAnswered) {
  LedgerFixture f(kTwoDials);
  const Refreshed refreshed = f.Read({Value("600\n", 41), Absent()}, false);
  EXPECT_TRUE(refreshed.published);
  EXPECT_EQ(refreshed.changed, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(f.value(0), "600");
  EXPECT_EQ(f.origin(0), base::kOriginConsul);
  EXPECT_EQ(f.dial(0).revision, 41u);
  EXPECT_EQ(f.value(1), "easy");
  EXPECT_EQ(f.origin(1), base::kOriginDefault);
}

TEST(LedgerStart, ADialWithNothingToChooseFromHoldsBackEveryThing) {
  LedgerFixture f(R"({"prefix": "p/", "dials": [{"env": "A", "key": "a", "type": "int"},
                                           {"env": "B", "key": "b", "type": "int", "default": 1}]})");
  EXPECT_FALSE(f.Read({Absent(), Value("7", 3)}, false).published);
  EXPECT_EQ(f.state(), base::State::kNotReady);
  EXPECT_EQ(f.value(1), "(none)");
  EXPECT_FALSE(f.After(10s).published);
  EXPECT_TRUE(f.Read({Value("5", 9), Value("7", 3)}).published);
  EXPECT_EQ(f.value(0), "5");
  EXPECT_EQ(f.value(1), "7");
}

TEST(LedgerStart, ARestartWithEqualValuesChangesNoVersion) {
  const base::Now start = Start();
  LedgerFixture f(kTwoDials, KeptByAnother(start));
  const Refreshed first = f.Fail();
  EXPECT_TRUE(first.published) << "Consul refuses and everything is on disk: no reason to wait";
  EXPECT_TRUE(first.changed.empty());
  EXPECT_EQ(f.version(), 1u);
  EXPECT_EQ(f.value(0), "600");
  EXPECT_EQ(f.origin(0), base::kOriginLastKnownGood);
  EXPECT_FALSE(f.ledger().store_stale());
  const Refreshed answered = f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_FALSE(answered.published);
  EXPECT_TRUE(answered.shown);
  EXPECT_EQ(f.origin(0), base::kOriginConsul);
}

TEST(LedgerStart, WaitsUntilEveryAddressHasFailed) {
  LedgerFixture f(kTwoDials, KeptByAnother(Start()), 2);
  EXPECT_FALSE(f.Fail().published);
  EXPECT_TRUE(f.Fail().published);
}

TEST(LedgerStart, WithoutAKeptValueAFailureIsNoReasonToServeDefaultsEarly) {
  LedgerFixture f(kTwoDials);
  EXPECT_FALSE(f.Fail().published);
  EXPECT_TRUE(f.After(3s).published);
}

TEST(LedgerStart, ADialThatWasNeverSetIsNoReasonToWaitForConsul) {
  LedgerFixture before(kTwoDials);
  before.Read({Value("600", 41), Absent()}, false);
  LedgerFixture f(kTwoDials, before.ledger().ToKept());
  EXPECT_TRUE(f.Fail().published);
  EXPECT_EQ(f.value(0), "600");
  EXPECT_EQ(f.value(1), "easy");
}

TEST(LedgerStart, ADialThatIsNewToTheStoreIsWaitedFor) {
  Kept kept = KeptByAnother(Start());
  kept.keys.pop_back();
  LedgerFixture f(kTwoDials, kept);
  EXPECT_FALSE(f.Fail().published);
  EXPECT_TRUE(f.After(3s).published);
}

TEST(LedgerStart, VersionGoesOnFromTheStore) {
  Kept kept = KeptByAnother(Start());
  kept.version = 77;
  LedgerFixture f(kTwoDials, kept);
  EXPECT_TRUE(f.Read({Value("601", 43), Value("hard", 42)}, false).published);
  EXPECT_EQ(f.version(), 78u);
}

TEST(LedgerStart, AKeptValueIsJudgedByTodaysGuardAndStaysOnDiskWhenRefused) {
  const Kept kept = KeptByAnother(Start());
  LedgerFixture f(R"({"prefix": "hunt/", "dials": [
      {"env": "MAX", "key": "max", "type": "int", "default": 50, "max": 100},
      {"env": "MODE", "key": "mode", "type": "string", "default": "easy"}]})",
                  kept);
  ASSERT_EQ(f.ledger().start_events().size(), 1u);
  EXPECT_EQ(f.ledger().start_events()[0].kind, Event::Kind::kKeptRefused);
  f.After(3s);
  EXPECT_EQ(f.value(0), "50");
  EXPECT_EQ(f.value(1), "hard");
  EXPECT_EQ(f.ledger().ToKept().keys[0].value, "600");
  f.Read({Value("70", 50), Value("hard", 42)}, false);
  EXPECT_EQ(f.ledger().ToKept().keys[0].value, "70");
}

TEST(LedgerStart, KeptValuesOfAnotherDatacenterAreNotOurs) {
  Kept kept = KeptByAnother(Start());
  for (KeptKey& key : kept.keys) key.datacenter = "other";
  LedgerFixture f(kTwoDials, kept);
  f.After(3s);
  EXPECT_EQ(f.value(0), "500");
}

TEST(LedgerStart, StalenessIsKeptAcrossRestarts) {
  struct Case {
    const char* name;
    std::chrono::seconds contact_age;
    base::State at_start;
    std::chrono::seconds stale_after;  // of MODE, from the start
  };
  const Case cases[] = {
      {"contact a moment ago", 1s, base::State::kReady, 9s},
      {"contact long ago", 3600s, base::State::kStale, 0s},
      {"a clock that ran backwards: unknown age, counted from the start", -100s, base::State::kReady, 10s},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    LedgerFixture f(kTwoDials, KeptByAnother(Start(), c.contact_age));
    f.Fail();
    EXPECT_EQ(f.state(), c.at_start);
    if (c.stale_after > 0s) {
      f.After(c.stale_after - 1ms);
      EXPECT_EQ(f.state(), base::State::kReady);
      f.After(1ms);
    }
    EXPECT_EQ(f.state(), base::State::kStale);
  }
}

TEST(LedgerStart, OfAKeptDeletionNobodyKnowsSinceWhenUntilTheSourceIsHeard) {
  LedgerFixture before(kTwoDials);
  before.Read({Value("600", 41), Value("hard", 42)});
  before.Read({Absent(), Value("hard", 42)});
  EXPECT_FALSE(before.ledger().known(0).deletion_kept);
  LedgerFixture after(kTwoDials, before.ledger().ToKept());
  EXPECT_TRUE(after.ledger().known(0).deletion_kept);
  EXPECT_FALSE(after.ledger().known(1).deletion_kept);
  after.Read({Absent(), Value("hard", 42)});
  EXPECT_FALSE(after.ledger().known(0).deletion_kept);
}

TEST(LedgerStart, AChangedDefaultIsANewVersionAfterARestart) {
  LedgerFixture before(R"({"dials": [{"env": "A", "key": "a", "type": "int", "default": 1}]})");
  before.After(3s);
  const Kept kept = before.ledger().ToKept();
  LedgerFixture after(R"({"dials": [{"env": "A", "key": "a", "type": "int", "default": 2}]})", kept);
  after.After(3s);
  EXPECT_EQ(after.version(), 2u);
}

}  // namespace
}  // namespace envdial::fallback
