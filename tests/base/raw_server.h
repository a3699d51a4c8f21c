// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace envdial::base {

// A server in the test's own loop that reads requests (heads only, or with a Content-Length body) and leaves the
// answering to the test, byte by byte.
class RawServer {
 public:
  class Connection {
   public:
    int number() const { return number_; }  // 1 for the first one
    int requests() const { return requests_; }
    void Send(std::string_view bytes);
    void Close();  // in an orderly way
    void Reset();  // by RST

   private:
    friend class RawServer;
    RawServer* server_ = nullptr;
    int number_ = 0;
    int requests_ = 0;
    std::string received_;
    UniqueFd fd_;
    std::unique_ptr<FdWatcher> watcher_;
  };
  using Handler = std::function<void(Connection&, const std::string& request)>;

  // On 127.0.0.1 (or ::1) and a free port.
  explicit RawServer(EventLoop& loop, Handler handler, const std::string& address = "127.0.0.1");
  // On a Unix socket.
  static std::unique_ptr<RawServer> OnPath(EventLoop& loop, Handler handler, const std::string& path);

  std::uint16_t port() const { return port_; }
  int connections() const { return accepted_; }  // ever made
  int open_connections() const { return static_cast<int>(connections_.size()); }
  // Takes no connections any more, and closes those that are open.
  void Stop();

 private:
  RawServer(EventLoop& loop, Handler handler, UniqueFd listener);
  void Accept();
  void Read(Connection& connection);

  EventLoop& loop_;
  Handler handler_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  int accepted_ = 0;
  std::map<int, Connection> connections_;
  std::unique_ptr<FdWatcher> watcher_;
};

// "HTTP/1.1 200 OK" with a Content-Length.
std::string OkAnswer(std::string_view body);

}  // namespace envdial::base
