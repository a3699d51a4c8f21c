// SPDX-License-Identifier: Apache-2.0
// What the store promises when the process is killed or the power is lost: at every step of every operation, after
// every short sequence of what may happen to a store.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fallback/store_player.h"

namespace envdial::fallback {
namespace {

void PlayEverySequence(Player& player, std::size_t length, const std::string& after = "") {
  player.PlayLast(after);
  std::vector<std::string> round = {after};
  for (std::size_t i = 0; i < length; ++i) {
    std::vector<std::string> next;
    for (const std::string& events : round) {
      for (const char event : std::string("Syfek")) {
        if (player.PlayLast(events + event)) next.push_back(events + event);
        if (testing::Test::HasFailure()) return;
      }
    }
    round = std::move(next);
  }
}

// A sanitizer has seen all of this code after shorter ones, and would take minutes.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kShort = true;
#else
constexpr bool kShort = false;
#endif

// What was enumerated for a start when this was written: an enumeration must not become smaller in silence.
struct Points {
  const char* start;
  std::size_t slots;     // looking at the slots only
  std::size_t in_place;  // the same, in a store whose both slots were synced
  std::size_t names;     // at all that stands in the directory
};
constexpr Points kAtLeast[] = {
    {"Nothing", 747'064, 125'398, 199'384},           {"One", 510'979, 136'072, 66'944},
    {"OneInTheSecondSlot", 510'979, 136'072, 66'944}, {"Two", 528'894, 146'336, 77'078},
    {"TwoAndSpares", 790'298, 146'625, 184'237},      {"NewerDamaged", 469'227, 146'328, 38'379},
    {"OlderDamaged", 459'046, 141'208, 29'579},       {"OnlyDamaged", 785'067, 134'198, 198'003},
    {"BothDamaged", 682'023, 134'198, 328'474}};

class StoreCrash : public testing::TestWithParam<Start> {
 protected:
  void Play(Way way, Player::Names names, std::size_t length) {
    Player player(GetParam(), way, names);
    PlayEverySequence(player, length);
    EXPECT_EQ(player.exchanges() > 0, way == Way::kExchange);
    points_ += player.points();
  }

  void Tell(std::size_t Points::* at_least, bool whole = true) {
    std::cout << "[ points   ] " << points_ << "\n";
    RecordProperty("points", std::to_string(points_));
    const auto row = std::ranges::find(kAtLeast, std::string(GetParam().name), &Points::start);
    ASSERT_NE(row, std::end(kAtLeast));
    EXPECT_GE(points_, whole ? *row.*at_least : 1);
  }

  std::size_t points_ = 0;
};

INSTANTIATE_TEST_SUITE_P(From, StoreCrash, testing::ValuesIn(Starts()),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST_P(StoreCrash, KeepsItsPromisesAfterEverySequence) {
  for (const Way way : kWays) Play(way, Player::Names::kSlots, kShort ? 5 : 7);
  Tell(&Points::slots, !kShort);
}

// Once both slots were synced, saves go into them in place.
TEST_P(StoreCrash, KeepsItsPromisesInPlaceAfterEverySequence) {
  for (const Way way : kWays) {
    Player player(GetParam(), way);
    PlayEverySequence(player, kShort ? 4 : 6, "SyffSyff");
    EXPECT_GT(player.in_place(), 0U);
    points_ += player.points();
  }
  Tell(&Points::in_place, !kShort);
}

// Here a loss of power is looked at for all that stands in the directory: what is left beside the slots must not be in
// the way of the next save.
TEST_P(StoreCrash, LeavesNothingThatIsInTheWayAfterEverySequence) {
  // Each damaged slot has a copy, which may be lost as well.
  for (const Way way : kWays) Play(way, Player::Names::kAll, GetParam().damaged ? 3 : 4);
  Tell(&Points::names);
}

TEST_P(StoreCrash, KeepsItsPromisesInLongLivesWithoutRestarts) {
  for (const Way way : kWays) {
    Player player(GetParam(), way);
    for (const char* events : {"SyffSyffSyffSyff", "SySffSySffffSyff", "SSSyffSSyfSfffSyffff", "SyeSyffSyfeSyff",
                               "SyffySyfSyfSyfffff", "SyffSySSSfSSffffSSyff"}) {
      player.PlayAll(events);
    }
    EXPECT_GE(player.points(), 800U);
  }
}

}  // namespace
}  // namespace envdial::fallback
