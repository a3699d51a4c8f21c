// SPDX-License-Identifier: Apache-2.0
#include "guard/members.h"

#include <algorithm>
#include <map>
#include <utility>

#include "guard/keys.h"
#include "guard/suggest.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

using Kind = JsonValue::Kind;

std::string Flag(std::string_view name) {
  std::string flag = "--" + std::string(name);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string PathTo(const std::string& parent, std::string_view name) {
  if (!FindEnvNameFault(name)) return parent + "." + std::string(name);
  return parent + "[" + Quoted(name) + "]";
}

bool IsIgnored(std::string_view name) { return name == "$schema" || name.starts_with("x-"); }

}  // namespace

void ProblemList::Add(std::size_t offset, std::string path, std::string message) {
  problems_.emplace(offset, Problem{file_, std::move(path), std::move(message)});
}

std::vector<Problem> ProblemList::Take() {
  std::vector<Problem> problems;
  problems.reserve(problems_.size());
  for (auto& [offset, problem] : problems_) problems.push_back(std::move(problem));
  problems_.clear();
  return problems;
}

std::string Describe(const JsonValue& value, bool secret) {
  switch (value.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return secret ? "a truth value" : value.text;
    case Kind::kNumber:
      return secret ? "a number" : "the number " + Shorten(value.text);
    case Kind::kString:
      return secret ? "a string" : "the string " + Quoted(value.text);
    case Kind::kArray:
      return "an array";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

void ObjectReader::CheckNames(std::span<const std::string_view> known, std::string_view what,
                              std::string (*elsewhere)(std::string_view)) const {
  std::map<std::string_view, const JsonMember*> seen;
  for (const JsonMember& member : object_.members) {
    if (IsIgnored(member.name)) continue;
    const JsonMember* const first = seen.emplace(member.name, &member).first->second;
    const Place place{member.offset, PathTo(path_, member.name)};
    if (first != &member) {
      const std::string line = std::to_string(LineOf(problems_.text(), first->offset));
      Tell(place,
           "found a second " + Quoted(member.name) + ", expected each member once; the first one is on line " + line);
      continue;
    }
    if (std::ranges::find(known, member.name) != known.end()) continue;
    std::string hint = elsewhere == nullptr ? "" : elsewhere(member.name);
    if (hint.empty()) hint = DidYouMean(member.name, known);
    if (hint.empty()) hint = "; expected " + OneOf(known);
    Tell(place, Quoted(member.name) + " is not a member of " + std::string(what) + hint);
  }
}

const JsonValue* ObjectReader::Find(std::string_view name) const {
  const JsonMember* const member = object_.Find(name);
  return member == nullptr ? nullptr : &member->value;
}

Place ObjectReader::PlaceOf(std::string_view name) const {
  if (style_ == Style::kFlags) {
    const JsonMember* const member = object_.Find(name);
    return {member == nullptr ? 0 : member->offset, Flag(name)};
  }
  const JsonMember* const member = object_.Find(name);
  if (member == nullptr) return Self();
  return {member->offset, PathTo(path_, name)};
}

std::optional<std::string> ObjectReader::ReadString(std::string_view name, std::string_view expected) const {
  const JsonValue* const value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->Is(Kind::kString)) return value->text;
  Tell(name, "found " + Describe(*value) + ", expected " + std::string(expected));
  return std::nullopt;
}

std::optional<bool> ObjectReader::ReadBool(std::string_view name) const {
  const JsonValue* const value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->Is(Kind::kBool)) return value->text == "true";
  Tell(name, "found " + Describe(*value) + ", expected true or false");
  return std::nullopt;
}

std::optional<std::string> ObjectReader::ReadRequiredString(std::string_view name, std::string_view expected) const {
  if (Find(name) == nullptr) {
    const std::string missing = style_ == Style::kFlags ? "is missing" : Quoted(name) + " is missing";
    Tell(name, missing + "; expected " + std::string(expected));
    return std::nullopt;
  }
  return ReadString(name);
}

std::optional<std::string> ObjectReader::ReadWord(std::string_view name,
                                                  std::span<const std::string_view> words) const {
  auto word = ReadString(name);
  if (!word || std::ranges::find(words, *word) != words.end()) return word;
  Tell(name, "found " + Quoted(*word) + ", expected " + OneOf(words) + DidYouMean(*word, words));
  return std::nullopt;
}

}  // namespace envdial::guard
