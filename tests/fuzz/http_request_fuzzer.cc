// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a client sends on one connection. The first line has the sizes of the pieces in which they come,
// one digit each, over and over; all that follows is sent.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/http_request_parser.h"
#include "tests/fuzz/fuzz.h"

namespace envdial::fuzz {
namespace {

using base::HttpRequestParser;
using base::HttpServerLimits;

// All that the server looks at.
struct Request {
  std::string method, target, type, body;
  bool keep_alive = false;
  bool is_http_1_0 = false;
  bool operator==(const Request&) const = default;
};

void CheckFault(const HttpRequestParser::Fault& fault) {
  const auto known = {400, 413, 431, 501, 505};
  Require(std::ranges::find(known, fault.status) != known.end(), "a fault has a status of its own");
  Require(!fault.message.empty() && IsOneLine(fault.message), "a fault is told on one line");
  Require(!base::HttpReason(fault.status).empty(), "a status has its words");
}

Request ToRequest(const HttpRequestParser& parser, const HttpServerLimits& limits) {
  Require(parser.body().size() <= limits.max_body_bytes, "a body is within its limit");
  Require(!parser.method().empty() && !parser.target().empty(), "a request asks for something");
  Require(parser.target().size() <= limits.max_header_bytes, "a target is within the header's limit");
  Require(IsOneLine(parser.target()) && parser.target().find(' ') == std::string_view::npos, "a target is one word");
  const std::string_view length = parser.Header("content-length");
  if (parser.Header("transfer-encoding").empty()) {
    const std::size_t zeros = std::min(length.find_first_not_of('0'), std::max<std::size_t>(length.size(), 1) - 1);
    const std::string number(length.empty() ? "0" : length.substr(zeros));
    Require(std::to_string(parser.body().size()) == number, "a body is as long as its header says");
  }
  return {.method = std::string(parser.method()),
          .target = std::string(parser.target()),
          .type = std::string(parser.Header("content-type")),
          .body = std::string(parser.body()),
          .keep_alive = parser.keep_alive(),
          .is_http_1_0 = parser.is_http_1_0()};
}

// The server's end of a connection, without the connection.
class Reader {
 public:
  explicit Reader(const HttpServerLimits& limits) : limits_(limits), parser_(HttpRequestParser::Create(limits)) {}

  // False after a fault.
  bool Take(std::string_view piece) {
    pending_ += piece;
    while (!pending_.empty()) {
      const std::size_t taken = parser_->Put(pending_);
      Require(taken <= pending_.size(), "no more is taken than there is");
      pending_.erase(0, taken);
      parser_->TakeExpectation();
      Require(!parser_->TakeExpectation(), "an expectation is told once");
      if (parser_->fault().status != 0) {
        CheckFault(parser_->fault());
        return false;
      }
      Require(pending_.size() <= limits_.max_header_bytes || parser_->done(), "little is left for later");
      if (!parser_->done()) break;
      requests_.push_back(ToRequest(*parser_, limits_));
      parser_ = HttpRequestParser::Create(limits_);
    }
    return true;
  }

  const std::vector<Request>& requests() const { return requests_; }

 private:
  const HttpServerLimits limits_;
  std::unique_ptr<HttpRequestParser> parser_;
  std::string pending_;
  std::vector<Request> requests_;
};

std::vector<Request> Read(std::string_view sizes, std::string_view bytes, const HttpServerLimits& limits) {
  Reader reader(limits);
  for (std::size_t turn = 0; !bytes.empty(); ++turn) {
    const bool cut = !sizes.empty() && sizes[turn % sizes.size()] >= '1' && sizes[turn % sizes.size()] <= '9';
    const std::size_t size = cut ? static_cast<std::size_t>(sizes[turn % sizes.size()] - '0') : bytes.size();
    if (!reader.Take(bytes.substr(0, size))) break;
    bytes.remove_prefix(std::min(size, bytes.size()));
  }
  return reader.requests();
}

void Try(std::string_view bytes) {
  const std::string_view sizes = TakeUntil(bytes, "\n");
  const base::HttpServerLimits limits;
  // The faults may differ: of a head or chunk that comes in pieces less is looked at before it is whole.
  const bool same = Read({}, bytes, limits) == Read(sizes, bytes, limits);
  Require(same, "it does not matter in which pieces requests come");

  base::HttpServerLimits narrow;
  narrow.max_header_bytes = 96;
  narrow.max_body_bytes = 24;
  Read({}, bytes, narrow);
  Read(sizes, bytes, narrow);
}

}  // namespace
}  // namespace envdial::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  envdial::fuzz::Try(envdial::fuzz::ToText(data, size));
  return 0;
}
