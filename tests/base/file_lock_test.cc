// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <system_error>
#include <thread>

#include "base/file_system.h"
#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

TEST(FileLock, KeepsASecondOneOutAndNamesTheFirst) {
  const TempDirectory directory;
  const std::string path = directory / "lock";
  {
    const auto first = FileLock::Acquire(path, "pid 17, instance pod-3");
    ASSERT_TRUE(first.has_value()) << first.error().message;
    const auto second = FileLock::Acquire(path, "pid 18");
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().kind, ErrorKind::kUnavailable);
    EXPECT_EQ(second.error().message, path + " is held by pid 17, instance pod-3");
  }
  const auto third = FileLock::Acquire(path, "x");
  ASSERT_TRUE(third.has_value()) << third.error().message;
  EXPECT_EQ(FileLock::Acquire(path, "y").error().message, path + " is held by x");
}

TEST(FileLock, IsHeldAgainstOtherProcessesAndEndsWithItsOwn) {
  const TempDirectory directory;
  const std::string path = directory / "lock";
  int ready[2] = {};
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto lock = FileLock::Acquire(path, "the child");
    const char held = lock ? 'y' : 'n';
    if (::write(ready[1], &held, 1) == 1) ::pause();
    ::_exit(0);
  }
  char held = 0;
  ASSERT_EQ(::read(ready[0], &held, 1), 1);
  EXPECT_EQ(held, 'y');
  const auto refused = FileLock::Acquire(path, "the parent");
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ready[0]);
  ::close(ready[1]);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, path + " is held by the child");
  EXPECT_TRUE(FileLock::Acquire(path, "the parent").has_value());
}

TEST(FileLock, ShowsNoControlCharactersOfAnotherAndIsTheOwnersAlone) {
  const TempDirectory directory;
  const std::string path = directory / "lock";
  const auto first = FileLock::Acquire(path, "a\tb\x1b[31m");
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(FileLock::Acquire(path, "x").error().message, path + " is held by a?b?[31m");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0177, mode_t{0});
  std::ofstream(path, std::ios::trunc).flush();
  EXPECT_EQ(FileLock::Acquire(path, "x").error().message, path + " is held by another process");
}

TEST(FileLock, TellsWhyItCannotBeMade) {
  const TempDirectory directory;
  const auto missing = FileLock::Acquire(directory / "no" + "/lock", "x");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(missing.error().message.contains(directory / "no")) << missing.error().message;
  ASSERT_EQ(::symlink("elsewhere", (directory / "link").c_str()), 0);
  EXPECT_FALSE(FileLock::Acquire(directory / "link", "x").has_value());
}

// How often this process has `path` open.
std::ptrdiff_t OpenTimes(const std::string& path) {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return std::ranges::count_if(open, [&path](const auto& fd) {
    std::error_code gone;
    return std::filesystem::read_symlink(fd, gone) == path;
  });
}

TEST(FileLock, WaitsForAHolderThatIsJustEnding) {
  const TempDirectory directory;
  const std::string path = directory / "lock";
  auto held = std::make_unique<FileLock>(*FileLock::Acquire(path, "the first"));
  auto second = std::async(std::launch::async,
                           [&path] { return FileLock::Acquire(path, "the second", std::chrono::minutes(1)); });
  while (OpenTimes(path) < 2) std::this_thread::yield();
  held.reset();
  EXPECT_TRUE(second.get().has_value());
}

TEST(FileLock, KnowsWhetherItsFileStillStandsThere) {
  const TempDirectory directory;
  const std::string path = directory / "lock";
  const auto lock = FileLock::Acquire(path, "the first");
  ASSERT_TRUE(lock.has_value());
  EXPECT_TRUE(lock->StandsAt(path));
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_FALSE(lock->StandsAt(path));
  const auto second = FileLock::Acquire(path, "the second");
  ASSERT_TRUE(second.has_value());
  EXPECT_FALSE(lock->StandsAt(path));
  EXPECT_TRUE(second->StandsAt(path));
}

}  // namespace
}  // namespace envdial::base
