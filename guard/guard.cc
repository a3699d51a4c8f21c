// SPDX-License-Identifier: Apache-2.0
#include "guard/guard.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>
#include <vector>

#include "guard/json_text.h"
#include "guard/number.h"
#include "guard/step.h"
#include "guard/suggest.h"
#include "guard/text.h"

namespace envdial::guard {
namespace {

constexpr std::size_t kMaxListedChoices = 8;  // of one_of, in a message
constexpr std::size_t kMaxCompared = 100;     // choices, for a "did you mean": it runs on the loop

struct Fault {
  std::string_view reason;
  std::string message;
};
using MaybeFault = std::optional<Fault>;

// A value on its way through the rules. Messages about a secret dial name neither the value nor anything near it: no
// bound, no present value, no choice and no character of it.
class Candidate {
 public:
  Candidate(const Dial& dial, std::string_view text) : dial_(dial), text_(text) {}

  MaybeFault FindTextFault() const;
  MaybeFault FindTypeFault() const;
  MaybeFault FindChoiceFault() const;
  // `bound` is what the value may be at most (or at least), if it is beyond that.
  MaybeFault FindBoundFault(const std::string*& bound) const;
  MaybeFault FindStepFault(std::string_view text, const std::string& present) const;

 private:
  // The sentence, or for secret dials the other one.
  Fault Refuse(std::string_view reason, std::string sentence, std::string_view about_secret) const {
    return {reason, dial_.secret ? "the value " + std::string(about_secret) : std::move(sentence)};
  }

  const Dial& dial_;
  std::string_view text_;
};

MaybeFault Candidate::FindTextFault() const {
  if (text_.size() > dial_.max_bytes) {
    return Fault{"too_long", "the value has " + std::to_string(text_.size()) + " bytes; at most " +
                                 std::to_string(dial_.max_bytes) + " are allowed (max_bytes)"};
  }
  if (const auto fault = FindEncodingFault(text_)) {
    return Refuse("encoding", "the value " + *fault, "is not UTF-8, or has a NUL byte");
  }
  if (Trim(text_).empty()) {
    const bool may_be_empty = dial_.type == Type::kString && dial_.allow_empty;
    const std::string hint = dial_.type == Type::kString ? " (allow_empty is not set)" : "";
    if (!may_be_empty) {
      return Fault{"empty", (text_.empty() ? "the value is empty" : "the value is nothing but white space") + hint};
    }
  }
  if (const auto fault = FindQuoteFault(text_)) {
    const std::string hint =
        dial_.type == Type::kJson ? "; in JSON's strings it can be written as \\u and four digits" : "";
    return Refuse("quote", "the value " + *fault + ", which not all readers of the env file take as it is" + hint,
                  "has a single quote or a control character, which not all readers of the env file take as it is");
  }
  return std::nullopt;
}

MaybeFault Candidate::FindTypeFault() const {
  if (IsOrdered(dial_.type)) {
    const auto number = Number::Parse(dial_.type, text_);
    if (number) return std::nullopt;
    return Refuse("type", Quoted(text_) + " " + number.error().message, number.error().message);
  }
  if (dial_.type == Type::kBool && text_ != "true" && text_ != "false") {
    return Refuse("type", Quoted(text_) + " is not a bool; expected true or false",
                  "is not a bool; expected true or false");
  }
  if (dial_.type == Type::kJson) {
    const auto fault = FindJsonFault(text_);
    if (fault) return Refuse("type", "the value is not valid JSON: " + *fault, "is not valid JSON");
  }
  return std::nullopt;
}

MaybeFault Candidate::FindChoiceFault() const {
  const auto& choices = dial_.one_of;
  const auto is_text = [this](const std::string& choice) { return SameValue(dial_.type, choice, text_); };
  if (choices.empty() || std::ranges::any_of(choices, is_text)) return std::nullopt;
  std::string list;
  for (std::size_t i = 0; i < std::min(choices.size(), kMaxListedChoices); ++i) {
    list += (i == 0 ? "" : ", ") + (IsOrdered(dial_.type) ? Shorten(choices[i]) : Quoted(choices[i]));
  }
  if (choices.size() > kMaxListedChoices)
    list += " and " + std::to_string(choices.size() - kMaxListedChoices) + " more";
  std::string hint;
  if (!IsOrdered(dial_.type) && choices.size() <= kMaxCompared) {
    const std::vector<std::string_view> words(choices.begin(), choices.end());
    hint = DidYouMean(text_, words);
  }
  const std::string shown = IsOrdered(dial_.type) ? Shorten(text_) : Quoted(text_);
  return Refuse("one_of", shown + " is not one of " + list + hint, "is not one of those that one_of allows");
}

MaybeFault Candidate::FindBoundFault(const std::string*& bound) const {
  if (!IsOrdered(dial_.type)) return std::nullopt;
  const auto number = Number::Parse(dial_.type, text_);
  const auto beyond = [&](const std::optional<std::string>& limit, bool above) {
    if (!number || !limit) return false;
    const auto parsed = Number::Parse(dial_.type, *limit);
    return parsed && (above ? *number > *parsed : *number < *parsed);
  };
  if (beyond(dial_.min, false)) {
    bound = &*dial_.min;
    return Refuse("min", Shorten(text_) + " is below the minimum " + Shorten(*bound), "is below the minimum");
  }
  if (beyond(dial_.max, true)) {
    bound = &*dial_.max;
    return Refuse("max", Shorten(text_) + " is above the maximum " + Shorten(*bound), "is above the maximum");
  }
  return std::nullopt;
}

MaybeFault Candidate::FindStepFault(std::string_view text, const std::string& present) const {
  if (!dial_.max_step || !IsOrdered(dial_.type)) return std::nullopt;
  const auto from = Number::Parse(dial_.type, Trim(present));
  const auto to = Number::Parse(dial_.type, text);
  if (!from || !to) return std::nullopt;  // a present value from before the type was changed: no step to measure
  const auto fault = guard::FindStepFault(*dial_.max_step, *from, *to, Trim(present));
  if (!fault) return std::nullopt;
  const std::string shown = text == text_ ? Shorten(text) : Shorten(text) + " (" + Shorten(text_) + ", clamped)";
  return Refuse("max_step", shown + " " + *fault, "is too far away from the present one for one step");
}

Verdict Refused(Fault fault) { return {Verdict::Outcome::kRefused, {}, fault.reason, std::move(fault.message)}; }

}  // namespace

Verdict Judge(const Dial& dial, std::string_view raw, const std::optional<std::string>& present) {
  const std::string_view text = KeepsWhiteSpace(dial.type) || raw.size() > kMaxValueBytes ? raw : Trim(raw);
  const Candidate candidate(dial, text);
  if (auto fault = candidate.FindTextFault()) return Refused(std::move(*fault));
  if (auto fault = candidate.FindTypeFault()) return Refused(std::move(*fault));
  if (auto fault = candidate.FindChoiceFault()) return Refused(std::move(*fault));

  Verdict verdict{Verdict::Outcome::kAccepted, std::string(text), {}, {}};
  const std::string* bound = nullptr;
  if (auto fault = candidate.FindBoundFault(bound)) {
    if (dial.on_violation == OnViolation::kReject) return Refused(std::move(*fault));
    verdict = {Verdict::Outcome::kClamped, *bound, "clamped", std::move(fault->message) + " and was clamped to it"};
  }
  // The step is that of the value which would come into force, so that a clamp never hides a leap.
  if (present) {
    if (auto fault = candidate.FindStepFault(verdict.text, *present)) return Refused(std::move(*fault));
  }
  return verdict;
}

double ToNumber(Type type, std::string_view text) {
  const std::string_view trimmed = Trim(text);
  if (type == Type::kBool && (trimmed == "true" || trimmed == "false")) return trimmed == "true" ? 1 : 0;
  if (!IsOrdered(type)) return std::numeric_limits<double>::quiet_NaN();
  const auto number = Number::Parse(type, trimmed);
  return number ? number->ToDouble() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace envdial::guard
