// SPDX-License-Identifier: Apache-2.0
#include "sidecar/status.h"

#include <nlohmann/json.hpp>

namespace envdial::sidecar {
namespace {

using Json = nlohmann::ordered_json;

Json Time(const std::optional<base::WallTime>& time) { return time ? Json(base::FormatRfc3339(*time)) : Json(nullptr); }

Json LastError(const std::optional<consul::WatchStatus::LastError>& error) {
  if (!error) return nullptr;
  return {{"reason", ToString(error->reason)},
          {"message", error->message},
          {"time", base::FormatRfc3339(error->time)},
          {"since", base::FormatRfc3339(error->since)}};
}

Json LastOddity(const std::optional<consul::WatchStatus::Oddity>& oddity) {
  if (!oddity) return nullptr;
  return {{"message", oddity->message},
          {"time", base::FormatRfc3339(oddity->time)},
          {"since", base::FormatRfc3339(oddity->since)},
          {"count", oddity->count}};
}

Json Polls(const consul::WatchStatus& watch) {
  Json polls = {{"changed", watch.polls_changed}, {"unchanged", watch.polls_unchanged}};
  for (std::size_t i = 0; i < consul::kReasonCount; ++i) {
    polls[std::string(ToString(static_cast<consul::Reason>(i)))] = watch.polls_failed[i];
  }
  return polls;
}

Json Group(const GroupView& view) {
  const consul::WatchStatus& watch = *view.watch;
  return {{"group", view.group->name},
          {"source", {{"kind", "consul"}, {"address", watch.address}}},
          {"connected", watch.connected},
          {"last_contact", Time(view.last_contact)},
          {"last_error", LastError(watch.last_error)},
          {"last_oddity", LastOddity(watch.last_oddity)},
          {"failures_in_a_row", watch.failures_in_a_row},
          {"polls", Polls(watch)},
          {"mass_deletion_held", watch.mass_deletion_standing},
          {"mass_deletion_since", Time(watch.mass_deletion_since)},
          {"undeclared", {{"total", watch.undeclared_total}, {"keys", watch.undeclared}}}};
}

Json Channel(const ChannelRecord& channel) {
  return {{"channel", channel.name},
          {"version", channel.version},
          {"delivered", Time(channel.delivered)},
          {"failures", channel.failures},
          {"error", channel.error ? Json(*channel.error) : Json(nullptr)}};
}

Json Store(const StoreStatus& store) {
  return {{"directory", store.directory},
          {"saved", Time(store.saved)},
          {"synced", Time(store.synced)},
          {"failures", store.save_failures},
          {"error", store.error ? Json(*store.error) : Json(nullptr)}};
}

Json Consumer(const inject::Consumer& consumer) {
  return {{"consumer", consumer.name}, {"version", consumer.version}, {"time", base::FormatRfc3339(consumer.time)}};
}

}  // namespace

std::string StatusJson(const View& view) {
  const base::Snapshot& snapshot = view.ledger.snapshot();
  Json groups = Json::array();
  for (const GroupView& group : view.groups) groups.push_back(Group(group));
  Json channels = Json::array();
  for (const ChannelRecord& channel : view.channels) channels.push_back(Channel(channel));
  Json consumers = Json::array();
  for (const inject::Consumer& consumer : view.consumers) consumers.push_back(Consumer(consumer));
  Json stale = Json::array();
  Json absent = Json::array();
  Json secret = Json::array();
  for (std::size_t i = 0; i < view.config.dials.size(); ++i) {
    if (view.ledger.stale(i)) stale.push_back(view.config.dials[i].env);
    if (view.ledger.absent(i)) absent.push_back(view.config.dials[i].env);
    if (view.config.dials[i].secret) secret.push_back(view.config.dials[i].env);
  }
  const Json status = {{"state", base::ToString(snapshot.state)},
                       {"version", snapshot.version},
                       {"instance", view.instance},
                       {"envdial", ENVDIAL_VERSION},
                       {"started", base::FormatRfc3339(view.started)},
                       {"groups", std::move(groups)},
                       {"stale_dials", std::move(stale)},
                       {"absent_dials", std::move(absent)},
                       {"secret_dials", std::move(secret)},
                       {"channels", std::move(channels)},
                       {"store", Store(view.store)},
                       {"credential_troubles", view.credential_troubles},
                       {"clients", view.control_clients},
                       {"consumers", std::move(consumers)}};
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace envdial::sidecar
