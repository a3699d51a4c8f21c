// SPDX-License-Identifier: Apache-2.0
// What the store promises when the process is killed or the power is lost: at every step of every operation, after
// every short sequence of what may happen to a store.
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/fallback/store_player.h"

namespace envdial::fallback {
namespace {

void PlayEverySequence(Player& player, std::size_t length) {
  player.PlayLast("");
  std::vector<std::string> round = {""};
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

class StoreCrash : public testing::TestWithParam<std::tuple<Start, Way>> {
 protected:
  // An enumeration must not become smaller in silence.
  void Tell(const Player& player, std::size_t at_least) {
    std::cout << "[ points   ] " << player.points() << "\n";
    RecordProperty("points", std::to_string(player.points()));
    EXPECT_GE(player.points(), at_least);
  }

  const Start start_ = std::get<Start>(GetParam());
  const Way way_ = std::get<Way>(GetParam());
};

INSTANTIATE_TEST_SUITE_P(All, StoreCrash, testing::Combine(testing::ValuesIn(Starts()), testing::ValuesIn(kWays)),
                         [](const auto& instance) {
                           return std::string(std::get<Start>(instance.param).name) +
                                  (std::get<Way>(instance.param) == Way::kExchange ? "ByExchange" : "ByRename");
                         });

TEST_P(StoreCrash, KeepsItsPromisesAfterEverySequence) {
  Player player(start_, way_);
  PlayEverySequence(player, 7);
  Tell(player, 1);
  EXPECT_EQ(player.exchanges() > 0, way_ == Way::kExchange);
}

// Here a loss of power is looked at for all that stands in the directory: what is left beside the slots must not be in
// the way of the next save.
TEST_P(StoreCrash, LeavesNothingThatIsInTheWayAfterEverySequence) {
  Player player(start_, way_, Player::Names::kAll);
  PlayEverySequence(player, start_.damaged ? 3 : 4);  // each damaged slot has a copy, which may be lost as well
  Tell(player, 1);
}

TEST_P(StoreCrash, KeepsItsPromisesInLongLivesWithoutRestarts) {
  Player player(start_, way_);
  for (const char* events : {"SyffSyffSyffSyff", "SySffSySffffSyff", "SSSyffSSyfSfffSyffff", "SyeSyffSyfeSyff",
                             "SyffySyfSyfSyfffff", "SyffSySSSfSSffffSSyff"}) {
    player.PlayAll(events);
  }
  Tell(player, 1);
}

}  // namespace
}  // namespace envdial::fallback
