// SPDX-License-Identifier: Apache-2.0
#include "sidecar/journal.h"

#include <algorithm>
#include <utility>

namespace envdial::sidecar {

Journal::Journal(Log& log, const guard::Config& config, const std::optional<fallback::Kept>& kept)
    : log_(log), config_(config), values_(config.dials.size()) {
  if (!kept) return;
  for (const fallback::KeptValue& value : kept->values) {
    const auto dial = std::ranges::find(config_.dials, value.name, &guard::Dial::env);
    if (dial != config_.dials.end()) values_[static_cast<std::size_t>(dial - config_.dials.begin())] = value.value;
  }
}

void Journal::Events(const std::vector<fallback::Event>& events, const base::Snapshot& snapshot) {
  for (const fallback::Event& event : events) Tell(event, snapshot);
}

void Journal::Published(const base::Snapshot& snapshot, const std::vector<std::size_t>& changed) {
  for (const std::size_t dial : changed) {
    const base::DialValue& value = snapshot.dials[dial];
    const auto& before = values_[dial];
    log_.Info(config_.dials[dial].env + ": " + (before ? Shown(dial, *before) + " -> " : "") +
              Shown(dial, *value.value) + " (" + std::string(value.origin) +
              (value.origin == base::kOriginConsul ? " revision " + std::to_string(value.revision) : "") +
              "), version " + std::to_string(snapshot.version));
    values_[dial] = value.value;
  }
  if (published_) return;
  published_ = true;
  const auto from = [&](std::string_view origin) {
    return std::ranges::count(snapshot.dials, origin, &base::DialValue::origin);
  };
  log_.Info("serving version " + std::to_string(snapshot.version) + ": " + std::to_string(from(base::kOriginConsul)) +
            " from Consul, " + std::to_string(from(base::kOriginLastKnownGood)) + " from the last-known-good store, " +
            std::to_string(from(base::kOriginDefault)) + " from defaults");
}

void Journal::State(base::State state) {
  if (state == state_) return;
  state_ = state;
  if (state == base::State::kStale) {
    log_.Warn(
        "state stale: Consul has not confirmed some values for longer than their stale_after; see envdial status");
  } else {
    log_.Info("state " + std::string(base::ToString(state)));
  }
}

void Journal::Tell(const fallback::Event& event, const base::Snapshot& snapshot) {
  using Kind = fallback::Event::Kind;
  const guard::Dial& dial = config_.dials[event.dial];
  const auto& present = snapshot.dials[event.dial].value;
  const std::string revision = "revision " + std::to_string(event.revision);
  const std::string reason = " (" + std::string(event.reason) + "): " + event.message;
  const std::string keeping = present ? "keeping " + Shown(event.dial, *present) : "there is no value yet";
  switch (event.kind) {
    case Kind::kAccepted:
      return;  // told as a change of the value in force
    case Kind::kClamped:
      return log_.Warn(dial.env + ": " + revision + " clamped: " + event.message);
    case Kind::kRefused:
      return log_.Warn(dial.env + ": " + revision + " refused" + reason + "; " + keeping);
    case Kind::kDeletedKept:
      return log_.Warn(dial.env + ": " + dial.key + " was deleted; " + keeping + " (on_delete: keep)");
    case Kind::kDeletedDefault:
      return log_.Warn(dial.env + ": " + dial.key + " was deleted; the default is served (on_delete: default)");
    case Kind::kRestored:
      return log_.Warn(dial.env + ": Consul went back to an older " + revision + " of " + dial.key +
                       " and confirms it (restored or rebuilt); it is taken");
    case Kind::kKeptRefused:
      return log_.Warn(dial.env + ": the last-known-good value does not pass today's guard" + reason);
  }
  std::unreachable();
}

std::string Journal::Shown(std::size_t dial, const std::string& value) const {
  constexpr std::size_t kMaxLoggedValue = 80;  // one line per change is for reading
  if (config_.dials[dial].secret) return "•••";
  return value.size() <= kMaxLoggedValue ? value : std::to_string(value.size()) + " bytes";
}

}  // namespace envdial::sidecar
