// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "inject/control_server.h"
#include "inject/env_file.h"
#include "inject/signal_channel.h"
#include "inject/snapshot_file.h"

namespace envdial::inject {

// How one channel took one snapshot.
struct Delivery {
  std::string_view channel;  // env_file, …: the label of envdial_deliveries_total
  base::Result<void> result;
};

inline constexpr std::string_view kChannelEnvFile = "env_file";
inline constexpr std::string_view kChannelSnapshotFile = "snapshot_file";
inline constexpr std::string_view kChannelControl = "control";
inline constexpr std::string_view kChannelSignal = "signal";

struct InjectorOptions {
  std::string run_dir;
  base::FileRights rights;  // of the files in the run directory
  std::vector<base::DialInfo> dials;
  std::optional<SignalChannel> signal;
  std::uint64_t known_version = 0;  // that the app may have from a process before this one; 0: it has none
};

// Whether what the channels need can be used, or why not.
struct Places {
  base::Result<void> run_dir;
  base::Result<void> socket;  // by which new clients reach the control channel
};

// All the channels by which a snapshot reaches the app. It is handed over whole; each channel succeeds or fails on its
// own, but the app is told by a signal only when everything else shows the new version.
class Injector {
 public:
  // `files` and `control` are borrowed.
  Injector(base::FileSystem& files, ControlServer& control, InjectorOptions options);

  // In the order in which they are served.
  std::vector<std::string_view> channels() const;

  // Delivers a published snapshot to every channel. Calling it again is how a delivery is retried, and how what
  // somebody removed is put back; a channel that shows this snapshot already does nothing. Where the run
  // directory can't be used nothing is written there, and that is its channels' failure. The signal is among the
  // deliveries only if there was something to tell.
  std::vector<Delivery> Deliver(const base::Snapshot& snapshot, const Places& places);
  // Tells those who map the snapshot file that the sidecar lives and how fresh its values are. `snapshot` is the
  // newest that was delivered, and may have changed but for its values.
  void Beat(const base::Snapshot& snapshot, const Freshness& freshness, base::MonoTime now);
  // Whether what was delivered to the run directory still stands there.
  bool intact() const { return env_file_.intact() && snapshot_file_.intact(); }

 private:
  base::Result<bool> WriteEnvFile(const base::Snapshot& snapshot, const base::Result<void>& run_dir);
  base::Result<void> WriteSnapshotFile(const base::Snapshot& snapshot, const base::Result<void>& run_dir);
  std::optional<Delivery> DeliverSignal(std::uint64_t version);

  std::vector<base::DialInfo> dials_;
  EnvFile env_file_;
  SnapshotFile snapshot_file_;
  ControlServer& control_;
  bool wrote_ = false;               // the env file, once
  bool snapshot_file_late_ = false;  // the newest version stands in the other channels only
  std::uint64_t control_version_ = 0;
  std::optional<SignalChannel> signal_;
  std::uint64_t told_version_;  // by a signal, or because the app found it when it started
  bool signal_owed_ = false;    // although `told_version_` is the newest
};

}  // namespace envdial::inject
