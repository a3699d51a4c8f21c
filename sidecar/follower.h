// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "sidecar/values.h"

namespace envdial::sidecar {

// What a follower tells of a sidecar.
class FollowerListener : public ValuesListener {
 public:
  // No answer, or none that was understood; told each time. It is asked again, for ever.
  virtual void OnTrouble(const std::string& message, base::Now now) = 0;
};

// Follows the sidecar of a run directory by long polls, across its restarts. Its listener gets each version, also
// version 0 (then only those dials have a value that have one already).
class Follower {
 public:
  // All borrowed.
  Follower(base::EventLoop& loop, base::HttpClient& http, std::string run_dir, FollowerListener& listener);
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  void Start() { Ask(); }
  // Asks no more; also from within the listener.
  void Stop();

 private:
  void Ask();
  void Read(const base::HttpResult& answer, base::Now now);

  base::HttpClient& http_;
  std::string run_dir_;
  FollowerListener& listener_;
  std::optional<std::uint64_t> version_;  // the newest that was told
  std::unique_ptr<base::HttpTransfer> transfer_;
  base::Timer again_;
};

}  // namespace envdial::sidecar
