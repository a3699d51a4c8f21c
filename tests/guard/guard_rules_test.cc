// SPDX-License-Identifier: Apache-2.0
// Judge, continued: the rules that a dials file sets, and what is said of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/guard/judge_rows.h"

namespace envdial::guard {
namespace {

TEST(Judge, Choices) {
  const std::string many = R"("one_of": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])";
  Check({
      {"string", R"("one_of": ["easy", "hard"])", "hard", "= hard"},
      {"string", R"("one_of": ["easy", "hard"])", "medium", "! one_of", "\"medium\" is not one of \"easy\", \"hard\""},
      {"string", R"("one_of": ["easy", "hard"])", "esay", "! one_of", "did you mean \"easy\"?"},
      {"string", R"("one_of": ["easy", "hard"])", "Easy", "! one_of", "did you mean \"easy\"?"},
      {"int", R"("one_of": [1, 10])", "10", "= 10"},
      {"int", R"("one_of": [1, 10])", "5", "! one_of", "5 is not one of 1, 10"},
      {"int", many, "11", "! one_of", "1, 2, 3, 4, 5, 6, 7, 8 and 2 more"},
      {"float", R"("one_of": [0.5])", "0.50", "= 0.50"},
      {"float", R"("one_of": [0.5])", "5e-1", "= 5e-1"},
      {"duration", R"("one_of": ["1m"])", "60s", "= 60s"},
      {"duration", R"("one_of": ["1m"])", "61s", "! one_of"},
      {"json", R"("one_of": ["[1]"])", "[1]", "= [1]"},
      {"json", R"("one_of": ["[1]"])", "[ 1]", "! one_of"},
      {"string", R"("one_of": ["x"])", std::string(100, 'y'), "! one_of", "yyyy…\" (100 bytes) is not one of"},
  });
}

TEST(Judge, Bounds) {
  const std::string bounds = R"("min": 1, "max": 2500)";
  const std::string clamp = R"("min": 1, "max": 2500, "on_violation": "clamp")";
  Check({
      {"int", bounds, "1", "= 1"},
      {"int", bounds, "2500", "= 2500"},
      {"int", bounds, "0", "! min", "0 is below the minimum 1"},
      {"int", bounds, "9000", "! max", "9000 is above the maximum 2500"},
      {"int", bounds, "9223372036854775807", "! max"},
      {"int", bounds, "-9223372036854775808", "! min"},
      {"int", clamp, "9000", "~ 2500", "9000 is above the maximum 2500 and was clamped to it"},
      {"int", clamp, "0", "~ 1", "0 is below the minimum 1 and was clamped to it"},
      {"int", clamp, "2500", "= 2500"},
      {"int", clamp, "nine", "! type"},
      {"int", R"("min": 9223372036854775807)", "9223372036854775806", "! min"},
      {"int", R"("max": -9223372036854775808)", "-9223372036854775807", "! max"},
      {"float", R"("max": 0.5)", "0.5000000000000001", "! max"},
      {"float", R"("max": 0.50, "on_violation": "clamp")", "7", "~ 0.50"},
      {"float", R"("min": 0)", "-0.0", "= -0.0"},
      {"float", R"("min": 0)", "-4.9e-324", "! min"},
      {"int", R"("max": 5)", "6", "! max", "6 is above the maximum 5", "5"},
  });
}

TEST(Judge, StepsOfInts) {
  const std::string all = R"("max_step": "100%")";
  const std::string fifty = R"("max_step": 50)";
  const std::string most = R"("max_step": 9223372036854775807)";
  const std::string low = "-9223372036854775808";
  const std::string high = "9223372036854775807";
  Check({
      {"int", all, "9000", "= 9000"},  // a first reading
      {"int", all, "1000", "= 1000", "", "500"},
      {"int", all, "0", "= 0", "", "500"},
      {"int", all, "-1", "! max_step", "-1 is 501 away from the present 500; at most 100% of it (500) in one step",
       "500"},
      {"int", all, "1001", "! max_step", "1001 is 501 away from the present 500; at most 100% of it (500)", "500"},
      {"int", all, "9000", "= 9000", "", "0"},
      {"int", all, "-200", "= -200", "", "-100"},
      {"int", all, "-201", "! max_step", "at most 100% of it (100)", "-100"},
      {"int", all, "0", "= 0", "", "-100"},
      {"int", all, "1", "! max_step", "", "-100"},
      {"int", all, "0", "= 0", "", low},
      {"int", all, "1", "! max_step", "9223372036854775809 away", low},
      {"int", all, high, "! max_step", "18446744073709551615 away", low},
      {"int", all, low, "! max_step", "18446744073709551615 away", high},
      {"int", R"("max_step": "200%")", high, "= " + high, "", low},
      {"int", R"("max_step": "1000000%")", low, "= " + low, "", high},
      {"int", R"("max_step": "10%")", "6", "= 6", "", "5"},  // at least 1
      {"int", R"("max_step": "10%")", "7", "! max_step", "at most 10% of it (1)", "5"},
      {"int", R"("max_step": "12.5%")", "9", "= 9", "", "8"},
      {"int", R"("max_step": "33.333%")", "399999", "= 399999", "", "300000"},
      {"int", R"("max_step": "33.333%")", "400000", "! max_step", "(99999)", "300000"},
      {"int", R"("max_step": "0.001%")", "100001", "= 100001", "", "100000"},
      {"int", fifty, "550", "= 550", "", "500"},
      {"int", fifty, "551", "! max_step", "551 is 51 away from the present 500; at most 50 in one step", "500"},
      {"int", fifty, "51", "! max_step", "", "0"},  // only a percentage lets anything pass from 0
      {"int", most, high, "= " + high, "", "0"},
      {"int", most, high, "! max_step", "9223372036854775808 away", "-1"},
      {"int", most, "-1", "= -1", "", low},
      {"int", fifty, "500", "= 500", "", "500"},
      {"int", fifty, "500", "= 500", "", "not of this type any more"},
      {"int", R"("max_step": "50")", "51", "= 51", "", "1\n"},
  });
}

TEST(Judge, StepsOfFloatsAndDurations) {
  Check({
      {"float", R"("max_step": "10%")", "0.77", "= 0.77", "", "0.7"},
      {"float", R"("max_step": "10%")", "0.771", "! max_step", "0.771 is 0.071 away from the present 0.7", "0.7"},
      {"float", R"("max_step": "10%")", "1e300", "= 1e300", "", "-0.0"},
      {"float", R"("max_step": "200%")", "1e308", "= 1e308", "", "-1e308"},
      {"float", R"("max_step": "199.9%")", "1e308", "! max_step", "", "-1e308"},
      {"float", R"("max_step": "100%")", "1.7e308", "! max_step", "", "-1.7e308"},
      {"float", R"("max_step": 0.1)", "0.3", "= 0.3", "", "0.2"},
      {"float", R"("max_step": 0.1)", "0.31", "! max_step", "is 0.11 away from the present 0.2; at most 0.1", "0.2"},
      {"float", R"("max_step": "100%")", "4.9e-324", "= 4.9e-324", "", "4.9e-324"},
      {"duration", R"("max_step": "5s")", "15s", "= 15s", "", "10s"},
      {"duration", R"("max_step": "5s")", "15.000000001s", "! max_step", "at most 5s in one step", "10s"},
      {"duration", R"("max_step": "50%")", "1m", "! max_step",
       "1m is 30s away from the present 30s; at most 50% of it (15s)", "30s"},
      {"duration", R"("max_step": "50%")", "2h", "= 2h", "", "0s"},
      {"duration", R"("max_step": "100%")", "2562047h", "! max_step", "", "1ns"},
  });
}

TEST(Judge, AClampNeverHidesAStep) {
  const std::string rules = R"("min": 1, "max": 2500, "max_step": "100%", "on_violation": "clamp")";
  Check({
      {"int", rules, "9000", "~ 2500"},
      {"int", rules, "9000", "~ 2500", "", "2000"},
      {"int", rules, "9000", "! max_step", "2500 (9000, clamped) is 2000 away from the present 500", "500"},
      {"int", rules, "0", "~ 1", "", "500"},
      {"int", rules, "2400", "! max_step", "2400 is 1900 away", "500"},
  });
}

TEST(Judge, MessagesOfSecretsNameNoValue) {
  const std::string s = R"("secret": true)";
  const std::vector<Row> rows = {
      {"string", s + R"(, "one_of": ["8842-a", "8842-b"])", "8842-c", "! one_of"},
      {"string", s + R"(, "max_bytes": 3)", "8842", "! too_long"},
      {"string", s, "8842'", "! quote"},
      {"string", s, "8842\xff", "! encoding"},
      {"string", s, "", "! empty"},
      {"int", s, "8842x", "! type"},
      {"float", s, "8842x", "! type"},
      {"duration", s, "8842", "! type"},
      {"bool", s, "8842", "! type"},
      {"json", s, "{8842}", "! type"},
      {"int", s + R"(, "max": 88)", "8842", "! max"},
      {"int", s + R"(, "min": 88421)", "8842", "! min"},
      {"int", s + R"(, "max": 8842, "on_violation": "clamp")", "9000", "~ 8842"},
      {"int", s + R"(, "max_step": 50)", "8842", "! max_step", "", "88"},
  };
  Check(rows);
  for (const Row& row : rows) {
    const std::string message = Judge(MakeDial(row.type, row.rules), row.raw, row.present).message;
    EXPECT_THAT(message, ::testing::StartsWith("the value "));
    EXPECT_THAT(message, ::testing::Not(::testing::HasSubstr("88")));
  }
}

TEST(Judge, MessagesAreOneShortPrintableLine) {
  const Verdict verdict = Judge(MakeDial("int"), "1\n2\t" + std::string(4000, 'x'), std::nullopt);
  EXPECT_THAT(verdict.message, ::testing::StartsWith("\"1\\n2\\txxx"));
  EXPECT_LT(verdict.message.size(), 300u);
}

}  // namespace
}  // namespace envdial::guard
