// SPDX-License-Identifier: Apache-2.0
#include "consul/kv_body.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/reading.h"

namespace envdial::consul {
namespace {

using base::ErrorKind;
using base::Fail;

constexpr std::size_t kArrayDepth = 1;      // the list of entries
constexpr std::size_t kEntryDepth = 2;      // the members of one entry
constexpr std::size_t kMaxNesting = 16;     // Consul's entries are flat; what a later version may add will not be deep
constexpr std::size_t kMaxNameBytes = 512;  // of an undeclared key, as it is shown; Consul has no limit

// At most kMaxNameBytes of a name, and no character in half.
std::string CutName(const std::string& name) {
  if (name.size() <= kMaxNameBytes) return name;
  std::size_t end = kMaxNameBytes;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end);
}

// Reads Consul's list by events, so that what nobody asked for is never kept.
class ListReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  ListReader(const WatchTarget& target, KvBody& body) : target_(target), body_(body) {
    for (std::size_t i = 0; i < target.keys.size(); ++i) positions_.emplace_back(target.keys[i], i);
    std::sort(positions_.begin(), positions_.end());
    body_.keys.resize(target.keys.size());
  }

  const std::string& problem() const { return problem_; }
  std::size_t entries() const { return entries_; }

  bool null() override {
    if (depth_ == kEntryDepth && member_ == Member::kValue) {
      entry_.value = std::string();  // Consul writes an empty value as null
      return true;
    }
    return Scalar();
  }
  bool boolean(bool) override { return Scalar(); }
  bool number_integer(number_integer_t) override { return Scalar(); }
  bool number_unsigned(number_unsigned_t number) override {
    if (depth_ == kEntryDepth && member_ == Member::kModifyIndex) {
      entry_.modify_index = number;
      return true;
    }
    return Scalar();
  }
  bool number_float(number_float_t, const string_t&) override { return Scalar(); }
  bool binary(binary_t&) override { return Scalar(); }
  bool string(string_t& text) override {
    if (depth_ == kEntryDepth && member_ == Member::kKey) {
      entry_.key = std::move(text);
      return true;
    }
    if (depth_ == kEntryDepth && member_ == Member::kValue) {
      entry_.value = std::move(text);
      return true;
    }
    return Scalar();
  }

  bool start_array(std::size_t) override { return Descend(depth_ == 0); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == kArrayDepth) {
      entry_ = {};
      member_ = Member::kOther;
    }
    return Descend(depth_ == kArrayDepth);
  }
  bool end_object() override {
    --depth_;
    return depth_ != kArrayDepth || EndEntry();
  }
  bool key(string_t& name) override {
    if (depth_ != kEntryDepth) return true;
    member_ = name == "Key"           ? Member::kKey
              : name == "Value"       ? Member::kValue
              : name == "ModifyIndex" ? Member::kModifyIndex
                                      : Member::kOther;
    if (member_ == Member::kOther) return true;
    bool& had = entry_.had[static_cast<std::size_t>(member_)];
    return std::exchange(had, true) ? Problem("an entry has " + name + " twice") : true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Problem("the body is not JSON from byte " + std::to_string(position) + " on");
  }

 private:
  enum class Member : std::size_t { kKey, kValue, kModifyIndex, kOther };
  struct Entry {
    std::optional<std::string> key;
    std::optional<std::string> value;  // base64
    std::uint64_t modify_index = 0;
    std::array<bool, 3> had{};  // by Member
  };

  bool Problem(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  // A value that none of the members we read can have: fine where nobody looks, and an entry that lacks what it needs
  // is found at its end.
  bool Scalar() {
    if (depth_ >= kEntryDepth) return true;
    return Problem(depth_ == 0 ? "the body is no JSON array" : "an element of the array is no object");
  }

  bool Descend(bool expected) {
    if (!expected && !Scalar()) return false;
    if (++depth_ > kMaxNesting) return Problem("the body is nested deeper than " + std::to_string(kMaxNesting));
    return true;
  }

  bool EndEntry() {
    ++entries_;
    if (!entry_.key) return Problem("an entry has no Key");
    const std::string& key = *entry_.key;
    const bool asked_for = target_.is_prefix ? key.starts_with(target_.name) : key == target_.name;
    if (!asked_for) return Problem("the answer is about another key, not " + target_.name);

    const auto place = std::lower_bound(positions_.begin(), positions_.end(), std::pair(std::string_view(key), 0UL));
    if (place == positions_.end() || place->first != key) {
      if (!key.ends_with('/')) AddUndeclared(key);
      return true;
    }
    return AddDeclared(place->second);
  }

  void AddUndeclared(const std::string& key) {
    ++body_.undeclared_total;
    if (body_.undeclared.size() < base::kMaxUndeclared) body_.undeclared.push_back(CutName(key));
  }

  bool AddDeclared(std::size_t position) {
    const std::string& key = *entry_.key;
    if (body_.keys[position]) return Problem(key + " stands in the answer twice");
    if (entry_.modify_index == 0) return Problem(key + ": ModifyIndex is no positive 64-bit number");
    if (!entry_.value) return Problem(key + ": Value is missing or no string");
    auto value = DecodeBase64(*entry_.value);
    if (!value) return Problem(key + ": Value: " + value.error().message);
    body_.keys[position] = KvEntry{.value = *std::move(value), .modify_index = entry_.modify_index};
    return true;
  }

  const WatchTarget& target_;
  KvBody& body_;
  std::vector<std::pair<std::string_view, std::size_t>> positions_;  // of the declared keys, sorted
  std::size_t depth_ = 0;
  std::size_t entries_ = 0;
  Member member_ = Member::kOther;
  Entry entry_;
  std::string problem_;
};

constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> MakeDigits() {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}

constexpr std::array<std::uint8_t, 256> kDigits = MakeDigits();

}  // namespace

base::Result<KvBody> DecodeKvBody(std::string_view body, const WatchTarget& target) {
  if (const std::size_t nul = body.find('\0'); nul != std::string_view::npos) {  // the parser would end there
    return Fail(ErrorKind::kCorrupt, "the body is not JSON: a NUL at byte " + std::to_string(nul + 1));
  }
  KvBody decoded;
  ListReader reader(target, decoded);
  if (!nlohmann::json::sax_parse(body.begin(), body.end(), &reader)) return Fail(ErrorKind::kCorrupt, reader.problem());
  // Consul answers 404 where there is nothing, so that an empty list is somebody else's.
  if (reader.entries() == 0) return Fail(ErrorKind::kCorrupt, "the list is empty");
  return decoded;
}

base::Result<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return Fail(ErrorKind::kCorrupt, "base64 of a length that is no multiple of 4");
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::string_view digits = text.substr(0, text.size() - padding);

  std::string bytes;
  bytes.reserve(digits.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const char c : digits) {
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == kNoDigit) return Fail(ErrorKind::kCorrupt, "a character that is not base64");
    bits = (bits << 6) | digit;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes.push_back(static_cast<char>((bits >> bit_count) & 0xff));
      bits &= (1U << bit_count) - 1;
    }
  }
  if (bits != 0) return Fail(ErrorKind::kCorrupt, "base64 with left-over bits that are not zero");
  return bytes;
}

}  // namespace envdial::consul
