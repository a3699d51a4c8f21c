// SPDX-License-Identifier: Apache-2.0
// Which slot a save replaces and when a sync counts, on a disk in memory whose syncs end when the test says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fallback/slot_format.h"
#include "fallback/store.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::fallback {
namespace {

using base::Now;
using base::Result;
using test::FakeDiskSync;
using test::FaultyFileSystem;
using test::Files;
using testing::ElementsAre;
using testing::HasSubstr;

Kept Version(std::uint64_t version) { return {.version = version, .keys = {}, .values = {}}; }

std::string SlotText(std::uint64_t sequence, std::uint64_t version) {
  return *EncodeSlot({.sequence = sequence, .kept = Version(version)});
}

class StoreOnFakeDisk : public testing::Test {
 protected:
  Store Open() { return Store::Open(files_, disk_, "/state"); }
  // The versions in the two slots; 0: none.
  std::pair<std::uint64_t, std::uint64_t> Slots() {
    const Files files = files_.disk().AfterKill();
    const auto version = [&](const std::string& path) -> std::uint64_t {
      return files.contains(path) ? DecodeSlot(files.at(path))->kept.version : 0;
    };
    return {version("/state/last-known-good.0"), version("/state/last-known-good.1")};
  }
  // With versions 1 and 2.
  Store OpenAndSyncBoth() {
    Store store = Open();
    for (const std::uint64_t version : {1U, 2U}) {
      EXPECT_TRUE(store.Save(Version(version)));
      store.Sync(Note("sync"));
      disk_.FinishAll();
    }
    return store;
  }
  std::function<void(Result<void>, Now)> Note(std::string name) {
    return [this, name = std::move(name)](const Result<void>& result, Now) {
      heard_.push_back(name + (result ? " ok" : " failed"));
    };
  }

  FaultyFileSystem files_;
  FakeDiskSync disk_{files_};
  std::vector<std::string> heard_;
};

using Pair = std::pair<std::uint64_t, std::uint64_t>;

TEST_F(StoreOnFakeDisk, AlternatesBetweenSyncedSlots) {
  Store store = Open();
  for (std::uint64_t version = 1; version <= 4; ++version) {
    ASSERT_TRUE(store.Save(Version(version)));
    store.Sync(Note("sync"));
    disk_.FinishAll();
    EXPECT_EQ(Slots(), (version % 2 == 1 ? Pair{version, version - 1} : Pair{version - 1, version})) << version;
  }
  EXPECT_THAT(heard_, ElementsAre("sync ok", "sync ok", "sync ok", "sync ok"));
}

TEST_F(StoreOnFakeDisk, NeverReplacesTheNewestSyncedSlot) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("sync"));
  disk_.FinishAll();
  for (std::uint64_t version = 2; version <= 5; ++version) {
    ASSERT_TRUE(store.Save(Version(version)));
    EXPECT_EQ(Slots(), (Pair{1, version}));
  }
}

TEST_F(StoreOnFakeDisk, SavesInPlaceAndSyncsTheFileAloneOnceBothSlotsAreSynced) {
  Store store = OpenAndSyncBoth();
  const auto inode = files_.disk().At("/state/last-known-good.0");
  ASSERT_TRUE(store.Save(Version(3)));
  EXPECT_EQ(Slots(), (Pair{3, 2}));
  EXPECT_EQ(files_.disk().At("/state/last-known-good.0"), inode);
  store.Sync(Note("in place"));
  disk_.Finish();
  EXPECT_EQ(disk_.pending(), 0U);
  EXPECT_THAT(heard_, ElementsAre("sync ok", "sync ok", "in place ok"));
  EXPECT_TRUE(files_.disk().IsSynced("/state/last-known-good.0"));
}

TEST_F(StoreOnFakeDisk, TheNewestSaveIsNotOverwrittenInPlace) {
  Store store = OpenAndSyncBoth();
  ASSERT_TRUE(store.Save(Version(3)));
  const auto inode = files_.disk().At("/state/last-known-good.0");
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Slots(), (Pair{4, 2}));
  EXPECT_NE(files_.disk().At("/state/last-known-good.0"), inode);
  store.Sync(Note("another file"));
  disk_.Finish();
  EXPECT_EQ(disk_.pending(), 1U) << "the directory's";
  disk_.FinishAll();
  EXPECT_TRUE(files_.disk().IsSynced("/state/last-known-good.0"));
}

TEST_F(StoreOnFakeDisk, KeepsTheNewestFoundSlotUntilAnotherIsSynced) {
  files_.disk().Put("/state/last-known-good.0", SlotText(4, 4));
  files_.disk().Put("/state/last-known-good.1", SlotText(5, 5));
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(6)));
  ASSERT_TRUE(store.Save(Version(7)));
  EXPECT_EQ(Slots(), (Pair{7, 5}));
  store.Sync(Note("sync"));
  disk_.FinishAll();
  ASSERT_TRUE(store.Save(Version(8)));
  EXPECT_EQ(Slots(), (Pair{7, 8}));
}

TEST_F(StoreOnFakeDisk, DoesNotCountTheSyncOfAReplacedFile) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("1"));
  disk_.FinishAll();
  ASSERT_TRUE(store.Save(Version(2)));
  store.Sync(Note("2"));
  ASSERT_TRUE(store.Save(Version(3)));  // replaces 2 while that is flushed
  disk_.Finish();
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Slots(), (Pair{1, 4})) << "1 is the newest that is synced";
  EXPECT_THAT(heard_, ElementsAre("1 ok")) << "2 waits for what replaced it";
  disk_.FinishAll();
  EXPECT_THAT(heard_, ElementsAre("1 ok", "2 ok"));
}

TEST_F(StoreOnFakeDisk, FirstSavesDoNotReplaceWhatIsBeingFlushed) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("1"));
  ASSERT_TRUE(store.Save(Version(2)));
  ASSERT_TRUE(store.Save(Version(3)));
  EXPECT_EQ(Slots(), (Pair{1, 3}));
  disk_.FinishAll();
  EXPECT_THAT(heard_, ElementsAre("1 ok"));
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Slots(), (Pair{1, 4}));
}

TEST_F(StoreOnFakeDisk, OneFlushServesAllWhoWait) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  for (const char* name : {"a", "b", "c"}) store.Sync(Note(name));
  EXPECT_EQ(disk_.pending(), 1U);
  disk_.FinishAll();
  EXPECT_THAT(heard_, testing::UnorderedElementsAre("a ok", "b ok", "c ok"));
  store.Sync(Note("nothing new"));
  EXPECT_EQ(heard_.back(), "nothing new ok");
  EXPECT_EQ(disk_.pending(), 0U);
}

TEST_F(StoreOnFakeDisk, AFailedFlushIsNotRepeatedButWrittenAnew) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("1"));
  disk_.FinishAll();
  ASSERT_TRUE(store.Save(Version(2)));
  store.Sync(Note("2"));
  disk_.Fail(EIO);
  store.Sync(Note("again"));
  EXPECT_EQ(disk_.pending(), 0U);
  ASSERT_TRUE(store.Save(Version(2)));
  EXPECT_EQ(Slots(), (Pair{1, 2}));
  store.Sync(Note("anew"));
  disk_.FinishAll();
  EXPECT_THAT(heard_, ElementsAre("1 ok", "2 failed", "again failed", "anew ok"));
}

TEST_F(StoreOnFakeDisk, ADirectoryThatCannotBeSyncedDoesNotCount) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("1"));
  disk_.FinishAll();
  ASSERT_TRUE(store.Save(Version(2)));
  store.Sync(Note("open"));
  files_.FailAll(EMFILE);
  disk_.Finish();
  files_.FailAll(0);
  ASSERT_TRUE(store.Save(Version(3)));
  store.Sync(Note("fsync"));
  disk_.Finish();
  disk_.Fail(EIO);
  ASSERT_TRUE(store.Save(Version(4)));
  EXPECT_EQ(Slots(), (Pair{1, 4}));
  EXPECT_THAT(heard_, ElementsAre("1 ok", "open failed", "fsync failed"));
}

TEST_F(StoreOnFakeDisk, ADiskThatNeverAnswersStopsNoSaveAndNoQueueGrows) {
  Store store = Open();
  for (std::uint64_t version = 1; version <= 200; ++version) {
    ASSERT_TRUE(store.Save(Version(version)));
    store.Sync(Note("sync"));
  }
  EXPECT_EQ(disk_.pending(), 1U);
  EXPECT_EQ(Open().loaded(), Version(200));
  EXPECT_EQ(heard_, std::vector<std::string>(200 - 1 - 64, "sync failed")) << "one is served, 64 wait";
}

TEST_F(StoreOnFakeDisk, ADiskSlowerThanTheChangesIsTold) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync(Note("1"));
  disk_.FinishAll();
  ASSERT_TRUE(store.Save(Version(2)));
  store.Sync(Note("2"));
  for (std::uint64_t version = 3; version <= 5; ++version) {
    EXPECT_THAT(heard_, ElementsAre("1 ok"));
    ASSERT_TRUE(store.Save(Version(version)));
    store.Sync(Note("later"));
    disk_.Finish();
  }
  EXPECT_THAT(heard_, testing::Contains("2 failed"));
  disk_.FinishAll();
  EXPECT_EQ(heard_.back(), "later ok");
}

TEST_F(StoreOnFakeDisk, CallbacksMayUseTheStore) {
  Store store = Open();
  ASSERT_TRUE(store.Save(Version(1)));
  store.Sync([&](const Result<void>&, Now) {
    EXPECT_TRUE(store.Save(Version(2)));
    store.Sync(Note("inner"));
  });
  disk_.FinishAll();
  EXPECT_THAT(heard_, ElementsAre("inner ok"));
}

TEST_F(StoreOnFakeDisk, AnUnreadableSlotIsNotedAndLeft) {
  files_.disk().Put("/state/last-known-good.0", SlotText(4, 4));
  files_.disk().Put("/state/last-known-good.1", SlotText(5, 5));
  files_.FailOperation(1, EACCES);  // read .0, read .1
  Store store = Open();
  EXPECT_EQ(store.loaded(), Version(4));
  EXPECT_THAT(store.recovery().notes, ElementsAre(HasSubstr("not readable")));
  EXPECT_EQ(Slots(), (Pair{4, 5}));
}

TEST_F(StoreOnFakeDisk, EveryDamageOfOneSlotLeavesTheOther) {
  const std::string newest = SlotText(5, 5);
  for (std::size_t at = 0; at < newest.size(); ++at) {
    for (const bool truncate : {false, true}) {
      std::string damaged = truncate ? newest.substr(0, at) : newest;
      if (!truncate) damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
      FaultyFileSystem files({{"/state/last-known-good.0", SlotText(4, 4)}, {"/state/last-known-good.1", damaged}});
      FakeDiskSync disk(files);
      Store store = Store::Open(files, disk, "/state");
      ASSERT_EQ(store.loaded(), Version(4)) << at << truncate;
      ASSERT_EQ(store.recovery().notes.size(), 1U);
      ASSERT_EQ(files.disk().AfterKill().at("/state/last-known-good.1.damaged"), damaged);
      ASSERT_TRUE(store.Save(Version(6)));
      ASSERT_EQ(files.disk().AfterKill().at("/state/last-known-good.0"), SlotText(4, 4));
    }
  }
}

}  // namespace
}  // namespace envdial::fallback
