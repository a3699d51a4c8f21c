// SPDX-License-Identifier: Apache-2.0
#include "base/checksum.h"

#include <gtest/gtest.h>

namespace envdial::base {
namespace {

TEST(Crc32, IsTheOneOfGzip) {
  EXPECT_EQ(Crc32(""), 0U);
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926U);  // the check value of the CRC catalogue
}

}  // namespace
}  // namespace envdial::base
