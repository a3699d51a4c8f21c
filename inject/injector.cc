// SPDX-License-Identifier: Apache-2.0
#include "inject/injector.h"

#include <utility>

namespace envdial::inject {

Injector::Injector(base::FileSystem& files, ControlServer& control, InjectorOptions options)
    : dials_(std::move(options.dials)),
      env_file_(files, std::move(options.run_dir) + "/env", options.rights),
      control_(control),
      signal_(std::move(options.signal)),
      told_version_(options.known_version) {}

std::vector<std::string_view> Injector::channels() const {
  std::vector<std::string_view> names{kChannelEnvFile, kChannelControl};
  if (signal_) names.push_back(kChannelSignal);
  return names;
}

std::vector<Delivery> Injector::Deliver(const base::Snapshot& snapshot, const base::Result<void>& run_dir) {
  std::vector<Delivery> deliveries;
  base::Result<bool> written = WriteEnvFile(snapshot, run_dir);
  Delivery& env_file = deliveries.emplace_back(Delivery{kChannelEnvFile, {}});
  if (!written) env_file.result = std::unexpected(std::move(written.error()));
  if (std::exchange(control_version_, snapshot.version) != snapshot.version) control_.Publish(&snapshot);
  // Who is connected is served all the same, but without the socket in the run directory nobody else finds the way.
  deliveries.push_back({kChannelControl, run_dir});
  // Told before the file is there, the app would read the old one and never look again.
  if (written) {
    // The process before us was killed after it kept the values, and before it delivered them.
    signal_owed_ |= !std::exchange(wrote_, true) && env_file_.found_other();
    if (auto told = DeliverSignal(snapshot.version)) deliveries.push_back(std::move(*told));
  }
  return deliveries;
}

base::Result<bool> Injector::WriteEnvFile(const base::Snapshot& snapshot, const base::Result<void>& run_dir) {
  if (!run_dir) return std::unexpected(run_dir.error());
  return env_file_.Write(FormatEnvFile(dials_, snapshot));
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
