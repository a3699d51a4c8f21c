// SPDX-License-Identifier: Apache-2.0
#include "inject/injector.h"

#include <tuple>
#include <utility>

namespace envdial::inject {

Injector::Injector(base::FileSystem& files, ControlServer& control, InjectorOptions options)
    : dials_(std::move(options.dials)),
      env_file_(files, options.run_dir + "/env", options.rights),
      snapshot_file_(options.run_dir + "/" + std::string(kSnapshotFileName), options.rights, dials_),
      control_(control),
      signal_(std::move(options.signal)),
      told_version_(options.known_version) {}

std::vector<std::string_view> Injector::channels() const {
  std::vector<std::string_view> names{kChannelEnvFile, kChannelSnapshotFile, kChannelControl};
  if (signal_) names.push_back(kChannelSignal);
  return names;
}

std::vector<Delivery> Injector::Deliver(const base::Snapshot& snapshot, const Places& places) {
  std::vector<Delivery> deliveries;
  base::Result<bool> written = WriteEnvFile(snapshot, places.run_dir);
  Delivery& env_file = deliveries.emplace_back(Delivery{kChannelEnvFile, {}});
  if (!written) env_file.result = std::unexpected(std::move(written.error()));
  const Delivery& snapshot_file =
      deliveries.emplace_back(Delivery{kChannelSnapshotFile, WriteSnapshotFile(snapshot, places.run_dir)});
  const bool caught_up = std::exchange(snapshot_file_late_, !snapshot_file.result) && snapshot_file.result;
  if (std::exchange(control_version_, snapshot.version) != snapshot.version) control_.Publish(&snapshot);
  // Who is connected is served all the same, but without the socket in the run directory nobody else finds the way.
  deliveries.push_back({kChannelControl, places.socket});
  // Told before the file is there, the app would read the old one and never look again.
  if (written) {
    // The process before us was killed after it kept the values, and before it delivered them.
    signal_owed_ |= !std::exchange(wrote_, true) && env_file_.found_other();
    // Who was told before the snapshot file could be written looked there in vain.
    signal_owed_ |= caught_up;
    if (auto told = DeliverSignal(snapshot.version)) deliveries.push_back(std::move(*told));
    env_file_.Prepare();
  }
  return deliveries;
}

base::Result<bool> Injector::WriteEnvFile(const base::Snapshot& snapshot, const base::Result<void>& run_dir) {
  if (!run_dir) return std::unexpected(run_dir.error());
  return env_file_.Write(FormatEnvFile(dials_, snapshot));
}

base::Result<void> Injector::WriteSnapshotFile(const base::Snapshot& snapshot, const base::Result<void>& run_dir) {
  if (!run_dir) return run_dir;
  return snapshot_file_.Write(snapshot);
}

void Injector::Beat(const base::Snapshot& snapshot, const Freshness& freshness, base::MonoTime now) {
  // Where that fails, a new file was needed, and the next delivery tells of it.
  if (!snapshot_file_late_ && snapshot_file_.intact()) std::ignore = snapshot_file_.Write(snapshot);
  snapshot_file_.Beat(freshness, now);
}

std::optional<Delivery> Injector::DeliverSignal(std::uint64_t version) {
  if (!signal_ || (told_version_ == version && !signal_owed_)) return std::nullopt;
  // The first values of all: no app can run with older ones.
  if (std::exchange(told_version_, version) == 0) return std::nullopt;
  Delivery delivery{kChannelSignal, signal_->Deliver(version)};
  signal_owed_ = !delivery.result;
  return delivery;
}

}  // namespace envdial::inject
