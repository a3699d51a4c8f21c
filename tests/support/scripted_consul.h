// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/http_client.h"

struct evconnlistener;

namespace envdial::test {

// A request as it arrived.
struct ScriptedRequest {
  std::size_t connection = 0;  // the how-manieth connection, from 0
  std::string method;
  std::string target;
  std::vector<base::HttpHeader> headers;  // names in lower case
  std::string body;
  base::MonoTime time;

  // The value of a parameter of the query, as it was sent; none if it is not there.
  std::optional<std::string> Parameter(std::string_view name) const;
};

// What is done with a request.
struct ScriptedAnswer {
  enum class Kind {
    kAnswer,  // status, headers and body
    kRaw,     // `body` goes out byte for byte, and then the connection is closed
    kHold,    // no answer until AnswerHeld()
    kClose,   // the connection is closed without an answer
  };
  Kind kind = Kind::kAnswer;
  int status = 200;
  std::vector<std::string> headers;  // "Name: value"; Content-Length is added
  std::string body;
  std::chrono::milliseconds after{0};  // how long to wait first

  ScriptedAnswer After(std::chrono::milliseconds delay) &&;
  ScriptedAnswer With(std::string header) &&;
};

// One entry of a KV answer.
struct ScriptedEntry {
  std::string key;
  std::string value;
  std::uint64_t modify_index = 0;
};

// What Consul says: entries with their index, 404 with an index, an error with its text; and the things it never says.
ScriptedAnswer Found(std::uint64_t index, const std::vector<ScriptedEntry>& entries);
ScriptedAnswer NotFound(std::uint64_t index);
ScriptedAnswer Status(int status, std::string text);
ScriptedAnswer Hold();
ScriptedAnswer Close();
ScriptedAnswer Raw(std::string bytes);

// An HTTP server in the test's own loop that answers as the test says, and remembers what it was asked.
class ScriptedConsul {
 public:
  using Script = std::function<ScriptedAnswer(const ScriptedRequest&)>;

  // Listens on a free port of 127.0.0.1. `script` is asked for each request.
  ScriptedConsul(base::EventLoop& loop, Script script);
  ~ScriptedConsul();
  ScriptedConsul(const ScriptedConsul&) = delete;
  ScriptedConsul& operator=(const ScriptedConsul&) = delete;

  base::HttpEndpoint endpoint() const { return endpoint_; }
  const std::vector<ScriptedRequest>& requests() const { return requests_; }
  std::size_t connections() const { return connection_count_; }  // accepted so far
  std::size_t held() const;                                      // requests that wait for AnswerHeld()

  void SetScript(Script script) { script_ = std::move(script); }
  // Answers every request that is held.
  void AnswerHeld(const ScriptedAnswer& answer);

 private:
  class Connection;
  struct ListenerDeleter {
    void operator()(evconnlistener* listener) const;
  };

  void Accept(int fd);
  void Drop(std::size_t connection);

  base::EventLoop& loop_;
  Script script_;
  base::HttpEndpoint endpoint_;
  std::vector<ScriptedRequest> requests_;
  std::size_t connection_count_ = 0;
  std::map<std::size_t, std::unique_ptr<Connection>> connections_;
  std::unique_ptr<evconnlistener, ListenerDeleter> listener_;
};

}  // namespace envdial::test
