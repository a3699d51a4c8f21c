// SPDX-License-Identifier: Apache-2.0
#include "base/http_request_parser.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace envdial::base {
namespace {

constexpr HttpServerLimits kLimits{.max_header_bytes = 1'000, .max_body_bytes = 500};

// What is left of `bytes` after the parser has had them, `step` more at a time.
struct Parsed {
  std::unique_ptr<HttpRequestParser> parser = HttpRequestParser::Create(kLimits);
  std::string left;

  Parsed(const std::string& bytes, std::size_t step) {
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      left += bytes.substr(at, step);
      if (parser->done() || parser->fault().status != 0) continue;
      left.erase(0, parser->Put(left));
      EXPECT_TRUE(parser->done() || parser->fault().status != 0 || left.size() <= kLimits.max_header_bytes);
    }
  }
};

std::string Repeated(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

const std::string kPost = "POST / HTTP/1.1\r\n";

struct Malformed {
  std::string bytes;
  int status;
};

std::vector<Malformed> MalformedRequests() {
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  return {
      {"\r\n", 400},
      {"hello\r\n\r\n", 400},
      {"\x16\x03\x01\x02\x01", 400},  // TLS
      {std::string("\0\0\0\0", 4), 400},
      {"GET\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: x\n\r\n\r\n", 400},
      {"GET / HTTP/1x.1\r\n\r\n", 400},
      {"GET / HTTP/1x.\r\n\r\n", 400},
      {"GET / ICAP/1.0\r\n\r\n", 400},
      {"GET /\x7f HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / HTTP/0.9\r\n\r\n", 505},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n: no name\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nname : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nname: x\ry\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nname: \0\r\n\r\n", 27), 400},
      {kPost + "Content-Length: -1\r\n\r\n", 400},
      {kPost + "Content-Length: 0x5\r\n\r\n", 400},
      {kPost + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {kPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {kPost + "Content-Length: 3, 3\r\n\r\nabc", 400},
      {kPost + "Content-Length: 0,00\r\n\r\n", 400},
      {kPost + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400},
      {kPost + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400},
      {kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {kPost + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {kPost + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
      {chunked + "x\r\n\r\n", 400},
      {chunked + "-5\r\n\r\n", 400},
      {chunked + "3\r\nabcd\r\n0\r\n\r\n", 400},
      {chunked + "3;=\r\nabc\r\n0\r\n\r\n", 400},
      {chunked + "fffffffffffffffff\r\n", 400},
      {chunked + "0\r\nno colon\r\n\r\n", 400},
      {chunked + "1f5\r\n", 413},
      {chunked + "1f4\r\n" + std::string(500, 'x') + "\r\n1\r\n", 413},
      {chunked + "3;" + std::string(1'000, 'x'), 431},
      {chunked + "0\r\n" + Repeated("a: b\r\n", 200), 431},
      {kPost + "Content-Length: 501\r\n\r\n", 413},
      {"GET /" + std::string(1'000, 'x'), 431},
      {"GET / HTTP/1.1\r\nX: " + std::string(1'000, 'x'), 431},
      {"GET / HTTP/1.1\r\nX: " + std::string(978, 'x') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\n" + Repeated("a:\r\n", 101) + "\r\n", 431},
      {std::string(1'001, 'x'), 431},
  };
}

TEST(HttpRequestParserTest, WhatIsNoRequestHasAStatusAndASentence) {
  for (const Malformed& row : MalformedRequests()) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, row.bytes.size()}) {
      const Parsed parsed(row.bytes, step);
      const auto& fault = parsed.parser->fault();
      EXPECT_EQ(fault.status, row.status) << row.bytes << " by " << step << ": " << fault.message;
      EXPECT_GT(fault.message.size(), 20U);
      // It stands in JSON as it is.
      EXPECT_EQ(fault.message.find_first_of("\"\\\r\n"), std::string::npos) << fault.message;
    }
  }
}

// Beast looks one byte too far there: at the string's own end.
TEST(HttpRequestParserTest, ALineThatEndsWithinItsVersionIsNoRequest) {
  EXPECT_EQ(Parsed("GET / HTTP/1x.", 100).parser->fault().status, 400);
}

struct Wellformed {
  std::string bytes;
  std::string method;
  std::string target;
  std::string body;
  bool keep_alive;
};

std::vector<Wellformed> WellformedRequests() {
  const std::string chunked = kPost + "Transfer-Encoding: Chunked\r\n\r\n";
  const std::string get = "GET / HTTP/1.1\r\n";
  return {
      {get + "\r\n", "GET", "/", "", true},
      {get + "Connection: close\r\n\r\n", "GET", "/", "", false},
      {"GET /a%20b?c=d HTTP/1.0\r\n\r\n", "GET", "/a%20b?c=d", "", false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", true},
      {"BREW /pot HTTP/1.1\r\n\r\n", "BREW", "/pot", "", true},
      {"OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*", "", true},
      {"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "PUT", "/", "abc", true},
      {kPost + "Content-Length: 0\r\n\r\n", "POST", "/", "", true},
      {kPost + "Content-Length: 500\r\n\r\n" + std::string(500, 'x'), "POST", "/", std::string(500, 'x'), true},
      {chunked + "0\r\n\r\n", "POST", "/", "", true},
      {chunked + "3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\n\r\n", "POST", "/", "abcde", true},
      {chunked + "3\r\nabc\r\n000;last\r\nTrailer: x\r\n\r\n", "POST", "/", "abc", true},
      {get + "X: " + std::string(977, 'x') + "\r\n\r\n", "GET", "/", "", true},  // 1,000 bytes
      {get + Repeated("a:\r\n", 100) + "\r\n", "GET", "/", "", true},
  };
}

TEST(HttpRequestParserTest, RequestsAreTakenAsAWholeAndInPieces) {
  for (const Wellformed& row : WellformedRequests()) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, row.bytes.size() + 4}) {
      const Parsed parsed(row.bytes + "GET ", step);
      ASSERT_TRUE(parsed.parser->done()) << row.bytes << " by " << step << ": " << parsed.parser->fault().message;
      EXPECT_EQ(parsed.parser->fault().status, 0) << row.bytes << " by " << step;
      EXPECT_EQ(parsed.parser->method(), row.method);
      EXPECT_EQ(parsed.parser->target(), row.target);
      EXPECT_EQ(parsed.parser->body(), row.body);
      EXPECT_EQ(parsed.parser->keep_alive(), row.keep_alive) << row.bytes;
      EXPECT_EQ(parsed.left, "GET ");
    }
  }
}

TEST(HttpRequestParserTest, HeadersAreFoundInAnyCaseTheFirstOfEach) {
  const Parsed parsed("GET / HTTP/1.1\r\nAccept: a\r\nX-Y:  z \r\naccept: b\r\n\r\n", 100);
  EXPECT_EQ(parsed.parser->Header("accept"), "a");
  EXPECT_EQ(parsed.parser->Header("x-y"), "z");
  EXPECT_EQ(parsed.parser->Header("Cookie"), "");
}

TEST(HttpRequestParserTest, AnExpectationIsTakenOnceAndOnlyBeforeTheBody) {
  const std::string head = kPost + "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n";
  Parsed waiting(head, head.size());
  EXPECT_TRUE(waiting.parser->TakeExpectation());
  EXPECT_FALSE(waiting.parser->TakeExpectation());
  EXPECT_FALSE(Parsed(head + "abc", 100).parser->TakeExpectation());
  EXPECT_FALSE(
      Parsed("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 100).parser->TakeExpectation());
  EXPECT_FALSE(Parsed(head.substr(0, head.size() - 1), 100).parser->TakeExpectation());
  EXPECT_FALSE(Parsed(kPost + "Content-Length: 3\r\n\r\n", 100).parser->TakeExpectation());
}

TEST(HttpRequestParserTest, StatusesHaveTheirUsualWords) {
  EXPECT_EQ(HttpReason(200), "OK");
  EXPECT_EQ(HttpReason(431), "Request Header Fields Too Large");
}

}  // namespace
}  // namespace envdial::base
