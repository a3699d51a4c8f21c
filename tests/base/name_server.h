// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace envdial::base {

// A name server over UDP in the test's own loop.
class NameServer {
 public:
  explicit NameServer(EventLoop& loop);

  // "127.0.0.1:PORT"
  std::string address() const;
  // What it knows: IPv4 and IPv6 addresses as text. It denies that other names exist.
  std::map<std::string, std::vector<std::string>> names;
  // Says nothing at all, as one that is dead.
  bool silent = false;
  // Answers that much later.
  std::chrono::milliseconds delay{0};

  int questions() const { return questions_; }

 private:
  struct Reply {
    std::string bytes;
    sockaddr_in to;
  };
  void Read();
  std::string Answer(const std::string& question) const;
  void SendAll();

  UniqueFd fd_;
  int questions_ = 0;
  std::deque<Reply> replies_;
  FdWatcher watcher_;
  Timer send_;
};

}  // namespace envdial::base
