// SPDX-License-Identifier: Apache-2.0
#include "guard/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "tests/guard/judge_rows.h"

namespace envdial::guard {
namespace {

using std::string_literals::operator""s;

const std::string kWide = R"("max_bytes": 32768)";

TEST(Judge, Ints) {
  Check({
      {"int", "", "500", "= 500"},
      {"int", "", "0", "= 0"},
      {"int", "", "-3", "= -3"},
      {"int", "", "9223372036854775807", "= 9223372036854775807"},
      {"int", "", "-9223372036854775808", "= -9223372036854775808"},
      {"int", "", "9223372036854775808", "! type", "9223372036854775808\" does not fit an int"},
      {"int", "", "-9223372036854775809", "! type", "does not fit"},
      {"int", "", "99999999999999999999999", "! type", "does not fit"},
      {"int", "", "+5", "! type", "plain decimal digits"},
      {"int", "", "0x10", "! type", "\"0x10\" is not an int"},
      {"int", "", "1e3", "! type", "exponent"},
      {"int", "", "5.0", "! type", "fraction"},
      {"int", "", "007", "! type", "octal"},
      {"int", "", "-07", "! type", "octal"},
      {"int", "", "-0", "! type", "no -0"},
      {"int", "", "-", "! type"},
      {"int", "", "--5", "! type"},
      {"int", "", "5 0", "! type"},
      {"int", "", "1,000", "! type"},
      {"int", "", "1_000", "! type"},
      {"int", "", "five", "! type", "\"five\" is not an int; expected plain decimal digits, such as 500 or -3"},
      {"int", "", "٥", "! type"},
      {"int", "", "true", "! type"},
      {"int", "", "500;", "! type"},
  });
}

TEST(Judge, Floats) {
  Check({
      {"float", "", "0.50", "= 0.50"},
      {"float", "", "5", "= 5"},
      {"float", "", ".5", "= .5"},
      {"float", "", "5.", "= 5."},
      {"float", "", "-2e-3", "= -2e-3"},
      {"float", "", "1E+5", "= 1E+5"},
      {"float", "", "-0.0", "= -0.0"},
      {"float", "", "4.9e-324", "= 4.9e-324"},
      {"float", "", "2.2250738585072011e-308", "= 2.2250738585072011e-308"},
      {"float", "", "1.7976931348623157e308", "= 1.7976931348623157e308"},
      {"float", "", "0e999999", "= 0e999999"},
      {"float", "", "1e309", "! type", "does not fit a float"},
      {"float", "", "-1e309", "! type", "does not fit a float"},
      {"float", "", "1e999999999999", "! type", "does not fit a float"},
      {"float", "", "1e-400", "! type", "does not fit a float"},
      {"float", "", "nan", "! type", "is not a float"},
      {"float", "", "NaN", "! type", "is not a float"},
      {"float", "", "nan(1)", "! type", "is not a float"},
      {"float", "", "-nan", "! type", "is not a float"},
      {"float", "", "inf", "! type", "is not a float"},
      {"float", "", "-Infinity", "! type", "is not a float"},
      {"float", "", "+0.5", "! type", "is not a float"},
      {"float", "", "0x1p3", "! type", "is not a float"},
      {"float", "", "0,5", "! type", "is not a float"},
      {"float", "", "1e", "! type", "is not a float"},
      {"float", "", "e5", "! type", "is not a float"},
      {"float", "", ".", "! type", "is not a float"},
      {"float", "", "1.2.3", "! type", "is not a float"},
  });
}

TEST(Judge, Bools) {
  Check({
      {"bool", "", "true", "= true"},
      {"bool", "", " false\n", "= false"},
      {"bool", "", "True", "! type", "\"True\" is not a bool; expected true or false"},
      {"bool", "", "1", "! type"},
      {"bool", "", "yes", "! type"},
      {"bool", "", "truefalse", "! type"},
      {"bool", R"("one_of": [true])", "false", "! one_of", "\"false\" is not one of \"true\""},
  });
}

TEST(Judge, Durations) {
  Check({
      {"duration", "", "250ms", "= 250ms"},
      {"duration", "", "1m30s", "= 1m30s"},
      {"duration", "", "1.5h", "= 1.5h"},
      {"duration", "", "10µs", "= 10µs"},
      {"duration", "", "0", "= 0"},
      {"duration", "", "2562047h", "= 2562047h"},
      {"duration", "", "2562048h", "! type", "292 years"},
      {"duration", "", "5", "! type", "\"5\" is not a duration"},
      {"duration", "", "-5s", "! type", "without sign"},
      {"duration", "", "+5s", "! type", "without sign"},
      {"duration", "", "5 s", "! type"},
      {"duration", "", "5d", "! type"},
      {"duration", "", "s", "! type"},
      {"duration", R"("min": "1m", "max": "1h")", "59.999999999s", "! min", "59.999999999s is below the minimum 1m"},
      {"duration", R"("min": "1m", "max": "1h")", "60s", "= 60s"},
      {"duration", R"("min": "1m", "max": "1h")", "3600001ms", "! max", "3600001ms is above the maximum 1h"},
      {"duration", R"("max": "1h", "on_violation": "clamp")", "2h", "~ 1h"},
  });
}

TEST(Judge, JsonDocuments) {
  const std::string deep_enough = std::string(64, '[') + std::string(64, ']');
  const std::string too_deep = std::string(65, '[') + std::string(65, ']');
  const std::string bomb(20'000, '[');
  Check({
      {"json", "", R"({"a": [1, 2.50, null, true]})", R"(= {"a": [1, 2.50, null, true]})"},
      {"json", "", " {\n\t\"a\": 1 }\n", "=  {\n\t\"a\": 1 }\n"},
      {"json", "", "5", "= 5"},
      {"json", "", "\"text\"", "= \"text\""},
      {"json", "", deep_enough, "= " + deep_enough},
      {"json", "", too_deep, "! type", "nested deeper than 64 levels"},
      {"json", "", bomb, "! type", "nested deeper than 64 levels"},
      {"json", "", "{\"a\": 1,}", "! type", "not valid JSON: line 1, column 9: found '}'"},
      {"json", "", "{\"a\": 1} {}", "! type", "expected the end of the text"},
      {"json", "", "{\"a\": 1} // one", "! type", "not valid JSON"},
      {"json", "", "[1e999]", "! type", "too large"},
      {"json", "", R"("\ud800")", "! type", "surrogate"},
      {"json", "", "nul", "! type", "a word without quotes"},
      {"json", "", "\n", "! empty", "the value is nothing but white space"},
      {"json", "", "\"it's\"", "! quote", "has a single quote (') at byte 4"},
      {"json", "", R"("it\u0027s")", R"(= "it\u0027s")"},
      {"json", "", "{}\r\n", "! quote", "carriage return"},
      {"json", "", "[" + std::string(32'766, ' ') + "]", "= [" + std::string(32'766, ' ') + "]"},
      {"json", "", "[" + std::string(32'767, ' ') + "]", "! too_long", "32769 bytes; at most 32768"},
  });
}

TEST(Judge, WhiteSpace) {
  Check({
      {"int", "", "500\n", "= 500"},  // echo 500 | consul kv put k -
      {"int", "", "500\r\n", "= 500"},
      {"int", "", " \t\v\f\r\n500 \t\v\f\r\n", "= 500"},
      {"int", "", "\u00a0500", "! type"},  // a no-break space is not trimmed
      {"float", "", " 0.5 ", "= 0.5"},
      {"duration", "", "5s\n", "= 5s"},
      {"string", "", "text\n", "= text\n"},
      {"string", "", "  text", "=   text"},
      {"string", R"("one_of": ["easy"])", "easy\n", "! one_of", "\"easy\\n\" is not one of \"easy\""},
      {"int", "", " \n\t", "! empty", "the value is empty"},
      {"int", "", "", "! empty", "the value is empty"},
      {"bool", "", "", "! empty"},
      {"duration", "", "\n", "! empty"},
      {"string", "", "", "! empty", "allow_empty is not set"},
      {"string", "", "\n", "! empty", "nothing but white space (allow_empty is not set)"},
      {"string", R"("allow_empty": true)", "", "= "},
      {"string", R"("allow_empty": true)", "\n", "= \n"},
      {"string", R"("allow_empty": true, "one_of": ["", "a"])", "", "= "},
      {"string", R"("allow_empty": true, "one_of": ["a"])", "", "! one_of"},
  });
}

TEST(Judge, Size) {
  Check({
      {"string", "", std::string(4096, 'x'), "= " + std::string(4096, 'x')},
      {"string", "", std::string(4097, 'x'), "! too_long", "the value has 4097 bytes; at most 4096 are allowed"},
      {"string", kWide, std::string(32'768, 'x'), "= " + std::string(32'768, 'x')},
      {"string", kWide, std::string(32'769, 'x'), "! too_long"},
      {"string", R"("max_bytes": 2)", "é", "= é"},
      {"string", R"("max_bytes": 1)", "é", "! too_long"},
      {"int", R"("max_bytes": 3)", " 500\n", "= 500"},
      {"int", R"("max_bytes": 3)", "5000", "! too_long"},
      {"int", "", std::string(40'000, ' '), "! too_long"},
      {"int", "", std::string(40'000, '\xff'), "! too_long"},
      {"int", "", std::string(4000, '9'), "! type", "9999…\" (4000 bytes) does not fit"},
  });
}

TEST(Judge, Encoding) {
  Check({
      {"string", "", "é€😀", "= é€😀"},
      {"string", "", "a\0b"s, "! encoding", "NUL byte at position 2"},
      {"int", "", "500\0"s, "! encoding", "NUL byte"},
      {"string", "", "ab\xff", "! encoding", "byte 0xFF at position 3"},
      {"string", "", "\x80", "! encoding"},                  // a continuation on its own
      {"string", "", "\xc3", "! encoding"},                  // cut short
      {"string", "", "\xe2\x82", "! encoding"},              // cut short
      {"string", "", "\xf0\x9f\x98", "! encoding"},          // cut short
      {"string", "", "\xc3(", "! encoding"},                 // no continuation
      {"string", "", "\xc0\xaf", "! encoding"},              // overlong '/'
      {"string", "", "\xc1\xbf", "! encoding"},              // overlong
      {"string", "", "\xe0\x80\xaf", "! encoding"},          // overlong
      {"string", "", "\xf0\x80\x80\xaf", "! encoding"},      // overlong
      {"string", "", "\xed\xa0\x80", "! encoding"},          // a surrogate
      {"string", "", "\xed\xbf\xbf", "! encoding"},          // a surrogate
      {"string", "", "\xf4\x90\x80\x80", "! encoding"},      // above U+10FFFF
      {"string", "", "\xf8\x88\x80\x80\x80", "! encoding"},  // five bytes
      {"string", "", "\xed\x9f\xbf", "= \xed\x9f\xbf"},      // U+D7FF
      {"string", "", "\xee\x80\x80", "= \xee\x80\x80"},      // U+E000
      {"string", "", "\xef\xbf\xbd", "= \xef\xbf\xbd"},      // the replacement character itself
      {"bool", "", "\xff", "! encoding"},
  });
}

TEST(Judge, WhatTheEnvFileCannotCarry) {
  Check({
      {"string", "", "it's", "! quote", "the value has a single quote (') at byte 3"},
      {"string", "", "a\rb", "! quote", "carriage return (CR) at byte 2"},
      {"string", "", "\x1b[31m", "! quote", "control character U+001B at byte 1"},
      {"string", "", "a\x07", "! quote", "U+0007"},
      {"string", "", "\x7f", "! quote", "U+007F"},
      {"string", "", "\u0080", "! quote", "U+0080"},
      {"string", "", "\u0085", "! quote", "U+0085"},
      {"string", "", "\u009f", "! quote", "U+009F"},
      {"string", "", "\u00a0", "= \u00a0"},
      {"string", "", "\uffff", "! quote", "noncharacter U+FFFF"},
      {"string", "", "\ufdd0", "! quote", "noncharacter U+FDD0"},
      {"string", "", "\U0001fffe", "! quote", "noncharacter U+01FFFE"},
      {"string", "", "two\nlines\t\\n $HOME \"${x}\" `y` #z", "= two\nlines\t\\n $HOME \"${x}\" `y` #z"},
      {"int", "", "5'", "! quote"},
      {"int", "", "5\r0", "! quote"},
  });
}

TEST(ToNumber, IsWhatPrometheusShows) {
  EXPECT_EQ(ToNumber(Type::kInt, "-500"), -500);
  EXPECT_EQ(ToNumber(Type::kFloat, "0.50"), 0.5);
  EXPECT_EQ(ToNumber(Type::kBool, "true"), 1);
  EXPECT_EQ(ToNumber(Type::kBool, "false"), 0);
  EXPECT_EQ(ToNumber(Type::kDuration, "1m30.5s"), 90.5);
  EXPECT_TRUE(std::isnan(ToNumber(Type::kString, "5")));
  EXPECT_TRUE(std::isnan(ToNumber(Type::kJson, "5")));
  EXPECT_TRUE(std::isnan(ToNumber(Type::kInt, "five")));
}

}  // namespace
}  // namespace envdial::guard
