// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace envdial::guard {

// Messages stay readable: longer values are cut, with their size told.
inline constexpr std::size_t kMaxShownBytes = 64;

// `text` without the white space (space, tab, LF, VT, FF, CR) at both ends.
std::string_view Trim(std::string_view text);

// What makes `text` no UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF), or a NUL in it, as
// the end of a sentence: "is not UTF-8: byte 0xC0 at position 3". None if there is nothing.
std::optional<std::string> FindEncodingFault(std::string_view text);

// The first character, in text that is UTF-8, that cannot stand in the env file so that all its readers read it alike,
// as the end of a sentence: "has a single quote (') at byte 4". These are the single quote, control characters other
// than tab and newline (C0, DEL and C1), and Unicode's noncharacters: systemd's EnvironmentFile= takes a file that has
// one of these for damaged as a whole. Everything else stands literally between single quotes in systemd's
// EnvironmentFile=, in POSIX shells and in Kubernetes' env files.
std::optional<std::string> FindQuoteFault(std::string_view text);

// Whether `text` holds a control character (C0, DEL or C1) or is not UTF-8.
bool HasControlOrBadEncoding(std::string_view text);

// For messages: on one line, printable whatever the bytes are, cut after kMaxShownBytes.
std::string Shorten(std::string_view text);

// The same between double quotes.
std::string Quoted(std::string_view text);

}  // namespace envdial::guard
