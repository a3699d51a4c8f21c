// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace envdial::base {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  std::string_view name;
  std::int64_t nanos;
};

// Longer names stand before their own beginnings.
constexpr std::array kUnits = {
    Unit{"ns", 1},          Unit{"us", 1'000},        Unit{"\u00b5s", 1'000},  // micro sign
    Unit{"\u03bcs", 1'000},                                                    // Greek letter mu
    Unit{"ms", 1'000'000},  Unit{"s", 1'000'000'000}, Unit{"m", 60'000'000'000}, Unit{"h", 3'600'000'000'000}};

std::unexpected<Error> NotADuration(std::string_view text) {
  return Fail(ErrorKind::kInvalid,
              "\"" + std::string(text) + "\" is no duration; expected numbers with a unit, such as 250ms, 3s or 1m30s");
}

std::unexpected<Error> TooLong(std::string_view text) {
  return Fail(ErrorKind::kInvalid, "\"" + std::string(text) + "\" is too long a duration; about 292 years is the most");
}

std::string_view TakeDigits(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

// The nanoseconds in "0.<digits>" units, cut off.
std::int64_t FractionOf(std::string_view digits, std::int64_t unit) {
  double value = 0;
  double scale = 1;
  for (const char digit : digits.substr(0, 18)) {  // more would not change a nanosecond
    value = value * 10 + (digit - '0');
    scale *= 10;
  }
  return static_cast<std::int64_t>(value * (static_cast<double>(unit) / scale));
}

// "30s", or "1.5s" where it is no whole number of units.
std::string WithFraction(std::int64_t nanos, const Unit& unit) {
  std::string text = std::to_string(nanos / unit.nanos);
  if (std::int64_t rest = nanos % unit.nanos; rest != 0) {
    text += '.';
    for (std::int64_t place = unit.nanos / 10; rest != 0; place /= 10) {
      text += static_cast<char>('0' + rest / place);
      rest %= place;
    }
  }
  return text.append(unit.name);
}

}  // namespace

Result<nanoseconds> ParseDuration(std::string_view text) {
  if (text == "0") return nanoseconds::zero();
  if (text.empty()) return NotADuration(text);
  std::int64_t total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view whole = TakeDigits(rest);
    std::string_view fraction;
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      fraction = TakeDigits(rest);
    }
    if (whole.empty() && fraction.empty()) return NotADuration(text);

    const auto* unit = std::ranges::find_if(kUnits, [rest](const Unit& each) { return rest.starts_with(each.name); });
    if (unit == kUnits.end()) return NotADuration(text);
    rest.remove_prefix(unit->name.size());

    std::int64_t count = 0;
    if (std::from_chars(whole.data(), whole.data() + whole.size(), count).ec == std::errc::result_out_of_range) {
      return TooLong(text);
    }
    std::int64_t nanos = 0;
    if (__builtin_mul_overflow(count, unit->nanos, &nanos) ||
        __builtin_add_overflow(nanos, FractionOf(fraction, unit->nanos), &nanos) ||
        __builtin_add_overflow(total, nanos, &total)) {
      return TooLong(text);
    }
  }
  return nanoseconds(total);
}

std::string FormatDuration(nanoseconds duration) {
  std::int64_t nanos = duration.count();
  if (nanos <= 0) return "0s";
  if (nanos < 1'000) return WithFraction(nanos, {"ns", 1});
  if (nanos < 1'000'000) return WithFraction(nanos, {"us", 1'000});
  if (nanos < 1'000'000'000) return WithFraction(nanos, {"ms", 1'000'000});

  std::string text;
  for (const Unit& unit : {Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000}}) {
    if (nanos >= unit.nanos) text += WithFraction(nanos - nanos % unit.nanos, unit);
    nanos %= unit.nanos;
  }
  if (nanos != 0) text += WithFraction(nanos, {"s", 1'000'000'000});
  return text;
}

}  // namespace envdial::base
