// SPDX-License-Identifier: Apache-2.0
#include "guard/step.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "base/duration.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

__extension__ typedef unsigned __int128 Wide;  // a 64-bit distance times a percentage in thousandths

constexpr std::size_t kMaxPercentDecimals = 3;

std::uint64_t Magnitude(std::int64_t value) {
  return value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
}

std::uint64_t Distance(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint64_t>(std::max(a, b)) - static_cast<std::uint64_t>(std::min(a, b));
}

// What a step may be at most, rounded down: a step of whole numbers fits below a fraction as it does below its floor.
std::uint64_t AllowedWhole(const MaxStep& step, const Number& present) {
  if (!step.percent) return static_cast<std::uint64_t>(step.amount);
  const Wide thousandths = static_cast<Wide>(std::llround(static_cast<double>(step.amount) * 1000));
  const Wide allowed = static_cast<Wide>(Magnitude(present.whole())) * thousandths / (100 * 1000);
  const Wide most = std::numeric_limits<std::uint64_t>::max();
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(std::min(allowed, most)), 1);
}

std::string ShowWhole(Type type, std::uint64_t value) {
  if (type != Type::kDuration) return std::to_string(value);
  const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return base::FormatDuration(std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(value, most))));
}

// Not by std::to_chars: its tables for doubles are 120 kB of the static program.
std::string ShowReal(long double value) {
  std::array<char, 48> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.6Lg", value);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::string Sentence(const MaxStep& step, std::string_view present_text, const std::string& distance,
                     const std::string& allowed) {
  std::string text = "is " + distance + " away from the present " + Shorten(present_text) + "; at most ";
  text += step.percent ? step.text + " of it (" + allowed + ")" : step.text;
  return text + " in one step";
}

}  // namespace

base::Result<MaxStep> ParseMaxStep(Type type, std::string_view text) {
  MaxStep step{0, text.ends_with('%'), std::string(text)};
  if (!step.percent) {
    const auto number = Number::Parse(type, text);
    if (!number) return std::unexpected(number.error());
    step.amount = type == Type::kFloat ? number->real() : static_cast<long double>(number->whole());
    if (step.amount > 0) return step;
    return base::Fail(base::ErrorKind::kInvalid, "is not above zero; a step of nothing would let no change pass");
  }
  const std::string_view number = text.substr(0, text.size() - 1);
  const std::size_t point = number.find('.');
  const bool too_fine = point != std::string_view::npos && number.size() - point - 1 > kMaxPercentDecimals;
  double percent = 0;
  const auto result = std::from_chars(number.data(), number.data() + number.size(), percent, std::chars_format::fixed);
  const bool plain = number.find_first_not_of("0123456789.") == std::string_view::npos && !number.starts_with('.') &&
                     !number.ends_with('.');
  if (result.ec != std::errc() || result.ptr != number.data() + number.size() || !plain || too_fine || percent <= 0 ||
      percent > kMaxStepPercent) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "is not a percentage above 0% and up to 1000000%, with at most three decimals");
  }
  step.amount = percent;
  return step;
}

std::optional<std::string> FindStepFault(const MaxStep& step, const Number& present, const Number& next,
                                         std::string_view present_text) {
  if (step.percent && (present.type() == Type::kFloat ? present.real() == 0 : present.whole() == 0)) return {};
  if (present.type() != Type::kFloat) {
    const std::uint64_t distance = Distance(present.whole(), next.whole());
    const std::uint64_t allowed = AllowedWhole(step, present);
    if (distance <= allowed) return std::nullopt;
    return Sentence(step, present_text, ShowWhole(present.type(), distance), ShowWhole(present.type(), allowed));
  }
  const long double from = present.real();
  const long double to = next.real();
  const long double distance = std::fabs(to - from);
  const long double allowed = step.percent ? std::fabs(from) * step.amount / 100 : step.amount;
  const long double rounding = 4 * std::numeric_limits<double>::epsilon() * std::max(std::fabs(from), std::fabs(to));
  if (distance <= allowed + rounding) return std::nullopt;
  return Sentence(step, present_text, ShowReal(distance), ShowReal(allowed));
}

}  // namespace envdial::guard
