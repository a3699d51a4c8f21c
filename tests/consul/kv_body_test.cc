// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/reading.h"

namespace envdial::consul {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const WatchTarget kSingle{.name = "a/x", .is_prefix = false, .keys = {"a/x"}};
const WatchTarget kPrefix{.name = "a/", .is_prefix = true, .keys = {"a/x", "a/b/y"}};

std::string Entry(const std::string& key, const std::string& value = "\"NTAw\"", const std::string& index = "7") {
  return R"({"LockIndex":0,"Key":")" + key + R"(","Flags":0,"Value":)" + value + R"(,"CreateIndex":1,"ModifyIndex":)" +
         index + "}";
}

std::string List(const std::string& entries) { return "[" + entries + "]"; }

TEST(DecodeBase64, StrictlyAsTheStandardSays) {
  const struct {
    std::string text, bytes;
  } kGood[] = {{"", ""},
               {"Zg==", "f"},
               {"Zm8=", "fo"},
               {"Zm9v", "foo"},
               {"Zm9vYg==", "foob"},
               {"Zm9vYmE=", "fooba"},
               {"Zm9vYmFy", "foobar"},
               {"+/+/", "\xfb\xff\xbf"},
               {"AA==", std::string(1, '\0')}};
  for (const auto& row : kGood) {
    const auto bytes = DecodeBase64(row.text);
    ASSERT_TRUE(bytes) << row.text << ": " << bytes.error().message;
    EXPECT_EQ(*bytes, row.bytes) << row.text;
  }

  const std::string kBad[] = {"Z",
                              "Zg",
                              "Zg=",
                              "Zm9v=",
                              "Zm9vYg",  // lengths
                              "====",
                              "Z===",
                              "=Zg=",
                              "Zg==Zg==",
                              "Zm=v",  // padding in odd places
                              "Zh==",
                              "Zm9=",  // left-over bits
                              "Zm9v\n",
                              "Zm 9v=",
                              "Zm9v    ",
                              "Z-_v",
                              "Zm9\xc3",  // characters of other alphabets
                              std::string("Zg=\0", 4),
                              "\xff\xff\xff\xff"};
  for (const std::string& text : kBad) EXPECT_FALSE(DecodeBase64(text)) << text;
}

TEST(DecodeBase64, EveryByteComesBack) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string text{kAlphabet[byte >> 2], kAlphabet[(byte & 3) << 4], '=', '='};
    const auto bytes = DecodeBase64(text);
    ASSERT_TRUE(bytes) << text;
    EXPECT_EQ(*bytes, std::string(1, static_cast<char>(byte)));
  }
}

TEST(DecodeKvBody, KeepsDeclaredKeysInTheirOrder) {
  const auto body = DecodeKvBody(List(Entry("a/b/y", "\"Mg==\"", "9") + "," + Entry("a/x")), kPrefix);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_THAT(body->keys, ElementsAre(KvEntry{"500", 7}, KvEntry{"2", 9}));
  EXPECT_EQ(body->undeclared_total, 0U);
}

TEST(DecodeKvBody, WhatIsNotThereIsNone) {
  const auto body = DecodeKvBody(List(Entry("a/x")), kPrefix);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_THAT(body->keys, ElementsAre(KvEntry{"500", 7}, std::nullopt));
}

TEST(DecodeKvBody, NullAndEmptyAreTheEmptyValue) {
  for (const std::string value : {"null", "\"\""}) {
    const auto body = DecodeKvBody(List(Entry("a/x", value)), kSingle);
    ASSERT_TRUE(body) << body.error().message;
    EXPECT_THAT(body->keys, ElementsAre(KvEntry{"", 7}));
  }
}

TEST(DecodeKvBody, NamesUndeclaredKeysAndNoFolders) {
  std::string entries = Entry("a/") + "," + Entry("a/b/") + "," + Entry("a/x");
  for (int i = 0; i < 25; ++i) entries += "," + Entry("a/z" + std::to_string(i), "\"not base64\"", "-1");
  const auto body = DecodeKvBody(List(entries), kPrefix);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(body->undeclared.size(), base::kMaxUndeclared);
  EXPECT_EQ(body->undeclared.front(), "a/z0");
  EXPECT_EQ(body->undeclared_total, 25U);
}

TEST(DecodeKvBody, LongNamesAreCutBetweenCharacters) {
  for (std::string name : {"a/", "a/b"}) {  // so that the limit falls between two characters, and into one
    while (name.size() < 1000) name += "é";
    const auto body = DecodeKvBody(List(Entry(name)), kPrefix);
    ASSERT_TRUE(body) << body.error().message;
    const std::string& shown = body->undeclared.front();
    EXPECT_EQ(shown, name.substr(0, shown.size()));
    EXPECT_TRUE(shown.ends_with("é")) << shown;
    EXPECT_GT(shown.size(), 500U);
    EXPECT_LE(shown.size(), 512U);
  }
}

TEST(DecodeKvBody, TheOrderOfMembersAndUnknownOnesDoNotMatter) {
  const std::string text =
      R"([{"New":{"Key":"b","deep":[[{"Value":1}]]},"ModifyIndex":7,"Value":"NTAw","Also":[1,null,2.5],"Key":"a/x"}])";
  const auto body = DecodeKvBody(text, kSingle);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_THAT(body->keys, ElementsAre(KvEntry{"500", 7}));
}

TEST(DecodeKvBody, TheGreatestIndexIsAnIndex) {
  const auto body = DecodeKvBody(List(Entry("a/x", "null", "18446744073709551615")), kSingle);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(body->keys[0]->modify_index, std::numeric_limits<std::uint64_t>::max());
}

TEST(DecodeKvBody, RefusesWhatConsulWouldNotSay) {
  struct Row {
    std::string body;
    const WatchTarget& target;
    std::string message;
  };
  const std::string deep = std::string(20, '[') + std::string(20, ']');
  const std::string far_too_deep = "[" + std::string(1'000'000, '[');
  const Row kRows[] = {
      {"", kSingle, "not JSON"},
      {"<html>", kSingle, "not JSON"},
      {"No cluster leader", kSingle, "not JSON"},
      {"null", kSingle, "no JSON array"},
      {"true", kSingle, "no JSON array"},
      {"12", kSingle, "no JSON array"},
      {"\"NTAw\"", kSingle, "no JSON array"},
      {"{}", kSingle, "no JSON array"},
      {Entry("a/x"), kSingle, "no JSON array"},
      {"[]", kSingle, "empty"},
      {"[]", kPrefix, "empty"},
      {"[null]", kSingle, "no object"},
      {"[1]", kSingle, "no object"},
      {"[[]]", kSingle, "no object"},
      {"[" + Entry("a/x"), kSingle, "not JSON"},
      {List(Entry("a/x")) + "x", kSingle, "not JSON"},
      {List(Entry("a/x")) + List(Entry("a/x")), kSingle, "not JSON"},
      {List(Entry("a/x") + ","), kSingle, "not JSON"},
      {List(Entry("a/x")) + std::string(1, '\0'), kSingle, "not JSON"},  // where the parser sees the end of the text
      {List(Entry("a/x")) + std::string(1, '\0') + "x", kSingle, "not JSON"},
      {List(Entry("a/\xff")), kPrefix, "not JSON"},
      {List(R"({"Value":"NTAw","ModifyIndex":7})"), kSingle, "no Key"},
      {List("{}"), kPrefix, "no Key"},
      {List(R"({"Key":5,"Value":"NTAw","ModifyIndex":7})"), kSingle, "no Key"},
      {List(R"({"Key":["a/x"],"Value":"NTAw","ModifyIndex":7})"), kSingle, "no Key"},
      {List(R"({"Key":"a/x","Key":"a/x","Value":"NTAw","ModifyIndex":7})"), kSingle, "Key twice"},
      {List(R"({"Key":"a/x","Value":"NTAw","Value":"NTAx","ModifyIndex":7})"), kSingle, "Value twice"},
      {List(R"({"Key":"a/x","Value":"NTAw","ModifyIndex":7,"ModifyIndex":8})"), kSingle, "ModifyIndex twice"},
      {List(R"({"Key":"a/x","ModifyIndex":7})"), kSingle, "Value is missing"},
      {List(Entry("a/x", "500")), kSingle, "Value is missing"},
      {List(Entry("a/x", "{}")), kSingle, "Value is missing"},
      {List(Entry("a/x", "\"NTA\"")), kSingle, "base64"},
      {List(Entry("a/x", "\"N TAw\"")), kSingle, "base64"},
      {List(R"({"Key":"a/x","Value":"NTAw"})"), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "0")), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "-7")), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "7.5")), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "\"7\"")), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "null")), kSingle, "ModifyIndex"},
      {List(Entry("a/x", "\"NTAw\"", "18446744073709551616")), kSingle, "ModifyIndex"},
      {List(Entry("a/y")), kSingle, "another key"},
      {List(Entry("A/x")), kSingle, "another key"},
      {List(Entry("a/x/")), kSingle, "another key"},
      {List(Entry("a/x") + "," + Entry("a/y")), kSingle, "another key"},
      {List(Entry("b/x")), kPrefix, "another key"},
      {List(Entry("a/x") + "," + Entry("a/x")), kSingle, "twice"},
      {List(Entry("a/b/y") + "," + Entry("a/b/y")), kPrefix, "twice"},
      {List(R"({"Key":"a/x","Deep":)" + deep + "}"), kSingle, "nested"},
      {far_too_deep, kSingle, "no object"},
      {List(R"({"Deep":)" + far_too_deep), kSingle, "nested"},
  };
  for (const Row& row : kRows) {
    const auto body = DecodeKvBody(row.body, row.target);
    ASSERT_FALSE(body) << row.body.substr(0, 200);
    EXPECT_EQ(body.error().kind, base::ErrorKind::kCorrupt);
    EXPECT_THAT(body.error().message, HasSubstr(row.message)) << row.body.substr(0, 200);
  }
}

TEST(DecodeKvBody, CutAnywhereItIsRefused) {
  const std::string whole = List(Entry("a/x") + "," + Entry("a/b/y"));
  ASSERT_TRUE(DecodeKvBody(whole, kPrefix));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(DecodeKvBody(whole.substr(0, size), kPrefix)) << whole.substr(0, size);
  }
}

TEST(DecodeKvBody, MessagesHoldNoValue) {
  for (const std::string value : {"\"c2VjcmV0!\"", "\"c2VjcmV0\" x", "\"c2VjcmV0\",\"Value\":\"c2VjcmV0\""}) {
    const auto body = DecodeKvBody(List(Entry("a/x", value)), kSingle);
    ASSERT_FALSE(body) << value;
    EXPECT_EQ(body.error().message.find("c2Vj"), std::string::npos) << body.error().message;
  }
}

}  // namespace
}  // namespace envdial::consul
