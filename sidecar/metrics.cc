// SPDX-License-Identifier: Apache-2.0
#include "sidecar/metrics.h"

#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <utility>

#include "guard/guard.h"
#include "sidecar/process_metrics.h"

namespace envdial::sidecar {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Collects families; each Add… begins one, each Sample adds a series to the newest.
class Page {
 public:
  void Gauge(const char* name, const char* help) { families_.push_back({name, help, MetricType::Gauge, {}}); }
  void Counter(const char* name, const char* help) { families_.push_back({name, help, MetricType::Counter, {}}); }

  void Sample(double value, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    metric.counter.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void Sample(std::uint64_t value, Labels labels = {}) { Sample(static_cast<double>(value), std::move(labels)); }
  void Sample(bool value, Labels labels = {}) { Sample(value ? 1.0 : 0.0, std::move(labels)); }

  std::vector<MetricFamily>& families() { return families_; }

 private:
  std::vector<MetricFamily> families_;
};

double Timestamp(const std::optional<base::WallTime>& time) { return time ? base::ToUnixSeconds(*time) : 0; }

void AddProcessState(Page& page, const View& view) {
  page.Gauge("envdial_build_info", "1, with the version as a label");
  page.Sample(1.0, {{"version", ENVDIAL_VERSION}});
  page.Gauge("envdial_state", "1 for the present state: not_ready, stale or ready");
  for (const auto state : {base::State::kNotReady, base::State::kStale, base::State::kReady}) {
    page.Sample(view.ledger.snapshot().state == state, {{"state", std::string(base::ToString(state))}});
  }
}

void AddSource(Page& page, const View& view) {
  page.Gauge("envdial_source_connected", "1 while the newest poll of the group was answered");
  for (const auto& [group, watch, contact] : view.groups) page.Sample(watch->connected, {{"group", group->name}});
  page.Gauge("envdial_source_last_success_timestamp_seconds",
             "When the group's values were last known to be the source's, also by a process before this one; 0: never");
  for (const auto& [group, watch, contact] : view.groups) {
    page.Sample(Timestamp(contact), {{"group", group->name}, {"source", "consul"}});
  }
  page.Counter("envdial_consul_polls_total",
               "Answers that were changed or unchanged, and polls that failed, by reason");
  for (const auto& [group, watch, contact] : view.groups) {
    page.Sample(watch->polls_changed, {{"group", group->name}, {"result", "changed"}});
    page.Sample(watch->polls_unchanged, {{"group", group->name}, {"result", "unchanged"}});
    for (std::size_t i = 0; i < consul::kReasonCount; ++i) {
      page.Sample(watch->polls_failed[i],
                  {{"group", group->name}, {"result", std::string(ToString(static_cast<consul::Reason>(i)))}});
    }
  }
  page.Counter("envdial_consul_index_resets_total",
               "Indexes that went backwards or to zero, and restored values taken");
  for (const auto& [group, watch, contact] : view.groups) {
    for (std::size_t i = 0; i < consul::kIndexResetCount; ++i) {
      page.Sample(watch->index_resets[i],
                  {{"group", group->name}, {"reason", std::string(ToString(static_cast<consul::IndexReset>(i)))}});
    }
  }
  page.Counter("envdial_consul_answers_refuted_total",
               "Answers that were not used, because a consistent read of a key said otherwise");
  for (const auto& [group, watch, contact] : view.groups) {
    page.Sample(watch->answers_refuted, {{"group", group->name}});
  }
  page.Counter("envdial_mass_deletions_held_total",
               "Times that all values of a group were gone at once, and were held");
  for (const auto& [group, watch, contact] : view.groups) {
    page.Sample(watch->mass_deletions_held, {{"group", group->name}});
  }
}

void AddDialValues(Page& page, const View& view) {
  const base::Snapshot& snapshot = view.ledger.snapshot();
  const auto& dials = view.config.dials;
  page.Gauge("envdial_snapshot_version", "Version of the snapshot in force; 0: nothing was published yet");
  page.Sample(snapshot.version);
  page.Gauge("envdial_snapshot_published_timestamp_seconds", "When that version was published by this process");
  page.Sample(snapshot.version > 0 ? base::ToUnixSeconds(snapshot.published) : 0.0);
  page.Gauge("envdial_dial_value", "The value in force of a numeric dial: a bool is 0 or 1, a duration seconds");
  for (std::size_t i = 0; i < dials.size(); ++i) {
    if (!guard::IsNumeric(dials[i].type) || dials[i].secret) continue;
    const auto& value = snapshot.dials[i].value;
    page.Sample(value ? guard::ToNumber(dials[i].type, *value) : std::numeric_limits<double>::quiet_NaN(),
                {{"dial", dials[i].env}});
  }
  page.Gauge("envdial_dial_origin", "1 for where the value in force came from");
  for (std::size_t i = 0; i < dials.size(); ++i) {
    for (const auto origin :
         {base::kOriginConsul, base::kOriginLastKnownGood, base::kOriginDefault, base::kOriginStale}) {
      page.Sample(snapshot.dials[i].origin == origin, {{"dial", dials[i].env}, {"origin", std::string(origin)}});
    }
  }
  page.Gauge("envdial_dial_last_change_timestamp_seconds",
             "When the value in force last changed; 0: there is none yet");
  for (std::size_t i = 0; i < dials.size(); ++i) {
    page.Sample(snapshot.version > 0 ? base::ToUnixSeconds(snapshot.dials[i].changed) : 0.0, {{"dial", dials[i].env}});
  }
}

void AddDialRules(Page& page, const View& view) {
  const auto& dials = view.config.dials;
  page.Gauge("envdial_dial_stale_after_seconds", "Without contact for that long the dial is stale");
  for (const guard::Dial& dial : dials) {
    page.Sample(std::chrono::duration<double>(dial.stale_after).count(), {{"dial", dial.env}});
  }
  page.Gauge("envdial_dial_rejected", "1 while the newest revision stands refused");
  for (std::size_t i = 0; i < dials.size(); ++i) {
    const auto& rejected = view.ledger.snapshot().dials[i].rejected;
    page.Sample(rejected && rejected->reason != "clamped", {{"dial", dials[i].env}});
  }
  page.Counter("envdial_dial_rejections_total", "Revisions that the guard refused or clamped, by reason");
  for (std::size_t i = 0; i < dials.size(); ++i) {
    for (std::size_t reason = 0; reason < std::size(guard::kReasons); ++reason) {
      page.Sample(view.ledger.rejections(i, reason),
                  {{"dial", dials[i].env}, {"reason", std::string(guard::kReasons[reason])}});
    }
  }
}

void AddChannels(Page& page, const View& view) {
  page.Counter("envdial_deliveries_total", "Versions delivered");
  for (const ChannelRecord& channel : view.channels)
    page.Sample(channel.deliveries, {{"channel", std::string(channel.name)}});
  page.Counter("envdial_delivery_failures_total", "Deliveries that failed; each is tried again every second");
  for (const ChannelRecord& channel : view.channels)
    page.Sample(channel.failures, {{"channel", std::string(channel.name)}});
  page.families().push_back(
      {"envdial_delivery_duration_seconds", "From the source's answer to delivered", MetricType::Histogram, {}});
  for (const ChannelRecord& channel : view.channels) {
    ClientMetric metric;
    metric.label = {{"channel", std::string(channel.name)}};
    metric.histogram.sample_sum = channel.duration_sum;
    for (std::size_t i = 0; i < channel.durations.size(); ++i) {
      metric.histogram.sample_count += channel.durations[i];
      metric.histogram.bucket.push_back({metric.histogram.sample_count, i < kDurationBounds.size()
                                                                            ? kDurationBounds[i]
                                                                            : std::numeric_limits<double>::infinity()});
    }
    page.families().back().metric.push_back(std::move(metric));
  }
  page.Gauge("envdial_credential_files_failing", "Token and TLS files that can't be used as they are now");
  page.Sample(static_cast<std::uint64_t>(view.credential_troubles.size()));
  page.Counter("envdial_fallback_save_failures_total", "Saves or syncs of the last-known-good store that failed");
  page.Sample(view.store.save_failures);
  page.Counter("envdial_fallback_recoveries_total", "Starts by what the store held: slot (values) or none");
  const bool slot = view.store.recovered_from == fallback::Recovery::From::kSlot;
  page.Sample(slot, {{"from", "slot"}});
  page.Sample(!slot, {{"from", "none"}});
  page.Gauge("envdial_control_clients", "Long polls and streams of the control channel that wait for a change");
  page.Sample(static_cast<std::uint64_t>(view.control_clients));
  page.Counter("envdial_control_updates_coalesced_total",
               "Snapshots that a stream was not given, because its reader was slow and there was a newer one");
  page.Sample(view.updates_coalesced);
  page.Gauge("envdial_consumer_applied_version", "The version that a consumer said it runs with");
  for (const inject::Consumer& consumer : view.consumers) page.Sample(consumer.version, {{"consumer", consumer.name}});
}

}  // namespace

std::string MetricsText(const View& view) {
  Page page;
  AddProcessState(page, view);
  AddSource(page, view);
  AddDialValues(page, view);
  AddDialRules(page, view);
  AddChannels(page, view);
  const ProcessMetrics process = ReadProcessMetrics(view.started);
  page.Counter("process_cpu_seconds_total", "User and system processor time");
  page.Sample(process.cpu_seconds);
  page.Gauge("process_resident_memory_bytes", "Resident memory");
  page.Sample(process.resident_bytes);
  page.Gauge("process_virtual_memory_bytes", "Virtual memory");
  page.Sample(process.virtual_bytes);
  page.Gauge("process_open_fds", "Open file descriptors");
  page.Sample(process.open_fds);
  page.Gauge("process_max_fds", "Soft limit of open file descriptors");
  page.Sample(process.max_fds);
  page.Gauge("process_start_time_seconds", "When the process was started");
  page.Sample(process.start_time_seconds);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, page.families());
  return std::move(out).str();
}

}  // namespace envdial::sidecar
