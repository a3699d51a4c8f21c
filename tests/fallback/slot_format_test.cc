// SPDX-License-Identifier: Apache-2.0
#include "fallback/slot_format.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/checksum.h"

namespace envdial::fallback {
namespace {

using base::ErrorKind;
using base::WallTime;
using std::chrono::milliseconds;

Kept SomeKept() {
  return {.version = 17,
          .keys = {{.datacenter = "dc1",
                    .namespace_name = "team",
                    .key = "hunt/max-concurrent",
                    .value = "500",
                    .deletion_confirmed = false,
                    .revision = 812,
                    .last_contact = WallTime(milliseconds(1'763'703'002'417))},
                   {.datacenter = "",
                    .namespace_name = "",
                    .key = "hunt/motd",
                    .value = std::nullopt,
                    .deletion_confirmed = true,
                    .revision = 0,
                    .last_contact = std::nullopt}},
          .values = {{.name = "MAX_CONCURRENT", .value = "500", .changed = WallTime(milliseconds(1'763'703'002'000))},
                     {.name = "MOTD", .value = std::nullopt, .changed = WallTime()}}};
}

// As docs/last-known-good.md describes it.
std::string SlotText(const std::string& start, const std::string& payload) {
  std::string header = "envdial-last-known-good " + start + " " + std::to_string(payload.size()) + " ";
  char checksum[16];
  std::snprintf(checksum, sizeof checksum, "%08x", base::Crc32(header + payload));
  return header + checksum + "\n" + payload;
}

TEST(SlotFormat, ComesBackAsItWas) {
  const Kept kept = SomeKept();
  const auto text = EncodeSlot({.sequence = 40, .kept = kept});
  ASSERT_TRUE(text) << text.error().message;
  const auto slot = DecodeSlot(*text);
  ASSERT_TRUE(slot) << slot.error().message;
  EXPECT_EQ(slot->sequence, 40U);
  EXPECT_EQ(slot->kept, kept);
}

TEST(SlotFormat, KeepsAnyValueThatTheGuardMayPass) {
  const std::vector<std::string> values = {"",
                                           " ",
                                           "a\nb\n",
                                           "tab\there",
                                           R"(back\slash and "quotes" and $dollar)",
                                           "{\"json\": [1, 2]}",
                                           "ünïcödé €",
                                           "\xF0\x9F\x90\x8B",
                                           "\xEF\xBF\xBD (the replacement character itself)",
                                           std::string(32 * 1024, 'x')};
  for (const std::string& value : values) {
    Kept kept = SomeKept();
    kept.keys[0].value = value;
    kept.keys[0].revision = UINT64_MAX;
    kept.values[0].value = value;
    const auto text = EncodeSlot({.sequence = 1, .kept = kept});
    ASSERT_TRUE(text) << value << ": " << text.error().message;
    const auto slot = DecodeSlot(*text);
    ASSERT_TRUE(slot) << value << ": " << slot.error().message;
    EXPECT_EQ(slot->kept, kept) << value;
  }
}

TEST(SlotFormat, IsReadableAtNight) {
  const auto text = EncodeSlot({.sequence = 40, .kept = SomeKept()});
  ASSERT_TRUE(text);
  EXPECT_TRUE(text->starts_with("envdial-last-known-good 1 40 ")) << *text;
  EXPECT_NE(text->find("\n      \"key\": \"hunt/max-concurrent\",\n      \"value\": \"500\",\n"), std::string::npos)
      << *text;
}

// As the library lays JSON out, so that nobody has to wonder which blanks belong there.
TEST(SlotFormat, IsLaidOutAsTheLibraryDoes) {
  Kept with_odd_texts = SomeKept();
  with_odd_texts.keys[0].value = "a\n\"b\" \\ \x01\x7F \xC3\xBC \xEF\xBF\xBD";
  for (const Kept& kept : {SomeKept(), Kept{}, with_odd_texts}) {
    const std::string text = *EncodeSlot({.sequence = 40, .kept = kept});
    const std::string payload = text.substr(text.find('\n') + 1);
    EXPECT_EQ(payload, nlohmann::ordered_json::parse(payload).dump(2) + "\n");
  }
}

TEST(SlotFormat, RefusesToAlterAValue) {
  Kept kept = SomeKept();
  kept.keys[0].value = "latin-1: \xFC";
  const auto text = EncodeSlot({.sequence = 1, .kept = kept});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::kInvalid);
}

TEST(SlotFormat, RefusesWhatCouldNotBeReadBackForItsLength) {
  Kept kept = SomeKept();
  kept.values[0].value = std::string(kMaxSlotBytes, 'x');
  const auto text = EncodeSlot({.sequence = 1, .kept = kept});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::kInvalid);
}

TEST(SlotFormat, NoticesEveryTruncation) {
  const std::string text = *EncodeSlot({.sequence = 40, .kept = SomeKept()});
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto slot = DecodeSlot(text.substr(0, length));
    ASSERT_FALSE(slot) << length;
    EXPECT_EQ(slot.error().kind, ErrorKind::kCorrupt) << length;
  }
}

TEST(SlotFormat, NoticesEveryFlippedByteAndNeverTakesItForANewerFormat) {
  const std::string text = *EncodeSlot({.sequence = 40, .kept = SomeKept()});
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const auto slot = DecodeSlot(damaged);
      ASSERT_FALSE(slot) << at << " ^ " << flip;
      ASSERT_EQ(slot.error().kind, ErrorKind::kCorrupt) << at << " ^ " << flip;
    }
  }
}

TEST(SlotFormat, NoticesBytesAfterTheEnd) {
  const std::string text = *EncodeSlot({.sequence = 40, .kept = SomeKept()});
  EXPECT_FALSE(DecodeSlot(text + "\n"));
  EXPECT_FALSE(DecodeSlot(text + text));
}

TEST(SlotFormat, KnowsANewerFormatByItsWholeHeader) {
  const auto slot = DecodeSlot(SlotText("2 41", "whatever that format says"));
  ASSERT_FALSE(slot);
  EXPECT_EQ(slot.error().kind, ErrorKind::kUnavailable);
  EXPECT_NE(slot.error().message.find("format 2"), std::string::npos) << slot.error().message;
}

TEST(SlotFormat, PassesOverMembersThatItDoesNotKnow) {
  const auto slot = DecodeSlot(SlotText("1 5", R"({"version": 3, "later": {"x": 1}, "keys": [], "values": []})"));
  ASSERT_TRUE(slot) << slot.error().message;
  EXPECT_EQ(slot->kept, (Kept{.version = 3, .keys = {}, .values = {}}));
}

TEST(SlotFormat, SaysWhatIsWrong) {
  const std::string key =
      R"("datacenter":"","namespace":"","key":"k","deletion_confirmed":false,"revision":1,"last_contact_ms":null)";
  const struct {
    std::string start, payload, said;
  } cases[] = {
      {"1 5", "", "not JSON"},
      {"1 5", "[]", "version"},
      {"1 5", "{\"version\": 1", "not JSON"},
      {"1 5", R"({"version": -1, "keys": [], "values": []})", "version is not a whole number"},
      {"1 5", R"({"version": 1.5, "keys": [], "values": []})", "version is not a whole number"},
      {"1 5", R"({"version": 1, "keys": {}, "values": []})", "keys is not an array"},
      {"1 5", R"({"version": 1, "keys": []})", "values is not an array"},
      {"1 5", R"({"version": 1, "keys": [7], "values": []})", "keys[0].datacenter is not a string"},
      {"1 5", R"({"version": 1, "keys": [{)" + key + R"(}], "values": []})", "keys[0].value is not a string"},
      {"1 5", R"({"version": 1, "keys": [{)" + key + R"(,"value":5}], "values": []})", "keys[0].value is not a string"},
      {"1 5", R"({"version": 1, "keys": [], "values": [{"name":"N","value":null,"changed_ms":"now"}]})",
       "values[0].changed_ms is not a time"},
      {"1 5", R"({"version": 1, "keys": [], "values": [{"name":"N","value":null,"changed_ms":18446744073709551615}]})",
       "values[0].changed_ms is not a time"},
      {"1 0", R"({"version": 1, "keys": [], "values": []})", "sequence 0"},
      {"1 9223372036854775808", R"({"version": 1, "keys": [], "values": []})", "out of range"},
      {"0 5", R"({"version": 1, "keys": [], "values": []})", "no such format"},
      {"1 5 5", R"({"version": 1, "keys": [], "values": []})", "its payload has"},
      {"one 5", "", "header line"},
      {"1 99999999999999999999", "", "header line"},
  };
  for (const auto& [start, payload, said] : cases) {
    const auto slot = DecodeSlot(SlotText(start, payload));
    ASSERT_FALSE(slot) << start << payload;
    EXPECT_EQ(slot.error().kind, ErrorKind::kCorrupt) << start << payload;
    EXPECT_NE(slot.error().message.find(said), std::string::npos) << start << payload << ": " << slot.error().message;
  }
}

TEST(SlotFormat, TakesAnyBytes) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string(4096, '\0'), std::string("envdial-last-known-good "),
        std::string("envdial-last-known-good 1 1 1"), "envdial-last-known-good " + std::string(1000, '1'),
        SlotText("1 5", std::string(100'000, '['))}) {
    EXPECT_FALSE(DecodeSlot(text)) << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace envdial::fallback
