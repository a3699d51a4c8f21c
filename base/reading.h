// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace envdial::base {

// What one answer of the source said about one declared key.
struct KeyReading {
  enum class Kind {
    kValue,   // the key has a value, with its revision
    kAbsent,  // the key is not there, and that was confirmed where it matters
    kHeld,    // nothing that may be believed was said: whatever is in force stays
  };
  Kind kind = Kind::kHeld;
  std::string value;           // raw bytes, only for kValue
  std::uint64_t revision = 0;  // Consul's ModifyIndex, only for kValue
  bool restored = false;       // the revision is lower than the accepted one, and a consistent read said the same
};

// What one answer said about a group. Made by a source (consul/), judged by the guard, applied by the ledger.
struct Reading {
  std::vector<KeyReading> keys;     // in the order of the group's declared keys
  bool unbroken = false;            // no poll failed and nothing was restarted since the reading before this one
  bool mass_deletion_held = false;  // all keys that had values were gone at once: all of them are kHeld
  bool complete = true;  // false: some key could not be confirmed and is kHeld; the poll counts as a failed one
  bool fresh = true;     // counts as a contact; false for an answer that may be arbitrarily old
  WallTime contact;      // when this was the truth: the answer's time less Consul's last contact
  std::vector<std::string> undeclared;  // keys under the prefix that are not declared, at most kMaxUndeclared
  std::size_t undeclared_total = 0;     // how many there are in all
};

inline constexpr std::size_t kMaxUndeclared = 20;  // enough to show a typo, too few to flood a status page

}  // namespace envdial::base
