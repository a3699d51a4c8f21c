// SPDX-License-Identifier: Apache-2.0
#include "base/http_request_parser.h"

// Clients can reach one of Beast's asserts: a last chunk that comes a byte at a time (its pull request 2861, not yet in
// 1.74). The code after it is right without it.
#define BOOST_DISABLE_ASSERTS

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cassert>
#include <cctype>
#include <iterator>
#include <utility>

namespace envdial::base {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::iequals;

// Beast's fields hold names and values of less than 64 KiB, and throw at more.
constexpr std::size_t kMaxHeaderLimit = 60'000;

// Browsers send some twenty. Each takes a hundred bytes of memory beside its own, so that many short ones would make
// half a megabyte of one half request.
constexpr int kMaxHeaders = 100;

std::string_view ToStd(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Whether the request line that `bytes` begin with is right but for the number of its version.
bool HasOtherVersion(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find("\r\n"));
  const std::size_t at = line.rfind(" HTTP/");
  if (line.size() == bytes.size() || at == std::string_view::npos) return false;
  const std::string_view version = line.substr(at + 6);
  return version.size() == 3 && std::isdigit(version[0]) != 0 && version[1] == '.' && std::isdigit(version[2]) != 0;
}

std::string MessageOf(http::error error) {
  switch (error) {
    case http::error::bad_method:
    case http::error::bad_target:
    case http::error::bad_version:
      return "this is no request line; expected is METHOD /path HTTP/1.1, with one space between, ended by CR LF";
    case http::error::bad_line_ending:
      return "a line ends in a CR alone; expected is CR LF";
    case http::error::bad_field:
      return "a header has no proper name; expected is Name: value";
    case http::error::bad_value:
      return "the value of a header holds a character that none may have";
    case http::error::bad_content_length:
      return "the Content-Length is none; expected is one decimal number, and no Transfer-Encoding beside it";
    case http::error::bad_transfer_encoding:
      return "there is a Transfer-Encoding beside another one or a Content-Length; expected is one of them";
    case http::error::bad_chunk:
    case http::error::bad_chunk_extension:
      return "the body is not chunked as its Transfer-Encoding says";
    default:
      return "this is no request of HTTP/1.1";
  }
}

class Parser final : public HttpRequestParser {
 public:
  explicit Parser(const HttpServerLimits& limits) : limits_(limits) {
    assert(limits.max_header_bytes <= kMaxHeaderLimit);
    parser_.header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    parser_.body_limit(limits.max_body_bytes);
  }

  std::size_t Put(const std::string& bytes) override {
    std::size_t taken = 0;
    bool more = false;
    while (!done() && fault_.status == 0 && !more && taken < bytes.size()) {
      error_code error;
      const bool in_header = !parser_.is_header_done();
      const std::size_t used = parser_.put({bytes.data() + taken, bytes.size() - taken}, error);
      more = error == http::error::need_more;
      if (error && !more) {
        SetFault(static_cast<http::error>(error.value()), std::string_view(bytes).substr(taken));
      }
      taken += used;
      if (in_header) header_bytes_ += used;
      CheckLimits(more ? bytes.size() - taken : 0);
      if (in_header && parser_.is_header_done()) CheckFraming();
    }
    return taken;
  }

  bool done() const override { return parser_.is_done(); }
  const Fault& fault() const override { return fault_; }

  bool TakeExpectation() override {
    if (expectation_taken_ || fault_.status != 0 || !parser_.is_header_done()) return false;
    expectation_taken_ = true;
    return !done() && !is_http_1_0() && iequals(message()[http::field::expect], "100-continue");
  }

  std::string_view method() const override { return ToStd(message().method_string()); }
  std::string_view target() const override { return ToStd(message().target()); }
  std::string_view Header(std::string_view name) const override {
    return ToStd(message()[boost::beast::string_view(name.data(), name.size())]);
  }
  std::string_view body() const override { return message().body(); }
  bool keep_alive() const override { return parser_.keep_alive(); }
  bool is_http_1_0() const override { return message().version() == 10; }

 private:
  using Message = http::request<http::string_body>;

  const Message& message() const { return parser_.get(); }

  // `bytes` are those that Beast did not like.
  void SetFault(http::error error, std::string_view bytes) {
    if (error == http::error::header_limit) return SetHeaderFault();
    if (error == http::error::body_limit) {
      fault_ = {413, "the body is larger than " + std::to_string(limits_.max_body_bytes) + " bytes"};
    } else if (error == http::error::bad_version && HasOtherVersion(bytes)) {
      fault_ = {505, "the version of the request is not served; expected is HTTP/1.1 or HTTP/1.0"};
    } else {
      fault_ = {400, MessageOf(error)};
    }
  }

  void SetHeaderFault() {
    fault_ = {431,
              "the request line and headers are larger than " + std::to_string(limits_.max_header_bytes) + " bytes"};
  }

  // Beast counts the request line and the headers apart, and the heads and the end of a chunked body not at all. `left`
  // is what it wants to see again.
  void CheckLimits(std::size_t left) {
    if (fault_.status != 0) return;
    const std::size_t header = parser_.is_header_done() ? 0 : header_bytes_;
    if (header + left > limits_.max_header_bytes) return SetHeaderFault();
    if (std::distance(message().begin(), message().end()) > kMaxHeaders) {
      fault_ = {431, "there are more than " + std::to_string(kMaxHeaders) + " headers"};
    }
  }

  // Beast ignores an encoding that it doesn't know, and would take the body for the next request.
  void CheckFraming() {
    if (fault_.status != 0) return;
    if (header_bytes_ > limits_.max_header_bytes) return SetHeaderFault();
    // Beast takes a list of equal lengths for one, as RFC 9110, section 8.6, allows; a neighbour may not.
    if (Header("content-length").find(',') != std::string_view::npos) {
      fault_ = {400, MessageOf(http::error::bad_content_length)};
      return;
    }
    const auto [begin, end] = message().equal_range(http::field::transfer_encoding);
    const bool served = begin == end || (!is_http_1_0() && iequals(begin->value(), "chunked"));
    if (!served) fault_ = {501, "the Transfer-Encoding is not served; expected is chunked, or a Content-Length"};
  }

  const HttpServerLimits limits_;
  http::request_parser<http::string_body> parser_;
  std::size_t header_bytes_ = 0;
  bool expectation_taken_ = false;
  Fault fault_;
};

}  // namespace

std::unique_ptr<HttpRequestParser> HttpRequestParser::Create(const HttpServerLimits& limits) {
  return std::make_unique<Parser>(limits);
}

std::string_view HttpReason(int status) { return ToStd(http::obsolete_reason(static_cast<http::status>(status))); }

}  // namespace envdial::base
