// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "guard/dial.h"

namespace envdial::guard {

// A value of an int, float or duration dial, ready to be compared with others of its type. Whole numbers are exact.
class Number {
 public:
  // Reads trimmed text by the rules of `type` (IsOrdered). kInvalid; the message goes on after the value: "is not an
  // int; expected plain decimal digits, such as 500 or -3". An int has no leading zeros and is not -0, because the
  // programs that read the value differ in what they make of these (octal, a refusal). A float is finite.
  static base::Result<Number> Parse(Type type, std::string_view text);

  Type type() const { return type_; }
  std::int64_t whole() const { return whole_; }  // an int, or the nanoseconds of a duration
  double real() const { return real_; }          // a float
  double ToDouble() const;                       // a duration in seconds

  friend std::partial_ordering operator<=>(const Number& a, const Number& b) {
    return a.type_ == Type::kFloat ? a.real_ <=> b.real_ : std::partial_ordering(a.whole_ <=> b.whole_);
  }
  friend bool operator==(const Number& a, const Number& b) { return (a <=> b) == std::partial_ordering::equivalent; }

 private:
  Number(Type type, std::int64_t whole, double real) : type_(type), whole_(whole), real_(real) {}

  Type type_;
  std::int64_t whole_;
  double real_;
};

// Whether two texts mean the same value: int, float and duration by their number (60s is 1m), others by their text.
bool SameValue(Type type, std::string_view a, std::string_view b);

}  // namespace envdial::guard
