// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"

namespace envdial::base {

// Where an HTTP server listens.
struct HttpEndpoint {
  enum class Scheme { kHttp, kHttps, kUnix };
  Scheme scheme = Scheme::kHttp;
  std::string host;         // name or address literal (IPv6 without brackets); unused for kUnix
  std::uint16_t port = 0;   // unused for kUnix
  std::string socket_path;  // kUnix only

  // "http://127.0.0.1:8500", "https://[::1]:8501", "unix:///run/envdial/control.sock".
  std::string ToString() const;
};

// One header of an answer; the name in lower case.
struct HttpHeader {
  std::string name;
  std::string value;
};

// What a client needs for TLS, of which 1.2 is the least. The PEM texts themselves rather than their files: who reads
// those sees when they change, and the next request after that makes a connection of its own.
struct TlsOptions {
  std::string ca;           // the certificates that are trusted; empty: the system's
  std::string certificate;  // of the client, and those that lead from it to its CA; empty: none
  std::string key;          // of that certificate
  std::string server_name;  // stands in for the endpoint's host where that is asked for (SNI) and checked; empty: it
  bool verify = true;       // the server's certificate and its name
  std::string trouble;      // why there is nothing to connect with: every request fails by it; empty: there is
};

struct HttpRequest {
  HttpEndpoint endpoint;
  std::shared_ptr<const TlsOptions> tls;  // kHttps only; none: the defaults
  std::string method = "GET";
  std::string target;                                // path and query, already percent-encoded
  std::vector<std::string> headers;                  // "Name: value"
  std::string body;                                  // sent if not empty
  std::string basic_auth;                            // "user:password", sent as such (RFC 7617); empty: none
  std::chrono::milliseconds connect_timeout{1'000};  // DNS, TCP and TLS together
  std::chrono::milliseconds timeout{3'000};          // from the request sent to the whole answer read
  std::size_t max_body = 16 * 1024 * 1024;           // a longer body is kTooLarge
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;
  std::string body;
  std::chrono::nanoseconds cpu_at_first_byte{};  // ThreadCpuTime() when the answer began to arrive

  // The value of the first header of that (lower-case) name, or nullptr.
  const std::string* FindHeader(std::string_view name) const;
};

// Why no whole answer came.
enum class HttpFault {
  kRefused,  // no connection, or it was closed before the first line of the answer was whole
  kTimeout,  // connect_timeout or timeout has passed
  kDns,      // the name could not be resolved (in time)
  kTls,
  kCutShort,   // the connection ended inside the answer
  kTooLarge,   // more body than max_body, or more headers than 64 KiB
  kMalformed,  // not HTTP
};

struct HttpError {
  HttpFault fault;
  std::string message;
};

using HttpResult = std::expected<HttpResponse, HttpError>;

// A request under way; destroying it cancels it, and then its callback is not called. It may be destroyed at any time,
// in its own callback too, but not after its client.
class HttpTransfer {
 public:
  virtual ~HttpTransfer() = default;
};

struct HttpClientOptions {
  std::vector<std::string> name_servers;  // "127.0.0.1:53"; none: those of resolv.conf
};

// HTTP/1.1 requests over TCP and Unix sockets by libcurl's multi-socket interface in the loop. Connections are kept
// and used again, unless they were idle for more than two seconds. Proxies of the environment are ignored, redirects
// are never followed. Names are resolved by c-ares in the loop and handed to libcurl as addresses; an answer of the
// resolver is kept until a transfer to that host fails. Callbacks are made from the loop, never from within Start().
class HttpClient {
 public:
  static Result<std::unique_ptr<HttpClient>> Create(EventLoop& loop, HttpClientOptions options = {});
  virtual ~HttpClient() = default;

  [[nodiscard]] virtual std::unique_ptr<HttpTransfer> Start(HttpRequest request,
                                                            std::function<void(HttpResult, Now)> on_done) = 0;
};

}  // namespace envdial::base
