// SPDX-License-Identifier: Apache-2.0
#include "guard/suggest.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "guard/text.h"

namespace envdial::guard {
namespace {

constexpr std::size_t kMaxWordBytes = 64;  // longer words are no slip of the names we know

std::string Normal(std::string_view word) {
  std::string normal;
  for (const char c : word) {
    if (c == '-' || c == '_') continue;
    normal += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return normal;
}

using Table = std::vector<std::vector<std::size_t>>;

// The distance between the first i characters of one word and the first j of the other, neither of them 0, from the
// smaller ones.
std::size_t Cell(const Table& table, std::pair<std::string_view, std::string_view> words, std::size_t i,
                 std::size_t j) {
  const auto [a, b] = words;
  const std::size_t replaced = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
  const std::size_t least = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, replaced});
  const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
  return swapped ? std::min(least, table[i - 2][j - 2] + 1) : least;
}

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
std::size_t EditDistance(std::string_view a, std::string_view b) {
  Table table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) table[i][j] = i == 0 || j == 0 ? i + j : Cell(table, {a, b}, i, j);
  }
  return table[a.size()][b.size()];
}

// "integer" is int, "desc" is description: the longest candidate that begins the word or is begun by it.
std::optional<std::string_view> FindByBeginning(std::string_view normal, std::span<const std::string_view> candidates) {
  constexpr std::size_t kLeast = 3;
  std::optional<std::string_view> found;
  for (const std::string_view candidate : candidates) {
    const std::string other = Normal(candidate);
    const bool begins = normal.starts_with(other) || other.starts_with(normal);
    if (!begins || std::min(normal.size(), other.size()) < kLeast) continue;
    if (!found || candidate.size() > found->size()) found = candidate;
  }
  return found;
}

}  // namespace

std::optional<std::string_view> FindNearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > kMaxWordBytes) return std::nullopt;
  const std::string normal = Normal(word);
  std::optional<std::string_view> nearest;
  std::size_t best = normal.size() <= 3 ? 2 : std::max<std::size_t>(2, normal.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = EditDistance(normal, Normal(candidate));
    // Something of the word must be left: "abc" is not "env" with three slips.
    if (distance < best && distance < candidate.size()) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest ? nearest : FindByBeginning(normal, candidates);
}

std::string DidYouMean(std::string_view word, std::span<const std::string_view> candidates) {
  const auto nearest = FindNearest(word, candidates);
  return nearest ? "; did you mean " + Quoted(*nearest) + "?" : "";
}

std::string OneOf(std::span<const std::string_view> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += Quoted(words[i]);
  }
  return text;
}

}  // namespace envdial::guard
