// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "guard/dial.h"
#include "guard/members.h"

namespace envdial::guard {

// More choices than this are data, not a rule, and each value is compared with all of them.
inline constexpr std::size_t kMaxChoices = 1000;

// Reads one dial, with every rule that concerns it alone. All faults are told to the reader's ProblemList; what could
// be read is returned in any case, so that faults between dials can be told too.
Dial ReadDial(const ObjectReader& members, std::string_view prefix);

}  // namespace envdial::guard
