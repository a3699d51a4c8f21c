// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restart_policy.h"

#include <gtest/gtest.h>

namespace envdial::sidecar {
namespace {

using namespace std::chrono_literals;
using base::MonoTime;

constexpr RestartRules kRules{.min_interval = 30s, .jitter = 10s};

MonoTime At(std::chrono::nanoseconds time) { return MonoTime(time); }

TEST(RestartPolicyTest, TableOfCases) {
  struct Case {
    const char* what;
    RestartState state;
    std::chrono::nanoseconds now;
    double chance;
    std::optional<MonoTime> expected;
  };
  const Case cases[] = {
      {"nothing to do", {At(0s), {}, false}, 100s, 0.5, {}},
      {"the jitter alone, long after the start", {At(0s), {}, true}, 100s, 0.5, At(105s)},
      {"at once, by chance", {At(0s), {}, true}, 100s, 0.0, At(100s)},
      {"soon after the start: the interval, then the jitter", {At(90s), {}, true}, 100s, 0.5, At(125s)},
      {"just when the interval is over", {At(70s), {}, true}, 100s, 0.1, At(101s)},
      {"a plan stands, whatever comes", {At(0s), At(107s), true}, 106s, 0.9, At(107s)},
      {"a plan that is due stands", {At(0s), At(100s), true}, 100s, 0.9, At(100s)},
      {"went back to what the app has", {At(0s), At(107s), false}, 106s, 0.9, {}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(PlanRestart(kRules, c.state, At(c.now), c.chance), c.expected) << c.what;
  }
}

TEST(RestartPolicyTest, WithoutIntervalAndJitterItIsAtOnce) {
  EXPECT_EQ(PlanRestart({0s, 0s}, {At(99s), {}, true}, At(100s), 0.99), At(100s));
}

}  // namespace
}  // namespace envdial::sidecar
