// SPDX-License-Identifier: Apache-2.0
#include "sidecar/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "inject/env_file.h"
#include "tests/base/temp_directory.h"

namespace envdial::sidecar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(ValuesTest, AnEnvFileIsReadAsItIsWritten) {
  const std::vector<base::DialInfo> dials{{.name = "B"}, {.name = "EMPTY"}, {.name = "A"}};
  base::Snapshot snapshot;
  for (const std::string value : {"2", "", "1"}) snapshot.dials.push_back({.value = value});
  const auto read = ParseEnvFile(inject::FormatEnvFile(dials, snapshot));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->version, 0u);
  EXPECT_THAT(read->dials, ElementsAre(Pair("B", "2"), Pair("EMPTY", ""), Pair("A", "1")));
  EXPECT_THAT(ParseEnvFile("").value().dials, ElementsAre());
  EXPECT_THAT(ParseEnvFile("A='two\nlines, \"quotes\", a $dollar and a back\\slash'\nB='2'\n").value().dials,
              ElementsAre(Pair("A", "two\nlines, \"quotes\", a $dollar and a back\\slash"), Pair("B", "2")));
}

TEST(ValuesTest, AnythingElseIsCorruptAndTheLineIsNamed) {
  const std::string good = "A='two\nlines'\n";
  for (const char* bad :
       {"B", "B\n", "B=2\n", "B='2", "B='2'", "B='2'C='3'\n", "='2'\n", "\nB='2'\n", "# why\nB='2'\n"}) {
    const auto read = ParseEnvFile(good + bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().kind, base::ErrorKind::kCorrupt);
    EXPECT_THAT(read.error().message, HasSubstr("line 3 ")) << bad;
  }
  const std::string whole = "A='1'\nB='2'\n";
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(ParseEnvFile(whole.substr(0, size)).has_value(), size == 6) << size;
  }
}

TEST(ValuesTest, WhatIsNoEnvFileIsTold) {
  const base::TempDirectory directory;
  EXPECT_EQ(ReadEnvFile(directory.path()).error().kind, base::ErrorKind::kNotFound);
  ASSERT_EQ(::mkfifo((directory.path() + "/env").c_str(), 0600), 0);
  EXPECT_EQ(ReadEnvFile(directory.path()).error().kind, base::ErrorKind::kInvalid);
}

}  // namespace
}  // namespace envdial::sidecar
