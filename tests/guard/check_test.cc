// SPDX-License-Identifier: Apache-2.0
#include "guard/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guard/dials_file.h"

namespace envdial::guard {
namespace {

Config Sample() {
  auto config = ParseDials({{"test.json", R"({"dials": [
      {"env": "MAX_CONCURRENT", "key": "a", "type": "int", "min": 1, "max": 2500},
      {"env": "STEPPED", "key": "b", "type": "int", "max_step": "100%"},
      {"env": "CLAMPED", "key": "c", "type": "int", "max": 5, "on_violation": "clamp"},
      {"env": "TOKEN", "key": "d", "type": "string", "secret": true, "max_bytes": 3},
      {"env": "TEXT", "key": "e", "type": "string", "allow_empty": true}]})"}});
  EXPECT_TRUE(config);
  return config ? *config : Config{};
}

TryResult Try(const std::string& attempt) {
  const auto results = TryValues(Sample(), {attempt});
  EXPECT_EQ(results.size(), 1u);
  return results.at(0);
}

TEST(TryValues, SaysWhatTheGuardWouldSay) {
  struct Row {
    std::string attempt;
    bool refused;
    std::string line;
  };
  const std::vector<Row> rows = {
      {"MAX_CONCURRENT=700", false, "MAX_CONCURRENT=700: accepted"},
      {"MAX_CONCURRENT=9000", true, "MAX_CONCURRENT=9000: refused (max): 9000 is above the maximum 2500"},
      {"MAX_CONCURRENT=", true, "MAX_CONCURRENT=: refused (empty): the value is empty"},
      {"STEPPED=9", false,
       "STEPPED=9: accepted (if it is not too far from the present one: max_step 100% is judged while the sidecar "
       "runs)"},
      {"CLAMPED=9", false, "CLAMPED=9: clamped: 9 is above the maximum 5 and was clamped to it"},
      {"TOKEN=8842", true, "TOKEN=•••: refused (too_long): the value has 4 bytes; at most 3 are allowed (max_bytes)"},
      {"TOKEN=884", false, "TOKEN=•••: accepted"},
      {"TEXT=a=b", false, "TEXT=a=b: accepted"},
      {"TEXT=", false, "TEXT=: accepted"},
      {"MAX_CONCURENT=5", true, "MAX_CONCURENT: no dial has this name; did you mean \"MAX_CONCURRENT\"?"},
      {"OTHER=5", true, "OTHER: no dial has this name"},
      {"TEXT", true, "TEXT: expected a value to try: TEXT=VALUE"},
      {"", true, ": no dial has this name"},
  };
  for (const Row& row : rows) {
    const TryResult result = Try(row.attempt);
    EXPECT_EQ(result.line, row.line);
    EXPECT_EQ(result.refused, row.refused) << row.attempt;
  }
}

TEST(TryValues, KeepsTheOrder) {
  const auto results = TryValues(Sample(), {"TEXT=b", "TEXT=a"});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].line, "TEXT=b: accepted");
  EXPECT_EQ(results[1].line, "TEXT=a: accepted");
  EXPECT_TRUE(TryValues(Sample(), {}).empty());
}

}  // namespace
}  // namespace envdial::guard
