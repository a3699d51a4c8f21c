// SPDX-License-Identifier: Apache-2.0
#include "guard/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envdial::guard {
namespace {

using ::testing::HasSubstr;

TEST(ReadJson, KeepsOrderRepetitionsAndNumbersAsWritten) {
  const auto root = ReadJson(R"({"b": [1, -0, 0.50, 1E+2, 18446744073709551616], "a": {"x": null}, "b": true})");
  ASSERT_TRUE(root);
  ASSERT_EQ(root->members.size(), 3u);
  EXPECT_EQ(root->members[0].name, "b");
  EXPECT_EQ(root->members[1].name, "a");
  EXPECT_EQ(root->members[2].name, "b");
  EXPECT_EQ(root->Find("b"), &root->members[0]);
  EXPECT_EQ(root->Find("c"), nullptr);
  const auto& numbers = root->members[0].value.items;
  ASSERT_EQ(numbers.size(), 5u);
  EXPECT_EQ(numbers[0].text, "1");
  EXPECT_EQ(numbers[1].text, "-0");
  EXPECT_EQ(numbers[2].text, "0.50");
  EXPECT_EQ(numbers[3].text, "1E+2");
  EXPECT_EQ(numbers[4].text, "18446744073709551616");
  EXPECT_TRUE(root->members[1].value.members[0].value.Is(JsonValue::Kind::kNull));
  EXPECT_EQ(root->members[2].value.text, "true");
}

TEST(ReadJson, NumbersTouchAnything) {
  const auto root = ReadJson("[1,2 ,3\n,4/* 5 */,6// 7\n,8]");
  ASSERT_TRUE(root);
  std::string all;
  for (const auto& item : root->items) all += item.text + " ";
  EXPECT_EQ(all, "1 2 3 4 6 8 ");
  ASSERT_TRUE(ReadJson("5"));
  EXPECT_EQ(ReadJson("5")->text, "5");
  EXPECT_EQ(ReadJson("-12 ")->text, "-12");
}

TEST(ReadJson, OffsetsGrowAlongTheText) {
  const auto root = ReadJson(R"({"a": 1, "b": {"c": [2, "x"]}, "d": true})");
  ASSERT_TRUE(root);
  const auto& b = root->members[1].value;
  EXPECT_LT(root->members[0].offset, root->members[0].value.offset);
  EXPECT_LT(root->members[0].value.offset, root->members[1].offset);
  EXPECT_LT(root->members[1].offset, b.offset);
  EXPECT_LT(b.members[0].value.items[0].offset, b.members[0].value.items[1].offset);
  EXPECT_LT(b.members[0].value.items[1].offset, root->members[2].offset);
}

TEST(ReadJson, ErrorsNameLineColumnFoundAndExpected) {
  struct Row {
    std::string text;
    std::string error;
  };
  const std::vector<Row> rows = {
      {"", "line 1, column 1: found the end of the text, expected a value"},
      {"{\n  \"a\": 1\n  \"b\": 2}", "line 3, column 3: found a string, expected ',' or '}'"},
      {"{\"é\": x}", "line 1, column 7: found a word without quotes, expected a value"},
      {"[1, 22 33]", "line 1, column 8: found a number, expected ',' or ']'"},
      {"[tru]", "line 1, column 2: found a word without quotes, expected a value"},
      {"{a: 1}", "line 1, column 2: found a word without quotes, expected a member's name in double quotes"},
      {"{1: 1}", "line 1, column 2: found a number, expected a member's name in double quotes"},
      {"[01]", "line 1, column 3: found a number, expected ',' or ']'"},
      {"[1e999]", "line 1, column 2: found a number that is too large; expected one that a double can hold"},
      {"[1] [", "line 1, column 5: found '[', expected the end of the text"},
      {"[1]]", "line 1, column 4: found ']', expected the end of the text"},
      {"[true false]", "line 1, column 7: found false, expected ',' or ']'"},
      {"[1}", "line 1, column 3: found '}', expected ',' or ']'"},
      {"[\"a\nb\"]", "line 1, column 4: invalid string: control character U+000A (LF) must be escaped"},
      {"[\"a\n", "line 1, column 4: invalid string: control character"},
      {"[\"a", "line 1, column 4: invalid string: missing closing quote"},
      {"/ 5", "line 1, column 2: invalid comment; expecting '/' or '*' after '/'"},
      {std::string("[1]\0[", 5), "line 1, column 4: found a NUL byte"},
  };
  for (const Row& row : rows) {
    const auto root = ReadJson(row.text);
    ASSERT_FALSE(root) << row.text;
    EXPECT_THAT(root.error(), HasSubstr(row.error)) << row.text;
  }
}

TEST(ReadJson, DepthIsLimited) {
  EXPECT_TRUE(ReadJson(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']')));
  const auto deep = ReadJson(std::string(100'000, '['));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error(), "line 1, column 65: nested deeper than 64 levels");
}

TEST(ReadJson, ErrorsShowNoContent) {
  for (const std::string text : {R"({"a" "s3cret"})", R"({"a": s3cret})", R"(["x" 90210])", R"({"a": 's3cret'})"}) {
    const auto root = ReadJson(text);
    ASSERT_FALSE(root) << text;
    EXPECT_THAT(root.error(), ::testing::Not(HasSubstr("s3cret")));
    EXPECT_THAT(root.error(), ::testing::Not(HasSubstr("90210")));
  }
}

TEST(FindJsonFault, IsStrict) {
  EXPECT_EQ(FindJsonFault(R"({"a": [1, "x", null, 1.5, -2, false, {}]})"), std::nullopt);
  EXPECT_EQ(FindJsonFault(" 5\n"), std::nullopt);
  EXPECT_NE(FindJsonFault("5 // five"), std::nullopt);
  EXPECT_NE(FindJsonFault(""), std::nullopt);
  EXPECT_NE(FindJsonFault("NaN"), std::nullopt);
  EXPECT_NE(FindJsonFault("[1e400]"), std::nullopt);
}

TEST(LineOf, CountsFromOne) {
  EXPECT_EQ(LineOf("a\nb\n", 0), 1u);
  EXPECT_EQ(LineOf("a\nb\n", 1), 1u);
  EXPECT_EQ(LineOf("a\nb\n", 2), 2u);
  EXPECT_EQ(LineOf("a\nb\n", 4), 3u);
}

}  // namespace
}  // namespace envdial::guard
