// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"

namespace envdial::base {

// Resolves host names by c-ares in the loop: the hosts file first, then the name servers of resolv.conf. A dead name
// server holds up nothing but the names asked of it. An answer is kept until Forget().
class AsyncDns {
 public:
  // IPv4 and IPv6 addresses as text, in the order of the answer; at least one, at most 16.
  using Addresses = std::vector<std::string>;
  using Callback = std::function<void(Result<Addresses>, Now)>;

  // A question under way. Destroying it drops the callback, not the question: a late answer is kept for the next one
  // who asks, so that a name server slower than its askers' patience is of use all the same.
  class Lookup {
   public:
    virtual ~Lookup() = default;
  };

  // `name_servers`, if any, stand in for those of resolv.conf: "127.0.0.1:53", "[::1]:53".
  static std::unique_ptr<AsyncDns> Create(EventLoop& loop, std::vector<std::string> name_servers = {});
  virtual ~AsyncDns() = default;

  // Calls back from the loop, never from within: with at least one address, or kNotFound (no such name), kTimeout
  // (no name server answered) or kUnavailable.
  [[nodiscard]] virtual std::unique_ptr<Lookup> Resolve(const std::string& host, Callback on_done) = 0;
  // Drops the kept answer for `host`, so that the next question is asked anew.
  virtual void Forget(const std::string& host) = 0;
};

}  // namespace envdial::base
