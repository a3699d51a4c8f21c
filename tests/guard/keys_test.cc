// SPDX-License-Identifier: Apache-2.0
#include "guard/keys.h"

#include <gtest/gtest.h>

#include <string>

namespace envdial::guard {
namespace {

TEST(Keys, EnvNames) {
  for (const std::string name : {"A", "_", "MAX_CONCURRENT", "lower", "a1"})
    EXPECT_FALSE(FindEnvNameFault(name)) << name;
  for (const std::string name : {"", "1A", "A-B", "A B", "A=B", "É", "A.B", "A\n"})
    EXPECT_TRUE(FindEnvNameFault(name)) << name;
}

TEST(Keys, Prefixes) {
  for (const std::string name : {"a/", "a/b/", "a b/", ".../", "größe/"}) EXPECT_FALSE(FindPrefixFault(name)) << name;
  for (const std::string name : {"", "/", "a", "/a/", "a//", "a//b/", "./", "a/../", "a/./b/", "a\t/", "\xff/"}) {
    EXPECT_TRUE(FindPrefixFault(name)) << name;
  }
}

TEST(Keys, Keys) {
  const std::string longest(kMaxKeyBytes, 'k');
  for (const std::string& name :
       {std::string("a"), std::string("a/b.c"), std::string("..."), std::string("a?#%"), longest}) {
    EXPECT_FALSE(FindKeyFault(name)) << name;
  }
  for (const std::string name : {"", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\nb", "a\x7f", "\xc3"}) {
    EXPECT_TRUE(FindKeyFault(name)) << name;
  }
  EXPECT_TRUE(FindKeyFault(longest + "k"));
  EXPECT_TRUE(FindKeyFault(std::string("a\0b", 3)));
}

}  // namespace
}  // namespace envdial::guard
