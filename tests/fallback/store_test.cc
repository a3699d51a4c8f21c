// SPDX-License-Identifier: Apache-2.0
#include "fallback/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/event_loop.h"
#include "fallback/slot_format.h"
#include "tests/base/temp_directory.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::fallback {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::Now;
using base::Result;
using test::FakeDiskSync;
using test::FaultyFileSystem;
using testing::ElementsAre;
using testing::HasSubstr;

Kept Version(std::uint64_t version) {
  return {.version = version,
          .keys = {{.datacenter = "",
                    .namespace_name = "",
                    .key = "hunt/max",
                    .value = std::to_string(version * 100),
                    .deletion_confirmed = false,
                    .revision = version,
                    .last_contact = base::WallTime(std::chrono::seconds(version))}},
          .values = {}};
}

std::string SlotText(std::uint64_t sequence, std::uint64_t version) {
  return *EncodeSlot({.sequence = sequence, .kept = Version(version)});
}

void WriteBytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ino_t InodeOf(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// On a real directory; the disk is never asked.
class StoreOnDirectory : public testing::Test {
 protected:
  Store Open() { return Store::Open(*files_, disk_, dir_.path()); }

  base::TempDirectory dir_;
  std::unique_ptr<base::FileSystem> files_ = base::MakeFileSystem();
  FaultyFileSystem nowhere_;
  FakeDiskSync disk_{nowhere_};
};

TEST_F(StoreOnDirectory, StartsEmpty) {
  const Store store = Open();
  EXPECT_FALSE(store.loaded());
  EXPECT_EQ(store.recovery().from, Recovery::From::kNone);
  EXPECT_TRUE(store.recovery().notes.empty());
}

TEST_F(StoreOnDirectory, FindsTheNewestSaveAgain) {
  {
    Store store = Open();
    for (std::uint64_t version = 1; version <= 5; ++version) ASSERT_TRUE(store.Save(Version(version)));
  }
  Store store = Open();
  EXPECT_EQ(store.loaded(), Version(5));
  EXPECT_EQ(store.recovery().from, Recovery::From::kSlot);
  EXPECT_TRUE(store.recovery().notes.empty());
  ASSERT_TRUE(store.Save(Version(6)));
  EXPECT_EQ(Open().loaded(), Version(6));
}

TEST_F(StoreOnDirectory, FindsTheNewestOfEqualVersions) {
  Kept later = Version(1);
  later.keys[0].last_contact = base::WallTime(std::chrono::hours(1));
  {
    Store store = Open();
    ASSERT_TRUE(store.Save(Version(1)));
    ASSERT_TRUE(store.Save(later));
  }
  EXPECT_EQ(Open().loaded(), later);
}

TEST_F(StoreOnDirectory, IsClosedToOthers) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  struct stat status{};
  ASSERT_EQ(::stat((dir_ / "last-known-good.0").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(StoreOnDirectory, NeverReadsASpareAndOverwritesIt) {
  WriteBytes(dir_ / "last-known-good.0", SlotText(3, 3));
  WriteBytes(dir_ / "last-known-good.0.tmp", "half");
  WriteBytes(dir_ / "last-known-good.1.tmp", SlotText(4, 4) + std::string(10'000, 'x'));
  fs::permissions(dir_ / "last-known-good.1.tmp", fs::perms(0600));
  const ino_t spare = InodeOf(dir_ / "last-known-good.1.tmp");
  Store store = Open();
  EXPECT_EQ(store.loaded(), Version(3));
  EXPECT_TRUE(store.recovery().notes.empty());
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.0.tmp"), "half");
  ASSERT_TRUE(store.Save(Version(5)));
  EXPECT_EQ(InodeOf(dir_ / "last-known-good.1"), spare);
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1"), SlotText(4, 5));
}

TEST_F(StoreOnDirectory, SavesByTurnsInTwoFilesOfASlot) {
  WriteBytes(dir_ / "last-known-good.0", SlotText(3, 3));
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(4)));
  ASSERT_TRUE(store.Save(Version(5)));
  const ino_t slot = InodeOf(dir_ / "last-known-good.1");
  const ino_t spare = InodeOf(dir_ / "last-known-good.1.tmp");
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1.tmp"), SlotText(4, 4));
  ASSERT_TRUE(store.Save(Version(6)));
  EXPECT_EQ(InodeOf(dir_ / "last-known-good.1"), spare);
  EXPECT_EQ(InodeOf(dir_ / "last-known-good.1.tmp"), slot);
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1.tmp"), SlotText(5, 5)) << "the live slot was overwritten";
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.0"), SlotText(3, 3));
}

TEST_F(StoreOnDirectory, MakesAStrangeSpareAnew) {
  const std::string elsewhere = dir_ / "elsewhere";
  const struct {
    std::string name;
    std::function<void(const std::string&)> make;
  } cases[] = {
      {"fifo", [](const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }},
      {"symbolic link", [&](const std::string& path) { fs::create_symlink(elsewhere, path); }},
      {"dangling link", [](const std::string& path) { fs::create_symlink("/nowhere", path); }},
      {"second name of a file", [&](const std::string& path) { fs::create_hard_link(elsewhere, path); }},
      {"readable by others",
       [](const std::string& path) {
         WriteBytes(path, "old");
         fs::permissions(path, fs::perms(0644));
       }},
      {"not writable",
       [](const std::string& path) {
         WriteBytes(path, "old");
         fs::permissions(path, fs::perms(0400));
       }},
  };
  for (const auto& [name, make] : cases) {
    const base::TempDirectory dir;
    WriteBytes(elsewhere, "untouched");
    fs::permissions(elsewhere, fs::perms(0600));
    WriteBytes(dir / "last-known-good.0", SlotText(3, 3));
    make(dir / "last-known-good.1.tmp");
    Store store = Store::Open(*files_, disk_, dir.path());
    for (std::uint64_t version = 4; version <= 6; ++version) EXPECT_TRUE(store.Save(Version(version))) << name;
    EXPECT_EQ(Store::Open(*files_, disk_, dir.path()).loaded(), Version(6)) << name;
    EXPECT_EQ(ReadBytes(elsewhere), "untouched") << name;
    for (const char* file : {"last-known-good.1", "last-known-good.1.tmp"}) {
      EXPECT_EQ(fs::symlink_status(dir / file).permissions(), fs::perms(0600)) << name << " " << file;
    }
  }
}

TEST_F(StoreOnDirectory, CopiesADamagedSlotAsideOnce) {
  const std::string damaged = SlotText(4, 4).substr(0, 50);
  WriteBytes(dir_ / "last-known-good.0", SlotText(3, 3));
  WriteBytes(dir_ / "last-known-good.1", damaged);
  {
    Store store = Open();
    EXPECT_EQ(store.loaded(), Version(3));
    EXPECT_THAT(store.recovery().notes, ElementsAre(HasSubstr("copied to " + (dir_ / "last-known-good.1.damaged"))));
    EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1.damaged"), damaged);
    ASSERT_TRUE(store.Save(Version(5)));
  }
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.0"), SlotText(3, 3)) << "the whole slot was replaced";

  WriteBytes(dir_ / "last-known-good.1", "damaged again");
  Store store = Open();
  EXPECT_EQ(store.loaded(), Version(3));
  EXPECT_THAT(store.recovery().notes, ElementsAre(HasSubstr("not copied")));
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1.damaged"), damaged);
}

TEST_F(StoreOnDirectory, StartsAnewFromTwoDamagedSlots) {
  WriteBytes(dir_ / "last-known-good.0", "");
  WriteBytes(dir_ / "last-known-good.1", std::string(300, '\0'));
  {
    Store store = Open();
    EXPECT_FALSE(store.loaded());
    EXPECT_EQ(store.recovery().from, Recovery::From::kNone);
    EXPECT_EQ(store.recovery().notes.size(), 2U);
    ASSERT_TRUE(store.Save(Version(1)));
  }
  EXPECT_EQ(Open().loaded(), Version(1));
}

std::string NewerSlot() {
  const std::string header = "envdial-last-known-good 9 12 5 ";
  char checksum[16];
  std::snprintf(checksum, sizeof checksum, "%08x", base::Crc32(header + "later"));
  return header + checksum + "\nlater";
}

TEST_F(StoreOnDirectory, LeavesANewerFormatUntouched) {
  WriteBytes(dir_ / "last-known-good.0", NewerSlot());
  WriteBytes(dir_ / "last-known-good.1", SlotText(3, 3));
  Store store = Open();
  EXPECT_EQ(store.loaded(), Version(3));
  EXPECT_THAT(store.recovery().notes, ElementsAre(HasSubstr("has format 9")));
  const auto saved = store.Save(Version(4));
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(saved.error().message, HasSubstr("save last-known-good"));
  EXPECT_THAT(saved.error().message, HasSubstr("has format 9"));
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.0"), NewerSlot());
  EXPECT_EQ(ReadBytes(dir_ / "last-known-good.1"), SlotText(3, 3));
  EXPECT_FALSE(fs::exists(dir_ / "last-known-good.0.damaged"));
}

TEST_F(StoreOnDirectory, MovesAsideWhatIsNoSlotFile) {
  const struct {
    std::string name;
    std::function<void(const std::string&)> make;
  } cases[] = {
      {"directory", [](const std::string& path) { fs::create_directories(path + "/inner"); }},
      {"fifo", [](const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }},
      {"symbolic link", [](const std::string& path) { fs::create_symlink("/etc/passwd", path); }},
      {"dangling link", [](const std::string& path) { fs::create_symlink("/nowhere", path); }},
      {"too long",
       [](const std::string& path) {
         WriteBytes(path, SlotText(9, 9));
         fs::resize_file(path, kMaxSlotBytes + 1);
       }},
  };
  for (const auto& [name, make] : cases) {
    const base::TempDirectory dir;
    WriteBytes(dir / "last-known-good.0", SlotText(3, 3));
    make(dir / "last-known-good.1");
    Store store = Store::Open(*files_, disk_, dir.path());
    EXPECT_EQ(store.loaded(), Version(3)) << name;
    EXPECT_THAT(store.recovery().notes, ElementsAre(HasSubstr("moved to " + (dir / "last-known-good.1.damaged"))))
        << name;
    EXPECT_TRUE(store.Save(Version(4))) << name;
    EXPECT_EQ(Store::Open(*files_, disk_, dir.path()).loaded(), Version(4)) << name;
  }
}

TEST_F(StoreOnDirectory, SaysWhenThereIsNoDirectory) {
  fs::remove(dir_.path());
  Store store = Open();
  EXPECT_FALSE(store.loaded());
  const auto saved = store.Save(Version(1));
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(saved.error().message, HasSubstr(dir_.path()));
  fs::create_directory(dir_.path());
  EXPECT_TRUE(store.Save(Version(1))) << "a directory that came back is used";
}

TEST_F(StoreOnDirectory, SyncsByTheRealDisk) {
  auto loop = base::EventLoop::Create();
  ASSERT_TRUE(loop);
  const auto disk = base::MakeDiskSync(*loop);
  Store store = Store::Open(*files_, *disk, dir_.path());
  for (std::uint64_t version = 1; version <= 3; ++version) {
    ASSERT_TRUE(store.Save(Version(version)));
    std::optional<Result<void>> synced;
    store.Sync([&](Result<void> result, Now) {
      synced = std::move(result);
      loop->Stop();
    });
    EXPECT_FALSE(synced) << "called back from within";
    base::Timer deadline(*loop, [&](Now) { loop->Stop(); });
    deadline.Start(std::chrono::seconds(20));
    loop->Run();
    ASSERT_TRUE(synced) << "no answer";
    EXPECT_TRUE(*synced) << synced->error().message;
  }
  EXPECT_TRUE(fs::exists(dir_ / "last-known-good.0"));
  EXPECT_TRUE(fs::exists(dir_ / "last-known-good.1")) << "a synced slot was replaced";
}

}  // namespace
}  // namespace envdial::fallback
