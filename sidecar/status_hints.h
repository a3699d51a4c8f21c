// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace envdial::sidecar {

// What to look at when something is wrong: one line for each reason of a failed poll and of a refusal (the words of the
// metrics' labels), and for `not_ready`, `stale`, `odd`, `mass_deletion`, `channel`, `store` and `last-known-good`.
// `subject` is what it is about: a group, a dial, a channel, a directory. Empty for a word that is none of these.
std::string HintFor(std::string_view word, std::string_view subject);

}  // namespace envdial::sidecar
