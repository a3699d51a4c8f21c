// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/file_system.h"
#include "base/snapshot.h"
#include "inject/control_server.h"
#include "inject/injector.h"
#include "sidecar/log.h"
#include "sidecar/run_directory.h"
#include "sidecar/view.h"

namespace envdial::sidecar {

// What the channels need of the rest, all of it borrowed.
struct ChannelsContext {
  base::EventLoop& loop;
  base::FileSystem& files;
  inject::ControlServer& control;
  Log& log;
};

struct ChannelsOptions {
  inject::InjectorOptions injector;
  base::FileRights socket_rights;
  bool serve = true;  // false: without a control socket, for a single publication
};

// Brings each snapshot to every channel, tries again every second what failed, and as often puts back what somebody
// removed: the run directory and all that is in it. Keeps count, and tells the log.
class Channels {
 public:
  Channels(const ChannelsContext& context, RunDirectory directory, ChannelsOptions options);
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;

  // Begins to serve the control socket. The control server must show a snapshot already.
  base::Result<void> Listen();
  // Delivers `snapshot`, borrowed until the next one. It rests on an answer or failure of the source at `cause`.
  void Deliver(const base::Snapshot& snapshot, base::MonoTime cause, base::Now now);

  // Says in the run directory how fresh the values are; said again every second.
  void NoteFreshness(const inject::Freshness& freshness, base::Now now);

  const std::vector<ChannelRecord>& records() const { return records_; }
  bool failing() const;

 private:
  bool intact() const;
  void Tend(base::Now now);
  void Restore();
  void DeliverAgain(base::Now now);
  void Note(const inject::Delivery& delivery, base::Now now);
  void NoteFailed(ChannelRecord& record, const std::string& message);

  Log& log_;
  inject::ControlServer& control_;
  RunDirectory directory_;
  std::string socket_;
  base::FileRights socket_rights_;
  bool serve_;
  std::optional<base::FileIdentity> bound_;  // the socket, once it was there
  inject::Places places_;
  inject::Injector injector_;
  std::vector<ChannelRecord> records_;
  const base::Snapshot* snapshot_ = nullptr;  // the newest one that was published
  base::MonoTime cause_{};
  inject::Freshness freshness_;
  base::Timer tend_;
};

}  // namespace envdial::sidecar
