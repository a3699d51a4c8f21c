// SPDX-License-Identifier: Apache-2.0
#include "base/input_file.h"

#include <unistd.h>

#include <fstream>

#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

TEST(ReadInputFile, FollowsLinksAndKeepsItsBound) {
  const TempDirectory directory;
  std::ofstream(directory / "f") << std::string(100'000, 'x');
  ASSERT_EQ(::symlink("f", (directory / "link").c_str()), 0);
  EXPECT_EQ(ReadInputFile(directory / "link", 100'000), std::string(100'000, 'x'));
  const auto over = ReadInputFile(directory / "f", 99'999);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(ReadInputFile(directory / "no", 1).error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(ReadInputFile(directory.path(), 1).has_value());
}

}  // namespace
}  // namespace envdial::base
