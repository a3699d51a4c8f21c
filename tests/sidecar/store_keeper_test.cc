// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_keeper.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <libaio.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {

// Whether the kernel gives nobody an AIO context, as where a seccomp profile forbids that, or where all are given away.
bool no_aio = false;

}  // namespace

// Stands before libaio's.
extern "C" int io_setup(int maxevents, io_context_t* ctxp) {
  static const auto next = reinterpret_cast<decltype(&io_setup)>(::dlsym(RTLD_NEXT, "io_setup"));
  return no_aio ? -ENOSYS : next(maxevents, ctxp);
}

namespace envdial::sidecar {
namespace {

namespace fs = std::filesystem;

class StoreKeeperTest : public testing::Test {
 protected:
  StoreKeeperTest() : loop_(*base::EventLoop::Create()), files_(base::MakeFileSystem()) {
    std::string pattern = (fs::temp_directory_path() / "envdial-keeper-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~StoreKeeperTest() override {
    no_aio = false;
    fs::remove_all(directory_);
  }

  std::unique_ptr<StoreKeeper> Open(const std::string& directory) {
    auto keeper = StoreKeeper::Open(loop_, *files_, log_, {directory, "pid 1, instance test"});
    EXPECT_TRUE(keeper) << (keeper ? "" : keeper.error().message);
    return keeper ? std::move(*keeper) : nullptr;
  }

  // Runs the loop until `done`, or fails after a generous while.
  void RunUntil(const std::function<bool()>& done) {
    const auto start = base::ReadClock().mono;
    std::function<void(base::Now)> look = [&](base::Now now) {
      if (done() || now.mono - start > std::chrono::seconds(20)) loop_.Stop();
    };
    base::Timer timer(loop_, [&](base::Now now) {
      look(now);
      timer.Start(std::chrono::milliseconds(5));
    });
    timer.Start(std::chrono::milliseconds(0));
    loop_.Run();
    EXPECT_TRUE(done());
  }

  fallback::Kept Sample(std::uint64_t version) const {
    return {version, {{"", "", "k", "500", false, 7, std::nullopt}}, {{"K", "500", base::WallTime{}}}};
  }

  base::EventLoop loop_;
  std::unique_ptr<base::FileSystem> files_;
  Log log_{LogFormat::kText, LogLevel::kError};
  fs::path directory_;
};

TEST_F(StoreKeeperTest, SavesSyncsAndIsReadAgain) {
  {
    const auto keeper = Open(directory_ / "state");
    ASSERT_TRUE(keeper);
    EXPECT_FALSE(keeper->loaded());
    keeper->Save(Sample(3), base::ReadClock());
    keeper->Sync();
    RunUntil([&] { return keeper->status().synced.has_value(); });
    EXPECT_EQ(keeper->status().save_failures, 0u);
  }
  const auto again = Open(directory_ / "state");
  ASSERT_TRUE(again->loaded());
  EXPECT_EQ(*again->loaded(), Sample(3));
  struct ::stat info{};
  ASSERT_EQ(::stat((directory_ / "state").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0700u);
}

TEST_F(StoreKeeperTest, ASecondOneIsToldWhoHoldsIt) {
  const auto keeper = Open(directory_ / "state");
  const auto second = StoreKeeper::Open(loop_, *files_, log_, {directory_ / "state", "pid 2, instance other"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, base::ErrorKind::kUnavailable);
  EXPECT_NE(second.error().message.find("pid 1, instance test"), std::string::npos) << second.error().message;
}

TEST_F(StoreKeeperTest, GoesOnWithoutADirectoryAndTriesUntilThereIsOne) {
  std::ofstream(directory_ / "state") << "a file in the way";
  const auto keeper = Open(directory_ / "state");
  ASSERT_TRUE(keeper);
  EXPECT_EQ(keeper->status().save_failures, 1u);
  keeper->Save(Sample(4), base::ReadClock());
  EXPECT_EQ(keeper->status().save_failures, 2u);
  EXPECT_TRUE(keeper->status().error);
  fs::remove(directory_ / "state");
  RunUntil([&] { return keeper->status().synced.has_value(); });
  EXPECT_FALSE(keeper->status().error);
  EXPECT_TRUE(fs::exists(directory_ / "state" / "last-known-good.0") ||
              fs::exists(directory_ / "state" / "last-known-good.1"));
}

TEST_F(StoreKeeperTest, WhatCannotBeSyncedIsSavedAndStandsAsFailedUntilItCan) {
  no_aio = true;
  testing::internal::CaptureStderr();
  Log log{LogFormat::kText, LogLevel::kInfo};
  const auto keeper = *StoreKeeper::Open(loop_, *files_, log, {directory_, "pid 1, instance test"});
  keeper->Save(Sample(5), base::ReadClock());
  keeper->Sync();
  RunUntil([&] { return keeper->status().save_failures == 2; });
  keeper->Save(Sample(6), base::ReadClock());
  EXPECT_TRUE(keeper->status().error) << "it is not synced by being saved";
  EXPECT_FALSE(keeper->status().synced);
  base::EventLoop loop = *base::EventLoop::Create();
  const auto disk = base::MakeDiskSync(loop);
  EXPECT_EQ(fallback::Store::Open(*files_, *disk, directory_).loaded(), Sample(6)) << "what kill -9 leaves";

  no_aio = false;
  keeper->Sync();
  RunUntil([&] { return keeper->status().synced.has_value(); });
  EXPECT_FALSE(keeper->status().error);
  const std::string told = testing::internal::GetCapturedStderr();
  const auto times = [&told](std::string_view what) {
    int count = 0;
    for (auto at = told.find(what); at != std::string::npos; at = told.find(what, at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(times("io_setup: Function not implemented"), 1) << told;
  EXPECT_EQ(times("saved again"), 1) << told;
}

// It was the same directory all along, say a volume that was mounted read-only at first.
TEST_F(StoreKeeperTest, WhatIsFoundLateIsNotLostAndNotTakenForNewer) {
  const fs::path state = directory_ / "state";
  {
    const auto before = Open(state);
    for (const std::uint64_t version : {41U, 42U, 43U}) before->Save(Sample(version), base::ReadClock());
  }
  fs::rename(state, directory_ / "away");
  std::ofstream(state) << "a file in the way";
  {
    const auto keeper = Open(state);
    EXPECT_FALSE(keeper->loaded());
    fallback::Kept fresh = Sample(1);
    fresh.keys[0].value.reset();
    fresh.keys.push_back({"", "", "other", "1", false, 9, std::nullopt});
    fs::remove(state);
    fs::rename(directory_ / "away", state);
    keeper->Save(fresh, base::ReadClock());
    EXPECT_FALSE(keeper->status().error);
  }
  const auto after = Open(state);
  ASSERT_TRUE(after->loaded());
  EXPECT_EQ(after->loaded()->version, 43u);
  ASSERT_EQ(after->loaded()->keys.size(), 2u);
  EXPECT_EQ(after->loaded()->keys[0], Sample(1).keys[0]);
  EXPECT_EQ(after->loaded()->keys[1].value, "1");
}

}  // namespace
}  // namespace envdial::sidecar
