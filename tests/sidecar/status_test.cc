// SPDX-License-Identifier: Apache-2.0
#include "sidecar/status.h"

#include <nlohmann/json.hpp>

#include "tests/sidecar/page_fixture.h"

namespace envdial::sidecar {
namespace {

using StatusTest = PageFixture;

constexpr const char* kSnapshot = R"({"version": 1, "state": "ready", "dials": [
  {"name": "MAX", "value": "600", "type": "int", "unit": "hunts", "origin": "consul", "set": "600",
   "source": {"kind": "consul", "key": "hunt/max", "revision": 41}, "changed": "2027-01-15T08:00:00.000Z",
   "rejected": {"value": "9000", "reason": "max", "message": "9000 is above the maximum 2500", "revision": 50,
                "time": "2027-01-15T07:59:00.000Z"}},
  {"name": "SECRET", "value": "hunter2", "type": "string", "unit": "", "origin": "consul", "set": "hunter2",
   "source": {"kind": "consul", "key": "hunt/secret", "revision": 43}, "changed": "2027-01-15T08:00:00.000Z",
   "rejected": null}]})";

TEST_F(StatusTest, JsonTellsWhoIsAskedAndSinceWhenItFails) {
  Answer();
  watch_.connected = false;
  watch_.failures_in_a_row = 3;
  watch_.last_error = {consul::Reason::kRefused, "http://127.0.0.1:8500: Connection refused", now_.wall,
                       now_.wall - std::chrono::seconds(12)};
  const auto json = nlohmann::json::parse(StatusJson(MakeView()));
  EXPECT_EQ(json["state"], "ready");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["instance"], "pod-1");
  const auto& group = json["groups"][0];
  EXPECT_EQ(group["group"], "hunt/");
  EXPECT_EQ(group["source"]["address"], "http://127.0.0.1:8500");
  EXPECT_EQ(group["last_error"]["reason"], "refused");
  EXPECT_EQ(group["last_error"]["since"], "2027-01-15T07:59:48.000Z");
  EXPECT_EQ(json["absent_dials"], nlohmann::json::array({"WAIT"}));
  EXPECT_EQ(json["secret_dials"], nlohmann::json::array({"SECRET"}));
}

TEST_F(StatusTest, TheTableTellsAPersonWhatIsWrongAndWhatIsServed) {
  Answer();
  watch_.connected = false;
  watch_.last_error = {consul::Reason::kRefused, "http://127.0.0.1:8500: Connection refused", now_.wall,
                       now_.wall - std::chrono::seconds(12)};
  channels_[0].error = "create /run/envdial/env.tmp: No space left on device";
  store_.error = "create /state/x.tmp: Read-only file system";
  const auto table = FormatStatus(StatusJson(MakeView()), kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  for (const char* part :
       {"state   ready", "hunt/ at http://127.0.0.1:8500: FAILING for 12s (refused), last contact 0s ago",
        "Connection refused", "channel env_file: FAILING: create /run/envdial/env.tmp: No space left on device",
        "store   /state: FAILING: create /state/x.tmp", "600 hunts", "max: 9000 is above the maximum 2500 (1m ago)",
        "•••"}) {
    EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
  }
  EXPECT_EQ(table->find("hunter2"), std::string::npos) << *table;
}

TEST_F(StatusTest, TheTableTellsThatAKeyWasDeletedAndItsValueKept) {
  const std::string status = R"({"state": "ready", "version": 1, "instance": "i", "started": null, "groups": [],
      "channels": [], "store": {"error": null}, "absent_dials": ["MAX"], "secret_dials": []})";
  const auto table = FormatStatus(status, kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->find("consul (no such key)"), std::string::npos) << *table;
}

TEST_F(StatusTest, AnAnswerThatIsNotOursIsAnError) {
  for (const char* body : {"", "[]", "{}", "<html>", R"({"state": 7})"}) {
    EXPECT_FALSE(FormatStatus(body, kSnapshot, now_.wall)) << body;
    EXPECT_FALSE(FormatStatus(StatusJson(MakeView()), body, now_.wall)) << body;
  }
}

}  // namespace
}  // namespace envdial::sidecar
