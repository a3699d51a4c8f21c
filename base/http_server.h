// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::base {

struct HttpServerLimits {
  // Open connections of this server. At that number a new one takes the place of one that nothing is owed to: of those
  // that never asked, or of those that were answered, whichever are more, the one that has been silent longest. So
  // silent clients never shut others out.
  std::size_t max_connections = 1'024;
  std::size_t max_header_bytes = 16 * 1024;  // request line and headers; more is a 431
  std::size_t max_body_bytes = 64 * 1024;    // more is a 413
  // How long a connection may be idle, how long a request may take to arrive, and how long a reader may take no byte
  // while there are some for it. Bytes that make no whole request are no sign of life.
  std::chrono::milliseconds idle_timeout{10'000};
  // How long the reader of a stream may take no byte while there are some for it.
  std::chrono::milliseconds stream_timeout{60'000};
};

struct HttpReply {
  int status = 200;
  std::string_view type;               // Content-Type; none is sent if empty
  std::string_view body;               // copied; none is sent with a 204
  std::vector<std::string> headers{};  // further ones, "Name: value"
};

class IncomingRequest;

// Whoever answers later than at once hears of what becomes of the client meanwhile.
class RequestKeeper {
 public:
  virtual ~RequestKeeper() = default;
  // The client went away, sent far more than it may while it waits, or took nothing for too long. The request is gone
  // when this returns; only look at it. Never called from within a call of the keeper's own.
  virtual void OnGone(IncomingRequest& request) = 0;
  // Of a stream: the kernel has taken all that was unsent() after some Write(). Never called from within such a call:
  // where unsent() is 0 when Write() returns, there is nothing to wait for.
  virtual void OnDrained(IncomingRequest& request, Now now) = 0;
};

// One request and the way to answer it. It belongs to its connection. The handler answers it before it returns, by
// Reply(), or it gives it a keeper, by Keep() or StartStream(); it is then valid until Reply(), EndStream() or
// RequestKeeper::OnGone().
class IncomingRequest {
 public:
  virtual ~IncomingRequest() = default;

  virtual std::string_view method() const = 0;
  virtual std::string_view path() const = 0;   // as it was sent, percent-encoded, without the query
  virtual std::string_view query() const = 0;  // what follows the '?', as it was sent; empty if there is none
  // The value of the first header of that name (any case); empty if there is none.
  virtual std::string_view Header(std::string_view name) const = 0;
  virtual std::string_view body() const = 0;

  // Answers, with Content-Length; the use of the request is over. The body of an answer to HEAD is not sent, only its
  // length. Pipelined requests are answered one after the other.
  virtual void Reply(const HttpReply& reply) = 0;
  // The answer comes later, however long that takes: idle_timeout doesn't count, the client's end of the connection is
  // watched, and its place is not given to another.
  virtual void Keep(RequestKeeper& keeper) = 0;
  // Sends a 200 without an end (chunked to HTTP/1.1, until the close to HTTP/1.0). Kept like Keep(), and the last
  // answer of its connection. Not for HEAD.
  virtual void StartStream(std::string_view type, RequestKeeper& keeper) = 0;
  // Adds to a stream. Look at unsent() before, to keep a slow reader from making a queue.
  virtual void Write(std::string_view bytes) = 0;
  // Bytes of this connection that the kernel has not taken yet.
  virtual std::size_t unsent() const = 0;
  // Ends a stream as its protocol does, and then the connection.
  virtual void EndStream() = 0;
};

// A small HTTP/1.1 server in the loop, with Boost.Beast's parser for the requests. Whatever is no request is answered
// with a status and {"error": "…"}, and the connection is closed. Nobody but the loop's own events ends a connection:
// the handler and the keepers may answer, end and write to any request in any of their calls, but they may not destroy
// the server.
class HttpServer {
 public:
  // `loop` is borrowed. `handler` is called from the loop for each request.
  static std::unique_ptr<HttpServer> Create(EventLoop& loop, const HttpServerLimits& limits,
                                            std::function<void(IncomingRequest&, Now)> handler);
  // Closes all connections and listeners; keepers are not told.
  virtual ~HttpServer() = default;

  // Accepts connections on the listening, non-blocking socket `fd` until StopListening(). Several are possible.
  virtual Result<void> Listen(UniqueFd fd) = 0;
  // Closes the listening sockets; connections stay.
  virtual void StopListening() = 0;

  virtual std::size_t connections() const = 0;
};

}  // namespace envdial::base
