// SPDX-License-Identifier: Apache-2.0
#include "inject/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/inject/control_fixture.h"

namespace envdial::inject {
namespace {

using base::State;
using std::chrono::milliseconds;
using testing::HasSubstr;
using Json = nlohmann::json;

TEST_F(ControlServerTest, AnswersBeforeTheFirstPublication) {
  const RawAnswer snapshot = Get("/v1/snapshot");
  EXPECT_EQ(snapshot.status, 200);
  EXPECT_EQ(snapshot.Header("Content-Type"), "application/json");
  const Json json = Json::parse(snapshot.body);
  EXPECT_EQ(json["version"], 0);
  EXPECT_EQ(json["state"], "not_ready");
  EXPECT_TRUE(json["dials"][0]["value"].is_null());
  EXPECT_EQ(Get("/v1/values/MAX").status, 503);
  EXPECT_EQ(Get("/v1/values/MIN").status, 404);
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/startupz").status, 503);
  EXPECT_EQ(Get("/v1/status").status, 200);
}

TEST_F(ControlServerTest, ServesWhatWasPublished) {
  Publish(7, "500");
  const RawAnswer snapshot = Get("/v1/snapshot");
  EXPECT_EQ(snapshot.status, 200);
  EXPECT_EQ(Json::parse(snapshot.body)["version"], 7);
  EXPECT_EQ(Json::parse(snapshot.body)["dials"][0]["value"], "500");

  const RawAnswer value = Get("/v1/values/MAX");
  EXPECT_EQ(value.status, 200);
  EXPECT_EQ(value.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(value.body, "500");

  const RawAnswer status = Get("/v1/status");
  EXPECT_EQ(status.Header("Content-Type"), "application/json");
  EXPECT_EQ(status.body, "{\"state\":\"ready\"}\n");

  const RawAnswer metrics = Get("/metrics");
  EXPECT_EQ(metrics.Header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(metrics.body, "envdial_up 1\n");
}

TEST_F(ControlServerTest, TellsHealthByState) {
  const struct {
    std::uint64_t version;
    State state;
    int ready, started;
  } cases[] = {{0, State::kNotReady, 503, 503},
               {3, State::kReady, 200, 200},
               {3, State::kStale, 200, 200},
               {3, State::kNotReady, 503, 200}};
  for (const auto& [version, state, ready, started] : cases) {
    Publish(version, "500", state);
    EXPECT_EQ(Get("/livez").status, 200);
    EXPECT_EQ(Get("/readyz").status, ready) << version << base::ToString(state);
    EXPECT_EQ(Get("/startupz").status, started) << version << base::ToString(state);
  }
  Publish(3, "500", State::kStale);
  EXPECT_EQ(Get("/readyz").body, "stale\n");
}

TEST_F(ControlServerTest, RefusesOtherPathsAndMethods) {
  for (const char* path : {"/", "/v1/", "/v1/kv/x", "/V1/snapshot", "/livez/", "/..", "/%2e"}) {
    const RawAnswer answer = Get(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_THAT(Json::parse(answer.body)["error"].get<std::string>(), HasSubstr("/v1/snapshot")) << path;
  }
  Publish(1, "500");
  for (const char* path : {"/v1/snapshot", "/v1/values/MAX", "/v1/status", "/metrics", "/livez"}) {
    for (const char* method : {"PUT", "POST", "DELETE", "PATCH", "OPTIONS"}) {
      const auto client = Connect();
      client->Send(std::string(method) + " " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n700");
      const RawAnswer answer = Answer(*client);
      EXPECT_EQ(answer.status, 405) << method << path;
      EXPECT_EQ(answer.Header("Allow"), "GET, HEAD") << method << path;
      EXPECT_TRUE(Json::parse(answer.body).contains("error")) << method << path;
    }
  }
  EXPECT_EQ(Get("/v1/values/MAX").body, "500");
  EXPECT_EQ(Get("/v1/applied").Header("Allow"), "PUT");
  EXPECT_EQ(Put("/v1/watch", "").Header("Allow"), "GET");
}

TEST_F(ControlServerTest, AQueryIsReadBySnapshotsOnly) {
  Publish(7, "500");
  for (const char* path : {"/v1/values/MAX", "/v1/status", "/metrics", "/livez", "/readyz", "/startupz"}) {
    EXPECT_EQ(Get(path + std::string("?verbose&after=x")).status, 200) << path;
  }
  EXPECT_EQ(Put("/v1/applied?x", R"({"consumer":"a","version":7})").status, 204);
}

TEST_F(ControlServerTest, AnswersHeadWithoutABody) {
  Publish(7, "500");
  for (const char* path : {"/v1/snapshot", "/v1/values/MAX", "/livez", "/nowhere"}) {
    const RawAnswer full = Get(path);
    const auto client = Connect();
    client->Ask("HEAD", path);
    const RawAnswer head = Answer(*client, false);
    EXPECT_EQ(head.status, full.status) << path;
    EXPECT_EQ(head.Header("Content-Length"), std::to_string(full.body.size())) << path;
    client->Ask("/livez");
    EXPECT_EQ(Answer(*client).body, "ok\n") << "a body was sent after the headers of " << path;
  }
}

TEST_F(ControlServerTest, RefusesAMalformedQuery) {
  for (const char* query : {"after=x", "after=", "wait=1", "after=7&wait=11m", "afer=7", "after"}) {
    const RawAnswer answer = Get(std::string("/v1/snapshot?") + query);
    EXPECT_EQ(answer.status, 400) << query;
    EXPECT_TRUE(Json::parse(answer.body).contains("error")) << query;
  }
}

TEST_F(ControlServerTest, AnswersAClientThatEndsItsSideWithItsRequest) {
  Publish(7, "500");
  const auto client = Connect();
  client->Ask("/v1/values/MAX");
  client->EndSending();
  EXPECT_EQ(Answer(*client).body, "500");
}

TEST_F(ControlServerTest, ASlowReaderOfALargeAnswerGetsAllOfIt) {
  const std::string large(8 * 1024 * 1024, 'x');
  Publish(7, large);
  const auto client = Connect();
  client->Ask("/v1/values/MAX");
  TurnFor(milliseconds(10));
  Publish(8, "600");  // what it still reads stays what it was
  EXPECT_EQ(Answer(*client).body, large);
}

TEST_F(ControlServerTest, AcceptsAgainAfterDescriptorsHadRunOut) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  TurnFor(milliseconds(1));  // UndefinedBehaviorSanitizer needs descriptors where it meets a class for the first time
  const auto client = Connect();
  rlimit none = files;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  client->Ask("/livez");
  TurnFor(milliseconds(100));
  EXPECT_FALSE(client->Take());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(Answer(*client).body, "ok\n");
}

TEST_F(ControlServerTest, LimitsHeadersAndBodies) {
  const auto headers = Connect();
  headers->Send("GET /livez HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(TurnUntil([&] { return headers->closed() || headers->Take().value_or(RawAnswer()).status >= 400; }));
  const auto body = Connect();
  body->Send("PUT /v1/values/MAX HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + std::string(70'000, 'x'));
  EXPECT_TRUE(TurnUntil([&] { return body->closed() || body->Take().value_or(RawAnswer()).status >= 400; }));
  const auto garbage = Connect();
  garbage->Send("\xFF\r\n\r\n not http \r\n\r\n");
  EXPECT_TRUE(TurnUntil([&] { return garbage->closed() || garbage->Take().value_or(RawAnswer()).status >= 400; }));
  EXPECT_EQ(Get("/livez").status, 200);
}

TEST_F(ControlServerTest, TcpServesHealthAndMetricsOnly) {
  Publish(7, "500");
  const auto port = server_->ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(port) << port.error().message;
  const struct {
    const char* path;
    int status;
  } cases[] = {
      {"/metrics", 200},       {"/livez", 200},     {"/readyz", 200},   {"/startupz", 200},   {"/v1/snapshot", 404},
      {"/v1/values/MAX", 404}, {"/v1/status", 404}, {"/v1/watch", 404}, {"/v1/applied", 404}, {"/", 404}};
  for (const auto& [path, status] : cases) {
    const auto client = RawClient::ToPort(loop_, static_cast<std::uint16_t>(*port));
    client->Ask(path);
    const RawAnswer answer = Answer(*client);
    EXPECT_EQ(answer.status, status) << path;
    EXPECT_EQ(answer.body.find("500"), std::string::npos) << path;
  }
  const auto taken = server_->ListenTcp("127.0.0.1:" + std::to_string(*port));
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message, HasSubstr("in use"));
}

TEST_F(ControlServerTest, ReplacesTheSocketOfADeadOne) {
  server_ = ControlServer::Create(loop_, Dials(), content_);
  ASSERT_TRUE(server_->ListenUnix(path_, {.mode = 0600, .group = std::nullopt}));
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(Get("/livez").status, 200);
  const auto refused = server_->ListenUnix(dir_ / std::string(120, 's'), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, base::ErrorKind::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("control channel"));
}

TEST_F(ControlServerTest, ListensAnewWhereTheRunDirectoryVanished) {
  Publish(7, "500");
  const auto waiting = Waiting("/v1/snapshot?after=7");
  const auto idle = Connect();
  idle->Ask("/livez");
  EXPECT_EQ(Answer(*idle).status, 200);
  for (int again = 0; again < 3; ++again) {
    ASSERT_EQ(::unlink(path_.c_str()), 0);
    ASSERT_TRUE(server_->ListenUnix(path_, {.mode = 0660, .group = std::nullopt}));
    EXPECT_EQ(Get("/livez").status, 200);
  }
  const auto failed = server_->ListenUnix(dir_ / "gone/control.sock", {.mode = 0660, .group = std::nullopt});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, base::ErrorKind::kNotFound);
  EXPECT_EQ(Get("/livez").status, 200) << "the socket before is kept where there is no new one";
  idle->Ask("/livez");
  EXPECT_EQ(Answer(*idle).status, 200) << "connections stay";
  Publish(8, "600");
  EXPECT_EQ(Json::parse(Answer(*waiting).body)["version"], 8);
}

TEST_F(ControlServerTest, KeepsWhatAppsSayTheyRunWith) {
  EXPECT_TRUE(server_->consumers().empty());
  const base::WallTime before = base::ReadClock().wall;
  const RawAnswer said = Put("/v1/applied", R"({"consumer":"hunt-service","version":7})");
  EXPECT_EQ(said.status, 204);
  EXPECT_EQ(said.body, "");
  EXPECT_EQ(Put("/v1/applied", R"({"consumer":"bots","version":6})").status, 204);
  EXPECT_EQ(Put("/v1/applied", R"({"consumer":"hunt-service","version":8})").status, 204);
  EXPECT_EQ(Put("/v1/applied", R"({"consumer":"bots","version":5})").status, 204) << "an app may go back";
  ASSERT_EQ(server_->consumers().size(), 2U);
  EXPECT_EQ(server_->consumers()[0].name, "hunt-service");
  EXPECT_EQ(server_->consumers()[0].version, 8U);
  EXPECT_GE(server_->consumers()[0].time, before);
  EXPECT_EQ(server_->consumers()[1].name, "bots");
  EXPECT_EQ(server_->consumers()[1].version, 5U);
}

TEST_F(ControlServerTest, RefusesAMalformedReportAndKeepsTheOneBefore) {
  EXPECT_EQ(Put("/v1/applied", R"({"consumer":"a","version":7})").status, 204);
  for (const char* body : {"", "{}", R"({"consumer":"a","version":"8"})", R"({"consumer":"B","version":8})"}) {
    const RawAnswer refused = Put("/v1/applied", body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_THAT(Json::parse(refused.body)["error"].get<std::string>(), HasSubstr("expected")) << body;
  }
  ASSERT_EQ(server_->consumers().size(), 1U);
  EXPECT_EQ(server_->consumers()[0].version, 7U);
}

TEST_F(ControlServerTest, KeepsSixteenConsumersAndNoMore) {
  const auto report = [](int consumer, int version) {
    return R"({"consumer":"c-)" + std::to_string(consumer) + R"(","version":)" + std::to_string(version) + "}";
  };
  for (int i = 0; i < 16; ++i) EXPECT_EQ(Put("/v1/applied", report(i, 7)).status, 204);
  const RawAnswer refused = Put("/v1/applied", report(16, 7));
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(Json::parse(refused.body)["error"].get<std::string>(), HasSubstr("c-0 c-1"));
  EXPECT_EQ(Put("/v1/applied", report(3, 8)).status, 204) << "who is known may go on";
  ASSERT_EQ(server_->consumers().size(), 16U);
  EXPECT_EQ(server_->consumers()[3].version, 8U);
}

}  // namespace
}  // namespace envdial::inject
