// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <libaio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <deque>
#include <optional>

#include "base/file_system.h"
#include "tests/base/loop_fixture.h"
#include "tests/base/temp_directory.h"

namespace {

// What the kernel does with the submissions of one test: these two functions stand before libaio's.
struct Kernel {
  int submit_error = 0;  // negative errno
  bool hold_back = false;
  std::deque<std::pair<io_context_t, iocb*>> held;
  int destroyed = 0;
};
Kernel* kernel = nullptr;

}  // namespace

extern "C" int io_submit(io_context_t ctx, long nr, iocb** ios) {
  if (kernel != nullptr && kernel->submit_error != 0) return kernel->submit_error;
  if (kernel != nullptr && kernel->hold_back) {
    for (long i = 0; i < nr; ++i) kernel->held.emplace_back(ctx, ios[i]);
    return static_cast<int>(nr);
  }
  const long accepted = ::syscall(SYS_io_submit, ctx, nr, ios);
  return accepted < 0 ? -errno : static_cast<int>(accepted);
}

extern "C" int io_destroy(io_context_t ctx) {
  if (kernel != nullptr) ++kernel->destroyed;
  return ::syscall(SYS_io_destroy, ctx) < 0 ? -errno : 0;
}

namespace envdial::base {
namespace {

using namespace std::chrono_literals;

class DiskSyncTest : public LoopTest {
 protected:
  DiskSyncTest() { kernel = &kernel_; }
  ~DiskSyncTest() override { kernel = nullptr; }

  UniqueFd NewFile() {
    const std::string path = directory_ / std::to_string(files_made_++);
    return std::move(files_->Create(path, "some bytes", {})).value();
  }

  // Starts one sync and returns its outcome.
  std::optional<Result<void>> Sync(UniqueFd fd) {
    std::optional<Result<void>> outcome;
    sync_->Start(std::move(fd), [&outcome](Result<void> result, Now) { outcome = std::move(result); });
    EXPECT_FALSE(outcome.has_value()) << "called back from within Start";
    EXPECT_TRUE(TurnUntil([&] { return outcome.has_value(); }));
    return outcome;
  }

  Kernel kernel_;
  TempDirectory directory_;
  int files_made_ = 0;
  std::unique_ptr<FileSystem> files_ = MakeFileSystem();
  std::unique_ptr<DiskSync> sync_ = MakeDiskSync(loop_);
};

TEST_F(DiskSyncTest, SyncsFilesAndDirectories) {
  EXPECT_TRUE(Sync(NewFile())->has_value());
  EXPECT_TRUE(Sync(std::move(files_->OpenDirectory(directory_.path())).value())->has_value());
  sync_.reset();
  EXPECT_EQ(kernel_.destroyed, 1);
}

TEST_F(DiskSyncTest, ManyMayBeUnderWayAndEachIsToldOnce) {
  constexpr int kSyncs = 300;
  const UniqueFd file = NewFile();
  int done = 0;
  int good = 0;
  for (int i = 0; i < kSyncs; ++i) {
    sync_->Start(UniqueFd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0)), [&](Result<void> result, Now) {
      ++done;
      if (result)
        ++good;
      else
        EXPECT_EQ(result.error().kind, ErrorKind::kUnavailable) << result.error().message;
    });
  }
  EXPECT_TRUE(TurnUntil([&] { return done == kSyncs; }));
  EXPECT_GE(good, 16);
  TurnFor(5ms);
  EXPECT_EQ(done, kSyncs);
}

TEST_F(DiskSyncTest, ASlowDiskHoldsUpNothing) {
  kernel_.hold_back = true;
  bool synced = false;
  UniqueFd fd = NewFile();
  const int number = fd.get();
  sync_->Start(std::move(fd), [&synced](Result<void> result, Now) { synced = result.has_value(); });
  TurnFor(20ms);
  EXPECT_FALSE(synced);
  EXPECT_GE(::fcntl(number, F_GETFD), 0) << "it must stay open until synced";

  ASSERT_EQ(kernel_.held.size(), 1U);
  auto [context, request] = kernel_.held.front();
  ASSERT_EQ(::syscall(SYS_io_submit, context, 1, &request), 1);
  ASSERT_TRUE(TurnUntil([&] { return synced; }));
  EXPECT_LT(::fcntl(number, F_GETFD), 0);
}

TEST_F(DiskSyncTest, DestructionDropsCallbacksAndWaitsForNothing) {
  kernel_.hold_back = true;
  sync_->Start(NewFile(), [](Result<void>, Now) { FAIL(); });
  sync_.reset();
  EXPECT_EQ(kernel_.destroyed, 0) << "io_destroy would wait for the disk";
  TurnFor(5ms);
}

TEST_F(DiskSyncTest, ACallbackMayDestroyIt) {
  bool destroyed = false;
  for (int i = 0; i < 2; ++i) {
    sync_->Start(NewFile(), [&](Result<void>, Now) {
      EXPECT_FALSE(destroyed);
      sync_.reset();
      destroyed = true;
    });
  }
  ASSERT_TRUE(TurnUntil([&] { return destroyed; }));
  TurnFor(5ms);
}

TEST_F(DiskSyncTest, WhatTheKernelRefusesIsTold) {
  struct {
    int code;
    ErrorKind kind;
  } const cases[] = {
      {-EAGAIN, ErrorKind::kUnavailable},
      {-ENOSYS, ErrorKind::kUnavailable},
      {-EINVAL, ErrorKind::kInvalid},
      {-EBADF, ErrorKind::kIo},
  };
  for (const auto& [code, kind] : cases) {
    kernel_.submit_error = code;
    const auto outcome = Sync(NewFile());
    ASSERT_FALSE(outcome->has_value());
    EXPECT_EQ(outcome->error().kind, kind) << outcome->error().message;
  }
  kernel_.submit_error = 0;
  EXPECT_TRUE(Sync(NewFile())->has_value());
}

TEST_F(DiskSyncTest, WhatCannotBeSyncedIsAnError) {
  int ends[2] = {};
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd other(ends[1]);
  const auto outcome = Sync(UniqueFd(ends[0]));
  ASSERT_FALSE(outcome->has_value());
  EXPECT_EQ(outcome->error().kind, ErrorKind::kInvalid) << outcome->error().message;
  EXPECT_FALSE(Sync(UniqueFd())->has_value());
}

}  // namespace
}  // namespace envdial::base
