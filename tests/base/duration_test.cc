// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <gtest/gtest.h>

#include <limits>

namespace envdial::base {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST(ParseDuration, ReadsGoodOnes) {
  struct {
    std::string_view text;
    nanoseconds expected;
  } const cases[] = {
      {"0", 0ns},
      {"0s", 0ns},
      {"1ns", 1ns},
      {"250us", 250us},
      {"250\u00b5s", 250us},
      {"250\u03bcs", 250us},
      {"250ms", 250ms},
      {"3s", 3s},
      {"1m30s", 90s},
      {"1.5h", 90min},
      {".5s", 500ms},
      {"1.s", 1s},
      {"0.123456789s", 123456789ns},
      {"0.1234567899s", 123456789ns},
      {"1h2m3s4ms5us6ns", 1h + 2min + 3s + 4ms + 5us + 6ns},
      {"30s1m", 90s},
      {"007s", 7s},
      {"0.00000000000000000000001h", 0ns},
      {"9223372036854775807ns", nanoseconds(std::numeric_limits<std::int64_t>::max())},
      {"2562047h47m16.854775807s", nanoseconds(std::numeric_limits<std::int64_t>::max())},
  };
  for (const auto& [text, expected] : cases) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.has_value()) << text << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, expected) << text;
  }
}

TEST(ParseDuration, RefusesBadOnesAndQuotesThem) {
  for (const std::string_view text : {"",
                                      "1",
                                      "s",
                                      ".",
                                      ".s",
                                      "-1s",
                                      "+1s",
                                      " 1s",
                                      "1s ",
                                      "1 s",
                                      "1S",
                                      "1d",
                                      "1e3s",
                                      "1s2",
                                      "1.5.5s",
                                      "0x1s",
                                      "1,5s",
                                      "inf",
                                      "00",
                                      "0 ",
                                      "9223372036854775808ns",
                                      "9223372036s1h",
                                      "99999999999999999999h",
                                      "2562048h"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kInvalid) << text;
    EXPECT_TRUE(parsed.error().message.contains("\"" + std::string(text) + "\"")) << parsed.error().message;
  }
}

TEST(FormatDuration, IsShortAndReadsBackAsTheSame) {
  struct {
    nanoseconds duration;
    std::string_view expected;
  } const cases[] = {
      {0ns, "0s"},
      {1ns, "1ns"},
      {1500ns, "1.5us"},
      {250us, "250us"},
      {250ms, "250ms"},
      {1500us, "1.5ms"},
      {1s, "1s"},
      {1500ms, "1.5s"},
      {90s, "1m30s"},
      {60s, "1m"},
      {1h, "1h"},
      {1h + 5s, "1h5s"},
      {1h + 1ns, "1h0.000000001s"},
      {25h + 90s, "25h1m30s"},
      {2500ms, "2.5s"},
      {nanoseconds(std::numeric_limits<std::int64_t>::max()), "2562047h47m16.854775807s"},
  };
  for (const auto& [duration, expected] : cases) {
    EXPECT_EQ(FormatDuration(duration), expected);
    EXPECT_EQ(ParseDuration(FormatDuration(duration)), duration) << expected;
  }
}

}  // namespace
}  // namespace envdial::base
