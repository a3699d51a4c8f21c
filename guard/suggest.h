// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace envdial::guard {

// The candidate that somebody who wrote `word` most likely meant: one or two slips away (more for long words), whatever
// its case and with '-' for '_', else one that begins alike ("integer"). None if no candidate is near.
std::optional<std::string_view> FindNearest(std::string_view word, std::span<const std::string_view> candidates);

// "; did you mean \"max_step\"?", or "".
std::string DidYouMean(std::string_view word, std::span<const std::string_view> candidates);

// "reject" or "clamp"; for longer lists "a", "b" or "c".
std::string OneOf(std::span<const std::string_view> words);

}  // namespace envdial::guard
