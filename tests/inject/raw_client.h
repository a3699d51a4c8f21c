// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace envdial::inject {

struct RawAnswer {
  int status = 0;
  std::string headers;  // with the status line
  std::string body;

  // The value of a header, or "".
  std::string Header(std::string_view name) const;
};

// One connection of a client that may behave badly, in the loop of the test.
class RawClient {
 public:
  static std::unique_ptr<RawClient> ToPath(base::EventLoop& loop, const std::string& path);
  static std::unique_ptr<RawClient> ToPort(base::EventLoop& loop, std::uint16_t port);

  RawClient(base::EventLoop& loop, base::UniqueFd fd);

  void Send(std::string_view bytes);
  // "GET target", kept alive.
  void Ask(std::string_view target) { Ask("GET", target); }
  void Ask(std::string_view method, std::string_view target);
  // Sends no more, and still reads.
  void EndSending();
  // Takes nothing until ReadAgain(); does not see the server's end meanwhile.
  void StopReading() { watcher_.reset(); }
  void ReadAgain();

  // The next answer, once all of it is there. To a HEAD request there is no body.
  std::optional<RawAnswer> Take(bool with_body = true);
  // What was received up to and with the next `end`, once that is there.
  std::optional<std::string> TakeUntil(std::string_view end);
  bool closed() const { return closed_; }
  const std::string& received() const { return received_; }

 private:
  void Read();

  base::EventLoop& loop_;
  base::UniqueFd fd_;
  std::string received_;
  bool closed_ = false;
  std::unique_ptr<base::FdWatcher> watcher_;
};

}  // namespace envdial::inject
