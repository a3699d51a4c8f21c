// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "guard/dial.h"
#include "guard/number.h"

namespace envdial::guard {

// "100%", "12.5%": above 0, at most three decimals. A larger step than this is no guard.
inline constexpr double kMaxStepPercent = 1'000'000;

// Reads a max_step for dials of `type` (IsOrdered): a percentage, or a value of that type above zero. kInvalid; the
// message goes on after the text, as Number::Parse's does.
base::Result<MaxStep> ParseMaxStep(Type type, std::string_view text);

// Whether the step from `present` to `next` is larger than `step` allows; then how far it is and what is allowed, as
// the end of a sentence: "is 8500 away from the present 500; at most 100% of it (500) in one step". A percentage allows
// at least 1 for ints, and anything from 0. Exact for whole numbers, over the whole of 64 bits; for floats a few units
// in the last place are forgiven, because 0.77 is 10% above 0.7 for everybody but a computer.
std::optional<std::string> FindStepFault(const MaxStep& step, const Number& present, const Number& next,
                                         std::string_view present_text);

}  // namespace envdial::guard
