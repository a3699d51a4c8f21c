// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "guard/dial.h"

namespace envdial::guard {

// The reasons of a refusal, as they stand in `rejected` and in envdial_dial_rejections_total{reason}.
inline constexpr std::string_view kReasons[] = {"type",     "min",   "max",      "max_step", "one_of",
                                                "too_long", "empty", "encoding", "quote",    "clamped"};

// What the guard says of one value.
struct Verdict {
  enum class Outcome { kAccepted, kClamped, kRefused };
  Outcome outcome = Outcome::kRefused;
  std::string text;  // the env text that may come into force (kAccepted: as written, trimmed; kClamped: the bound)
  std::string_view reason;  // kClamped: "clamped"; kRefused: one of kReasons
  std::string message;      // a sentence: what was found and what was expected; never the value of a secret dial
};

// Judges `raw`, the bytes that were read, by the dial's rules. `present` is the present set value if the step from it
// is to be judged too (an unbroken watch), else none. Pure.
Verdict Judge(const Dial& dial, std::string_view raw, const std::optional<std::string>& present);

// The value of a numeric dial's text as Prometheus shows it: a bool is 0 or 1, a duration seconds. `text` must have
// passed the guard; nan for dials that are not numeric.
double ToNumber(Type type, std::string_view text);

}  // namespace envdial::guard
