// SPDX-License-Identifier: Apache-2.0
#include "guard/dial.h"

#include <algorithm>
#include <iterator>

namespace envdial::guard {

std::string_view ToString(Type type) {
  switch (type) {
    case Type::kInt:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kBool:
      return "bool";
    case Type::kDuration:
      return "duration";
    case Type::kString:
      return "string";
    case Type::kJson:
      return "json";
  }
  return "";
}

std::optional<Type> ParseType(std::string_view word) {
  const auto* const found = std::ranges::find_if(kTypes, [word](Type type) { return ToString(type) == word; });
  if (found == std::end(kTypes)) return std::nullopt;
  return *found;
}

bool IsNumeric(Type type) { return IsOrdered(type) || type == Type::kBool; }

bool IsOrdered(Type type) { return type == Type::kInt || type == Type::kFloat || type == Type::kDuration; }

bool KeepsWhiteSpace(Type type) { return type == Type::kString || type == Type::kJson; }

}  // namespace envdial::guard
