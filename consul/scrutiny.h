// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/reading.h"
#include "consul/kv_answer.h"
#include "consul/watch.h"

namespace envdial::consul {

// What of an answer is believed, as pure functions: rules 5 and 6 of "How Consul's answers are read".
//
// An answer that says what cannot be if it is newer than all that was seen before is suspicious: a ModifyIndex lower
// than an accepted one, other content under the same ModifyIndex, a value from before the key was absent, or an absence
// that would change the value in force. Each such key is asked for by a consistent read of its own, and only that is
// believed. What was believed once is not asked for again.

// What was last believed of one declared key.
struct SeenKey {
  enum class Kind { kNever, kValue, kAbsent };
  Kind kind = Kind::kNever;
  KvEntry entry;                   // kValue
  std::uint64_t absent_index = 0;  // kAbsent: the highest X-Consul-Index then; a value at or below it is an older one
  bool absence_confirmed = false;  // kAbsent
};

// What a watch remembers between two answers.
struct ScrutinyState {
  std::vector<SeenKey> keys;  // in the order of WatchTarget::keys
  bool mass_deletion_standing = false;
};

// What the consistent read of one suspicious key said.
struct Confirmation {
  std::size_t key = 0;           // position in WatchTarget::keys
  std::optional<KvEntry> entry;  // none: absent
  std::uint64_t index = 0;       // X-Consul-Index
};

// The positions of the keys that have to be confirmed before `answer` may be believed. Keys whose mass deletion is held
// are not among them: nothing that is said of them is believed until one of them returns.
std::vector<std::size_t> KeysToConfirm(const ScrutinyState& state, const KvAnswer& answer,
                                       const std::vector<KnownKey>& known);

// Whether the consistent read says other than `answer` does of that key. Then nothing of the answer is used: it is of
// another moment than the confirmation, and the two together could show what never was in Consul at once.
bool Refutes(const Confirmation& confirmation, const KvAnswer& answer);

struct Scrutinised {
  ScrutinyState state;
  base::Reading reading;       // keys, undeclared keys and mass_deletion_held; the rest is not filled in
  bool news = false;           // some key's value, revision or absence is not what was last believed
  std::size_t restored = 0;    // keys of which an older value was taken, because a consistent read said the same
  bool mass_deletion = false;  // one is held that was not held before
};

// Puts the answer and what confirmed it together. A suspicious key without a confirmation is kHeld, and stays
// suspicious.
Scrutinised Scrutinise(ScrutinyState state, const KvAnswer& answer, const std::vector<KnownKey>& known,
                       const std::vector<Confirmation>& confirmations);

}  // namespace envdial::consul
