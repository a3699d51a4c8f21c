// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "tests/base/http_server_fixture.h"

namespace envdial::base {
namespace {

using ::testing::EndsWith;

class HttpKeeperTest : public HttpServerTest {
 protected:
  // Writes to the only stream until its reader's side is full.
  std::size_t WriteUntilStalled(std::string_view bytes) {
    std::size_t written = 0;
    for (; keeper_.kept.at(0)->unsent() == 0; written += bytes.size()) keeper_.kept[0]->Write(bytes);
    return written;
  }

  bool TurnUntilGone() {
    return TurnUntil([this] { return keeper_.gone == 1 && server_->connections() == 0; });
  }
};

TEST_F(HttpKeeperTest, AnswersLaterThanTheIdleTimeout) {
  Serve({.idle_timeout = std::chrono::milliseconds(20)});
  const auto client = ConnectAndKeep();
  TurnFor(std::chrono::milliseconds(200));
  ASSERT_EQ(keeper_.kept.size(), 1U);
  EXPECT_EQ(keeper_.kept[0]->path(), "/keep");
  keeper_.kept[0]->Reply({.body = "later"});
  EXPECT_TRUE(Receives(*client, "later"));
  EXPECT_EQ(keeper_.gone, 0);
  // From now on it counts.
  EXPECT_TRUE(Ends(*client));
}

TEST_F(HttpKeeperTest, HearsOfClientsThatGo) {
  for (const int family : {AF_UNIX, AF_INET}) {
    for (const char* path : {"/keep", "/stream"}) {
      Serve({}, family);
      keeper_.gone = 0;
      auto client = ConnectAndKeep(path);
      client.reset();
      EXPECT_TRUE(TurnUntilGone()) << path;
      // One that has only ended its side is gone too.
      keeper_.gone = 0;
      client = ConnectAndKeep(path);
      client->EndSending();
      EXPECT_TRUE(TurnUntilGone()) << path;
      EXPECT_TRUE(keeper_.kept.empty());
    }
  }
}

TEST_F(HttpKeeperTest, AnswersWhatWasPipelinedBehindAKeptRequestAfterIt) {
  Serve();
  const auto client = Connect("GET /keep HTTP/1.1\r\n\r\n");
  client->Send(kHello);
  client->Send("GET /keep HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(TurnUntil([&] { return client->sent() && !keeper_.kept.empty(); }));
  TurnFor(std::chrono::milliseconds(20));
  EXPECT_EQ(handled_, 1);
  std::exchange(keeper_.kept, {})[0]->Reply({.body = "first"});
  // Not from within the call.
  EXPECT_EQ(handled_, 1);
  ASSERT_TRUE(TurnUntil([&] { return !keeper_.kept.empty(); }));
  keeper_.kept[0]->Reply({.body = "third"});
  ASSERT_TRUE(Receives(*client, "third"));
  EXPECT_LT(client->received().find("first"), client->received().find("GET /hello"));
}

TEST_F(HttpKeeperTest, AClientMayNotSendMuchWhileItWaits) {
  Serve({.max_header_bytes = 1'000});
  const auto client = ConnectAndKeep();
  client->Send(std::string(1'000, 'x'));
  TurnFor(std::chrono::milliseconds(20));
  EXPECT_EQ(keeper_.gone, 0);
  client->Send("x");
  EXPECT_TRUE(TurnUntilGone());
}

TEST_F(HttpKeeperTest, WhatAStreamsReaderSendsIsIgnored) {
  Serve();
  const auto client = ConnectAndKeep("/stream");
  client->Send(std::string(8'000'000, 'x'));
  ASSERT_TRUE(TurnUntil([&] { return client->sent(); }));
  EXPECT_GT(client->bytes_sent(), 8'000'000U);
  EXPECT_EQ(keeper_.gone, 0);
}

TEST_F(HttpKeeperTest, StreamsInChunks) {
  Serve({.idle_timeout = std::chrono::milliseconds(20), .stream_timeout = std::chrono::milliseconds(20)});
  const auto client = ConnectAndKeep("/stream");
  ASSERT_TRUE(Receives(*client, "\r\n\r\n"));
  EXPECT_EQ(client->received(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
            "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
  // With nobody writing, for longer than any limit.
  TurnFor(std::chrono::milliseconds(200));
  keeper_.kept.at(0)->Write("data: one\n\n");
  keeper_.kept[0]->Write("");
  keeper_.kept[0]->Write(std::string(16, 'x'));
  EXPECT_EQ(keeper_.kept[0]->unsent(), 0U);
  keeper_.kept[0]->EndStream();
  ASSERT_TRUE(Ends(*client));
  EXPECT_THAT(client->received(),
              EndsWith("\r\n\r\nb\r\ndata: one\n\n\r\n10\r\n" + std::string(16, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_EQ(keeper_.drained, 0);
}

TEST_F(HttpKeeperTest, StreamsUntilTheCloseToHttp10) {
  Serve();
  const auto client = Connect("GET /stream HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(TurnUntil([&] { return !keeper_.kept.empty(); }));
  keeper_.kept[0]->Write("data: one\n\n");
  keeper_.kept[0]->EndStream();
  ASSERT_TRUE(Ends(*client));
  EXPECT_THAT(client->received(), EndsWith("Connection: close\r\n\r\ndata: one\n\n"));
}

TEST_F(HttpKeeperTest, TellsWhenASlowReaderHasTakenAll) {
  for (const int family : {AF_UNIX, AF_INET}) {
    Serve({}, family);
    keeper_.drained = 0;
    keeper_.kept.clear();
    const auto client = ConnectAndKeep("/stream");
    ASSERT_TRUE(Receives(*client, "\r\n\r\n"));
    client->PauseReading();
    const std::string event(1'000, 'x');
    const std::size_t written = WriteUntilStalled(event);
    const std::size_t unsent = keeper_.kept[0]->unsent();
    // What nobody asked to write is in no queue of ours.
    EXPECT_LE(unsent, event.size() + 7);
    keeper_.kept[0]->Write("last");
    EXPECT_EQ(keeper_.kept[0]->unsent(), unsent + 9);
    EXPECT_EQ(keeper_.drained, 0);
    client->ResumeReading();
    ASSERT_TRUE(TurnUntil([this] { return keeper_.drained == 1; }));
    EXPECT_EQ(keeper_.kept[0]->unsent(), 0U);
    ASSERT_TRUE(Receives(*client, "\r\n4\r\nlast\r\n"));
    EXPECT_EQ(client->Count(event), written / event.size());
    EXPECT_EQ(keeper_.gone, 0);
  }
}

// A keeper that saw something unsent waits for the word that it was taken, however that came about.
TEST_F(HttpKeeperTest, TellsSoEvenWhenTheKernelHasRoomAtTheNextWrite) {
  Serve();
  const auto client = ConnectAndKeep("/stream");
  client->PauseReading();
  WriteUntilStalled(std::string(1'000, 'x'));
  while (client->ReadSome(100'000) > 0) continue;
  keeper_.kept.at(0)->Write("last");
  EXPECT_TRUE(TurnUntil([this] { return keeper_.drained == 1; }));
}

// So that a reader that is behind gets the newest soon, and not all that was written while it slept.
TEST_F(HttpKeeperTest, TheKernelQueuesLittleOfAStream) {
  Serve();
  const auto client = ConnectAndKeep("/stream");
  client->PauseReading();
  EXPECT_LT(WriteUntilStalled(std::string(1'000, 'x')), 50'000U);
}

TEST_F(HttpKeeperTest, AReaderThatTakesNothingIsLost) {
  Serve({.idle_timeout = std::chrono::milliseconds(50), .stream_timeout = std::chrono::milliseconds(200)});
  const auto client = ConnectAndKeep("/stream");
  client->PauseReading();
  WriteUntilStalled(std::string(1'000, 'x'));
  // What is written meanwhile is no sign of life of the reader.
  Timer more(loop_, [&](Now) {
    if (!keeper_.kept.empty()) keeper_.kept[0]->Write("x");
    more.Start(std::chrono::milliseconds(10));
  });
  more.Start(std::chrono::milliseconds(10));
  EXPECT_TRUE(TurnUntilGone());
}

TEST_F(HttpKeeperTest, AReaderThatTakesALittleNowAndThenIsKept) {
  Serve({.idle_timeout = std::chrono::milliseconds(100), .stream_timeout = std::chrono::milliseconds(2'500)});
  const auto client = ConnectAndKeep("/stream");
  client->PauseReading();
  WriteUntilStalled(std::string(8'000'000, 'x'));
  const MonoTime began = ReadClock().mono;
  while (ReadClock().mono < began + std::chrono::seconds(4)) {
    TurnFor(std::chrono::milliseconds(20));
    // Enough that the kernel takes more, and far from all.
    client->ReadSome(8'000);
  }
  EXPECT_EQ(keeper_.gone, 0);
  EXPECT_GT(keeper_.kept.at(0)->unsent(), 0U);
}

TEST_F(HttpKeeperTest, WritingToAClientThatIsGoneTellsTheKeeperLater) {
  Serve();
  auto client = ConnectAndKeep("/stream");
  client.reset();
  for (int i = 0; i < 3; ++i) keeper_.kept.at(0)->Write(std::string(100'000, 'x'));
  EXPECT_EQ(keeper_.gone, 0);
  EXPECT_TRUE(TurnUntilGone());
  client = ConnectAndKeep();
  client.reset();
  std::exchange(keeper_.kept, {})[0]->Reply({.body = "too late"});
  EXPECT_TRUE(TurnUntil([this] { return server_->connections() == 0; }));
  EXPECT_EQ(keeper_.gone, 1);
}

TEST_F(HttpKeeperTest, ACallMayAnswerAndEndTheOthers) {
  Serve();
  const auto waits = ConnectAndKeep();
  const auto reads = ConnectAndKeep("/stream");
  auto goes = ConnectAndKeep();
  keeper_.on_gone = [this] {
    keeper_.kept.at(0)->Reply({.body = "someone went"});
    keeper_.kept.at(1)->Write("someone went");
    keeper_.kept.at(1)->EndStream();
    keeper_.kept.clear();
  };
  goes.reset();
  EXPECT_TRUE(Receives(*waits, "someone went"));
  EXPECT_TRUE(Receives(*reads, "someone went\r\n0\r\n\r\n"));
  EXPECT_TRUE(Ends(*reads));
}

TEST_F(HttpKeeperTest, TheEndOfTheServerTellsNobody) {
  Serve();
  const auto waits = ConnectAndKeep();
  const auto reads = ConnectAndKeep("/stream");
  server_.reset();
  EXPECT_TRUE(Ends(*waits));
  EXPECT_TRUE(Ends(*reads));
  EXPECT_EQ(keeper_.gone, 0);
}

}  // namespace
}  // namespace envdial::base
