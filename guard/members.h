// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guard/dials_file.h"
#include "guard/json_text.h"

namespace envdial::guard {

// Every member that a dials file may have; $schema and x-… are ignored besides. docs/dials.schema.json has the same.
inline constexpr std::string_view kGroupMembers[] = {"prefix", "dials", "atomic", "source"};
inline constexpr std::string_view kDialMembers[] = {"env",    "key",          "type",      "default",     "min",
                                                    "max",    "max_step",     "one_of",    "max_bytes",   "allow_empty",
                                                    "secret", "on_violation", "on_delete", "stale_after", "when_stale",
                                                    "unit",   "description",  "source"};
inline constexpr std::string_view kStaleMembers[] = {"value"};

// What is wrong with one document, to be told in the order of its text.
class ProblemList {
 public:
  // `text` is what JsonValue::offset counts in; both are borrowed names for the messages.
  ProblemList(std::string file, std::string_view text) : file_(std::move(file)), text_(text) {}

  void Add(std::size_t offset, std::string path, std::string message);
  const std::string& file() const { return file_; }
  std::string_view text() const { return text_; }
  std::vector<Problem> Take();

 private:
  std::string file_;
  std::string_view text_;
  std::multimap<std::size_t, Problem> problems_;  // by where in the text; of equal places in the order of telling
};

// Where a value stands, for what is said about it.
struct Place {
  std::size_t offset = 0;
  std::string path;
};

// "the number 5", "an array", …; of a secret only its kind.
std::string Describe(const JsonValue& value, bool secret = false);

// One JSON object of the dials file, or the flags of the one-dial form: its members by name, with every fault told to a
// ProblemList. Borrows all that it is given.
class ObjectReader {
 public:
  enum class Style { kFile, kFlags };  // of paths: $.dials[2].max_step, --max-step

  ObjectReader(const JsonValue& object, std::string path, Style style, ProblemList& problems)
      : object_(object), path_(std::move(path)), style_(style), problems_(problems) {}

  // Tells of members that are not in `known` and of repeated ones. `what` is "a dial", say; `elsewhere` says where a
  // member that is not known here would belong, or "".
  void CheckNames(std::span<const std::string_view> known, std::string_view what,
                  std::string (*elsewhere)(std::string_view) = nullptr) const;

  const JsonValue* Find(std::string_view name) const;
  Place PlaceOf(std::string_view name) const;
  Place Self() const { return {object_.offset, path_}; }
  Style style() const { return style_; }
  ProblemList& problems() const { return problems_; }

  void Tell(const Place& place, std::string message) const { problems_.Add(place.offset, place.path, message); }
  void Tell(std::string_view name, std::string message) const { Tell(PlaceOf(name), std::move(message)); }

  // The member's value; none if it is not there or is something else, which is told.
  std::optional<std::string> ReadString(std::string_view name, std::string_view expected = "a string") const;
  std::optional<bool> ReadBool(std::string_view name) const;
  // As ReadString; tells if it is missing or empty.
  std::optional<std::string> ReadRequiredString(std::string_view name, std::string_view expected) const;
  // One of `words`; tells of any other, with the nearest word.
  std::optional<std::string> ReadWord(std::string_view name, std::span<const std::string_view> words) const;

 private:
  const JsonValue& object_;
  std::string path_;
  Style style_;
  ProblemList& problems_;
};

}  // namespace envdial::guard
