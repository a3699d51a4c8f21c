// SPDX-License-Identifier: Apache-2.0
#include "consul/scrutiny.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace envdial::consul {
namespace {

using base::KeyReading;

constexpr std::size_t kMassDeletion = 2;  // dials that had values; one alone is an ordinary deletion

// Whether `entry` cannot be newer than what was accepted or seen of the key.
bool IsOlder(const KvEntry& entry, const SeenKey& seen, const KnownKey& known) {
  switch (seen.kind) {
    case SeenKey::Kind::kValue:
      if (entry == seen.entry) return false;  // believed before, even if the guard let nothing of it into force
      if (entry.modify_index <= seen.entry.modify_index) return true;
      break;
    case SeenKey::Kind::kAbsent:
      if (entry.modify_index <= seen.absent_index) return true;
      break;
    case SeenKey::Kind::kNever:
      break;
  }
  return known.revision && entry.modify_index < *known.revision;
}

// How the dials of the group that have values stand in an answer.
struct ValuedKeys {
  std::size_t count = 0;
  std::size_t there = 0;       // with a value now
  std::size_t gone = 0;        // absent now
  std::size_t there_last = 0;  // not absent in the reading before; a key never seen had its value before we started
};

// `is_there` and `is_gone` take a key's position; a key of which nothing may be believed is neither.
template <typename IsThere, typename IsGone>
ValuedKeys CountValued(const ScrutinyState& state, const std::vector<KnownKey>& known, IsThere is_there,
                       IsGone is_gone) {
  ValuedKeys valued;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (!known[i].revision) continue;
    ++valued.count;
    if (is_there(i)) ++valued.there;
    if (is_gone(i)) ++valued.gone;
    if (state.keys[i].kind != SeenKey::Kind::kAbsent) ++valued.there_last;
  }
  return valued;
}

bool IsMassDeletion(const ScrutinyState& state, const ValuedKeys& valued) {
  if (valued.count < kMassDeletion || valued.there > 0) return false;
  if (state.mass_deletion_standing) return true;
  return valued.gone == valued.count && valued.there_last >= kMassDeletion;
}

// One that is only supposed: what the answer says before anything was confirmed.
bool LooksLikeMassDeletion(const ScrutinyState& state, const KvAnswer& answer, const std::vector<KnownKey>& known) {
  const auto there = [&](std::size_t i) { return answer.body.keys[i].has_value(); };
  const auto gone = [&](std::size_t i) { return answer.known_leader && !answer.body.keys[i]; };
  return IsMassDeletion(state, CountValued(state, known, there, gone));
}

// At or below which a value is from before the absence that an answer with `index` tells of. That may be less than what
// was seen before: of a server that lags, or a header that is wrong.
std::uint64_t AbsentSince(std::uint64_t index, const SeenKey& seen, const KnownKey& known) {
  return std::max({index, seen.absent_index, seen.entry.modify_index, known.revision.value_or(0)});
}

// What is believed of one key. `state` is as before the answer.
KeyReading ReadKey(const std::optional<KvEntry>& entry, bool absence_counts, const SeenKey& seen,
                   const KnownKey& known) {
  KeyReading key;
  if (entry) {
    key.kind = KeyReading::Kind::kValue;
    key.value = entry->value;
    key.revision = entry->modify_index;
    key.restored = IsOlder(*entry, seen, known);
  } else if (absence_counts) {
    key.kind = KeyReading::Kind::kAbsent;
  }
  return key;
}

// Remembers what was believed of a key; true if it is news. `index`: that of AbsentSince().
bool Remember(SeenKey& seen, const KeyReading& key, std::uint64_t index, bool confirmed) {
  switch (key.kind) {
    case KeyReading::Kind::kHeld:
      return false;
    case KeyReading::Kind::kAbsent: {
      const bool news = seen.kind != SeenKey::Kind::kAbsent;
      seen.absence_confirmed = confirmed || (!news && seen.absence_confirmed);
      seen.kind = SeenKey::Kind::kAbsent;
      seen.entry = {};
      seen.absent_index = index;
      return news;
    }
    case KeyReading::Kind::kValue:
      break;
  }
  KvEntry entry{.value = key.value, .modify_index = key.revision};
  if (seen.kind == SeenKey::Kind::kValue && seen.entry == entry) return false;
  seen = {.kind = SeenKey::Kind::kValue, .entry = std::move(entry), .absent_index = 0, .absence_confirmed = false};
  return true;
}

}  // namespace

std::vector<std::size_t> KeysToConfirm(const ScrutinyState& state, const KvAnswer& answer,
                                       const std::vector<KnownKey>& known) {
  assert(answer.body.keys.size() == known.size() && state.keys.size() == known.size());
  const bool mass_deletion = LooksLikeMassDeletion(state, answer, known);
  std::vector<std::size_t> keys;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::optional<KvEntry>& entry = answer.body.keys[i];
    const SeenKey& seen = state.keys[i];
    if (entry) {
      if (IsOlder(*entry, seen, known[i])) keys.push_back(i);
      continue;
    }
    const bool believed = seen.kind == SeenKey::Kind::kAbsent && seen.absence_confirmed;
    const bool held_anyway = !answer.known_leader || (mass_deletion && known[i].revision);
    if (known[i].deletion_matters && !believed && !held_anyway) keys.push_back(i);
  }
  return keys;
}

bool Refutes(const Confirmation& confirmation, const KvAnswer& answer) {
  return confirmation.entry != answer.body.keys[confirmation.key];
}

Scrutinised Scrutinise(ScrutinyState state, const KvAnswer& answer, const std::vector<KnownKey>& known,
                       const std::vector<Confirmation>& confirmations) {
  const std::vector<std::size_t> suspicious = KeysToConfirm(state, answer, known);
  std::vector<const Confirmation*> confirmed(known.size());
  for (const Confirmation& confirmation : confirmations) confirmed[confirmation.key] = &confirmation;

  Scrutinised result;
  std::vector<KeyReading>& keys = result.reading.keys;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (confirmed[i] != nullptr) {
      keys.push_back(ReadKey(confirmed[i]->entry, true, state.keys[i], known[i]));
    } else if (std::binary_search(suspicious.begin(), suspicious.end(), i)) {
      keys.push_back({});
    } else {
      keys.push_back(ReadKey(answer.body.keys[i], answer.known_leader, state.keys[i], known[i]));
    }
  }

  // Only now, because a consistent read may have found a key gone, or there again.
  const ValuedKeys valued = CountValued(
      state, known, [&](std::size_t i) { return keys[i].kind == KeyReading::Kind::kValue; },
      [&](std::size_t i) { return keys[i].kind == KeyReading::Kind::kAbsent; });
  const bool held = IsMassDeletion(state, valued);
  result.mass_deletion = held && !state.mass_deletion_standing;
  result.reading.mass_deletion_held = held;
  state.mass_deletion_standing = held;

  for (std::size_t i = 0; i < known.size(); ++i) {
    if (held && known[i].revision) keys[i] = {};
    const std::uint64_t index = confirmed[i] != nullptr ? confirmed[i]->index : answer.index;
    const std::uint64_t since = AbsentSince(index, state.keys[i], known[i]);
    result.news |= Remember(state.keys[i], keys[i], since, confirmed[i] != nullptr);
    if (keys[i].restored) ++result.restored;
  }
  result.reading.undeclared = answer.body.undeclared;
  result.reading.undeclared_total = answer.body.undeclared_total;
  result.state = std::move(state);
  return result;
}

}  // namespace envdial::consul
