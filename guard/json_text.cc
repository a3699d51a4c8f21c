// SPDX-License-Identifier: Apache-2.0
#include "guard/json_text.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace envdial::guard {
namespace {

using nlohmann::json;

// Walks over the text and tells how far the parser has read, which its events don't.
class TrackingIterator {
 public:
  // NOLINTBEGIN(readability-identifier-naming): these names are the standard's
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  // NOLINTEND(readability-identifier-naming)

  TrackingIterator(std::string_view::const_iterator at, std::size_t* read) : at_(at), read_(read) {}
  reference operator*() const { return *at_; }
  TrackingIterator& operator++() {
    ++at_;
    ++*read_;
    return *this;
  }
  bool operator==(const TrackingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackingIterator& other) const { return at_ != other.at_; }

 private:
  std::string_view::const_iterator at_;
  std::size_t* read_;
};

bool IsNumberChar(char c) { return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; }

std::string At(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  const auto column = std::ranges::count_if(before.substr(line_start), is_first_byte) + 1;
  return "line " + std::to_string(LineOf(text, offset)) + ", column " + std::to_string(column) + ": ";
}

// The parser's words for what it met, in ours. What stands in strings and numbers is not shown: it may be a secret.
std::string Found(std::string_view token) {
  if (token == "end of input") return "the end of the text";
  if (token == "string literal") return "a string";
  if (token == "number literal") return "a number";
  if (token.ends_with(" literal")) return std::string(token.substr(0, token.find(' ')));
  return std::string(token);
}

std::string Expected(std::string_view context, bool end_expected) {
  if (end_expected) return "the end of the text";
  if (context == "object key") return "a member's name in double quotes";
  if (context == "object separator") return "':' after the member's name";
  if (context == "object") return "',' or '}'";
  if (context == "array") return "',' or ']'";
  return "a value";
}

// The lexer's own errors come without what was expected.
std::string ExplainLexer(std::string_view error, std::string_view context, char found) {
  if (error != "invalid literal") return std::string(error);
  const std::string expected = ", expected " + Expected(context, false);
  if (found == '\'') return "found a single quote" + expected + "; strings stand in double quotes";
  if (found == '#') return "found #" + expected + "; comments begin with //";
  return "found a word without quotes" + expected;
}

// What the parser's exception tells: "… syntax error while parsing CONTEXT - unexpected TOKEN; expected …", or
// "… - LEXER'S ERROR; last read: '…'", or something else for a number out of range.
struct Complaint {
  std::string_view context;
  std::string_view token;        // what was unexpected; empty: the lexer's error
  std::string_view lexer_error;  // empty, with the token empty too: a number out of range
  bool end_expected = false;
};

Complaint Dissect(std::string_view what) {
  constexpr std::string_view kWhile = "syntax error while parsing ";
  constexpr std::string_view kUnexpected = "unexpected ";
  const std::size_t start = what.find(kWhile);
  const std::size_t dash = start == std::string_view::npos ? start : what.find(" - ", start);
  if (dash == std::string_view::npos) return {};
  const std::string_view context = what.substr(start + kWhile.size(), dash - start - kWhile.size());
  const std::string_view rest = what.substr(dash + 3);
  if (!rest.starts_with(kUnexpected)) return {context, {}, rest.substr(0, rest.find("; last read")), false};
  const std::string_view token = rest.substr(kUnexpected.size(), rest.find("; expected") - kUnexpected.size());
  return {context, token, {}, rest.ends_with("expected end of input")};
}

// How many of the characters just read belong to what is complained about.
std::size_t LengthOf(const Complaint& complaint, std::string_view last_read) {
  const std::string_view token = complaint.token;
  if (!complaint.lexer_error.empty() || token.starts_with('\'')) return 1;
  if (token == "true literal" || token == "null literal") return 4;
  if (token == "false literal") return 5;
  return last_read.size();  // a string or a number: the parser keeps no more of what it read
}

// As a sentence; `found` is the character at the place of the error.
std::string Explain(const Complaint& complaint, char found) {
  const auto& [context, token, lexer_error, end_expected] = complaint;
  if (!lexer_error.empty()) return ExplainLexer(lexer_error, context, found);
  if (token.empty()) return "found a number that is too large; expected one that a double can hold";
  const bool closing = (context == "object key" && token == "'}'") || (context == "value" && token == "']'");
  const std::string hint = closing && !end_expected ? " (is there a comma too many before it?)" : "";
  return "found " + Found(token) + ", expected " + Expected(context, end_expected) + hint;
}

bool IsWordChar(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsNumberChar(c) || c == '_'; }

// What both handlers share: the depth, and the sentence for the first error. The names are the SAX interface's own.
class Handler {
 public:
  Handler(std::string_view text, const std::size_t& read) : text_(text), read_(read) {}

  const std::string& fault() const { return fault_; }

  bool parse_error(std::size_t position, const std::string& last_read, const json::exception& error) {
    const Complaint complaint = Dissect(error.what());
    std::size_t start = std::min(position, text_.size());
    if (position <= text_.size()) {
      start -= std::min(start, LengthOf(complaint, last_read));
      const bool word = complaint.lexer_error == "invalid literal";
      while (word && start > 0 && IsWordChar(text_[start - 1])) --start;
    }
    fault_ = At(text_, start) + Explain(complaint, start < text_.size() ? text_[start] : '\0');
    return false;
  }

 protected:
  bool Open() {
    if (++depth_ <= kMaxJsonDepth) return true;
    fault_ = At(text_, read_ - 1) + "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels";
    return false;
  }
  void Close() { --depth_; }
  std::string_view text() const { return text_; }
  std::size_t read() const { return read_; }

 private:
  std::string_view text_;
  const std::size_t& read_;
  std::size_t depth_ = 0;
  std::string fault_;
};

class Checker : public Handler {
 public:
  using Handler::Handler;
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(std::int64_t) { return true; }
  bool number_unsigned(std::uint64_t) { return true; }
  bool number_float(double, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return Open(); }
  bool key(std::string&) { return true; }
  bool end_object() { return Shut(); }
  bool start_array(std::size_t) { return Open(); }
  bool end_array() { return Shut(); }

 private:
  bool Shut() {
    Close();
    return true;
  }
};

class TreeBuilder : public Handler {
 public:
  using Handler::Handler;
  bool null() { return Add(JsonValue::Kind::kNull, "null"); }
  bool boolean(bool value) { return Add(JsonValue::Kind::kBool, value ? "true" : "false"); }
  bool number_integer(std::int64_t) { return Add(JsonValue::Kind::kNumber, RawNumber()); }
  bool number_unsigned(std::uint64_t) { return Add(JsonValue::Kind::kNumber, RawNumber()); }
  bool number_float(double, const std::string&) { return Add(JsonValue::Kind::kNumber, RawNumber()); }
  bool string(std::string& value) { return Add(JsonValue::Kind::kString, std::move(value)); }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return Begin(JsonValue::Kind::kObject); }
  bool key(std::string& name) {
    open_.back()->members.push_back({std::move(name), read() - 1, {}});
    return true;
  }
  bool end_object() { return End(); }
  bool start_array(std::size_t) { return Begin(JsonValue::Kind::kArray); }
  bool end_array() { return End(); }

  JsonValue TakeRoot() { return std::move(root_); }

 private:
  // Numbers end where the parser stopped, or one character before if it needed that one to know.
  std::string RawNumber() const {
    std::size_t end = read();
    if (end > 0 && !IsNumberChar(text()[end - 1])) --end;
    std::size_t start = end;
    while (start > 0 && IsNumberChar(text()[start - 1])) --start;
    return std::string(text().substr(start, end - start));
  }

  JsonValue& Place(JsonValue value) {
    if (open_.empty()) return root_ = std::move(value);
    JsonValue& parent = *open_.back();
    if (parent.Is(JsonValue::Kind::kObject)) return parent.members.back().value = std::move(value);
    return parent.items.emplace_back(std::move(value));
  }
  bool Add(JsonValue::Kind kind, std::string content) {
    Place({kind, std::move(content), read() - 1, {}, {}});
    return true;
  }
  bool Begin(JsonValue::Kind kind) {
    if (!Open()) return false;
    // The pointer stays good: a parent gets no further child before this one is closed.
    open_.push_back(&Place({kind, {}, read() - 1, {}, {}}));
    return true;
  }
  bool End() {
    Close();
    open_.pop_back();
    return true;
  }

  JsonValue root_;
  std::vector<JsonValue*> open_;
};

// Runs the parser over `text`; the fault, or none. The parser would take a NUL for the end of the text.
template <typename T>
std::optional<std::string> Run(std::string_view text, T& handler, std::size_t& read, bool comments) {
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) return At(text, nul) + "found a NUL byte";
  const TrackingIterator first(text.begin(), &read);
  const TrackingIterator last(text.end(), &read);
  if (json::sax_parse(first, last, &handler, json::input_format_t::json, true, comments)) return std::nullopt;
  return handler.fault();
}

}  // namespace

const JsonMember* JsonValue::Find(std::string_view name) const {
  const auto found = std::ranges::find(members, name, &JsonMember::name);
  return found == members.end() ? nullptr : &*found;
}

std::expected<JsonValue, std::string> ReadJson(std::string_view text) {
  std::size_t read = 0;
  TreeBuilder builder(text, read);
  if (auto fault = Run(text, builder, read, true)) return std::unexpected(std::move(*fault));
  return builder.TakeRoot();
}

std::optional<std::string> FindJsonFault(std::string_view text) {
  std::size_t read = 0;
  Checker checker(text, read);
  return Run(text, checker, read, false);
}

std::size_t LineOf(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  return static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1;
}

}  // namespace envdial::guard
