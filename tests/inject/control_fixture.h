// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "inject/control_server.h"
#include "tests/base/loop_fixture.h"
#include "tests/base/temp_directory.h"
#include "tests/inject/raw_client.h"

namespace envdial::inject {

// What the sidecar would show.
class FakeContent final : public ControlContent {
 public:
  std::string StatusJson(base::Now) override {
    if (on_status) on_status();
    return "{\"state\":\"ready\"}\n";
  }
  std::string MetricsText(base::Now) override { return "envdial_up 1\n"; }
  std::chrono::milliseconds Age(base::Now) override {
    ++age_asked;
    return age;
  }

  std::function<void()> on_status;
  std::chrono::milliseconds age{1'234};
  int age_asked = 0;
};

// A server with one dial, MAX, and its clients, all in one loop.
class ControlServerTest : public base::LoopTest {
 protected:
  ControlServerTest() {
    ::signal(SIGPIPE, SIG_IGN);  // as the process does
    Serve();
  }

  // Starts the server anew.
  void Serve(const ControlOptions& options = {}) {
    server_ = ControlServer::Create(loop_, Dials(), content_, options);
    const auto listening = server_->ListenUnix(path_, {.mode = 0660, .group = std::nullopt});
    EXPECT_TRUE(listening) << listening.error().message;
  }

  static std::vector<base::DialInfo> Dials() {
    return {
        {.name = "MAX", .type = "int", .unit = "", .source_kind = "consul", .source_key = "hunt/max", .secret = false}};
  }

  // Publishes a snapshot whose value is `value`.
  void Publish(std::uint64_t version, const std::string& value, base::State state = base::State::kReady) {
    auto next = std::make_unique<base::Snapshot>();
    next->version = version;
    next->state = state;
    next->dials.push_back({.value = value,
                           .set = value,
                           .origin = base::kOriginConsul,
                           .revision = version,
                           .changed = {},
                           .rejected = std::nullopt});
    server_->Publish(next.get());
    shown_ = std::move(next);  // the one before may go now, and not earlier
  }

  std::unique_ptr<RawClient> Connect() { return RawClient::ToPath(loop_, path_); }

  RawAnswer Answer(RawClient& client, bool with_body = true) {
    std::optional<RawAnswer> answer;
    EXPECT_TRUE(TurnUntil([&] { return (answer = client.Take(with_body)).has_value() || client.closed(); }));
    EXPECT_TRUE(answer) << "closed after: " << client.received();
    return answer.value_or(RawAnswer());
  }
  RawAnswer Get(const std::string& target) {
    const auto client = Connect();
    client->Ask(target);
    return Answer(*client);
  }
  RawAnswer Put(const std::string& target, const std::string& body) {
    const auto client = Connect();
    client->Send("PUT " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                 "\r\n\r\n" + body);
    return Answer(*client);
  }
  // A client whose long poll waits.
  std::unique_ptr<RawClient> Waiting(const std::string& target) {
    const std::size_t before = server_->clients();
    auto client = Connect();
    client->Ask(target);
    EXPECT_TRUE(TurnUntil([&] { return server_->clients() == before + 1; }));
    return client;
  }

  base::TempDirectory dir_;
  const std::string path_ = dir_ / "control.sock";
  FakeContent content_;
  std::unique_ptr<base::Snapshot> shown_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace envdial::inject
