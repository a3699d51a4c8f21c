// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>

#include "consul/scrutiny.h"
#include "tests/fuzz/consul_checks.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using base::KeyReading;
using consul::Confirmation;
using consul::KnownKey;
using consul::KvAnswer;
using consul::KvEntry;
using consul::Scrutinised;
using consul::ScrutinyState;

// One answer with what is asked because of it.
struct Turn {
  const KvAnswer& answer;
  const std::vector<KnownKey>& known;
  std::vector<std::size_t> suspicious;
  std::vector<Confirmation> confirmations;

  const Confirmation* FindConfirmation(std::size_t key) const {
    const auto found = std::ranges::find(confirmations, key, &Confirmation::key);
    return found == confirmations.end() ? nullptr : &*found;
  }
};

void CheckKey(const Turn& turn, std::size_t at, const KeyReading& reading) {
  const Confirmation* const confirmation = turn.FindConfirmation(at);
  const bool suspicious = std::ranges::find(turn.suspicious, at) != turn.suspicious.end();
  const auto& said = confirmation != nullptr ? confirmation->entry : turn.answer.body.keys[at];
  if (suspicious && confirmation == nullptr) {
    Require(reading.kind == KeyReading::Kind::kHeld, "what was not confirmed is held");
  }
  switch (reading.kind) {
    case KeyReading::Kind::kHeld:
      return;
    case KeyReading::Kind::kValue:
      Require(said == KvEntry{.value = reading.value, .modify_index = reading.revision}, "no value is invented");
      Require(!turn.known[at].revision || reading.revision >= *turn.known[at].revision || confirmation != nullptr,
              "an older value needs a consistent read");
      Require(!reading.restored || confirmation != nullptr, "what is restored was confirmed");
      return;
    case KeyReading::Kind::kAbsent:
      Require(!said, "no absence is invented");
      Require(turn.answer.known_leader || confirmation != nullptr, "without a leader an absence is nothing");
      return;
  }
}

void CheckTurn(const Turn& turn, const Scrutinised& result) {
  const auto& keys = result.reading.keys;
  Require(keys.size() == turn.known.size(), "a reading tells of each declared key");
  std::size_t restored = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    CheckKey(turn, i, keys[i]);
    restored += keys[i].restored ? 1 : 0;
    Require(!result.reading.mass_deletion_held || !turn.known[i].revision || keys[i].kind == KeyReading::Kind::kHeld,
            "a mass deletion is held as a whole");
  }
  Require(restored == result.restored, "what is restored is counted");
  Require(!result.mass_deletion || result.reading.mass_deletion_held, "a new mass deletion is held");
  Require(result.state.mass_deletion_standing == result.reading.mass_deletion_held, "a held mass deletion stands");
}

// The same answer once more tells nothing that is new, and what was believed is not asked for again.
void CheckRepetition(const Turn& turn, const Scrutinised& result) {
  for (const Confirmation& confirmation : turn.confirmations) {
    if (confirmation.entry != turn.answer.body.keys[confirmation.key]) return;
  }
  for (const std::size_t key : KeysToConfirm(result.state, turn.answer, turn.known)) {
    Require(result.reading.keys[key].kind == KeyReading::Kind::kHeld, "what was believed is not asked for again");
  }
  Require(!Scrutinise(result.state, turn.answer, turn.known, {}).news, "the same answer again is no news");
}

}  // namespace

void CheckScrutiny(Question question, const std::vector<KvAnswer>& answers) {
  ScrutinyState state;
  state.keys.resize(question.target.keys.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    Turn turn{.answer = answers[i], .known = question.known, .suspicious = {}, .confirmations = {}};
    turn.suspicious = KeysToConfirm(state, turn.answer, turn.known);
    for (const std::size_t key : turn.suspicious) {
      if (!question.confirm || i + 1 == answers.size()) break;
      turn.confirmations.push_back({.key = key, .entry = answers[i + 1].body.keys[key], .index = answers[i + 1].index});
    }
    Scrutinised result = Scrutinise(std::move(state), turn.answer, turn.known, turn.confirmations);
    CheckTurn(turn, result);
    CheckRepetition(turn, result);
    state = std::move(result.state);
    for (std::size_t key = 0; key < question.known.size(); ++key) {
      const KeyReading& reading = result.reading.keys[key];
      if (reading.kind == KeyReading::Kind::kValue) question.known[key].revision = reading.revision;
    }
  }
}

}  // namespace envdial::fuzz
