// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/http_server.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {

// What a reader of the control channel was shown last.
struct Shown {
  std::uint64_t version = 0;
  std::map<std::string, std::string> values;
};

// The readers of /v1/watch, and the server of whatever process lives. A reader whose stream ended opens a new one.
class Clients {
 public:
  Clients();
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;
  static Clients& Get();

  std::unique_ptr<base::HttpServer> MakeServer(std::function<void(base::IncomingRequest&, base::Now)> handler);
  // The process serves: readers come.
  void Connect();
  // The process is gone, and all connections with it.
  void Disconnect();

  // Takes nothing for some time; goes away, and comes back at once.
  void Slow(const FaultPtr& fault, std::chrono::nanoseconds time);
  void Vanish(const FaultPtr& fault);
  // Every reader takes what there is.
  void Resume();

  // What the reader was shown last; none: nothing yet on this stream.
  const std::optional<Shown>& shown() const { return shown_; }
  // How many snapshots it was told of.
  std::uint64_t told() const { return told_; }
  // It was sent more while it had not taken what it was sent before.
  bool queued() const { return queued_; }

 private:
  class Server;
  class Stream;

  void Take(std::string_view events);

  Server* server_ = nullptr;  // of the process' control socket
  std::unique_ptr<Stream> stream_;
  std::optional<Shown> shown_;
  std::uint64_t told_ = 0;
  bool queued_ = false;
  std::string text_;  // of the event that is not whole yet
};

}  // namespace envdial::simulation
