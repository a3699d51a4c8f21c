// SPDX-License-Identifier: Apache-2.0
#include "guard/text.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace envdial::guard {
namespace {

constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";

struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;  // in bytes; 0: no valid code point stands here
};

std::uint8_t ByteAt(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

// RFC 3629, section 4: the table of well-formed sequences.
CodePoint Decode(std::string_view text, std::size_t at) {
  const std::uint8_t lead = ByteAt(text, at);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < length) return {};
  char32_t value = static_cast<char32_t>(lead & (0x7F >> length));
  for (std::size_t i = 1; i < length; ++i) {
    const std::uint8_t byte = ByteAt(text, at + i);
    if ((byte & 0xC0) != 0x80) return {};
    value = (value << 6) | (byte & 0x3Fu);
  }
  constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kLeast[length] || value > 0x10FFFF || surrogate) return {};
  return {value, length};
}

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7F && c <= 0x9F); }

bool IsNoncharacter(char32_t c) { return (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE; }

std::string Hex(std::uint32_t value, std::size_t digits) {
  std::string text;
  for (std::size_t i = digits; i-- > 0;) text += "0123456789ABCDEF"[(value >> (4 * i)) & 0xF];
  return text;
}

std::string NameOf(char32_t c) {
  const std::size_t digits = c > 0xFFFF ? 6 : 4;
  if (c == '\'') return "a single quote (')";
  if (c == '\r') return "a carriage return (CR)";
  return (IsControl(c) ? "the control character U+" : "the noncharacter U+") + Hex(c, digits);
}

std::string Escape(char c) {
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  return "\\x" + Hex(static_cast<std::uint8_t>(c), 2);
}

}  // namespace

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

std::optional<std::string> FindEncodingFault(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::string position = " at position " + std::to_string(at + 1);
    const CodePoint point = Decode(text, at);
    if (point.length == 0) return "is not UTF-8: byte 0x" + Hex(ByteAt(text, at), 2) + position;
    if (point.value == 0) return "has a NUL byte" + position;
    at += point.length;
  }
  return std::nullopt;
}

std::optional<std::string> FindQuoteFault(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = Decode(text, at);
    const char32_t c = point.value;
    const bool allowed_control = c == '\t' || c == '\n';
    if (c == '\'' || (IsControl(c) && !allowed_control) || IsNoncharacter(c)) {
      return "has " + NameOf(c) + " at byte " + std::to_string(at + 1);
    }
    at += std::max<std::size_t>(point.length, 1);
  }
  return std::nullopt;
}

bool HasControlOrBadEncoding(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = Decode(text, at);
    if (point.length == 0 || IsControl(point.value)) return true;
    at += point.length;
  }
  return false;
}

std::string Shorten(std::string_view text) {
  std::string shown;
  std::size_t at = 0;
  while (at < text.size() && at < kMaxShownBytes) {
    const CodePoint point = Decode(text, at);
    const std::size_t length = std::max<std::size_t>(point.length, 1);
    const std::string_view bytes = text.substr(at, length);
    if (point.length > 0 && !IsControl(point.value)) {
      shown += bytes;
    } else {
      for (const char c : bytes) shown += Escape(c);
    }
    at += length;
  }
  if (at < text.size()) shown += "… (" + std::to_string(text.size()) + " bytes)";
  return shown;
}

std::string Quoted(std::string_view text) {
  const std::string shown = Shorten(text);
  if (text.size() <= kMaxShownBytes) return '"' + shown + '"';
  const std::size_t cut = shown.rfind("…");
  return '"' + shown.substr(0, cut) + "…\"" + shown.substr(cut + std::string_view("…").size());
}

}  // namespace envdial::guard
