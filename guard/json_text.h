// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace envdial::guard {

// Deeper documents are refused: a reader with a recursion limit must be able to read whatever passes, and 64 is the
// lowest default limit that JSON readers in wide use have.
inline constexpr std::size_t kMaxJsonDepth = 64;

struct JsonMember;

// A JSON value as it stands in the text: members in their order, repeated ones included, and numbers as written.
struct JsonValue {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  std::string text;        // kNumber, kBool: as written; kString: its content, unescaped
  std::size_t offset = 0;  // where it stands: grows along the text
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;

  bool Is(Kind wanted) const { return kind == wanted; }
  // The first member of that name, or nullptr.
  const JsonMember* Find(std::string_view name) const;
};

struct JsonMember {
  std::string name;
  std::size_t offset = 0;  // on the line of the name
  JsonValue value;
};

// Reads one JSON document in which // and /* */ comments may stand. The error is a sentence with line and column:
// what was found and what was expected.
std::expected<JsonValue, std::string> ReadJson(std::string_view text);

// What is wrong with `text` as a JSON document (without comments), or none. Numbers that no double can hold count as
// wrong: readers differ in what they make of them.
std::optional<std::string> FindJsonFault(std::string_view text);

// The line, from 1, in which the byte at `offset` stands.
std::size_t LineOf(std::string_view text, std::size_t offset);

}  // namespace envdial::guard
