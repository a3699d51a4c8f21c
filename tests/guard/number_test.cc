// SPDX-License-Identifier: Apache-2.0
#include "guard/number.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace envdial::guard {
namespace {

// What Judge's table does not show: the values themselves.
TEST(Number, IsExact) {
  EXPECT_EQ(Number::Parse(Type::kInt, "-9223372036854775808")->whole(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(Number::Parse(Type::kInt, "9007199254740993")->whole(), 9007199254740993);
  EXPECT_EQ(Number::Parse(Type::kDuration, "1m0.000000001s")->whole(), 60'000'000'001);
  EXPECT_EQ(Number::Parse(Type::kFloat, "0.1")->real(), 0.1);
  EXPECT_EQ(Number::Parse(Type::kFloat, "4.9e-324")->real(), std::numeric_limits<double>::denorm_min());
}

TEST(Number, Orders) {
  const auto number = [](Type type, const char* text) { return *Number::Parse(type, text); };
  EXPECT_LT(number(Type::kInt, "9007199254740992"), number(Type::kInt, "9007199254740993"));
  EXPECT_GT(number(Type::kFloat, "0.5"), number(Type::kFloat, "-7e10"));
  EXPECT_EQ(number(Type::kFloat, "0.0"), number(Type::kFloat, "-0.0"));
  EXPECT_EQ(number(Type::kDuration, "60s"), number(Type::kDuration, "1m"));
}

TEST(Number, ToDouble) {
  EXPECT_EQ(Number::Parse(Type::kDuration, "1.5s")->ToDouble(), 1.5);
  EXPECT_EQ(Number::Parse(Type::kInt, "-3")->ToDouble(), -3);
}

TEST(SameValue, ComparesNumbersByValueAndTextByText) {
  EXPECT_TRUE(SameValue(Type::kFloat, "0.5", "5e-1"));
  EXPECT_TRUE(SameValue(Type::kDuration, "60s", "1m"));
  EXPECT_FALSE(SameValue(Type::kString, "0.5", "5e-1"));
  EXPECT_TRUE(SameValue(Type::kBool, "true", "true"));
  EXPECT_FALSE(SameValue(Type::kInt, "x", "x"));
}

}  // namespace
}  // namespace envdial::guard
