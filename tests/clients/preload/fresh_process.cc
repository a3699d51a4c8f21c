// SPDX-License-Identifier: Apache-2.0
// getenv() takes down the run directory and the environment when it is called first, which is before main(): the tests
// run in a second process, which begins with both.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/clients/preload/preload_fixture.h"

namespace {

constexpr char kMark[] = "PRELOAD_TEST_DIRECTORY";

int StartAgain(char** arguments) {
  std::string directory = ::testing::TempDir() + "envdial-preload-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  ::setenv(kMark, directory.c_str(), 1);
  ::setenv("ENVDIAL_RUN_DIR", directory.c_str(), 1);
  ::setenv(envdial::kStartName, envdial::kStartValue, 1);
  ::execv("/proc/self/exe", arguments);
  std::perror("execv /proc/self/exe");
  return 1;
}

}  // namespace

std::string envdial::RunDirectory() { return Get(kMark); }

int main(int count, char** arguments) {
  if (::getenv(kMark) == nullptr) return StartAgain(arguments);
  ::testing::InitGoogleTest(&count, arguments);
  const int result = RUN_ALL_TESTS();
  std::filesystem::remove_all(envdial::RunDirectory());
  return result;
}
