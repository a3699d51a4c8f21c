// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>

namespace envdial::base {
namespace {

using namespace std::chrono_literals;

TEST(FormatRfc3339, WritesUtcWithMilliseconds) {
  struct {
    std::chrono::nanoseconds since_epoch;
    std::string_view expected;
  } const cases[] = {
      {0ns, "1970-01-01T00:00:00.000Z"},
      {1'795'239'002'417ms, "2026-11-21T05:30:02.417Z"},
      {1'795'239'002'417'999'999ns, "2026-11-21T05:30:02.417Z"},
      {951'782'400s, "2000-02-29T00:00:00.000Z"},
      {-1ms, "1969-12-31T23:59:59.999Z"},
  };
  for (const auto& [since_epoch, expected] : cases) EXPECT_EQ(FormatRfc3339(WallTime(since_epoch)), expected);
}

TEST(ToUnixSeconds, KeepsTheFraction) { EXPECT_DOUBLE_EQ(ToUnixSeconds(WallTime(1500ms)), 1.5); }

TEST(ReadClock, ReadsBothClocks) {
  const auto mono = std::chrono::steady_clock::now();
  const auto wall = std::chrono::system_clock::now();
  const Now now = ReadClock();
  EXPECT_GE(now.mono, mono);
  EXPECT_LT(now.mono - mono, 60s);
  EXPECT_LT(now.wall - wall, 60s);
}

TEST(ThreadCpuTime, GrowsWithWork) {
  const auto before = ThreadCpuTime();
  while (ThreadCpuTime() - before < 2ms) {
  }
  EXPECT_GT(before, 0ns);
}

}  // namespace
}  // namespace envdial::base
