// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/snapshot.h"
#include "fallback/kept.h"
#include "fallback/ledger.h"
#include "guard/dial.h"
#include "sidecar/log.h"

namespace envdial::sidecar {

// Tells the log what the ledger decided: one line per change of a value, of the state, and per refusal. No secret is
// written.
class Journal {
 public:
  // `log` and `config` are borrowed. `kept`: what the process before us served, so that a line can say what changed.
  Journal(Log& log, const guard::Config& config, const std::optional<fallback::Kept>& kept);

  // `snapshot` says what is in force now, after the events.
  void Events(const std::vector<fallback::Event>& events, const base::Snapshot& snapshot);
  // `snapshot` was published; `changed` are the dials with another value than before.
  void Published(const base::Snapshot& snapshot, const std::vector<std::size_t>& changed);
  void State(base::State state);

 private:
  void Tell(const fallback::Event& event, const base::Snapshot& snapshot);
  std::string Shown(std::size_t dial, const std::string& value) const;

  Log& log_;
  const guard::Config& config_;
  std::vector<std::optional<std::string>> values_;  // per dial, as the log knows them
  base::State state_ = base::State::kNotReady;
  bool published_ = false;
};

}  // namespace envdial::sidecar
