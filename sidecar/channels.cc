// SPDX-License-Identifier: Apache-2.0
#include "sidecar/channels.h"

#include <algorithm>
#include <utility>

#include "sidecar/options.h"

namespace envdial::sidecar {
namespace {

constexpr std::chrono::seconds kTendEvery{1};  // the plan: what failed is tried again every second

// What a failure of a channel means to the app.
std::string Meanwhile(std::string_view channel) {
  if (channel == inject::kChannelSignal) return "the app is not told, but the new values are there to be read";
  if (channel == inject::kChannelControl) return "new clients cannot connect";
  return "the app keeps the values it had";
}

}  // namespace

Channels::Channels(const ChannelsContext& context, RunDirectory directory, ChannelsOptions options)
    : log_(context.log),
      control_(context.control),
      directory_(std::move(directory)),
      socket_(directory_.path() + "/" + kSocketName),
      socket_rights_(options.socket_rights),
      serve_(options.serve),
      injector_(context.files, context.control, std::move(options.injector)),
      tend_(context.loop, [this](base::Now now) { Tend(now); }) {
  for (const std::string_view name : injector_.channels()) records_.emplace_back().name = name;
}

base::Result<void> Channels::Listen() {
  if (!serve_) return {};
  if (auto listening = control_.ListenUnix(socket_, socket_rights_); !listening) return listening;
  bound_ = base::FileIdentity::Of(socket_);
  tend_.Start(kTendEvery);
  return {};
}

void Channels::Deliver(const base::Snapshot& snapshot, base::MonoTime cause, base::Now now) {
  snapshot_ = &snapshot;
  cause_ = cause;
  // No change waits until all of the run directory is looked at: what else was removed, Tend() puts back.
  if (failing() || !directory_.intact()) Restore();
  DeliverAgain(now);
}

void Channels::NoteFreshness(const inject::Freshness& freshness, base::Now now) {
  freshness_ = freshness;
  if (snapshot_ != nullptr) injector_.Beat(*snapshot_, freshness_, now.mono);
}

bool Channels::failing() const {
  return std::ranges::any_of(records_, [](const ChannelRecord& record) { return record.error.has_value(); });
}

bool Channels::intact() const {
  return directory_.intact() && injector_.intact() && (!serve_ || base::FileIdentity::Of(socket_) == bound_);
}

void Channels::Tend(base::Now now) {
  tend_.Start(kTendEvery);
  if (!failing()) {
    if (intact()) return NoteFreshness(freshness_, now);
    log_.Warn("something in the run directory " + directory_.path() + " was removed or changed; it is put back");
  }
  Restore();
  DeliverAgain(now);
}

void Channels::Restore() {
  places_.run_dir = places_.socket = directory_.Restore();
  if (places_.run_dir && serve_ && base::FileIdentity::Of(socket_) != bound_) places_.socket = Listen();
}

void Channels::DeliverAgain(base::Now now) {
  if (snapshot_ != nullptr) {
    for (const inject::Delivery& delivery : injector_.Deliver(*snapshot_, places_)) Note(delivery, now);
    return;
  }
  ChannelRecord& control = *std::ranges::find(records_, inject::kChannelControl, &ChannelRecord::name);
  if (!places_.socket) {
    NoteFailed(control, places_.socket.error().message);
  } else {
    control.error.reset();
  }
}

void Channels::Note(const inject::Delivery& delivery, base::Now now) {
  ChannelRecord& record = *std::ranges::find(records_, delivery.channel, &ChannelRecord::name);
  if (!delivery.result) return NoteFailed(record, delivery.result.error().message);
  if (record.version == snapshot_->version && !record.error) return;
  if (record.error) log_.Info("channel " + std::string(record.name) + ": delivers again");
  record.NoteDelivered(snapshot_->version, now, base::ReadClock().mono - cause_);
}

void Channels::NoteFailed(ChannelRecord& record, const std::string& message) {
  if (record.error != message) {
    log_.Error("channel " + std::string(record.name) + ": " + message + "; " + Meanwhile(record.name) +
               ", trying every second");
  }
  record.NoteFailed(message);
}

}  // namespace envdial::sidecar
