// SPDX-License-Identifier: Apache-2.0
#include "guard/number.h"

#include <cassert>
#include <charconv>
#include <cmath>
#include <system_error>

#include "base/duration.h"

namespace envdial::guard {
namespace {

constexpr std::string_view kDigits = "0123456789";

base::Result<std::int64_t> ParseInt(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || digits.find_first_not_of(kDigits) != std::string_view::npos) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "is not an int; expected plain decimal digits, such as 500 or -3, without +, 0x, fraction or "
                      "exponent");
  }
  if (digits.starts_with('0') && text != "0") {
    return base::Fail(base::ErrorKind::kInvalid,
                      "is not an int; expected no leading zeros (some programs read them as octal) and no -0");
  }
  std::int64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "does not fit an int (64 bits: -9223372036854775808 to 9223372036854775807)");
  }
  return value;
}

base::Result<double> ParseFloat(std::string_view text) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || rest != text.data() + text.size() ||
      text.find_first_of("nN") != std::string_view::npos) {
    return base::Fail(
        base::ErrorKind::kInvalid,
        "is not a float; expected a plain decimal number, such as 0.5 or 2e-3, without +, 0x, nan or inf");
  }
  // Libraries differ in whether a number that is too small is an error or zero.
  const std::string_view mantissa = text.substr(0, text.find_first_of("eE"));
  const bool vanished = value == 0 && mantissa.find_first_of("123456789") != std::string_view::npos;
  if (error != std::errc() || !std::isfinite(value) || vanished) {
    return base::Fail(base::ErrorKind::kInvalid, "does not fit a float (64 bits: about 4.9e-324 to 1.8e308)");
  }
  return value;
}

base::Result<std::int64_t> ParseNanoseconds(std::string_view text) {
  const auto duration = base::ParseDuration(text);
  if (duration) return duration->count();
  // Not the base's own message: that names the whole text, which may be long or secret.
  return base::Fail(base::ErrorKind::kInvalid,
                    "is not a duration; expected numbers with a unit (ns, us, ms, s, m, h), without sign and up to 292 "
                    "years, such as 250ms, 3s or 1m30s");
}

}  // namespace

base::Result<Number> Number::Parse(Type type, std::string_view text) {
  assert(IsOrdered(type));
  if (type == Type::kFloat) {
    const auto real = ParseFloat(text);
    if (!real) return std::unexpected(real.error());
    return Number(type, 0, *real);
  }
  const auto whole = type == Type::kInt ? ParseInt(text) : ParseNanoseconds(text);
  if (!whole) return std::unexpected(whole.error());
  return Number(type, *whole, 0);
}

double Number::ToDouble() const {
  switch (type_) {
    case Type::kFloat:
      return real_;
    case Type::kDuration:
      return static_cast<double>(whole_) / 1e9;
    default:
      return static_cast<double>(whole_);
  }
}

bool SameValue(Type type, std::string_view a, std::string_view b) {
  if (!IsOrdered(type)) return a == b;
  const auto left = Number::Parse(type, a);
  const auto right = Number::Parse(type, b);
  return left && right && *left == *right;
}

}  // namespace envdial::guard
