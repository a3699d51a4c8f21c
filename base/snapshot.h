// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace envdial::base {

// What of a dial never changes while the process runs; the same order as in Snapshot::dials.
struct DialInfo {
  std::string name;         // the env name
  std::string type;         // int, float, bool, duration, string or json
  std::string unit;         // may be empty
  std::string source_kind;  // "consul"
  std::string source_key;   // the whole key, prefix included
  bool secret = false;
};

// The newest revision of a dial that the guard did not let through as it was.
struct Rejection {
  std::string value;   // as it was read; empty if the dial is secret
  std::string reason;  // type, min, max, max_step, one_of, too_long, empty, encoding, quote or clamped
  std::string message;
  std::uint64_t revision = 0;
  WallTime time;
};

struct DialValue {
  std::optional<std::string> value;   // in force, as env text; none: the dial has no value yet
  std::optional<std::string> set;     // what the operator set and the guard let through
  std::string_view origin;            // one of the kOrigin… words; empty while there is no value
  std::uint64_t revision = 0;         // of `set`; 0 if it has none
  WallTime changed{};                 // when `value` last changed
  std::optional<Rejection> rejected;  // while the newest revision stands refused or clamped
};

inline constexpr std::string_view kOriginConsul = "consul";
inline constexpr std::string_view kOriginLastKnownGood = "last-known-good";
inline constexpr std::string_view kOriginDefault = "default";
inline constexpr std::string_view kOriginStale = "stale";

enum class State { kNotReady, kStale, kReady };
std::string_view ToString(State state);  // not_ready, stale, ready

// One immutable set of all dials' values. Owned by the ledger; channels copy what they keep. The version grows
// whenever a value changes; 0 means that nothing was published yet, and then every DialValue::value is to be ignored.
struct Snapshot {
  std::uint64_t version = 0;
  WallTime published{};
  State state = State::kNotReady;
  std::vector<DialValue> dials;
};

}  // namespace envdial::base
