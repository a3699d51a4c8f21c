// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "guard/guard.h"
#include "tests/guard/make_dial.h"

namespace envdial::guard {

// What is expected: "= TEXT" accepted, "~ TEXT" clamped, "! REASON" refused.
struct Row {
  std::string type;
  std::string rules;  // as in a dials file
  std::string raw;
  std::string expected;
  std::string message;  // that the message contains
  std::optional<std::string> present;
};

inline std::string Summary(const Verdict& verdict) {
  switch (verdict.outcome) {
    case Verdict::Outcome::kAccepted:
      return "= " + verdict.text;
    case Verdict::Outcome::kClamped:
      return "~ " + verdict.text;
    case Verdict::Outcome::kRefused:
      return "! " + std::string(verdict.reason);
  }
  return "";
}

inline void Check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.type + " {" + row.rules + "} \"" + row.raw + "\" from " + row.present.value_or("nothing"));
    const Verdict verdict = Judge(MakeDial(row.type, row.rules), row.raw, row.present);
    EXPECT_EQ(Summary(verdict), row.expected) << verdict.message;
    EXPECT_THAT(verdict.message, ::testing::HasSubstr(row.message));
    EXPECT_EQ(verdict.message.empty(), verdict.outcome == Verdict::Outcome::kAccepted);
    EXPECT_EQ(verdict.reason.empty(), verdict.outcome == Verdict::Outcome::kAccepted);
    if (!verdict.reason.empty()) {
      EXPECT_NE(std::ranges::find(kReasons, verdict.reason), std::end(kReasons));
    }
  }
}

}  // namespace envdial::guard
