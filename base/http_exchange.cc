// SPDX-License-Identifier: Apache-2.0
#include "base/http_exchange.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "base/duration.h"
#include "base/http_tls.h"

namespace envdial::base {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64 * 1024;  // of all header lines: no honest server sends a tenth of it
// When the next address of a name is tried beside the one before. libcurl waits this long after a refusal too, and its
// own 200 ms would be a fifth of the usual connect timeout.
constexpr long kNextAddressMillis = 50;
// A kept connection that was idle for longer is not used again: where a firewall has forgotten it, the request would be
// lost for its whole deadline, and with several addresses for one after the other.
constexpr long kMaxIdleSeconds = 2;
// What libcurl reads at a time. From 16 KiB on, glibc would map its buffer anew for each request (sidecar/memory.cc).
constexpr long kBufferBytes = 15 * 1024;
constexpr std::size_t kUsualHeaders = 16;         // Consul sends ten or so
constexpr std::size_t kMaxReserve = 1024 * 1024;  // what a Content-Length alone may make us allocate

bool IsAddress(const std::string& host) {
  in_addr ipv4{};
  in6_addr ipv6{};
  const std::string without_zone = host.substr(0, host.find('%'));
  return ::inet_pton(AF_INET, host.c_str(), &ipv4) == 1 || ::inet_pton(AF_INET6, without_zone.c_str(), &ipv6) == 1;
}

bool IsControl(unsigned char c) { return c < ' ' || c == 0x7f; }

// The part of a URL before the path; over TLS, its name is the one that libcurl checks. A zone's "%" stands as "%25"
// there (RFC 6874).
std::string Origin(const HttpRequest& request) {
  if (request.endpoint.scheme == HttpEndpoint::Scheme::kUnix) return "http://localhost";
  HttpEndpoint encoded = request.endpoint;
  if (IsRenamed(request)) encoded.host = request.tls->server_name;
  if (const std::size_t zone = encoded.host.find('%'); zone != std::string::npos) encoded.host.insert(zone + 1, "25");
  return encoded.ToString();
}

std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string ToLower(std::string_view text) {
  std::string lower(text);
  std::ranges::for_each(lower, [](char& c) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  });
  return lower;
}

}  // namespace

HttpExchange::HttpExchange(EventLoop& loop, HttpRequest request, std::function<void(Now)> on_deadline)
    : request_(std::move(request)), started_(ReadClock().mono), deadline_(loop, std::move(on_deadline)) {
  deadline_.Start(request_.connect_timeout);
}

std::optional<HttpError> HttpExchange::Check() const {
  const auto bad = [this](std::string_view what) { return Error(HttpFault::kMalformed, what); };
  const auto breaks = [](const std::string& text) { return std::ranges::any_of(text, IsControl); };
  if (std::ranges::any_of(request_.headers, breaks)) return bad("a header of the request has a control character");
  if (breaks(request_.target) || !request_.target.starts_with('/') || request_.target.contains(' ')) {
    return bad("the request's target is not an encoded path");
  }
  if (const std::string* trouble = TroubleOf(request_)) return Error(HttpFault::kTls, *trouble);
  const HttpEndpoint& endpoint = request_.endpoint;
  if (endpoint.scheme == HttpEndpoint::Scheme::kUnix) {
    if (endpoint.socket_path.size() < sizeof(sockaddr_un::sun_path)) return std::nullopt;
    return Error(HttpFault::kRefused, "the path of a socket has at most 107 bytes");
  }
  if (endpoint.host.empty() || breaks(endpoint.host) ||
      endpoint.host.find_first_of(" /\\?#@,[]") != std::string::npos) {
    return Error(HttpFault::kDns, "not a host name");
  }
  return std::nullopt;
}

std::optional<std::string> HttpExchange::NameToResolve() const {
  const HttpEndpoint& endpoint = request_.endpoint;
  if (endpoint.scheme == HttpEndpoint::Scheme::kUnix || IsAddress(endpoint.host)) return std::nullopt;
  return endpoint.host;
}

std::optional<HttpError> HttpExchange::Prepare(const std::vector<std::string>& addresses, MonoTime now) {
  easy_.reset(::curl_easy_init());
  if (easy_ == nullptr) return Error(HttpFault::kRefused, "no memory for a connection");
  step_ = Step::kConnect;
  SetUrl(addresses);
  SetRequest();
  SetLimits(now, addresses.size());
  return std::nullopt;
}

void HttpExchange::SetUrl(const std::vector<std::string>& addresses) {
  const HttpEndpoint& endpoint = request_.endpoint;
  const std::string url = Origin(request_) + request_.target;
  ::curl_easy_setopt(native(), CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(native(), CURLOPT_PATH_AS_IS, 1L);
  ::curl_easy_setopt(native(), CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(native(), CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  ::curl_easy_setopt(native(), CURLOPT_HTTP09_ALLOWED, 0L);
  ::curl_easy_setopt(native(), CURLOPT_FOLLOWLOCATION, 0L);
  // Both are needed: an empty proxy turns off those of the environment, and this is so for every host.
  ::curl_easy_setopt(native(), CURLOPT_PROXY, "");
  ::curl_easy_setopt(native(), CURLOPT_NOPROXY, "*");
  if (endpoint.scheme == HttpEndpoint::Scheme::kUnix) {
    ::curl_easy_setopt(native(), CURLOPT_UNIX_SOCKET_PATH, endpoint.socket_path.c_str());
  }
  if (endpoint.scheme == HttpEndpoint::Scheme::kHttps) SetTls(native(), request_);
  if (IsRenamed(request_)) {
    const std::string connect_to =
        Authority(request_.tls->server_name, endpoint.port) + ":" + Authority(endpoint.host, endpoint.port);
    connect_list_.reset(::curl_slist_append(nullptr, connect_to.c_str()));
    ::curl_easy_setopt(native(), CURLOPT_CONNECT_TO, connect_list_.get());
  }
  if (addresses.empty()) return;

  // libcurl finds these in its cache and never resolves by itself; what an earlier transfer put there goes first.
  const std::string name = endpoint.host + ":" + std::to_string(endpoint.port);
  std::string entry = name + ":";
  for (const std::string& address : addresses) {
    if (!entry.ends_with(':')) entry += ',';
    entry += address.contains(':') ? "[" + address + "]" : address;
  }
  resolve_list_.reset(::curl_slist_append(nullptr, ("-" + name).c_str()));
  ::curl_slist_append(resolve_list_.get(), entry.c_str());
  ::curl_easy_setopt(native(), CURLOPT_RESOLVE, resolve_list_.get());
}

void HttpExchange::SetRequest() {
  if (request_.method == "HEAD") ::curl_easy_setopt(native(), CURLOPT_NOBODY, 1L);
  const bool has_body = !request_.body.empty() || request_.method == "PUT" || request_.method == "POST";
  if (has_body) {
    ::curl_easy_setopt(native(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    ::curl_easy_setopt(native(), CURLOPT_POSTFIELDS, request_.body.c_str());
  }
  ::curl_easy_setopt(native(), CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  ::curl_easy_setopt(native(), CURLOPT_USERAGENT, "envdial/" ENVDIAL_VERSION);

  // A name without a value takes out what libcurl would add by itself.
  curl_slist* list = ::curl_slist_append(nullptr, "Expect:");
  const bool typed = std::ranges::any_of(
      request_.headers, [](const std::string& header) { return ToLower(header).starts_with("content-type:"); });
  if (has_body && !typed) list = ::curl_slist_append(list, "Content-Type:");
  if (IsRenamed(request_)) {
    list = ::curl_slist_append(list, ("Host: " + Authority(request_.endpoint.host, request_.endpoint.port)).c_str());
  }
  for (const std::string& header : request_.headers) list = ::curl_slist_append(list, header.c_str());
  header_list_.reset(list);
  ::curl_easy_setopt(native(), CURLOPT_HTTPHEADER, list);
  if (!request_.basic_auth.empty()) {
    ::curl_easy_setopt(native(), CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    ::curl_easy_setopt(native(), CURLOPT_USERPWD, request_.basic_auth.c_str());
  }
}

void HttpExchange::SetLimits(MonoTime now, std::size_t addresses) {
  // By this libcurl shares the time among several addresses. A single one has all of it: deadline_ ends it, and
  // libcurl's own timer would wake the loop in each poll, connected or not.
  if (addresses > 1) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(started_ + request_.connect_timeout - now);
    const auto at_least_one = std::max<long>(left.count(), 1);  // 0 would mean libcurl's own, five minutes
    ::curl_easy_setopt(native(), CURLOPT_CONNECTTIMEOUT_MS, at_least_one);
  }
  ::curl_easy_setopt(native(), CURLOPT_BUFFERSIZE, kBufferBytes);
  ::curl_easy_setopt(native(), CURLOPT_MAXAGE_CONN, kMaxIdleSeconds);
  ::curl_easy_setopt(native(), CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, kNextAddressMillis);
  ::curl_easy_setopt(native(), CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(native(), CURLOPT_TCP_NODELAY, 1L);
  if (request_.method != "HEAD") {
    ::curl_easy_setopt(native(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request_.max_body));
  }
  ::curl_easy_setopt(native(), CURLOPT_ERRORBUFFER, reason_.data());
  ::curl_easy_setopt(native(), CURLOPT_PREREQFUNCTION, &HttpExchange::OnRequest);
  ::curl_easy_setopt(native(), CURLOPT_PREREQDATA, this);
  ::curl_easy_setopt(native(), CURLOPT_OPENSOCKETFUNCTION, &HttpExchange::OnOpenSocket);
  ::curl_easy_setopt(native(), CURLOPT_OPENSOCKETDATA, this);
  ::curl_easy_setopt(native(), CURLOPT_HEADERFUNCTION, &HttpExchange::OnHeader);
  ::curl_easy_setopt(native(), CURLOPT_HEADERDATA, this);
  ::curl_easy_setopt(native(), CURLOPT_WRITEFUNCTION, &HttpExchange::OnBody);
  ::curl_easy_setopt(native(), CURLOPT_WRITEDATA, this);
}

// libcurl says how many parameters it has. NOLINTNEXTLINE(readability-function-size)
int HttpExchange::OnRequest(void* self, char*, char*, int, int) {
  auto* exchange = static_cast<HttpExchange*>(self);
  exchange->step_ = Step::kAnswer;
  exchange->deadline_.Start(exchange->request_.timeout);
  return CURL_PREREQFUNC_OK;
}

curl_socket_t HttpExchange::OnOpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
  auto* exchange = static_cast<HttpExchange*>(self);
  if (exchange->step_ == Step::kAnswer) {
    // The kept connection turned out to be closed, and libcurl makes a new one for the same request.
    exchange->step_ = Step::kConnect;
    exchange->deadline_.Start(exchange->request_.connect_timeout);
  }
  // libcurl by itself would let a child process inherit it.
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

std::size_t HttpExchange::OnHeader(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpExchange*>(self)->TakeHeader({data, size * count}) ? size * count : 0;
}

std::size_t HttpExchange::OnBody(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpExchange*>(self)->TakeBody({data, size * count}) ? size * count : 0;
}

bool HttpExchange::TakeHeader(std::string_view line) {
  if (header_bytes_ == 0) response_.cpu_at_first_byte = ThreadCpuTime();
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    excess_ = Excess::kHeaders;
    return false;
  }
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) {
    headers_ended_ = true;
  } else if (line.starts_with("HTTP/")) {
    // Also the real answer after an interim one, such as 103 Early Hints.
    headers_ended_ = false;
    response_.headers.clear();
  } else if (!headers_ended_) {  // else it is a trailer after the body
    AddHeader(line);
  }
  return true;
}

void HttpExchange::AddHeader(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) {  // a folded line goes on with the one before
    if (!response_.headers.empty()) response_.headers.back().value.append(" ").append(Trim(line));
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  if (response_.headers.empty()) response_.headers.reserve(kUsualHeaders);
  response_.headers.push_back({ToLower(line.substr(0, colon)), std::string(Trim(line.substr(colon + 1)))});
}

bool HttpExchange::TakeBody(std::string_view bytes) {
  if (bytes.size() > request_.max_body - response_.body.size()) {
    excess_ = Excess::kBody;
    return false;
  }
  if (response_.body.empty()) {
    curl_off_t length = -1;
    ::curl_easy_getinfo(native(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0) response_.body.reserve(std::min(static_cast<std::size_t>(length), kMaxReserve));
  }
  response_.body.append(bytes);
  return true;
}

HttpResult HttpExchange::Conclude(CURLcode code) {
  if (code != CURLE_OK || excess_ != Excess::kNone) return std::unexpected(Failed(code));
  // libcurl takes a connection that ends inside the headers for the end of the answer.
  if (!headers_ended_) return std::unexpected(Error(HttpFault::kCutShort, "the connection ended inside the headers"));
  long status = 0;
  ::curl_easy_getinfo(native(), CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  return std::move(response_);
}

HttpError HttpExchange::Overdue() const {
  const auto within = [](std::chrono::milliseconds time) { return " within " + FormatDuration(time); };
  switch (step_) {
    case Step::kResolve:
      return Error(HttpFault::kDns, "the name was not resolved" + within(request_.connect_timeout));
    case Step::kConnect:
      return Error(HttpFault::kTimeout, "no connection" + within(request_.connect_timeout));
    case Step::kAnswer:
      return Error(HttpFault::kTimeout,
                   (header_bytes_ == 0 ? "no answer" : "no end of the answer") + within(request_.timeout));
  }
  std::unreachable();
}

HttpError HttpExchange::Error(HttpFault fault, std::string_view reason) const {
  return {fault, request_.endpoint.ToString().append(": ").append(reason)};
}

HttpError HttpExchange::Failed(CURLcode code) const {
  constexpr std::string_view kTooManyHeaders = "more than 64 KiB of headers";
  if (excess_ == Excess::kHeaders) return Error(HttpFault::kTooLarge, kTooManyHeaders);
  if (excess_ == Excess::kBody || code == CURLE_FILESIZE_EXCEEDED) {
    return Error(HttpFault::kTooLarge, "an answer of more than " + std::to_string(request_.max_body) + " bytes");
  }
  if (request_.endpoint.scheme == HttpEndpoint::Scheme::kHttps) {
    // In libcurl's words: the kernel's may be about another address that was tried first.
    const std::string words = reason_[0] != '\0' ? reason_.data() : ::curl_easy_strerror(code);
    if (const auto fault = TlsFault(code, words, header_bytes_ > 0)) {
      return Error(*fault, *fault == HttpFault::kTls ? words : "the connection was closed: " + words);
    }
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Overdue();
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(HttpFault::kDns, Reason(code));
    case CURLE_GOT_NOTHING:  // libcurl says so after an interim answer too
      if (header_bytes_ > 0) return Error(HttpFault::kCutShort, "the connection ended inside the headers");
      return Error(HttpFault::kRefused, "the connection was closed before a byte of the answer");
    case CURLE_PARTIAL_FILE:
      return Error(HttpFault::kCutShort, "the connection ended inside the answer");
    case CURLE_OUT_OF_MEMORY:  // what libcurl says of a header line over 100 KiB
      return Error(HttpFault::kTooLarge, kTooManyHeaders);
    case CURLE_UNSUPPORTED_PROTOCOL:  // what libcurl says of HTTP/0.9, that is of anything without a status line
      return Error(HttpFault::kMalformed, "the answer is not HTTP");
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
      return Error(HttpFault::kMalformed, Reason(code));
    default:
      break;
  }
  long os_error = 0;
  ::curl_easy_getinfo(native(), CURLINFO_OS_ERRNO, &os_error);
  if (header_bytes_ == 0) {
    return Error(os_error == ETIMEDOUT ? HttpFault::kTimeout : HttpFault::kRefused, Reason(code));
  }
  // Without the kernel's word for it, the bytes themselves were wrong, say a chunk's length.
  return Error(os_error == 0 ? HttpFault::kMalformed : HttpFault::kCutShort, Reason(code));
}

// The kernel's words where there are any, since those are what one looks up; else libcurl's.
std::string HttpExchange::Reason(CURLcode code) const {
  long os_error = 0;
  ::curl_easy_getinfo(native(), CURLINFO_OS_ERRNO, &os_error);
  if (os_error != 0) return std::generic_category().message(static_cast<int>(os_error));
  return reason_[0] != '\0' ? std::string(reason_.data()) : std::string(::curl_easy_strerror(code));
}

}  // namespace envdial::base
