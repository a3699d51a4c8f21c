// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace envdial::guard {

enum class Type { kInt, kFloat, kBool, kDuration, kString, kJson };
inline constexpr Type kTypes[] = {Type::kInt, Type::kFloat, Type::kBool, Type::kDuration, Type::kString, Type::kJson};
std::string_view ToString(Type type);
std::optional<Type> ParseType(std::string_view word);
bool IsNumeric(Type type);        // int, float, bool and duration: those with a gauge of their own
bool IsOrdered(Type type);        // int, float and duration: those that may have min, max and max_step
bool KeepsWhiteSpace(Type type);  // string and json: the others are trimmed

enum class OnViolation { kReject, kClamp };
enum class OnDelete { kKeep, kDefault };

// max_step: absolute in the type's own unit (durations in nanoseconds), or a percentage of the present set value. A
// long double holds every 64-bit whole number exactly (x86-64: 64 bits of mantissa, aarch64: 113).
struct MaxStep {
  long double amount = 0;
  bool percent = false;
  std::string text;  // as written, for messages: "100%", "50", "5s"
};

inline constexpr std::size_t kMaxValueBytes = 32 * 1024;
inline constexpr std::size_t kDefaultMaxBytes = 4 * 1024;  // json: kMaxValueBytes

// One dial as declared. Values are kept as env text (as written, trimmed).
struct Dial {
  std::string env;
  std::string key;  // whole, with the group's prefix
  Type type = Type::kString;
  std::string unit;
  std::string description;
  std::optional<std::string> default_value;
  std::optional<std::string> min;  // int, float and duration only
  std::optional<std::string> max;
  std::optional<MaxStep> max_step;
  std::vector<std::string> one_of;  // empty: any value
  std::size_t max_bytes = kDefaultMaxBytes;
  bool allow_empty = false;
  bool secret = false;
  OnViolation on_violation = OnViolation::kReject;
  OnDelete on_delete = OnDelete::kKeep;
  std::chrono::nanoseconds stale_after = std::chrono::seconds(30);
  enum class WhenStale { kHold, kDefault, kValue };
  WhenStale when_stale = WhenStale::kHold;
  std::optional<std::string> stale_value;  // for WhenStale::kValue
};

// The dials that one long poll watches.
struct Group {
  std::string name;  // the prefix with its trailing '/', or the one whole key
  bool is_prefix = false;
  bool atomic = false;             // one bad value refuses the whole reading
  std::vector<std::size_t> dials;  // indices into Config::dials
};

// Everything declared, validated: names, keys and rules agree, and every default passes its own guard.
struct Config {
  std::vector<Dial> dials;  // in the order of the files
  std::vector<Group> groups;
};

}  // namespace envdial::guard
