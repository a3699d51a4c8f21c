// SPDX-License-Identifier: Apache-2.0
#include "base/file_replacer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>

#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

namespace fs = std::filesystem;

class FileReplacerTest : public testing::Test {
 protected:
  std::string Shown() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  mode_t Mode(const std::string& path) const {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }

  const TempDirectory directory_;
  const std::string path_ = directory_ / "f";
  const std::string temporary_ = path_ + ".tmp";
  const std::unique_ptr<FileSystem> files_ = MakeFileSystem();
  FileReplacer replacer_{*files_, path_, {.mode = 0640, .group = std::nullopt}};
};

TEST_F(FileReplacerTest, ShowsReadersTheOldOrTheNewFile) {
  for (const bool prepared : {false, true}) {
    if (prepared) replacer_.Prepare("old");
    ASSERT_TRUE(replacer_.Replace("one").has_value());
    const UniqueFd reader(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (prepared) replacer_.Prepare("old");
    const auto replaced = replacer_.Replace("two");
    ASSERT_TRUE(replaced.has_value()) << replaced.error().message;
    EXPECT_EQ(Shown(), "two");
    EXPECT_EQ(Mode(path_), mode_t{0640});
    EXPECT_EQ(directory_.size(), 1U);
    char bytes[10] = {};
    EXPECT_EQ(::read(reader.get(), bytes, sizeof bytes), 3);
    EXPECT_STREQ(bytes, "one");
  }
}

TEST_F(FileReplacerTest, OverwritesTheFileThatWasMadeAheadOfTime) {
  std::ofstream(temporary_) << "left over by one who was killed";
  replacer_.Prepare("old");
  EXPECT_EQ(fs::file_size(temporary_), 3U);
  EXPECT_EQ(Mode(temporary_), mode_t{0640});
  struct stat made{};
  struct stat shown{};
  ASSERT_EQ(::stat(temporary_.c_str(), &made), 0);
  replacer_.Prepare("other");
  ASSERT_TRUE(replacer_.Replace("one").has_value());
  ASSERT_EQ(::stat(path_.c_str(), &shown), 0);
  EXPECT_EQ(shown.st_ino, made.st_ino);
}

TEST_F(FileReplacerTest, MakesAnotherWhereSomebodyTookTheOneMadeAheadOfTime) {
  const std::function<void()> harms[] = {[&] { fs::remove(temporary_); },
                                         [&] { fs::rename(temporary_, directory_ / "away"); },
                                         [&] { std::ofstream(temporary_) << "theirs, and longer than ours"; },
                                         [&] {
                                           fs::remove(temporary_);
                                           fs::create_symlink("/dev/null", temporary_);
                                         }};
  int number = 0;
  for (const auto& harm : harms) {
    replacer_.Prepare("old");
    harm();
    const std::string bytes = "ours " + std::to_string(number++);
    const auto replaced = replacer_.Replace(bytes);
    ASSERT_TRUE(replaced.has_value()) << replaced.error().message;
    EXPECT_EQ(Shown(), bytes);
    EXPECT_FALSE(fs::exists(temporary_));
  }
}

TEST_F(FileReplacerTest, AFailureLeavesNoTemporaryFile) {
  fs::create_directory(path_);  // a file can't be renamed to a directory
  for (const bool prepared : {false, true}) {
    if (prepared) replacer_.Prepare("old");
    const auto replaced = replacer_.Replace("x");
    ASSERT_FALSE(replaced.has_value());
    EXPECT_TRUE(replaced.error().message.starts_with("rename ")) << replaced.error().message;
    EXPECT_EQ(directory_.size(), 1U);
  }
}

TEST_F(FileReplacerTest, PreparesAgainWhereItCouldNotBefore) {
  FileReplacer replacer(*files_, directory_ / "later" + "/f", {});
  replacer.Prepare("old");
  EXPECT_FALSE(replacer.Replace("x").has_value());
  fs::create_directory(directory_ / "later");
  replacer.Prepare("old");
  EXPECT_TRUE(fs::exists(directory_ / "later" + "/f.tmp"));
  EXPECT_TRUE(replacer.Replace("x").has_value());
}

}  // namespace
}  // namespace envdial::base
