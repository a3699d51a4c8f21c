// SPDX-License-Identifier: Apache-2.0
#include "guard/suggest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "guard/members.h"

namespace envdial::guard {
namespace {

TEST(FindNearest, KnowsSlipsOfMembers) {
  struct Row {
    std::string word;
    std::optional<std::string_view> meant;
  };
  const std::vector<Row> rows = {
      {"max_stp", "max_step"},
      {"maxStep", "max_step"},
      {"max-step", "max_step"},
      {"MAX_STEP", "max_step"},
      {"on_delte", "on_delete"},
      {"ondelete", "on_delete"},
      {"descripton", "description"},
      {"desc", "description"},
      {"defualt", "default"},
      {"default_value", "default"},
      {"minimum", "min"},
      {"maximum", "max"},
      {"stale_afer", "stale_after"},
      {"tpye", "type"},
      {"kye", "key"},
      {"enf", "env"},
      {"oneof", "one_of"},
      {"secrets", "secret"},
      {"colour", std::nullopt},
      {"zz", std::nullopt},
      {"", std::nullopt},
      {std::string(1000, 'm'), std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(FindNearest(row.word, kDialMembers), row.meant) << row.word;
}

TEST(FindNearest, KnowsNoCandidateWithoutAny) { EXPECT_EQ(FindNearest("a", {}), std::nullopt); }

TEST(DidYouMean, IsAQuestionOrNothing) {
  constexpr std::string_view kWords[] = {"reject", "clamp"};
  EXPECT_EQ(DidYouMean("clmp", kWords), "; did you mean \"clamp\"?");
  EXPECT_EQ(DidYouMean("other", kWords), "");
  EXPECT_EQ(OneOf(kWords), "\"reject\" or \"clamp\"");
}

}  // namespace
}  // namespace envdial::guard
