// SPDX-License-Identifier: Apache-2.0
// The watch against real Consuls, a modern and an old one: what they say, not what we think that they say.
#include "tests/support/real_consul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "consul/watch.h"
#include "tests/consul/watch_fixture.h"

namespace envdial::consul {
namespace {

using namespace std::chrono_literals;
using test::RealConsul;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

const WatchTarget kSingle{.name = "hunt/max", .is_prefix = false, .keys = {"hunt/max"}};
const WatchTarget kPrefix{.name = "hunt/", .is_prefix = true, .keys = {"hunt/max", "hunt/a b/ü"}};

class RealConsulTest : public WatchFixture, public testing::WithParamInterface<RealConsul::Age> {
 protected:
  void SetUp() override {
    auto consul = RealConsul::Start(GetParam());
    ASSERT_TRUE(consul) << consul.error().message;
    consul_ = std::make_unique<RealConsul>(*std::move(consul));
    options_.addresses = {consul_->endpoint()};
  }

  void Put(std::string_view key, std::string_view value) {
    const auto result = consul_->Put(key, value);
    ASSERT_TRUE(result) << result.error().message;
  }

  // Waits for a reading whose keys have these values; "-" is absent, "held" is held.
  [[nodiscard]] bool WaitFor(const Recorder& recorder, const std::vector<std::string>& values) {
    return RunUntil([&] {
      if (recorder.readings.empty()) return false;
      const auto& keys = recorder.readings.back().keys;
      for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto kind = keys[i].kind;
        const std::string shown = kind == base::KeyReading::Kind::kValue    ? keys[i].value
                                  : kind == base::KeyReading::Kind::kAbsent ? "-"
                                                                            : "held";
        if (shown != values[i]) return false;
      }
      return true;
    });
  }

  std::unique_ptr<RealConsul> consul_;
};

TEST_P(RealConsulTest, FirstValueChangeAndDeletion) {
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"-"}));
  Put("hunt/max", "500");
  ASSERT_TRUE(WaitFor(recorder, {"500"}));
  Put("hunt/max", "600");
  ASSERT_TRUE(WaitFor(recorder, {"600"}));
  EXPECT_TRUE(recorder.readings.back().unbroken);
  Put("hunt/max", "");
  ASSERT_TRUE(WaitFor(recorder, {""}));
  ASSERT_TRUE(consul_->Delete("hunt/max"));
  ASSERT_TRUE(WaitFor(recorder, {"-"}));
  Put("hunt/max", "700");
  ASSERT_TRUE(WaitFor(recorder, {"700"}));
  EXPECT_THAT(recorder.failures, IsEmpty());
}

TEST_P(RealConsulTest, IdlePollsAreAnsweredWithinTheDeadline) {
  options_.timeout = 1s;
  Put("hunt/max", "500");
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return recorder.readings.size() == 5; }));
  EXPECT_THAT(recorder.failures, IsEmpty());
  EXPECT_EQ(watch->status().polls_changed, 1U);
  EXPECT_EQ(watch->status().polls_unchanged, 4U);
  // The first held poll came after the pause for news, and none after it took less than the wait.
  EXPECT_GE(recorder.reading_times[4].mono - recorder.reading_times[1].mono, 3 * 833ms);
}

TEST_P(RealConsulTest, APrefixWithUndeclaredAndDeeperKeys) {
  Put("hunt/", "");
  Put("hunt/max", "500");
  Put("hunt/mxa", "1");
  Put("hunt/a%20b/%C3%BC", "deep");
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"500", "deep"}));
  EXPECT_THAT(watch->status().undeclared, ElementsAre("hunt/mxa"));
  const std::size_t changed = watch->status().polls_changed;
  Put("hunt/another", "1");
  ASSERT_TRUE(RunUntil([&] { return watch->status().undeclared_total == 2; }));
  EXPECT_EQ(watch->status().polls_changed, changed) << "an undeclared key is no news";
  ASSERT_TRUE(consul_->Delete("hunt/max"));
  ASSERT_TRUE(WaitFor(recorder, {"-", "deep"}));
}

TEST_P(RealConsulTest, AWholePrefixDeletedIsHeld) {
  Put("hunt/max", "500");
  Put("hunt/a%20b/%C3%BC", "deep");
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"500", "deep"}));
  ASSERT_TRUE(consul_->DeletePrefix("hunt/"));
  ASSERT_TRUE(WaitFor(recorder, {"held", "held"}));
  EXPECT_TRUE(watch->status().mass_deletion_standing);
  EXPECT_EQ(watch->status().mass_deletions_held, 1U);
  Put("hunt/max", "501");
  ASSERT_TRUE(WaitFor(recorder, {"501", "-"}));
  EXPECT_FALSE(watch->status().mass_deletion_standing);
}

TEST_P(RealConsulTest, AnAbsentPrefixWokenByEveryWriteIsAskedForInBounds) {
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"-", "-"}));
  const auto begin = recorder.reading_times.front().mono;
  for (int i = 0; i < 150; ++i) {
    Put("other", std::to_string(i));
    RunFor(6ms);  // long enough for a poll that was woken to be answered, and for the next to be asked
  }
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(base::ReadClock().mono - begin).count();
  EXPECT_GE(recorder.readings.size(), 4U) << "Consul does wake it";
  EXPECT_LE(recorder.readings.size(), static_cast<std::size_t>(6 + seconds));
  // A write that takes Consul seconds holds up this loop as well, and a poll may then fail: it is asked for in bounds
  // too.
  EXPECT_LE(recorder.failures.size(), static_cast<std::size_t>(seconds)) << recorder.failures.back().message;
}

TEST_P(RealConsulTest, KilledAndBackWithANewerValue) {
  Put("hunt/max", "500");
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"500"}));
  consul_->Kill();
  ASSERT_TRUE(RunUntil([&] { return recorder.failures.size() >= 3; }));
  EXPECT_EQ(recorder.failures.back().reason, Reason::kRefused);
  EXPECT_THAT(recorder.failures.back().message, StartsWith(consul_->endpoint().ToString() + ": "));
  EXPECT_EQ(recorder.Newest().substr(0, 4), "500@");
  EXPECT_FALSE(watch->status().connected);

  const auto restarted = consul_->Restart(RealConsul::Data::kKept);
  ASSERT_TRUE(restarted) << restarted.error().message;
  Put("hunt/max", "600");
  ASSERT_TRUE(WaitFor(recorder, {"600"}));
  EXPECT_EQ(watch->status().index_resets[static_cast<std::size_t>(IndexReset::kRestored)], 0U);
}

TEST_P(RealConsulTest, RestartedEmptyNothingIsAppliedUntilOneReturns) {
  for (int i = 0; i < 5; ++i) Put("hunt/max", std::to_string(500 + i));
  Put("hunt/a%20b/%C3%BC", "deep");
  for (int i = 0; i < 30; ++i) Put("other", std::to_string(i));  // so that the rebuilt one's revisions are lower
  Put("hunt/max", "505");
  Recorder recorder(2);
  const auto watch = StartWatch(kPrefix, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"505", "deep"}));
  const auto revision = recorder.readings.back().keys[0].revision;

  const auto restarted = consul_->Restart(RealConsul::Data::kEmpty);
  ASSERT_TRUE(restarted) << restarted.error().message;
  ASSERT_TRUE(WaitFor(recorder, {"held", "held"}));
  EXPECT_TRUE(watch->status().mass_deletion_standing);

  Put("hunt/max", "100");
  ASSERT_TRUE(RunUntil([&] { return !watch->status().mass_deletion_standing; }));
  EXPECT_EQ(recorder.readings.back().keys[0].value, "100");
  EXPECT_LT(recorder.readings.back().keys[0].revision, revision);
  EXPECT_EQ(watch->status().index_resets[static_cast<std::size_t>(IndexReset::kRestored)], 1U);
}

TEST_P(RealConsulTest, AnOlderSnapshotRestoredIsTakenAndCounted) {
  Put("hunt/max", "500");
  const auto snapshot = consul_->SaveSnapshot();
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  Put("hunt/max", "600");
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(WaitFor(recorder, {"600"}));
  const auto restored = consul_->RestoreSnapshot(*snapshot);
  ASSERT_TRUE(restored) << restored.error().message;
  ASSERT_TRUE(WaitFor(recorder, {"500"}));
  EXPECT_EQ(watch->status().index_resets[static_cast<std::size_t>(IndexReset::kRestored)], 1U);
  const std::size_t readings = recorder.readings.size();
  ASSERT_TRUE(RunUntil([&] { return recorder.readings.size() >= readings + 2; }));
  EXPECT_EQ(watch->status().index_resets[static_cast<std::size_t>(IndexReset::kRestored)], 1U) << "counted once";
}

TEST_P(RealConsulTest, ABadRequestIsToldInConsulsOwnWords) {
  options_.datacenter = "nowhere";
  Recorder recorder(1);
  const auto watch = StartWatch(kSingle, recorder);
  ASSERT_TRUE(RunUntil([&] { return !recorder.failures.empty(); }));
  EXPECT_EQ(recorder.failures[0].reason, Reason::kServer);
  EXPECT_THAT(recorder.failures[0].message, HasSubstr("No path to datacenter"));
}

INSTANTIATE_TEST_SUITE_P(Of, RealConsulTest, testing::Values(RealConsul::Age::kModern, RealConsul::Age::kOld),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace envdial::consul
