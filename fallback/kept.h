// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace envdial::fallback {

// What the store keeps of one key.
struct KeptKey {
  std::string datacenter;                      // as configured; empty: the agent's own
  std::string namespace_name;                  // as configured; may be empty
  std::string key;                             // whole
  std::optional<std::string> value;            // the newest set value that passed the guard (env text); none: deleted
  bool deletion_confirmed = false;             // the key was deleted, that was confirmed, and the dial's default rules
  std::uint64_t revision = 0;                  // of `value`
  std::optional<base::WallTime> last_contact;  // with the source of this key's group

  bool operator==(const KeptKey&) const = default;
};

// What was in force for one dial when the version was given, so that a restart knows whether a value changed.
struct KeptValue {
  std::string name;                  // the env name
  std::optional<std::string> value;  // none: it had none yet
  base::WallTime changed{};

  bool operator==(const KeptValue&) const = default;
};

// The content of one slot of the last-known-good store.
struct Kept {
  std::uint64_t version = 0;  // of the newest snapshot that was published
  std::vector<KeptKey> keys;
  std::vector<KeptValue> values;

  bool operator==(const Kept&) const = default;
};

}  // namespace envdial::fallback
