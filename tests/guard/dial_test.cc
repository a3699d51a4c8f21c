// SPDX-License-Identifier: Apache-2.0
#include "guard/dial.h"

#include <gtest/gtest.h>

namespace envdial::guard {
namespace {

TEST(Types, WordsAndKindsAgree) {
  for (const Type type : kTypes) EXPECT_EQ(ParseType(ToString(type)), type);
  EXPECT_EQ(ParseType("integer"), std::nullopt);
  EXPECT_EQ(ParseType(""), std::nullopt);
  EXPECT_EQ(ToString(Type::kDuration), "duration");
  EXPECT_TRUE(IsNumeric(Type::kBool));
  EXPECT_FALSE(IsOrdered(Type::kBool));
  EXPECT_FALSE(IsNumeric(Type::kJson));
  for (const Type type : kTypes) EXPECT_EQ(KeepsWhiteSpace(type), !IsNumeric(type));
}

}  // namespace
}  // namespace envdial::guard
