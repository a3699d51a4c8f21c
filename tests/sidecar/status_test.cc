// SPDX-License-Identifier: Apache-2.0
#include "sidecar/status.h"

#include <nlohmann/json.hpp>

#include "guard/guard.h"
#include "sidecar/status_hints.h"
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
  credential_troubles_ = {"CONSUL_HTTP_TOKEN_FILE: /t: it is empty; what it held before stays in force"};
  store_.error = "create /state/x.tmp: Read-only file system";
  const auto table = FormatStatus(StatusJson(MakeView()), kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  for (const char* part :
       {"state   ready", "hunt/ at http://127.0.0.1:8500: FAILING for 12s (refused), since 2027-01-15T07:59:48.000Z",
        ", last contact 0s ago", "Connection refused",
        "channel env_file: FAILING: create /run/envdial/env.tmp: No space left on device",
        "secrets FAILING: CONSUL_HTTP_TOKEN_FILE: /t: it is empty", "store   /state: FAILING: create /state/x.tmp",
        "600 hunts", "max: 9000 is above the maximum 2500 (1m ago)", "•••"}) {
    EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
  }
  EXPECT_EQ(table->find("hunter2"), std::string::npos) << *table;
}

TEST_F(StatusTest, TheTableTellsThatAKeyWasDeletedAndItsValueKept) {
  auto status = nlohmann::json::parse(StatusJson(MakeView()));
  status["absent_dials"] = {"MAX"};
  const auto table = FormatStatus(status.dump(), kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->find("consul (no such key)"), std::string::npos) << *table;
}

TEST_F(StatusTest, TheTableTellsWhatToLookAtForEachReasonOfAFailedPoll) {
  Answer();
  watch_.connected = false;
  for (std::size_t i = 0; i < consul::kReasonCount; ++i) {
    const auto reason = static_cast<consul::Reason>(i);
    watch_.last_error = {reason, "what was seen", now_.wall, now_.wall - std::chrono::seconds(12)};
    const std::string hint = HintFor(ToString(reason), "hunt/");
    ASSERT_NE(hint, "") << ToString(reason);
    const auto table = FormatStatus(StatusJson(MakeView()), kSnapshot, now_.wall);
    ASSERT_TRUE(table) << table.error().message;
    for (const char* part :
         {"CONSUL FAILS, see below", "since 2027-01-15T07:59:48.000Z", "served meanwhile: the values below"}) {
      EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
    }
    EXPECT_NE(table->find("        look at: " + hint + "\n"), std::string::npos) << *table;
  }
}

TEST_F(StatusTest, TheTableTellsOfAFailureThatIsOverForAnHour) {
  Answer();
  watch_.last_error = {consul::Reason::kTimeout, "no answer", now_.wall, now_.wall - std::chrono::seconds(12)};
  const auto table = FormatStatus(StatusJson(MakeView()), kSnapshot, now_.wall + std::chrono::minutes(59));
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->find("        last failure 59m ago (timeout): no answer\n"), std::string::npos) << *table;
  const auto later = FormatStatus(StatusJson(MakeView()), kSnapshot, now_.wall + std::chrono::minutes(61));
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->find("last failure"), std::string::npos) << *later;
}

TEST_F(StatusTest, TheTableTellsWhatToLookAtForEachReasonOfARefusal) {
  Answer();
  for (const std::string_view reason : guard::kReasons) {
    const std::string hint = HintFor(reason, "MAX");
    ASSERT_NE(hint, "") << reason;
    auto snapshot = nlohmann::json::parse(kSnapshot);
    snapshot["dials"][0]["rejected"]["reason"] = reason;
    const auto table = FormatStatus(StatusJson(MakeView()), snapshot.dump(), now_.wall);
    ASSERT_TRUE(table) << table.error().message;
    EXPECT_NE(table->find("MAX: look at: " + hint + "\n"), std::string::npos) << *table;
  }
}

TEST_F(StatusTest, TheTableTellsWhatIsStrangeWhileItLasts) {
  Answer();
  watch_.last_oddity = {"an older value of hunt/max was answered; a consistent read says a newer one", now_.wall,
                        now_.wall - std::chrono::seconds(12), 7};
  watch_.mass_deletion_standing = true;
  watch_.mass_deletion_since = now_.wall - std::chrono::seconds(9);
  const std::string status = StatusJson(MakeView());
  const auto table = FormatStatus(status, kSnapshot, now_.wall + std::chrono::seconds(59));
  ASSERT_TRUE(table) << table.error().message;
  for (const std::string& part :
       {std::string("ODD ANSWERS for 1m11s, since 2027-01-15T07:59:48.000Z (7): an older value of hunt/max"),
        HintFor("odd", "hunt/"), std::string("GONE AT ONCE, since 2027-01-15T07:59:51.000Z: the values below are held"),
        HintFor("mass_deletion", "hunt/")}) {
    EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
  }
  const auto later = FormatStatus(status, kSnapshot, now_.wall + std::chrono::seconds(61));
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->find("ODD ANSWERS"), std::string::npos) << *later;
}

TEST_F(StatusTest, TheTableTellsWhatIsStaleWhatIsMissingAndWhatCameFromTheDisk) {
  auto status = nlohmann::json::parse(StatusJson(MakeView()));
  status["state"] = "stale";
  status["stale_dials"] = {"MAX", "WAIT"};
  auto snapshot = nlohmann::json::parse(kSnapshot);
  snapshot["dials"][0]["origin"] = "last-known-good";
  auto table = FormatStatus(status.dump(), snapshot.dump(), now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  for (const std::string& part : {std::string("stale   MAX WAIT\n"), "look at: " + HintFor("stale", ""),
                                  "MAX: " + HintFor("last-known-good", "MAX")}) {
    EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
  }
  status["state"] = "not_ready";
  status["stale_dials"] = nlohmann::json::array();
  table = FormatStatus(status.dump(), kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->find("look at: " + HintFor("not_ready", "")), std::string::npos) << *table;
}

TEST_F(StatusTest, TheTableTellsWhatTheAppsRunWith) {
  Answer();
  auto status = nlohmann::json::parse(StatusJson(MakeView()));
  const std::string time = "2027-01-15T07:59:55.000Z";
  status["consumers"] = {{{"consumer", "behind"}, {"version", 0}, {"time", time}},
                         {{"consumer", "hunt-service"}, {"version", 1}, {"time", time}}};
  const auto table = FormatStatus(status.dump(), kSnapshot, now_.wall);
  ASSERT_TRUE(table) << table.error().message;
  for (const char* part : {"app     behind runs with version 0, NOT 1 (told 5s ago)",
                           "app     hunt-service runs with version 1 (told 5s"}) {
    EXPECT_NE(table->find(part), std::string::npos) << part << "\n" << *table;
  }
}

TEST_F(StatusTest, AnAnswerThatIsNotOursIsAnError) {
  for (const char* body : {"", "[]", "{}", "<html>", R"({"state": 7})"}) {
    EXPECT_FALSE(FormatStatus(body, kSnapshot, now_.wall)) << body;
    EXPECT_FALSE(FormatStatus(StatusJson(MakeView()), body, now_.wall)) << body;
  }
}

}  // namespace
}  // namespace envdial::sidecar
