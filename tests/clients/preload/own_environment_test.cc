// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/clients/preload/preload_fixture.h"

namespace envdial {
namespace {

TEST(OwnEnvironment, IsWhatCountsWithoutASnapshot) {
  EXPECT_EQ(kStartValue, Get(kStartName));
  EXPECT_EQ("(none)", Get("PRELOAD_TEST_NEVER_SET"));
  EXPECT_EQ(RunDirectory(), Get("ENVDIAL_RUN_DIR"));
}

TEST(OwnEnvironment, IsOverriddenByADialOfTheSameName) {
  Writer writer({kStartName});
  writer.Write({"dialled"});
  EXPECT_TRUE(Eventually([] { return Get(kStartName) == "dialled"; })) << Get(kStartName);
}

TEST(OwnEnvironment, WhatTheProgramSetsByItselfWins) {
  Writer writer({kStartName, "PRELOAD_TEST_OWN"});
  writer.Write({"dialled", "dialled too"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_OWN") == "dialled too"; }));

  ::setenv("PRELOAD_TEST_OWN", "mine", 1);
  EXPECT_EQ("mine", Get("PRELOAD_TEST_OWN"));
  EXPECT_EQ("dialled", Get(kStartName)) << "the other name is nobody's business";
  writer.Write({"dialled", "dialled again"});
  EXPECT_EQ("mine", Get("PRELOAD_TEST_OWN"));
  ::unsetenv("PRELOAD_TEST_OWN");
  EXPECT_EQ("dialled again", Get("PRELOAD_TEST_OWN")) << "as at the start: it was not there";

  ::setenv(kStartName, "mine too", 1);
  EXPECT_EQ("mine too", Get(kStartName));
  ::unsetenv(kStartName);
  EXPECT_EQ("(none)", Get(kStartName)) << "it was there at the start, and the program removed it";
  static std::string text = std::string(kStartName) + "=" + kStartValue;
  ::putenv(text.data());
  EXPECT_EQ("dialled", Get(kStartName)) << "as at the start";
}

TEST(OwnEnvironment, MayBeReplacedAsAWhole) {
  Writer writer({kStartName, "PRELOAD_TEST_WHOLE"});
  writer.Write({"dialled", "dialled too"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_WHOLE") == "dialled too"; }));

  char** const before = environ;
  std::string entry = "PRELOAD_TEST_WHOLE=mine";
  char* replaced[] = {entry.data(), nullptr};
  environ = replaced;
  EXPECT_EQ("mine", Get("PRELOAD_TEST_WHOLE"));
  EXPECT_EQ("(none)", Get(kStartName));
  replaced[0] = nullptr;
  EXPECT_EQ("dialled too", Get("PRELOAD_TEST_WHOLE"));
  environ = nullptr;
  EXPECT_EQ("dialled too", Get("PRELOAD_TEST_WHOLE"));
  EXPECT_EQ("(none)", Get(kStartName));
  environ = before;
  EXPECT_EQ("dialled", Get(kStartName));
}

TEST(OwnEnvironment, IsFollowedHoweverOftenItChanges) {
  Writer writer({"PRELOAD_TEST_OFTEN"});
  writer.Write({"dialled"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_OFTEN") == "dialled"; }));
  for (int i = 0; i < 200; ++i) {
    const std::string own = std::to_string(i);
    ::setenv("PRELOAD_TEST_OFTEN", own.c_str(), 1);
    EXPECT_EQ(own, Get("PRELOAD_TEST_OFTEN"));
    ::unsetenv("PRELOAD_TEST_OFTEN");
    EXPECT_EQ("dialled", Get("PRELOAD_TEST_OFTEN"));
    ::setenv("PRELOAD_TEST_ANOTHER", own.c_str(), 1);
    EXPECT_EQ("dialled", Get("PRELOAD_TEST_OFTEN"));
  }
}

}  // namespace
}  // namespace envdial
