// SPDX-License-Identifier: Apache-2.0
#include "guard/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace envdial::guard {
namespace {

std::string Encode(std::uint32_t c) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
}

TEST(Encoding, EveryCodePointButSurrogatesAndNulIsFine) {
  for (std::uint32_t c = 0; c <= 0x110010; ++c) {
    const bool fine = c != 0 && (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
    ASSERT_EQ(!FindEncodingFault(Encode(c)), fine) << c;
  }
}

TEST(Encoding, EveryShorterOrLongerFormIsRefused) {
  for (int lead = 0x80; lead <= 0xFF; ++lead) {
    ASSERT_TRUE(FindEncodingFault(std::string(1, static_cast<char>(lead)))) << lead;
    ASSERT_TRUE(FindEncodingFault(std::string(1, static_cast<char>(lead)) + "a")) << lead;
  }
  for (std::uint32_t c = 0x80; c <= 0x10FFFF; c += 61) {
    const std::string whole = Encode(c);
    ASSERT_TRUE(FindEncodingFault(whole.substr(0, whole.size() - 1))) << c;
    ASSERT_TRUE(FindEncodingFault(whole + '\x80')) << c;
  }
}

TEST(Quote, FaultsAreTheQuoteControlsAndNoncharacters) {
  for (std::uint32_t c = 1; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c <= 0x9F);
    const bool noncharacter = (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFF) >= 0xFFFE;
    ASSERT_EQ(FindQuoteFault(Encode(c)).has_value(), c == '\'' || control || noncharacter) << c;
  }
}

TEST(Trim, CutsBothEnds) {
  EXPECT_EQ(Trim(" \t\n\v\f\r a b \r\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
  EXPECT_EQ(Trim(""), "");
}

TEST(Shorten, StaysShortPrintableAndWhole) {
  EXPECT_EQ(Shorten("plain é"), "plain é");
  EXPECT_EQ(Shorten("a\nb\tc\r\x1b\xff"), "a\\nb\\tc\\r\\x1B\\xFF");
  EXPECT_EQ(Shorten(std::string(64, 'x')), std::string(64, 'x'));
  EXPECT_EQ(Shorten(std::string(65, 'x')), std::string(64, 'x') + "… (65 bytes)");
  EXPECT_EQ(Quoted("a"), "\"a\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "\"" + std::string(64, 'x') + "…\" (100 bytes)");
  std::string euros;
  for (int i = 0; i < 30; ++i) euros += "€";
  EXPECT_FALSE(FindEncodingFault(Shorten(euros)));
  EXPECT_FALSE(FindEncodingFault(Quoted(euros)));
}

TEST(Controls, AreFound) {
  EXPECT_TRUE(HasControlOrBadEncoding("a\nb"));
  EXPECT_TRUE(HasControlOrBadEncoding("a\x7f"));
  EXPECT_TRUE(HasControlOrBadEncoding("\xff"));
  EXPECT_FALSE(HasControlOrBadEncoding("é b/c"));
}

}  // namespace
}  // namespace envdial::guard
