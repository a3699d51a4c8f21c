// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/snapshot.h"
#include "inject/env_file.h"

namespace envdial::inject {

// How one channel took one snapshot.
struct Delivery {
  std::string_view channel;  // env_file, …: the label of envdial_deliveries_total
  base::Result<void> result;
  bool changed = false;  // false: the channel already showed exactly this
};

inline constexpr std::string_view kChannelEnvFile = "env_file";
inline constexpr std::string_view kChannelControl = "control";

// The channels that are files in the run directory. A snapshot is handed over whole; each channel succeeds or fails on
// its own. (The control channel is a server and has its own entry header, control_server.h.)
class Injector {
 public:
  // `files` is borrowed.
  Injector(base::FileSystem& files, std::string run_dir, base::FileRights rights, std::vector<base::DialInfo> dials);

  // Delivers a published snapshot to every channel. Calling it again after a failure is how a delivery is retried.
  std::vector<Delivery> Deliver(const base::Snapshot& snapshot);

 private:
  std::vector<base::DialInfo> dials_;
  EnvFile env_file_;
};

}  // namespace envdial::inject
