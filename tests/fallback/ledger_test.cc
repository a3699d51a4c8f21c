// SPDX-License-Identifier: Apache-2.0
#include "fallback/ledger.h"

#include <gtest/gtest.h>

#include "guard/dials_file.h"

namespace envdial::fallback {
namespace {

using namespace std::chrono_literals;
using base::KeyReading;

constexpr const char* kTwoDials = R"({"prefix": "hunt/", "dials": [
  {"env": "MAX", "key": "max", "type": "int", "default": 500, "min": 1, "max": 2500, "max_step": "100%",
   "on_delete": "default", "stale_after": "30s"},
  {"env": "MODE", "key": "mode", "type": "string", "default": "easy", "stale_after": "10s",
   "when_stale": {"value": "safe"}}]})";

guard::Config Parse(const std::string& text) {
  auto config = guard::ParseDials({{"test.json", text}});
  EXPECT_TRUE(config.has_value()) << (config ? "" : config.error().front().ToString());
  return std::move(*config);
}

KeyReading Value(std::string value, std::uint64_t revision) {
  return {.kind = KeyReading::Kind::kValue, .value = std::move(value), .revision = revision};
}
KeyReading Absent() { return {.kind = KeyReading::Kind::kAbsent}; }
KeyReading Held() { return {.kind = KeyReading::Kind::kHeld}; }

// A ledger with a made-up clock.
class Fixture {
 public:
  explicit Fixture(const std::string& dials, const std::optional<Kept>& kept = std::nullopt, std::size_t addresses = 1)
      : config_(Parse(dials)), ledger_(config_, {.startup_wait = 3s, .addresses = addresses}, kept, now_) {}

  Refreshed Read(std::vector<KeyReading> keys, bool unbroken = true) {
    base::Reading reading;
    reading.keys = std::move(keys);
    reading.unbroken = unbroken;
    reading.contact = now_.wall;
    events_ = ledger_.Apply(0, reading, now_);
    return ledger_.Refresh(now_);
  }
  Refreshed Fail() {
    ledger_.NoteFailure(0);
    return ledger_.Refresh(now_);
  }
  Refreshed After(std::chrono::nanoseconds passed) {
    now_.mono += passed;
    now_.wall += std::chrono::duration_cast<base::WallTime::duration>(passed);
    return ledger_.Refresh(now_);
  }
  const base::DialValue& dial(std::size_t i) const { return ledger_.snapshot().dials[i]; }
  std::string value(std::size_t i) const { return dial(i).value.value_or("(none)"); }
  std::string_view origin(std::size_t i) const { return dial(i).origin; }
  base::State state() const { return ledger_.snapshot().state; }
  std::uint64_t version() const { return ledger_.snapshot().version; }
  std::vector<Event::Kind> events() const {
    std::vector<Event::Kind> kinds;
    for (const Event& event : events_) kinds.push_back(event.kind);
    return kinds;
  }
  Ledger& ledger() { return ledger_; }
  base::Now now() const { return now_; }

 private:
  base::Now now_{base::MonoTime(1000s), base::WallTime(1'800'000'000s)};
  guard::Config config_;
  Ledger ledger_;
  std::vector<Event> events_;
};

// What a process that served MAX=600, MODE=hard leaves behind.
Kept KeptByAnother(base::Now now, std::chrono::seconds contact_age = 5s) {
  Fixture before(kTwoDials);
  before.Read({Value("600", 41), Value("hard", 42)}, false);
  Kept kept = before.ledger().ToKept();
  for (KeptKey& key : kept.keys) key.last_contact = now.wall - contact_age;
  return kept;
}
base::Now Start() { return Fixture(kTwoDials).now(); }

using Kinds = std::vector<Event::Kind>;

TEST(Ledger, PublishesNothingBeforeTheFirstAnswerOrTheWaitsEnd) {
  Fixture f(kTwoDials);
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

TEST(Ledger, PublishesAtOnceWhenEveryGroupAnswered) {
  Fixture f(kTwoDials);
  const Refreshed refreshed = f.Read({Value("600\n", 41), Absent()}, false);
  EXPECT_TRUE(refreshed.published);
  EXPECT_EQ(refreshed.changed, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(f.value(0), "600");
  EXPECT_EQ(f.origin(0), base::kOriginConsul);
  EXPECT_EQ(f.dial(0).revision, 41u);
  EXPECT_EQ(f.value(1), "easy");
  EXPECT_EQ(f.origin(1), base::kOriginDefault);
}

TEST(Ledger, ADialWithNothingToChooseFromHoldsBackEveryThing) {
  Fixture f(R"({"prefix": "p/", "dials": [{"env": "A", "key": "a", "type": "int"},
                                           {"env": "B", "key": "b", "type": "int", "default": 1}]})");
  EXPECT_FALSE(f.Read({Absent(), Value("7", 3)}, false).published);
  EXPECT_EQ(f.state(), base::State::kNotReady);
  EXPECT_EQ(f.value(1), "(none)");
  EXPECT_FALSE(f.After(10s).published);
  EXPECT_TRUE(f.Read({Value("5", 9), Value("7", 3)}).published);
  EXPECT_EQ(f.value(0), "5");
  EXPECT_EQ(f.value(1), "7");
}

TEST(Ledger, VersionGrowsWithAValueAndWithNothingElse) {
  Fixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_EQ(f.version(), 1u);
  EXPECT_FALSE(f.Read({Value("600", 41), Value("hard", 42)}).published);
  EXPECT_FALSE(f.Read({Value(" 600 ", 50), Value("hard", 42)}).published) << "the same value under another revision";
  EXPECT_TRUE(f.ledger().store_stale()) << "the revision is to be kept all the same";
  EXPECT_EQ(f.version(), 1u);
  EXPECT_TRUE(f.Read({Value("700", 51), Value("hard", 42)}).published);
  EXPECT_EQ(f.version(), 2u);
}

TEST(Ledger, ARestartWithEqualValuesChangesNoVersion) {
  const base::Now start = Start();
  Fixture f(kTwoDials, KeptByAnother(start));
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

TEST(Ledger, WaitsUntilEveryAddressHasFailed) {
  Fixture f(kTwoDials, KeptByAnother(Start()), 2);
  EXPECT_FALSE(f.Fail().published);
  EXPECT_TRUE(f.Fail().published);
}

TEST(Ledger, WithoutAKeptValueAFailureIsNoReasonToServeDefaultsEarly) {
  Fixture f(kTwoDials);
  EXPECT_FALSE(f.Fail().published);
  EXPECT_TRUE(f.After(3s).published);
}

TEST(Ledger, VersionGoesOnFromTheStore) {
  Kept kept = KeptByAnother(Start());
  kept.version = 77;
  Fixture f(kTwoDials, kept);
  EXPECT_TRUE(f.Read({Value("601", 43), Value("hard", 42)}, false).published);
  EXPECT_EQ(f.version(), 78u);
}

TEST(Ledger, AKeptValueIsJudgedByTodaysGuardAndStaysOnDiskWhenRefused) {
  const Kept kept = KeptByAnother(Start());
  Fixture f(R"({"prefix": "hunt/", "dials": [
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

TEST(Ledger, KeptValuesOfAnotherDatacenterAreNotOurs) {
  Kept kept = KeptByAnother(Start());
  for (KeptKey& key : kept.keys) key.datacenter = "other";
  Fixture f(kTwoDials, kept);
  f.After(3s);
  EXPECT_EQ(f.value(0), "500");
}

TEST(Ledger, ARefusedRevisionKeepsThePresentValueAndIsJudgedOnce) {
  Fixture f(kTwoDials);
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
  Fixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  f.Read({Value("1300", 50), Value("hard", 42)});
  EXPECT_EQ(f.dial(0).rejected->reason, "max_step");
  f.Read({Value("1300", 50), Value("hard", 42)}, false);
  EXPECT_EQ(f.value(0), "600") << "a refused revision stays refused, only a new one can be a first reading";
  f.Read({Value("1400", 60), Value("hard", 42)}, false);
  EXPECT_EQ(f.value(0), "1400");
}

TEST(Ledger, AClampedValueComesIntoForceAndIsTold) {
  Fixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "max": 10, "on_violation": "clamp"}]})");
  f.Read({Value("99", 5)}, false);
  EXPECT_EQ(f.value(0), "10");
  EXPECT_EQ(f.events(), Kinds{Event::Kind::kClamped});
  EXPECT_EQ(f.dial(0).rejected->reason, "clamped");
  f.Read({Value("99", 5)});
  EXPECT_TRUE(f.events().empty());
  EXPECT_EQ(f.origin(0), base::kOriginConsul);
}

TEST(Ledger, DeletionKeepsOrGivesTheDefault) {
  Fixture f(kTwoDials);
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

  Fixture after_restart(kTwoDials, kept);
  EXPECT_TRUE(after_restart.Fail().published) << "a confirmed deletion is as good as a value: nothing to wait for";
  EXPECT_EQ(after_restart.value(0), "500");
  EXPECT_EQ(after_restart.version(), f.version());
}

TEST(Ledger, AHeldKeyChangesNothing) {
  Fixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  EXPECT_FALSE(f.Read({Held(), Held()}).published);
  EXPECT_EQ(f.value(0), "600");
}

TEST(Ledger, ARestoredRevisionIsTakenWithoutJudgingTheStep) {
  Fixture f(kTwoDials);
  f.Read({Value("600", 41), Value("hard", 42)}, false);
  KeyReading restored = Value("100", 20);
  restored.restored = true;
  EXPECT_TRUE(f.Read({restored, Value("hard", 42)}).published);
  EXPECT_EQ(f.value(0), "100");
  EXPECT_EQ(f.ledger().known(0).revision, 20u);
  EXPECT_EQ(f.events(), (Kinds{Event::Kind::kRestored, Event::Kind::kAccepted}));
}

TEST(Ledger, AnAtomicGroupTakesAllOrNothing) {
  Fixture f(R"({"prefix": "p/", "atomic": true, "dials": [
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

TEST(Ledger, BecomesStaleByTheClockAndFreshByAnAnswer) {
  Fixture f(kTwoDials);
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
  Fixture f(kTwoDials);
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

TEST(Ledger, StalenessIsKeptAcrossRestarts) {
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
    Fixture f(kTwoDials, KeptByAnother(Start(), c.contact_age));
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

TEST(Ledger, AChangedDefaultIsANewVersionAfterARestart) {
  Fixture before(R"({"dials": [{"env": "A", "key": "a", "type": "int", "default": 1}]})");
  before.After(3s);
  const Kept kept = before.ledger().ToKept();
  Fixture after(R"({"dials": [{"env": "A", "key": "a", "type": "int", "default": 2}]})", kept);
  after.After(3s);
  EXPECT_EQ(after.version(), 2u);
}

TEST(Ledger, NeverAsksToBeWokenInThePastForEver) {
  Fixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "stale_after": "1s"}]})");
  f.After(100s);
  EXPECT_EQ(f.version(), 0u);
  EXPECT_EQ(f.ledger().NextDeadline(), std::nullopt);
}

TEST(Ledger, ASecretIsInNoRejection) {
  Fixture f(R"({"dials": [{"env": "A", "key": "a", "type": "int", "secret": true, "default": 1}]})");
  f.Read({Value("hunter2", 5)}, false);
  ASSERT_TRUE(f.dial(0).rejected);
  EXPECT_EQ(f.dial(0).rejected->value, "");
  EXPECT_EQ(f.dial(0).rejected->message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace envdial::fallback
