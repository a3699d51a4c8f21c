// SPDX-License-Identifier: Apache-2.0
#include "sidecar/run_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace envdial::sidecar {
namespace {

namespace fs = std::filesystem;

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectoryTest() {
    std::string pattern = (fs::temp_directory_path() / "envdial-run-XXXXXX").string();
    parent_ = ::mkdtemp(pattern.data());
    path_ = parent_ / "run";
  }
  ~RunDirectoryTest() override { fs::remove_all(parent_); }

  base::Result<RunDirectory> Take(const std::string& owner = "pid 1, instance one") const {
    return RunDirectory::Take({path_, std::nullopt, owner});
  }

  fs::path parent_;
  fs::path path_;
};

TEST_F(RunDirectoryTest, IsMadeWithItsRightsWhateverTheUmaskIs) {
  const mode_t umask = ::umask(0077);
  const auto directory = Take();
  ::umask(umask);
  ASSERT_TRUE(directory) << directory.error().message;
  struct ::stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0750u);
  EXPECT_TRUE(directory->intact());
}

TEST_F(RunDirectoryTest, OneThatIsThereKeepsItsRights) {
  fs::create_directory(path_);
  ASSERT_EQ(::chmod(path_.c_str(), 02775), 0);
  ASSERT_TRUE(Take());
  struct ::stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 02775u);
}

TEST_F(RunDirectoryTest, ASecondOneIsToldWhoHoldsIt) {
  const auto first = Take();
  ASSERT_TRUE(first);
  const auto second = Take("pid 2, instance two");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, base::ErrorKind::kUnavailable);
  EXPECT_NE(second.error().message.find("pid 1, instance one"), std::string::npos) << second.error().message;
}

TEST_F(RunDirectoryTest, WhatVanishedIsSeenAndMadeAgain) {
  auto directory = Take();
  ASSERT_TRUE(directory);
  fs::remove(path_ / "lock");
  EXPECT_FALSE(directory->intact());
  EXPECT_TRUE(directory->Restore());
  EXPECT_TRUE(directory->intact());

  fs::remove_all(path_);
  EXPECT_FALSE(directory->intact());
  EXPECT_TRUE(directory->Restore());
  EXPECT_TRUE(directory->intact());

  fs::remove_all(parent_);
  const auto failed = directory->Restore();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, base::ErrorKind::kNotFound);
  EXPECT_NE(failed.error().message.find(path_.string()), std::string::npos) << failed.error().message;
  fs::create_directory(parent_);
  EXPECT_TRUE(directory->Restore());
  EXPECT_TRUE(directory->intact());
}

TEST_F(RunDirectoryTest, ADirectoryThatAnotherTookMeanwhileIsNotTakenBack) {
  auto first = Take();
  ASSERT_TRUE(first);
  fs::remove_all(path_);
  const auto second = Take("pid 2, instance two");
  ASSERT_TRUE(second);
  EXPECT_FALSE(first->intact());
  const auto restored = first->Restore();
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind, base::ErrorKind::kUnavailable);
  EXPECT_TRUE(second->intact());
}

}  // namespace
}  // namespace envdial::sidecar
