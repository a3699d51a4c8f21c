// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/http_client.h"
#include "tests/base/loop_fixture.h"
#include "tests/base/raw_server.h"

namespace envdial::base {

class HttpTest : public LoopTest {
 protected:
  void Serve(RawServer::Handler handler) { server_ = std::make_unique<RawServer>(loop_, std::move(handler)); }

  // A request to the server, with deadlines that only a test of deadlines shortens.
  HttpRequest Request(std::string target = "/") const {
    HttpRequest request;
    request.endpoint = {.host = "127.0.0.1", .port = server_ ? server_->port() : std::uint16_t{0}, .socket_path = ""};
    request.target = std::move(target);
    request.connect_timeout = std::chrono::seconds(30);
    request.timeout = std::chrono::seconds(30);
    return request;
  }

  // The outcome of one request.
  HttpResult Get(HttpRequest request) {
    std::optional<HttpResult> outcome;
    const auto transfer =
        client_->Start(std::move(request), [&outcome](HttpResult result, Now) { outcome = std::move(result); });
    EXPECT_FALSE(outcome.has_value()) << "called back from within Start";
    EXPECT_TRUE(TurnUntil([&outcome] { return outcome.has_value(); }));
    return outcome ? std::move(*outcome) : std::unexpected(HttpError{HttpFault::kTimeout, "the test gave up"});
  }

  std::unique_ptr<HttpClient> client_ = std::move(HttpClient::Create(loop_)).value();
  std::unique_ptr<RawServer> server_;
};

}  // namespace envdial::base
