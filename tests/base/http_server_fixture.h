// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/http_server.h"
#include "base/unique_fd.h"
#include "tests/base/loop_fixture.h"

namespace envdial::base {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// A client in the test's own loop that sends what it is told to, and keeps what it receives.
class RawClient {
 public:
  // Connected when this returns.
  RawClient(EventLoop& loop, const SocketAddress& address);

  // Sends in the background, as the server takes it.
  void Send(std::string_view bytes);
  bool sent() const { return to_send_.empty(); }  // or the server is gone
  std::size_t bytes_sent() const { return bytes_sent_; }
  void EndSending();  // what `nc -N` does
  void PauseReading() { Watch(false); }
  void ResumeReading() { Watch(true); }
  // Reads at most `size` bytes, at once; returns how many there were.
  std::size_t ReadSome(std::size_t size);

  const std::string& received() const { return received_; }
  bool ended() const { return ended_; }            // the server closed, in whichever way
  bool was_reset() const { return was_reset_; }    // not in an orderly way
  std::size_t Count(std::string_view text) const;  // how often it is in what was received

 private:
  void Watch(bool reads);
  void OnReady(FdWatcher::Interest ready);

  EventLoop& loop_;
  UniqueFd fd_;
  bool reads_ = true;
  std::string to_send_;
  std::size_t bytes_sent_ = 0;
  std::string received_;
  bool ended_ = false;
  bool was_reset_ = false;
  std::unique_ptr<FdWatcher> watcher_;
};

// Keeps what it is given, and counts what it is told.
class CountingKeeper : public RequestKeeper {
 public:
  void OnGone(IncomingRequest& request) override;
  void OnDrained(IncomingRequest&, Now) override { ++drained; }

  std::vector<IncomingRequest*> kept;
  int gone = 0;
  int drained = 0;
  std::function<void()> on_gone = [] {};
};

// A server on a Unix socket (or on TCP) and what its clients see. /keep is kept by keeper_, /stream is a stream of it;
// /large has a body of kLarge bytes; /nothing is a 204; everything else is answered with "METHOD path?query body".
// At its end no descriptor is left open.
class HttpServerTest : public LoopTest {
 protected:
  static constexpr std::size_t kLarge = 1'000'000;

  ~HttpServerTest() override;

  void Serve(const HttpServerLimits& limits = {}, int family = AF_UNIX);
  std::unique_ptr<RawClient> Connect() { return std::make_unique<RawClient>(loop_, address_); }
  std::unique_ptr<RawClient> Connect(std::string_view request);  // and send
  // What comes back for `bytes` until the server closes; fails the test if it doesn't.
  std::string Exchange(std::string_view bytes);
  // Turns until the client has received `text`.
  bool Receives(const RawClient& client, std::string_view text);
  bool Ends(const RawClient& client);
  // A request that the keeper has when this returns.
  std::unique_ptr<RawClient> ConnectAndKeep(std::string_view path = "/keep");

  SocketAddress address_;
  CountingKeeper keeper_;
  int handled_ = 0;
  std::unique_ptr<HttpServer> server_;

 private:
  void Handle(IncomingRequest& request);
  static std::size_t OpenDescriptors();

  const std::size_t descriptors_before_ = OpenDescriptors();
};

inline constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

}  // namespace envdial::base
