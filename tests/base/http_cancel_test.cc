// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "base/http_client.h"
#include "tests/base/http_fixture.h"

namespace envdial::base {
namespace {

using namespace std::chrono_literals;
using Connection = RawServer::Connection;

class HttpCancelTest : public HttpTest {
 protected:
  static void Fail(HttpResult, Now) { FAIL() << "a cancelled transfer called back"; }
};

TEST_F(HttpCancelTest, ADestroyedTransferIsSilentAndClosesItsConnection) {
  Serve([](Connection& connection, const std::string&) {
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
  });
  auto at_once = client_->Start(Request(), Fail);
  at_once.reset();
  auto midway = client_->Start(Request(), Fail);
  ASSERT_TRUE(TurnUntil([this] { return server_->open_connections() == 1; }));
  TurnFor(20ms);
  midway.reset();
  EXPECT_TRUE(TurnUntil([this] { return server_->open_connections() == 0; }));
  TurnFor(20ms);
}

TEST_F(HttpCancelTest, ACallbackMayDestroyItsOwnTransferAndStartTheNext) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  std::unique_ptr<HttpTransfer> transfer;
  int done = 0;
  std::function<void(HttpResult, Now)> again = [&](HttpResult result, Now) {
    EXPECT_TRUE(result.has_value());
    transfer.reset();
    if (++done < 20) transfer = client_->Start(Request(), again);
  };
  transfer = client_->Start(Request(), again);
  EXPECT_TRUE(TurnUntil([&done] { return done == 20; }));
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpCancelTest, ACallbackMayDestroyAllOthersWhereverTheyAre) {
  Serve([](Connection& connection, const std::string& request) {
    if (request.starts_with("GET /answer")) connection.Send(OkAnswer("x"));
    if (request.starts_with("GET /half")) connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
  });
  // Answered ones are told one in a turn, so the first finds the others at every stage, told or not.
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<HttpTransfer>> transfers;
    int told = 0;
    const auto on_done = [&](HttpResult, Now) {
      ++told;
      transfers.clear();
    };
    for (const char* target : {"/answer", "/half", "/silent", "/answer", "/bad target", "/answer"}) {
      transfers.push_back(client_->Start(Request(target), on_done));
    }
    HttpRequest unknown = Request();
    unknown.endpoint.host = "localhost";
    transfers.push_back(client_->Start(unknown, on_done));
    ASSERT_TRUE(TurnUntil([&told] { return told > 0; }));
    TurnFor(20ms);
    EXPECT_EQ(told, 1);
  }
}

TEST_F(HttpCancelTest, ACallbackOfATimeoutMayDestroyItsTransfer) {
  Serve([](Connection&, const std::string&) {});
  HttpRequest request = Request();
  request.timeout = 50ms;
  std::unique_ptr<HttpTransfer> transfer;
  bool told = false;
  transfer = client_->Start(request, [&](HttpResult result, Now) {
    EXPECT_EQ(result.error().fault, HttpFault::kTimeout);
    transfer.reset();
    told = true;
  });
  EXPECT_TRUE(TurnUntil([&told] { return told; }));
}

TEST_F(HttpCancelTest, ACallbackMayDestroyEverything) {
  Serve([](Connection& connection, const std::string&) { connection.Send(OkAnswer("x")); });
  std::vector<std::unique_ptr<HttpTransfer>> transfers;
  bool told = false;
  for (int i = 0; i < 3; ++i) {
    transfers.push_back(client_->Start(Request(), [&](HttpResult, Now) {
      EXPECT_FALSE(told);
      transfers.clear();
      client_.reset();
      told = true;
    }));
  }
  EXPECT_TRUE(TurnUntil([&told] { return told; }));
  TurnFor(20ms);
}

TEST_F(HttpCancelTest, TheLoopRunsDryWhenTheLastTransferIsOver) {
  bool told = false;
  const auto listener = std::make_unique<RawServer>(loop_, [](Connection&, const std::string&) {});
  HttpRequest request = Request();
  request.endpoint.port = listener->port();
  listener->Stop();
  const auto transfer = client_->Start(request, [&told](HttpResult, Now) { told = true; });
  loop_.Run();
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace envdial::base
