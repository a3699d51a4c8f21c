// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

namespace envdial::base {
namespace {

TEST(Crc32, IsTheOneOfGzip) {
  EXPECT_EQ(Crc32(""), 0U);
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926U);  // the check value of the CRC catalogue
}

TEST(Crc32, IsTheSameHoweverLongTheText) {
  std::string text;
  for (std::size_t size = 0; size < 5000; size += 13) {
    while (text.size() < size) text += static_cast<char>(text.size() * 7);
    EXPECT_EQ(Crc32(text), ::crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), size)) << size;
  }
}

}  // namespace
}  // namespace envdial::base
