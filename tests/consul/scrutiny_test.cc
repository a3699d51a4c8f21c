// SPDX-License-Identifier: Apache-2.0
#include "consul/scrutiny.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace envdial::consul {
namespace {

using base::KeyReading;

// The tables write everything as words, one for each declared key:
//   known     "7" a revision, "7*" one whose deletion matters, "-" none, "-*" none but a deletion matters
//   entries   "v@7" a value with its ModifyIndex, "-" absent, "?" (confirmations only) the read failed
//   answers   the index and ":" before the entries, "!" behind it if no leader is known: "9!: v@7 -"
//   readings  "v@7", "-", "held"; "r" behind a restored one

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::optional<KvEntry> ToEntry(const std::string& word) {
  if (word == "-") return std::nullopt;
  const std::size_t at = word.find('@');
  return KvEntry{.value = word.substr(0, at), .modify_index = std::stoull(word.substr(at + 1))};
}

std::vector<KnownKey> ToKnown(const std::string& text) {
  std::vector<KnownKey> known;
  for (const std::string& word : Words(text)) {
    KnownKey key;
    if (!word.starts_with('-')) key.revision = std::stoull(word);
    key.deletion_matters = word.ends_with('*');
    known.push_back(key);
  }
  return known;
}

KvAnswer ToAnswer(const std::string& text) {
  KvAnswer answer;
  const std::size_t colon = text.find(':');
  answer.index = std::stoull(text);
  answer.known_leader = text[colon - 1] != '!';
  for (const std::string& word : Words(text.substr(colon + 1))) answer.body.keys.push_back(ToEntry(word));
  return answer;
}

// The words of `text` as what the reads of `keys` said at index `index`, up to the first that failed.
std::vector<Confirmation> ToConfirmations(const std::string& text, const std::vector<std::size_t>& keys,
                                          std::uint64_t index) {
  const std::vector<std::string> words = Words(text);
  EXPECT_EQ(words.size(), keys.size()) << "a confirmation for each suspicious key: " << text;
  std::vector<Confirmation> confirmations;
  for (std::size_t i = 0; i < keys.size() && i < words.size() && words[i] != "?"; ++i) {
    confirmations.push_back({.key = keys[i], .entry = ToEntry(words[i]), .index = index});
  }
  return confirmations;
}

std::string Describe(const Scrutinised& scrutinised) {
  std::string text;
  for (const KeyReading& key : scrutinised.reading.keys) {
    if (!text.empty()) text += " ";
    if (key.kind == KeyReading::Kind::kHeld) text += "held";
    if (key.kind == KeyReading::Kind::kAbsent) text += "-";
    if (key.kind == KeyReading::Kind::kValue) text += key.value + "@" + std::to_string(key.revision);
    if (key.restored) text += "r";
  }
  if (scrutinised.news) text += ", news";
  if (scrutinised.reading.mass_deletion_held) text += scrutinised.mass_deletion ? ", mass deletion" : ", still held";
  return text;
}

std::string Describe(const std::vector<std::size_t>& keys) {
  std::string text;
  for (const std::size_t key : keys) text += (text.empty() ? "" : " ") + std::to_string(key);
  return text;
}

// One answer after another; what is suspicious in them is confirmed just as the answer said it.
ScrutinyState After(const std::vector<std::string>& answers, const std::vector<KnownKey>& known) {
  ScrutinyState state;
  state.keys.resize(known.size());
  for (const std::string& text : answers) {
    const KvAnswer answer = ToAnswer(text);
    std::vector<Confirmation> confirmations;
    for (const std::size_t key : KeysToConfirm(state, answer, known)) {
      confirmations.push_back({.key = key, .entry = answer.body.keys[key], .index = answer.index});
    }
    state = Scrutinise(std::move(state), answer, known, confirmations).state;
  }
  return state;
}

struct Row {
  const char* name;
  std::vector<std::string> before;
  std::string known;
  std::string answer;
  std::string to_confirm;     // positions
  std::string confirmations;  // for each of them
  std::string expected;
};

void Check(const Row& row) {
  SCOPED_TRACE(row.name);
  const std::vector<KnownKey> known = ToKnown(row.known);
  const ScrutinyState state = After(row.before, known);
  const KvAnswer answer = ToAnswer(row.answer);
  const std::vector<std::size_t> to_confirm = KeysToConfirm(state, answer, known);
  EXPECT_EQ(Describe(to_confirm), row.to_confirm);
  const auto confirmations = ToConfirmations(row.confirmations, to_confirm, answer.index + 1);
  EXPECT_EQ(Describe(Scrutinise(state, answer, known, confirmations)), row.expected);
}

TEST(Scrutiny, Values) {
  const Row kRows[] = {
      {"the first value", {}, "-", "9: v@7", "", "", "v@7, news"},
      {"the first value, with one on disk", {}, "5", "9: v@7", "", "", "v@7, news"},
      {"the revision on disk", {}, "7", "9: v@7", "", "", "v@7, news"},
      {"nothing new", {"9: v@7"}, "7", "9: v@7", "", "", "v@7"},
      {"a greater index alone is no news", {"9: v@7"}, "7", "30: v@7", "", "", "v@7"},
      {"a new value", {"9: v@7"}, "7", "12: w@12", "", "", "w@12, news"},
      {"a new revision of the same value", {"9: v@7"}, "7", "12: v@12", "", "", "v@12, news"},
      {"an empty value", {"9: v@7"}, "7*", "12: @12", "", "", "@12, news"},
      {"no known leader", {"9: v@7"}, "7", "12!: w@12", "", "", "w@12, news"},
      {"only one of two is new", {"9: v@7 w@8"}, "7 8", "12: v@7 x@12", "", "", "v@7 x@12, news"},
  };
  for (const Row& row : kRows) Check(row);
}

TEST(Scrutiny, OlderRevisions) {
  const Row kRows[] = {
      {"lower, and confirmed", {"9: v@7"}, "7", "5: u@5", "0", "u@5", "u@5r, news"},
      {"lower than the one on disk", {}, "7", "5: u@5", "0", "u@5", "u@5r, news"},
      {"lower, but the leader has the newest", {"9: v@7"}, "7", "5: u@5", "0", "v@7", "v@7"},
      {"lower, but the leader has a newer one", {"9: v@7"}, "7", "5: u@5", "0", "w@12", "w@12, news"},
      {"lower, and the leader's is lower still", {"9: v@7"}, "7", "5: u@5", "0", "t@3", "t@3r, news"},
      {"lower, and the leader has none", {"9: v@7"}, "7", "5: u@5", "0", "-", "-, news"},
      {"lower, and nobody can say", {"9: v@7"}, "7", "5: u@5", "0", "?", "held"},
      {"other content under the same revision", {"9: v@7"}, "7", "9: w@7", "0", "w@7", "w@7r, news"},
      {"other content, which the leader does not have", {"9: v@7"}, "7", "9: w@7", "0", "v@7", "v@7"},
      {"a restored one that stays", {"9: v@7", "5: u@5"}, "7", "5: u@5", "", "", "u@5"},
      {"a restored one that goes on", {"9: v@7", "5: u@5"}, "5", "6: w@6", "", "", "w@6, news"},
      {"restored once more", {"9: v@7", "5: u@5"}, "7", "4: t@4", "0", "t@4", "t@4r, news"},
      {"back where it was", {"9: v@7", "5: u@5"}, "5", "9: v@7", "", "", "v@7, news"},
      {"lower than a refused one", {"9: v@7"}, "3", "5: u@5", "0", "v@7", "v@7"},
      {"from before it was absent", {"9: v@7", "12: -"}, "-", "12: v@7", "0", "-", "-"},
      {"made again", {"9: v@7", "12: -"}, "-", "13: w@13", "", "", "w@13, news"},
      {"restored from before it was absent", {"9: v@7", "12: -"}, "-", "8: v@7", "0", "v@7", "v@7r, news"},
      {"absent at index 0 says nothing of revisions", {"0: -"}, "-", "1: v@1", "", "", "v@1, news"},
      {"the others are handed on", {"9: v@7 w@8"}, "7 8", "12: u@5 x@12", "0", "?", "held x@12, news"},
      {"each by itself", {"9: v@7 w@8"}, "7 8", "6: u@5 t@6", "0 1", "u@5 w@8", "u@5r w@8, news"},
      {"the first is confirmed, the second not",
       {"9: v@7 w@8"},
       "7 8",
       "6: u@5 t@6",
       "0 1",
       "u@5 ?",
       "u@5r held, news"},
  };
  for (const Row& row : kRows) Check(row);
}

TEST(Scrutiny, Absences) {
  const Row kRows[] = {
      {"never there", {}, "-", "9: -", "", "", "-, news"},
      {"still not there", {"9: -"}, "-", "12: -", "", "", "-"},
      {"gone, and nothing depends on it", {"9: v@7"}, "7", "12: -", "", "", "-, news"},
      {"gone, confirmed", {"9: v@7"}, "7*", "12: -", "0", "-", "-, news"},
      {"gone from a list, but there", {"9: v@7"}, "7*", "12: -", "0", "v@7", "v@7"},
      {"gone, and made again meanwhile", {"9: v@7"}, "7*", "12: -", "0", "w@13", "w@13, news"},
      {"gone, and nobody can say", {"9: v@7"}, "7*", "12: -", "0", "?", "held"},
      {"gone, but the leader has an older one", {"9: v@7"}, "7*", "12: -", "0", "u@5", "u@5r, news"},
      {"confirmed once", {"9: v@7", "12: -"}, "7*", "13: -", "", "", "-"},
      {"gone again", {"9: v@7", "12: -", "13: w@13"}, "7*", "14: -", "0", "-", "-, news"},
      {"gone, and a lagging server has it still", {"9: v@7", "12: -"}, "-", "8: v@7", "0", "-", "-"},
      {"the same, after one that says so by a lower index", {"9: v@7", "12: -", "0: -"}, "-", "13: v@7", "0", "-", "-"},
      {"gone by an index below what was there", {"9: v@7", "0: -"}, "-", "13: v@7", "0", "-", "-"},
      {"gone by an index below what is on disk", {"0: -"}, "7", "13: v@7", "0", "-", "-"},
      {"never there, and it matters (a value of a former run)", {}, "7*", "12: -", "0", "-", "-, news"},
      {"no known leader", {"9: v@7"}, "7*", "12!: -", "", "", "held"},
      {"no known leader, and nothing depends on it", {"9: v@7"}, "7", "12!: -", "", "", "held"},
      {"one of three", {"9: v@7 w@8 x@9"}, "7* 8* 9*", "12: v@7 - x@9", "1", "-", "v@7 - x@9, news"},
      {"two of three", {"9: v@7 w@8 x@9"}, "7* 8* 9*", "12: - - x@9", "0 1", "- -", "- - x@9, news"},
  };
  for (const Row& row : kRows) Check(row);
}

TEST(Scrutiny, MassDeletions) {
  const Row kRows[] = {
      {"both gone at once", {"9: v@7 w@8"}, "7* 8*", "12: - -", "", "", "held held, mass deletion"},
      {"also where nothing depends on it", {"9: v@7 w@8"}, "7 8", "12: - -", "", "", "held held, mass deletion"},
      {"at the first reading, with both on disk", {}, "7* 8*", "12: - -", "", "", "held held, mass deletion"},
      {"still gone", {"9: v@7 w@8", "12: - -"}, "7* 8*", "13: - -", "", "", "held held, still held"},
      {"one returns, the other is gone", {"9: v@7 w@8", "12: - -"}, "7* 8*", "13: x@13 -", "1", "-", "x@13 -, news"},
      {"one returns as it was", {"9: v@7 w@8", "12: - -"}, "7 8*", "13: v@7 -", "1", "-", "v@7 -, news"},
      {"both return", {"9: v@7 w@8", "12: - -"}, "7* 8*", "12: v@7 w@8", "", "", "v@7 w@8"},
      {"one by one", {"9: v@7 w@8", "12: - w@8"}, "7* 8*", "13: - -", "1", "-", "- -, news"},
      {"of three, two at last",
       {"9: v@7 w@8 x@9", "12: - w@8 x@9"},
       "7* 8* 9*",
       "13: - - -",
       "",
       "",
       "held held held, mass deletion"},
      {"of three, the last alone", {"9: v@7 w@8 x@9", "12: - - x@9"}, "7* 8* 9*", "13: - - -", "2", "-", "- - -, news"},
      {"only one had a value", {"9: v@7 -"}, "7* -", "12: - -", "0", "-", "- -, news"},
      {"a key that never had a value does not count",
       {"9: v@7 w@8 -"},
       "7* 8* -",
       "12: - - -",
       "",
       "",
       "held held -, mass deletion"},
      {"nor does one that is made meanwhile end it",
       {"9: v@7 w@8 -", "12: - - -"},
       "7* 8* -",
       "13: - - y@13",
       "",
       "",
       "held held y@13, news, still held"},
      {"a single key", {"9: v@7"}, "7*", "12: -", "0", "-", "-, news"},
      {"no known leader: nothing is said", {"9: v@7 w@8"}, "7* 8*", "12!: - -", "", "", "held held"},
      {"no known leader: it stands", {"9: v@7 w@8", "12: - -"}, "7* 8*", "12!: - -", "", "", "held held, still held"},
      {"no leader at first, then both gone", {"9!: - -"}, "7* 8*", "12: - -", "", "", "held held, mass deletion"},
      {"seen only when asked one by one",
       {"9: v@7 w@8"},
       "7* 8*",
       "12: - u@5",
       "0 1",
       "- -",
       "held held, mass deletion"},
      {"while it stands, one that can't be confirmed ends nothing",
       {"9: v@7 w@8", "12: - -"},
       "7* 8*",
       "5: u@5 -",
       "0 1",
       "? ?",
       "held held, still held"},
      {"a restored one ends it", {"9: v@7 w@8", "12: - -"}, "7* 8*", "5: u@5 -", "0 1", "u@5 -", "u@5r -, news"},
      {"it can come again",
       {"9: v@7 w@8", "12: - -", "13: x@13 y@13"},
       "7* 8*",
       "14: - -",
       "",
       "",
       "held held, mass deletion"},
  };
  for (const Row& row : kRows) Check(row);
}

TEST(Scrutiny, AFailedConfirmationIsAskedForAgain) {
  const std::vector<KnownKey> known = ToKnown("7*");
  ScrutinyState state = After({"9: v@7"}, known);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Describe(KeysToConfirm(state, ToAnswer("12: -"), known)), "0");
    state = Scrutinise(std::move(state), ToAnswer("12: -"), known, {}).state;
  }
}

TEST(Scrutiny, ARestoredRevisionIsCountedOnce) {
  const std::vector<KnownKey> known = ToKnown("7 8");
  ScrutinyState state = After({"9: v@7 w@8"}, known);
  const KvAnswer answer = ToAnswer("5: u@5 t@4");
  const auto confirmations = ToConfirmations("u@5 t@4", KeysToConfirm(state, answer, known), 5);
  Scrutinised scrutinised = Scrutinise(std::move(state), answer, known, confirmations);
  EXPECT_EQ(scrutinised.restored, 2U);
  // The guard refused both, and `known` is as it was.
  EXPECT_EQ(Describe(KeysToConfirm(scrutinised.state, answer, known)), "");
  scrutinised = Scrutinise(std::move(scrutinised.state), answer, known, {});
  EXPECT_EQ(scrutinised.restored, 0U);
}

TEST(Scrutiny, WhatAConsistentReadRefutes) {
  const struct {
    const char* name;
    std::string answer;
    std::optional<KvEntry> confirmed;
    bool expected;
  } kRows[] = {
      {"the same", "9: v@7", KvEntry{"v", 7}, false},     {"an absence", "9: -", std::nullopt, false},
      {"a newer value", "9: v@7", KvEntry{"w", 8}, true}, {"an older value", "9: v@7", KvEntry{"u", 5}, true},
      {"other content", "9: v@7", KvEntry{"w", 7}, true}, {"it is there", "9: -", KvEntry{"v", 7}, true},
      {"it is gone", "9: v@7", std::nullopt, true},
  };
  for (const auto& row : kRows) {
    const Confirmation confirmation{.key = 0, .entry = row.confirmed, .index = 9};
    EXPECT_EQ(Refutes(confirmation, ToAnswer(row.answer)), row.expected) << row.name;
  }
}

TEST(Scrutiny, UndeclaredKeysAreHandedOn) {
  KvAnswer answer = ToAnswer("9: v@7");
  answer.body.undeclared = {"a/typo"};
  answer.body.undeclared_total = 3;
  const Scrutinised scrutinised = Scrutinise(After({}, ToKnown("-")), answer, ToKnown("-"), {});
  EXPECT_EQ(scrutinised.reading.undeclared, answer.body.undeclared);
  EXPECT_EQ(scrutinised.reading.undeclared_total, 3U);
}

}  // namespace
}  // namespace envdial::consul
