// SPDX-License-Identifier: Apache-2.0
#include "guard/step.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace envdial::guard {
namespace {

Number Whole(std::int64_t value) { return *Number::Parse(Type::kInt, std::to_string(value)); }

TEST(ParseMaxStep, ReadsValuesAndPercentages) {
  EXPECT_EQ(ParseMaxStep(Type::kInt, "9223372036854775807")->amount, 9223372036854775807.0L);
  EXPECT_EQ(ParseMaxStep(Type::kFloat, "2.5e-3")->amount, static_cast<long double>(2.5e-3));
  EXPECT_EQ(ParseMaxStep(Type::kDuration, "1.5s")->amount, 1'500'000'000);
  EXPECT_TRUE(ParseMaxStep(Type::kDuration, "12.125%")->percent);
  EXPECT_EQ(ParseMaxStep(Type::kInt, "12.125%")->text, "12.125%");
  for (const std::string text :
       {"",     "%",    "0",   "-1",  "0%",   "0.000%", "-5%", "+5%", "1e2%", ".5%", "5.%", "0.0001%", "1000000.001%",
        "nan%", "inf%", "5 %", "5%%", "0x5%", "1.2.3%", "half"}) {
    for (const Type type : {Type::kInt, Type::kFloat, Type::kDuration}) {
      EXPECT_FALSE(ParseMaxStep(type, text)) << text;
    }
  }
}

// Against arithmetic that is wider than it can ever need: every pair of the edges, by every percentage.
TEST(FindStepFault, IsExactAtTheEdgesOf64Bits) {
  __extension__ typedef __int128 Wide;
  using Limits = std::numeric_limits<std::int64_t>;
  std::vector<std::int64_t> edges;
  for (const std::int64_t base :
       {Limits::min(), Limits::max(), std::int64_t{0}, std::int64_t{1} << 53, -(std::int64_t{1} << 62)}) {
    for (int offset = -2; offset <= 2; ++offset) {
      std::int64_t edge = 0;
      if (!__builtin_add_overflow(base, offset, &edge)) edges.push_back(edge);
    }
  }
  for (const int percent : {1, 50, 99, 100, 101, 200, 1'000'000}) {
    const auto step = ParseMaxStep(Type::kInt, std::to_string(percent) + "%");
    ASSERT_TRUE(step);
    for (const std::int64_t from : edges) {
      for (const std::int64_t to : edges) {
        const Wide distance = from > to ? static_cast<Wide>(from) - to : static_cast<Wide>(to) - from;
        const Wide magnitude = from < 0 ? -static_cast<Wide>(from) : static_cast<Wide>(from);
        const bool passes = from == 0 || distance <= 1 || distance * 100 <= magnitude * percent;
        ASSERT_EQ(!FindStepFault(*step, Whole(from), Whole(to), "x"), passes) << from << " " << to << " " << percent;
      }
    }
  }
}

}  // namespace
}  // namespace envdial::guard
