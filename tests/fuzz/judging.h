// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "guard/dial.h"

namespace envdial::fuzz {

// Judges `raw` by `dial`, and requires of the verdict what guard/guard.h and docs/dials.md promise. The value that may
// come into force, if there is one.
std::optional<std::string> JudgeAndCheck(const guard::Dial& dial, std::string_view raw,
                                         const std::optional<std::string>& present);

// Requires of a configuration that was accepted what guard/dial.h promises.
void CheckConfig(const guard::Config& config);

}  // namespace envdial::fuzz
