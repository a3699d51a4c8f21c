// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.h"
#include "tests/base/http_fixture.h"
#include "tests/base/name_server.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Connection = RawServer::Connection;

class HttpNamesTest : public HttpTest {
 protected:
  HttpNamesTest() {
    Serve([](Connection& connection, const std::string& request) {
      connection.Send(OkAnswer(request.contains("\r\nHost: consul.example:") ? "by name" : "other"));
    });
    client_ = std::move(HttpClient::Create(loop_, {.name_servers = {names_.address()}})).value();
  }

  HttpRequest RequestTo(const std::string& host) const {
    HttpRequest request = Request();
    request.endpoint.host = host;
    return request;
  }

  NameServer names_{loop_};
};

TEST_F(HttpNamesTest, LocalhostIsFoundWithoutANameServer) {
  names_.silent = true;
  EXPECT_TRUE(Get(RequestTo("localhost")).has_value());
  EXPECT_EQ(names_.questions(), 0);
}

TEST_F(HttpNamesTest, AddressesAreNotResolved) {
  EXPECT_TRUE(Get(RequestTo("127.0.0.1")).has_value());
  EXPECT_EQ(names_.questions(), 0);
}

TEST_F(HttpNamesTest, NamesAreResolvedAndTheAnswerIsKeptUntilATransferFails) {
  names_.names["consul.example"] = {"127.0.0.1"};
  for (int i = 0; i < 3; ++i) {
    const auto answer = Get(RequestTo("consul.example"));
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(answer->body, "by name");
  }
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(names_.questions(), 2);  // A and AAAA

  // The service moves: the old address refuses, and the next attempt finds the new one.
  const std::uint16_t port = server_->port();
  server_->Stop();
  HttpRequest request = RequestTo("consul.example");
  request.endpoint.port = port;
  EXPECT_EQ(Get(request).error().fault, HttpFault::kRefused);
  EXPECT_EQ(names_.questions(), 2);
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("moved")); });
  EXPECT_TRUE(Get(RequestTo("consul.example")).has_value());
  EXPECT_EQ(names_.questions(), 4);
}

TEST_F(HttpNamesTest, AChangedAddressReplacesTheOldOne) {
  server_ = std::make_unique<RawServer>(
      loop_, [](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); }, "127.0.0.3");
  names_.names["consul.example"] = {"127.0.0.2"};
  EXPECT_EQ(Get(RequestTo("consul.example")).error().fault, HttpFault::kRefused);
  names_.names["consul.example"] = {"127.0.0.3"};
  const auto answer = Get(RequestTo("consul.example"));
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
}

TEST_F(HttpNamesTest, AnAddressThatRefusesIsPassedOver) {
  names_.names["consul.example"] = {"::1", "127.0.0.2", "127.0.0.1"};
  const auto answer = Get(RequestTo("consul.example"));
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
}

TEST_F(HttpNamesTest, AnUnknownNameIsADnsFault) {
  const auto answer = Get(RequestTo("unknown.example"));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kDns);
  EXPECT_TRUE(answer.error().message.contains("resolve unknown.example: ")) << answer.error().message;
}

TEST_F(HttpNamesTest, ADeadNameServerIsADnsFaultWithinTheConnectTimeout) {
  names_.silent = true;
  HttpRequest request = RequestTo("consul.example");
  request.connect_timeout = 500ms;
  int others = 0;
  std::unique_ptr<HttpTransfer> other;
  std::function<void(HttpResult, Now)> again = [&](HttpResult result, Now) {
    EXPECT_TRUE(result.has_value());
    ++others;
    other = client_->Start(Request(), again);
  };
  other = client_->Start(Request(), again);
  const auto answer = Get(request);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().fault, HttpFault::kDns);
  EXPECT_TRUE(answer.error().message.ends_with(": the name was not resolved within 500ms")) << answer.error().message;
  EXPECT_GT(others, 10) << "other transfers were held up";
  other.reset();
}

TEST_F(HttpNamesTest, TheAnswerOfASlowNameServerIsOfUseToTheNextRequest) {
  names_.names["consul.example"] = {"127.0.0.1"};
  names_.delay = 250ms;
  HttpRequest request = RequestTo("consul.example");
  request.connect_timeout = 100ms;
  EXPECT_EQ(Get(request).error().fault, HttpFault::kDns);
  request.connect_timeout = 30s;
  EXPECT_TRUE(Get(request).has_value());
}

}  // namespace
}  // namespace envdial::base
