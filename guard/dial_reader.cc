// SPDX-License-Identifier: Apache-2.0
#include "guard/dial_reader.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "base/duration.h"
#include "guard/guard.h"
#include "guard/keys.h"
#include "guard/number.h"
#include "guard/step.h"
#include "guard/suggest.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

using Kind = JsonValue::Kind;

Kind KindOf(Type type) {
  switch (type) {
    case Type::kInt:
    case Type::kFloat:
      return Kind::kNumber;
    case Type::kBool:
      return Kind::kBool;
    default:
      return Kind::kString;
  }
}

std::string_view ExpectedIn(Type type) {
  switch (type) {
    case Type::kInt:
      return "a number without quotes, such as 500";
    case Type::kFloat:
      return "a number without quotes, such as 0.5";
    case Type::kBool:
      return "true or false without quotes";
    case Type::kDuration:
      return "a string with a unit, such as \"5s\"";
    case Type::kString:
      return "a string";
    case Type::kJson:
      return "a string that holds JSON text";
  }
  return "";
}

class DialReader {
 public:
  DialReader(const ObjectReader& members, std::string_view prefix) : members_(members), prefix_(prefix) {}

  Dial Read() {
    ReadNames();
    ReadSize();
    if (type_) {
      ReadBounds();
      ReadMaxStep();
      ReadChoices();
      ReadDefault();
    }
    ReadPolicies();
    ReadWhenStale();
    return std::move(dial_);
  }

 private:
  void ReadNames();
  void ReadSize();
  void ReadBounds();
  std::optional<Number> ReadBound(std::string_view name, std::optional<std::string>& bound);
  void ReadMaxStep();
  void ReadChoices();
  // False if it is no choice.
  bool ReadChoice(const JsonValue& item, const Place& place);
  void ReadDefault();
  void ReadPolicies();
  void ReadWhenStale();
  void ReadStaleValue(const ObjectReader& stale);

  void Tell(std::string_view name, std::string message) const { members_.Tell(name, std::move(message)); }
  bool AllowOrderedOnly(std::string_view name) const;
  // The text of a value of the dial's type, trimmed; tells if it is something else.
  std::optional<std::string> ReadTyped(const JsonValue& value, const Place& place) const;
  // Tells if `text` would be refused, or changed, by `guard`.
  bool Passes(Dial guard, const std::string& text, const Place& place) const;

  const ObjectReader& members_;
  std::string_view prefix_;
  Dial dial_;
  std::optional<Type> type_;
};

void DialReader::ReadNames() {
  // First of all, so that no message shows a secret; a member that is no truth value counts as one.
  const JsonValue* const secret = members_.Find("secret");
  dial_.secret = secret != nullptr && !(secret->Is(Kind::kBool) && secret->text == "false");
  members_.ReadBool("secret");

  if (const auto env = members_.ReadRequiredString("env", "the variable's name, such as \"MAX_CONCURRENT\"")) {
    if (auto fault = FindEnvNameFault(*env)) Tell("env", std::move(*fault));
    dial_.env = *env;
  }
  if (const auto key = members_.ReadRequiredString("key", "the key in Consul, such as \"max-concurrent\"")) {
    auto fault = FindKeyFault(*key);
    dial_.key = std::string(prefix_) + *key;
    if (!fault && dial_.key.size() > kMaxKeyBytes) fault = FindKeyFault(dial_.key);
    if (fault) Tell("key", std::move(*fault));
  }
  std::vector<std::string_view> types;
  for (const Type type : kTypes) types.push_back(ToString(type));
  if (members_.ReadRequiredString("type", OneOf(types))) {
    if (const auto word = members_.ReadWord("type", types)) type_ = ParseType(*word);
  }
  dial_.type = type_.value_or(Type::kString);
  dial_.unit = members_.ReadString("unit").value_or("");
  dial_.description = members_.ReadString("description").value_or("");
  constexpr std::string_view kSources[] = {"consul"};
  members_.ReadWord("source", kSources);
}

void DialReader::ReadSize() {
  dial_.max_bytes = type_ == Type::kJson ? kMaxValueBytes : kDefaultMaxBytes;
  if (const JsonValue* const value = members_.Find("max_bytes")) {
    std::size_t bytes = 0;
    const char* const end = value->text.data() + value->text.size();
    const auto result = std::from_chars(value->text.data(), end, bytes);
    const bool whole = value->Is(Kind::kNumber) && result.ec == std::errc() && result.ptr == end;
    if (whole && bytes >= 1 && bytes <= kMaxValueBytes) {
      dial_.max_bytes = bytes;
    } else {
      Tell("max_bytes",
           "found " + Describe(*value) + ", expected a whole number from 1 to " + std::to_string(kMaxValueBytes));
    }
  }
  dial_.allow_empty = members_.ReadBool("allow_empty").value_or(false);
  if (dial_.allow_empty && type_ && type_ != Type::kString) {
    Tell("allow_empty", "is for string dials only; an empty " + std::string(ToString(*type_)) + " is never valid");
    dial_.allow_empty = false;
  }
}

bool DialReader::AllowOrderedOnly(std::string_view name) const {
  if (members_.Find(name) == nullptr) return false;
  if (IsOrdered(*type_)) return true;
  Tell(name, "is for int, float and duration dials only; this one is a " + std::string(ToString(*type_)));
  return false;
}

std::optional<std::string> DialReader::ReadTyped(const JsonValue& value, const Place& place) const {
  if (!value.Is(KindOf(*type_))) {
    members_.Tell(place, "found " + Describe(value, dial_.secret) + ", expected " + std::string(ExpectedIn(*type_)));
    return std::nullopt;
  }
  return std::string(KeepsWhiteSpace(*type_) ? std::string_view(value.text) : Trim(value.text));
}

std::optional<Number> DialReader::ReadBound(std::string_view name, std::optional<std::string>& bound) {
  if (!AllowOrderedOnly(name)) return std::nullopt;
  auto text = ReadTyped(*members_.Find(name), members_.PlaceOf(name));
  if (!text) return std::nullopt;
  const auto number = Number::Parse(*type_, *text);
  if (!number) {
    Tell(name, Quoted(*text) + " " + number.error().message);
    return std::nullopt;
  }
  // A clamp would deliver the bound itself.
  if (!Passes(dial_, *text, members_.PlaceOf(name))) return std::nullopt;
  bound = std::move(*text);
  return *number;
}

void DialReader::ReadBounds() {
  std::optional<std::string> min_text;
  std::optional<std::string> max_text;
  const auto min = ReadBound("min", min_text);
  const auto max = ReadBound("max", max_text);
  if (min && max && *min > *max) {
    Tell("min", Shorten(*min_text) + " is above \"max\", which is " + Shorten(*max_text) + "; no value could pass");
    return;
  }
  dial_.min = std::move(min_text);
  dial_.max = std::move(max_text);
}

void DialReader::ReadMaxStep() {
  if (!AllowOrderedOnly("max_step")) return;
  const JsonValue& value = *members_.Find("max_step");
  const bool number_allowed = *type_ != Type::kDuration;
  if (!value.Is(Kind::kString) && !(number_allowed && value.Is(Kind::kNumber))) {
    Tell("max_step", "found " + Describe(value) + ", expected " +
                         (number_allowed ? "a number or a percentage, such as 50 or \"100%\""
                                         : "a string with a unit or a percentage, such as \"5s\" or \"100%\""));
    return;
  }
  const std::string text(Trim(value.text));
  const auto step = ParseMaxStep(*type_, text);
  if (step) {
    dial_.max_step = *step;
  } else {
    Tell("max_step", Quoted(text) + " " + step.error().message);
  }
}

bool DialReader::Passes(Dial guard, const std::string& text, const Place& place) const {
  guard.on_violation = OnViolation::kReject;
  const Verdict verdict = Judge(guard, text, std::nullopt);
  if (verdict.outcome == Verdict::Outcome::kAccepted) return true;
  members_.Tell(place, "fails the dial's own guard (" + std::string(verdict.reason) + "): " + verdict.message);
  return false;
}

bool DialReader::ReadChoice(const JsonValue& item, const Place& place) {
  auto text = ReadTyped(item, place);
  if (!text) return false;
  Dial guard = dial_;
  guard.one_of.clear();
  if (!Passes(guard, *text, place)) return false;
  const auto is_text = [&](const std::string& choice) { return SameValue(*type_, choice, *text); };
  const bool repeated = std::ranges::any_of(dial_.one_of, is_text);
  if (repeated) {
    members_.Tell(place, (dial_.secret ? "the value" : Quoted(*text)) + " stands in one_of already");
    return true;
  }
  dial_.one_of.push_back(std::move(*text));
  return true;
}

void DialReader::ReadChoices() {
  const JsonValue* const list = members_.Find("one_of");
  if (list == nullptr) return;
  if (!list->Is(Kind::kArray) || list->items.empty() || list->items.size() > kMaxChoices) {
    const std::string found = list->Is(Kind::kArray) ? "an array of " + std::to_string(list->items.size()) + " values"
                                                     : Describe(*list, dial_.secret);
    Tell("one_of", "found " + found + ", expected an array of 1 to " + std::to_string(kMaxChoices) + " values");
    return;
  }
  const Place place = members_.PlaceOf("one_of");
  bool all = true;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    all &= ReadChoice(list->items[i], {list->items[i].offset, place.path + "[" + std::to_string(i) + "]"});
  }
  // A default that equals the faulty choice is not one more fault.
  if (!all) dial_.one_of.clear();
}

void DialReader::ReadDefault() {
  const JsonValue* const value = members_.Find("default");
  if (value == nullptr) return;
  auto text = ReadTyped(*value, members_.PlaceOf("default"));
  if (text && Passes(dial_, *text, members_.PlaceOf("default"))) dial_.default_value = std::move(*text);
}

void DialReader::ReadPolicies() {
  constexpr std::string_view kViolationWords[] = {"reject", "clamp"};
  if (members_.ReadWord("on_violation", kViolationWords) == "clamp") {
    dial_.on_violation = OnViolation::kClamp;
    if (members_.Find("min") == nullptr && members_.Find("max") == nullptr) {
      Tell("on_violation", "\"clamp\" needs a bound to clamp to; expected \"min\" or \"max\" in the dial");
    }
  }
  constexpr std::string_view kDeleteWords[] = {"keep", "default"};
  if (members_.ReadWord("on_delete", kDeleteWords) == "default") {
    dial_.on_delete = OnDelete::kDefault;
    if (members_.Find("default") == nullptr) {
      Tell("on_delete", "\"default\" needs the dial to have a default value; expected \"default\" in the dial");
    }
  }
  if (const auto text = members_.ReadString("stale_after", "a string with a unit, such as \"30s\"")) {
    const auto duration = Number::Parse(Type::kDuration, Trim(*text));
    if (!duration) {
      Tell("stale_after", Quoted(*text) + " " + duration.error().message);
    } else if (duration->whole() <= 0) {
      Tell("stale_after", "found " + Quoted(*text) + ", expected more than no time, such as \"30s\"");
    } else {
      dial_.stale_after = std::chrono::nanoseconds(duration->whole());
    }
  }
}

void DialReader::ReadStaleValue(const ObjectReader& stale) {
  stale.CheckNames(kStaleMembers, "when_stale");
  const JsonValue* const value = stale.Find("value");
  if (value == nullptr) {
    stale.Tell(stale.Self(), "\"value\" is missing; expected {\"value\": …}");
    return;
  }
  dial_.when_stale = Dial::WhenStale::kValue;
  if (!type_) return;
  auto text = ReadTyped(*value, stale.PlaceOf("value"));
  if (text && Passes(dial_, *text, stale.PlaceOf("value"))) dial_.stale_value = std::move(*text);
}

void DialReader::ReadWhenStale() {
  const JsonValue* const value = members_.Find("when_stale");
  if (value == nullptr) return;
  const Place place = members_.PlaceOf("when_stale");
  if (value->Is(Kind::kObject)) {
    ReadStaleValue(ObjectReader(*value, place.path, ObjectReader::Style::kFile, members_.problems()));
    return;
  }
  constexpr std::string_view kStaleWords[] = {"hold", "default"};
  if (!value->Is(Kind::kString) || std::ranges::find(kStaleWords, value->text) == std::end(kStaleWords)) {
    // A value that stands here on its own may well be the secret one.
    const std::string hint = value->Is(Kind::kString) ? DidYouMean(value->text, kStaleWords) : "";
    members_.Tell(
        place, "found " + Describe(*value, dial_.secret) + ", expected \"hold\", \"default\" or {\"value\": …}" + hint);
    return;
  }
  if (value->text == "hold") return;
  dial_.when_stale = Dial::WhenStale::kDefault;
  if (members_.Find("default") == nullptr) {
    members_.Tell(place, "\"default\" needs the dial to have a default value; expected \"default\" in the dial");
  }
}

}  // namespace

Dial ReadDial(const ObjectReader& members, std::string_view prefix) { return DialReader(members, prefix).Read(); }

}  // namespace envdial::guard
