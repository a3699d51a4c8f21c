// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/http_request_parser.h"
#include "base/http_server.h"
#include "base/unique_fd.h"

namespace envdial::base {

// What a connection is at; exactly one of these. Each has its own time limit, and says whether the connection may be
// closed to make room.
enum class HttpPhase {
  kNew,        // no whole request was ever read
  kIdle,       // none was read yet since the last answer
  kPending,    // what was read already may hold the next request: the next turn of the loop looks at it
  kKept,       // the handler has a request, or a keeper does
  kStreaming,  // a keeper writes to it; the kernel has taken all
  kStalled,    // a keeper writes to it; the client doesn't read as fast
  kAnswering,  // the answer is known, and the client doesn't read as fast
  kLeaving,    // all is said: what the client still sends is thrown away, so that the answer reaches it
};
inline constexpr std::size_t kHttpPhases = 8;

// One connection of an HttpServer, which owns it, and the one request that it is at. It lives in the list of its phase;
// the newest is at the end.
class HttpConnection final : public IncomingRequest {
 public:
  // The server, as its connections see it.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual const HttpServerLimits& limits() const = 0;
    // Moves `connection` to the end of the list of `phase`, where its time begins.
    virtual void Enter(HttpConnection& connection, HttpPhase phase) = 0;
    // A whole request is there.
    virtual void Handle(HttpConnection& connection, Now now) = 0;
    // Destroys it.
    virtual void Close(HttpConnection& connection) = 0;
  };
  using Place = std::list<std::unique_ptr<HttpConnection>>::iterator;

  HttpConnection(EventLoop& loop, Owner& owner, UniqueFd fd);

  // What the owner keeps with each connection.
  HttpPhase phase() const { return phase_; }
  MonoTime since() const { return since_; }
  Place place() const { return place_; }
  void SetPlace(HttpPhase phase, MonoTime since, Place place);

  // Each of these may destroy the connection.
  void Resume(Now now);  // kPending: looks at what was read already
  void Expire(Now now);  // the time of its phase is over

  std::string_view method() const override { return request_->method(); }
  std::string_view path() const override;
  std::string_view query() const override;
  std::string_view Header(std::string_view name) const override { return request_->Header(name); }
  std::string_view body() const override { return request_->body(); }
  void Reply(const HttpReply& reply) override;
  void Keep(RequestKeeper& keeper) override;
  void StartStream(std::string_view type, RequestKeeper& keeper) override;
  void Write(std::string_view bytes) override;
  std::size_t unsent() const override { return out_.size() - sent_; }
  void EndStream() override;

 private:
  void OnReady(FdWatcher::Interest ready, Now now);
  void OnWritable(Now now);
  void OnReadable(Now now);
  bool Receive(std::string& bytes);
  void Advance(Now now);
  void Refuse(int status, std::string_view message);
  void Answer(const HttpReply& reply);
  void EndAnswer();
  void AddHead(int status, std::string_view type);
  bool Flush();
  void PushStream();
  void Lose();
  void Enter(HttpPhase phase) { owner_.Enter(*this, phase); }
  void Watch();

  EventLoop& loop_;
  Owner& owner_;
  UniqueFd fd_;
  FdWatcher::Interest interest_ = FdWatcher::kNone;
  std::unique_ptr<FdWatcher> watcher_;

  HttpPhase phase_ = HttpPhase::kNew;
  MonoTime since_{};
  Place place_{};

  std::string in_;                              // read, not parsed yet
  std::unique_ptr<HttpRequestParser> request_;  // since its first byte
  RequestKeeper* keeper_ = nullptr;
  std::string out_;  // the end of it, from sent_ on, is not with the kernel yet
  std::size_t sent_ = 0;
  bool is_last_ = false;  // the connection ends after this answer
  bool broken_ = false;   // nothing can be sent any more
  std::size_t thrown_away_ = 0;
};

}  // namespace envdial::base
