// SPDX-License-Identifier: Apache-2.0
#include "guard/members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace envdial::guard {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Told(ProblemList& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems.Take()) lines.push_back(problem.ToString());
  return lines;
}

TEST(ProblemList, TellsInTheOrderOfTheText) {
  ProblemList problems("f", "");
  problems.Add(7, "$.c", "last");
  problems.Add(3, "$.a", "first");
  problems.Add(7, "$.b", "after the last");
  EXPECT_THAT(Told(problems), ElementsAre("f: $.a: first", "f: $.c: last", "f: $.b: after the last"));
  EXPECT_TRUE(problems.Take().empty());
}

TEST(Describe, OfASecretOnlyTheKind) {
  const auto root = ReadJson(R"([null, true, 90210, "s3cret", [], {}])");
  ASSERT_TRUE(root);
  std::vector<std::string> open;
  std::vector<std::string> secret;
  for (const JsonValue& item : root->items) {
    open.push_back(Describe(item));
    secret.push_back(Describe(item, true));
  }
  EXPECT_THAT(open, ElementsAre("null", "true", "the number 90210", R"(the string "s3cret")", "an array", "an object"));
  EXPECT_THAT(secret, ElementsAre("null", "a truth value", "a number", "a string", "an array", "an object"));
}

TEST(ObjectReader, PathsAndLinesOfStrangeMembers) {
  const std::string text = "{\"a b\": 1,\n\n\"x-a\": 1, \"x-a\": 2,\"max\": 1,\n\"max\": 2, \"$schema\": 3}";
  const auto root = ReadJson(text);
  ASSERT_TRUE(root);
  ProblemList problems("f", text);
  constexpr std::string_view kKnown[] = {"max"};
  ObjectReader(*root, "$", ObjectReader::Style::kFile, problems).CheckNames(kKnown, "it");
  EXPECT_THAT(Told(problems),
              ElementsAre(R"(f: $["a b"]: "a b" is not a member of it; expected "max")",
                          R"(f: $.max: found a second "max", expected each member once; the first one is on line 3)"));
}

}  // namespace
}  // namespace envdial::guard
