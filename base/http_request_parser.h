// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/http_server.h"

namespace envdial::base {

// One request of HTTP/1.0 or 1.1, from the bytes as they come. Boost.Beast does the parsing; none of its types are
// seen outside.
class HttpRequestParser {
 public:
  // Why the bytes are no request that is served: the status of the answer, and a sentence (of ours: it repeats no byte
  // of the client's) that says what was found and what is expected.
  struct Fault {
    int status = 0;  // 0: none
    std::string message;
  };

  // Of `limits`, those on the header and the body.
  static std::unique_ptr<HttpRequestParser> Create(const HttpServerLimits& limits);
  virtual ~HttpRequestParser() = default;

  // Takes what it can use of `bytes` and returns how many these are: never more than belong to this request. The rest
  // is to be given again, with what follows it. What it leaves for later is never more than the limit on the header.
  // Not to be called when done() or after a fault.
  virtual std::size_t Put(const std::string& bytes) = 0;

  virtual bool done() const = 0;
  virtual const Fault& fault() const = 0;
  // True once, when the header is there and its client waits for a "100 Continue" before it sends the body.
  virtual bool TakeExpectation() = 0;

  // Of a request that is done.
  virtual std::string_view method() const = 0;
  virtual std::string_view target() const = 0;
  virtual std::string_view Header(std::string_view name) const = 0;
  virtual std::string_view body() const = 0;
  virtual bool keep_alive() const = 0;
  virtual bool is_http_1_0() const = 0;
};

// The usual words for `status`: "Not Found".
std::string_view HttpReason(int status);

}  // namespace envdial::base
