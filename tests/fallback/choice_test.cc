// SPDX-License-Identifier: Apache-2.0
#include "fallback/choice.h"

#include <gtest/gtest.h>

#include "base/snapshot.h"

namespace envdial::fallback {
namespace {

using WhenStale = guard::Dial::WhenStale;

TEST(Choose, FollowsTheTable) {
  const std::optional<std::string> none;
  struct Case {
    const char* name;
    std::optional<std::string> default_value;
    WhenStale when_stale;
    Candidates candidates;
    std::optional<std::string> value;
    std::string_view origin;
  };
  const Case cases[] = {
      {"nothing at all", none, WhenStale::kHold, {none, false, false}, none, ""},
      {"nothing, and stale", none, WhenStale::kHold, {none, true, true}, none, ""},
      {"the default", "d", WhenStale::kHold, {none, false, false}, "d", base::kOriginDefault},
      {"the default after a deletion", "d", WhenStale::kHold, {none, true, false}, "d", base::kOriginDefault},
      {"from Consul", "d", WhenStale::kHold, {"s", true, false}, "s", base::kOriginConsul},
      {"from the disk", "d", WhenStale::kHold, {"s", false, false}, "s", base::kOriginLastKnownGood},
      {"held while stale", "d", WhenStale::kHold, {"s", true, true}, "s", base::kOriginConsul},
      {"held from the disk while stale", none, WhenStale::kHold, {"s", false, true}, "s", base::kOriginLastKnownGood},
      {"the default while stale", "d", WhenStale::kDefault, {"s", true, true}, "d", base::kOriginDefault},
      {"fresh again", "d", WhenStale::kDefault, {"s", true, false}, "s", base::kOriginConsul},
      {"a value of its own while stale", "d", WhenStale::kValue, {"s", true, true}, "v", base::kOriginStale},
      {"that value without any other", none, WhenStale::kValue, {none, false, true}, "v", base::kOriginStale},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    guard::Dial dial;
    dial.default_value = c.default_value;
    dial.when_stale = c.when_stale;
    dial.stale_value = "v";
    const Choice choice = Choose(dial, c.candidates);
    EXPECT_EQ(choice.value, c.value);
    EXPECT_EQ(choice.origin, c.origin);
  }
}

}  // namespace
}  // namespace envdial::fallback
