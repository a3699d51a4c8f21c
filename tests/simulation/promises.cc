// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/promises.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "tests/simulation/disk.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kChannelNames[] = {"env file", "snapshot file", "control channel"};

constexpr std::uint64_t kLooksBetweenRefreshes = 32;

std::string Number(std::uint64_t number) { return std::to_string(number); }

}  // namespace

const std::array<DialSpec, kDials> kSpecs = {
    DialSpec{.env = "LIMIT",
             .key = "hunt/limit",
             .default_value = "0",
             .good = [](std::uint64_t n) { return Number(n); },
             .bad = [](std::uint64_t n) { return n % 2 == 0 ? "-" + Number(n) : Number(n) + "x"; }},
    DialSpec{.env = "NAME",
             .key = "hunt/name",
             .default_value = "nobody",
             .good = [](std::uint64_t n) { return "v" + Number(n); },
             .bad = [](std::uint64_t n) { return n % 2 == 0 ? "it's " + Number(n) : std::string(); }},
    DialSpec{.env = "SOLO",
             .key = "solo/key",
             .default_value = "0",
             .default_when_deleted = true,
             .good = [](std::uint64_t n) { return Number(n); },
             .bad = [](std::uint64_t n) { return "-" + Number(n); }},
    DialSpec{.env = "WAIT",
             .key = "solo/wait",
             .default_value = "1s",
             .stale_value = "7s",
             .good = [](std::uint64_t n) { return Number(n) + "ms"; },
             .bad = [](std::uint64_t n) { return Number(n); }},
};

namespace {

// The guard's word, told by the look of the values that are written here.
bool Passes(std::size_t dial, const std::string& value) {
  const auto digits = [](std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (dial == 1) return value.starts_with("v");
  if (dial == 3) return value.ends_with("ms") && digits(std::string_view(value).substr(0, value.size() - 2));
  return digits(value);
}

}  // namespace

Promises::Promises(const Cluster& cluster, const Network& network, const Sidecar& sidecar)
    : cluster_(cluster), network_(network), sidecar_(sidecar) {}

Promises::~Promises() { ForgetFiles(); }

void Promises::Break(std::string what) {
  const std::chrono::duration<double> at = World::Get().now().mono - kBeginning.mono;
  broken_.push_back("at " + std::to_string(at.count()) + " s: " + std::move(what));
}

void Promises::ForgetOrder(const std::optional<fallback::Kept>& safe) {
  Check();  // what the last step brought is of before
  for (std::size_t dial = 0; dial < kDials; ++dial) {
    const fallback::KeptKey* kept = nullptr;
    if (safe) {
      const auto found = std::ranges::find(safe->keys, kSpecs[dial].key, &fallback::KeptKey::key);
      if (found != safe->keys.end()) kept = &*found;
    }
    const auto& changes = cluster_.ChangesOf(std::string(kSpecs[dial].key));
    std::size_t first = 0;  // that may be shown
    if (kept != nullptr && (kept->value || kept->deletion_confirmed)) {
      const auto change = std::ranges::find(changes, kept->value, &Cluster::Change::value);
      if (change != changes.end()) first = static_cast<std::size_t>(change - changes.begin());
    }
    for (Track& track : tracks_) track.change[dial] = std::min(track.change[dial], first);
    had_value_[dial] = had_value_[dial] && kept != nullptr && kept->value.has_value();
  }
}

void Promises::ForgetFiles() {
  if (mapped_ != nullptr) envdial_close(std::exchange(mapped_, nullptr));
  env_text_.reset();
  mapped_version_ = 0;
  files_gone_ = true;
}

void Promises::ForgetVersions(const std::optional<fallback::Kept>& safe) {
  if (!files_gone_) return;
  const std::uint64_t newest = safe ? safe->version : 0;
  for (Track& track : tracks_) track.version = std::min(track.version, newest);
  versions_.erase(versions_.upper_bound(newest), versions_.end());
}

std::optional<Promises::Values> Promises::ReadEnvFile() {
  const std::string* text = Disks::Get().ContentAt(sidecar_.env_file());
  if (text == nullptr || (env_text_ && *text == *env_text_)) return std::nullopt;
  env_text_ = *text;
  Values values;
  std::size_t at = 0;
  while (at < text->size()) {
    const std::size_t end = text->find('\n', at);
    const std::size_t mark = text->find("='", at);
    if (end == std::string::npos || mark > end || (*text)[end - 1] != '\'') {
      Break("the env file is torn: " + *text);
      return std::nullopt;
    }
    values[text->substr(at, mark - at)] = text->substr(mark + 2, end - mark - 3);
    at = end + 1;
  }
  return values;
}

std::optional<Shown> Promises::ReadMapped() {
  if (mapped_ == nullptr) {
    if (envdial_open(&mapped_, sidecar_.run_dir().c_str()) != 0) return std::nullopt;
    for (std::size_t i = 0; i < kDials; ++i) {
      handles_[i] = envdial_find(mapped_, std::string(kSpecs[i].env).c_str());
    }
  }
  // Its clock is the real one, by which the made-up heartbeat is none: envdial_version() would look for a new file each
  // time.
  if (++looks_ % kLooksBetweenRefreshes == 0 || ENVDIAL_LOAD(mapped_->file->superseded) != 0) envdial_refresh(mapped_);
  Shown shown{.version = ENVDIAL_LOAD(mapped_->file->current) >> 1, .values = {}};
  if (shown.version == mapped_version_) return std::nullopt;
  mapped_version_ = shown.version;
  files_gone_ = false;
  for (std::size_t i = 0; i < kDials; ++i) {
    std::array<char, 64> text{};
    if (envdial_text(handles_[i], text.data(), text.size()) < 0) {
      Break("the snapshot file can't be read");
    }
    shown.values[std::string(kSpecs[i].env)] = text.data();
  }
  return shown;
}

void Promises::Check() {
  if (const auto values = ReadEnvFile()) Look(kEnvFile, 0, *values);
  if (const auto shown = ReadMapped()) Look(kMapped, shown->version, shown->values);
  const Clients& clients = Clients::Get();
  if (clients.queued()) Break("the control channel queues what its reader did not take");
  if (std::exchange(told_, clients.told()) == clients.told() || !clients.shown()) return;
  if (clients.shown()->version > 0) Look(kStream, clients.shown()->version, clients.shown()->values);
}

void Promises::Look(Channel channel, std::uint64_t version, Values values) {
  Track& track = tracks_[channel];
  const std::string name(kChannelNames[channel]);
  if (values.size() != kDials) return Break(name + " shows " + std::to_string(values.size()) + " dials");
  if (channel != kEnvFile) {
    if (version < track.version) {
      Break(name + ": version " + std::to_string(version) + " after " + std::to_string(track.version));
    }
    track.version = version;
    const auto [known, added] = versions_.emplace(version, values);
    if (!added && known->second != values) Break(name + ": version " + std::to_string(version) + " is not what it was");
  }
  for (std::size_t dial = 0; dial < kDials; ++dial) {
    const std::string env(kSpecs[dial].env);
    const auto before = track.values.find(env);
    if (before == track.values.end() || before->second != values[env]) LookAt(channel, dial, values[env]);
  }
  track.values = std::move(values);
}

void Promises::LookAt(Channel channel, std::size_t dial, const std::string& value) {
  const DialSpec& spec = kSpecs[dial];
  const auto& changes = cluster_.ChangesOf(std::string(spec.key));
  std::size_t& from = tracks_[channel].change[dial];
  if (Passes(dial, value) && value != spec.default_value) {
    const auto found = std::find_if(changes.begin() + static_cast<std::ptrdiff_t>(from), changes.end(),
                                    [&](const Cluster::Change& change) { return change.value == value; });
    if (found != changes.end()) {
      from = static_cast<std::size_t>(found - changes.begin());
      had_value_[dial] = true;
      return;
    }
    const bool ever = std::ranges::find(changes, value, &Cluster::Change::value) != changes.end();
    return Break(std::string(kChannelNames[channel]) + ": " + std::string(spec.env) + " is " + value +
                 (ever ? ", which is older than what it was" : ", which nobody ever wrote"));
  }
  if (value == spec.default_value && MayBeDefault(channel, dial)) return;
  if (!spec.stale_value.empty() && value == spec.stale_value && MayBeStale(dial)) return;
  Break(std::string(kChannelNames[channel]) + ": " + std::string(spec.env) + " is " + value +
        ", which it may not be now");
}

bool Promises::MayBeDefault(Channel channel, std::size_t dial) {
  if (!had_value_[dial]) return true;
  if (!kSpecs[dial].default_when_deleted) return false;
  const auto& changes = cluster_.ChangesOf(std::string(kSpecs[dial].key));
  std::size_t& from = tracks_[channel].change[dial];
  for (std::size_t i = from; i < changes.size(); ++i) {
    if (changes[i].value) continue;
    from = i;
    return true;
  }
  return false;
}

bool Promises::MayBeStale(std::size_t dial) const {
  const base::MonoTime now = World::Get().now().mono;
  // How old a value from the disk is, is known to a minute, and only if no clock was stepped.
  if (now - sidecar_.started() < 21s) return true;
  // What came just now may still have to be confirmed.
  return !network_.HadContact(std::string(kSpecs[dial].key), now - 19'900ms, now - 5s);
}

void Promises::RequireStale() {
  for (std::size_t dial = 0; dial < kDials; ++dial) {
    const std::string stale(kSpecs[dial].stale_value);
    if (stale.empty()) continue;
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      const std::string& shown = tracks_[channel].values[std::string(kSpecs[dial].env)];
      if (shown == stale) continue;
      Break(std::string(kChannelNames[channel]) + ": " + std::string(kSpecs[dial].env) + " is " + shown +
            ", and should be stale");
    }
  }
}

std::optional<std::string> Promises::Expected(std::size_t dial) const {
  const DialSpec& spec = kSpecs[dial];
  const auto found = cluster_.newest().keys.find(std::string(spec.key));
  if (found == cluster_.newest().keys.end()) {
    return spec.default_when_deleted ? std::optional(std::string(spec.default_value)) : std::nullopt;
  }
  return Passes(dial, found->second.value) ? std::optional(found->second.value) : std::nullopt;
}

std::string Promises::Difference() {
  std::string text;
  for (std::size_t dial = 0; dial < kDials; ++dial) {
    const std::string env(kSpecs[dial].env);
    text += " " + env + " should be " + Expected(dial).value_or("(any)") + ", is";
    for (Track& track : tracks_) text += " " + track.values[env];
    text += ";";
  }
  return text;
}

bool Promises::Converged(std::size_t dial) {
  const auto expected = Expected(dial);
  const std::string env(kSpecs[dial].env);
  return std::ranges::all_of(tracks_, [&](Track& track) {
    const auto shown = track.values.find(env);
    return shown != track.values.end() && (!expected || shown->second == *expected) &&
           shown->second == tracks_[kMapped].values[env];
  });
}

bool Promises::Converged() {
  for (std::size_t dial = 0; dial < kDials; ++dial) {
    if (!Converged(dial)) return false;
  }
  return tracks_[kStream].version == tracks_[kMapped].version;
}

}  // namespace envdial::simulation
