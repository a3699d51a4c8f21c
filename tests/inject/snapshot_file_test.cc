// SPDX-License-Identifier: Apache-2.0
#include "inject/snapshot_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>

#include "inject/snapshot_layout.h"
#include "tests/inject/snapshot_fixture.h"

namespace envdial::inject {
namespace {

using SnapshotFileTest = SnapshotFixture;

TEST_F(SnapshotFileTest, EveryTypeReadsAsItWasWritten) {
  Write(7, "-500");
  const Reader dials = Open();
  EXPECT_EQ(envdial_int64(envdial_find(dials.get(), "LIMIT")), -500);
  EXPECT_EQ(envdial_double(envdial_find(dials.get(), "RATIO")), 2.5);
  EXPECT_TRUE(envdial_bool(envdial_find(dials.get(), "ON")));
  EXPECT_EQ(envdial_int64(envdial_find(dials.get(), "WAIT")), 90'000'000'000);
  EXPECT_EQ(envdial_int64(envdial_find(dials.get(), "NAME")), 0);
  EXPECT_EQ(Text(envdial_find(dials.get(), "NAME")), "easy");
  EXPECT_EQ(Text(envdial_find(dials.get(), "WAIT")), "1m30s");
  EXPECT_EQ(envdial_origin(envdial_find(dials.get(), "LIMIT")), ENVDIAL_CONSUL);
  EXPECT_EQ(envdial_find(dials.get(), "NAME")->entry->flags, ENVDIAL_SECRET);
  EXPECT_EQ(envdial_version(dials.get()), 7U);
  EXPECT_EQ(envdial_find(dials.get(), "LIMI"), nullptr);
  EXPECT_EQ(envdial_find(dials.get(), ""), nullptr);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0640));
}

TEST_F(SnapshotFileTest, ATextIsCutToTheBuffer) {
  Write(7, "1", "moderately hard");
  const Reader dials = Open();
  const envdial_dial* name = envdial_find(dials.get(), "NAME");
  for (std::size_t size = 0; size < 20; ++size) {
    std::string buffer(size + 1, '#');
    EXPECT_EQ(envdial_text(name, buffer.data(), size), 15);
    const std::string shown = size == 0 ? "" : std::string("moderately hard").substr(0, size - 1);
    EXPECT_EQ(buffer.substr(0, shown.size()), shown);
    EXPECT_EQ(buffer[size], '#') << "nothing is written behind the buffer";
  }
}

TEST_F(SnapshotFileTest, AChangeIsSeenInTheSameFile) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  const ino_t inode = Inode();
  for (std::uint64_t version = 8; version < 20; ++version) {
    Write(version, std::to_string(version * 10), std::string(version, 'x'));
    EXPECT_EQ(envdial_int64(limit), static_cast<std::int64_t>(version * 10));
    EXPECT_EQ(Text(envdial_find(dials.get(), "NAME")), std::string(version, 'x'));
    EXPECT_EQ(envdial_version(dials.get()), version);
  }
  EXPECT_EQ(Inode(), inode);
}

TEST_F(SnapshotFileTest, ScalarsOfOneVersionAreReadTogether) {
  Write(7, "500");
  const Reader dials = Open();
  const std::array<const envdial_dial*, 2> wanted{envdial_find(dials.get(), "LIMIT"),
                                                  envdial_find(dials.get(), "WAIT")};
  std::array<std::uint64_t, 2> words{};
  EXPECT_EQ(envdial_together(wanted.data(), words.data(), 2), 7U);
  EXPECT_EQ(words, (std::array<std::uint64_t, 2>{500, 90'000'000'000}));
}

TEST_F(SnapshotFileTest, AValueThatLooksLikeTheMarkOfAnOldFileIsRead) {
  const auto mark = static_cast<std::int64_t>(ENVDIAL_MOVED);
  Write(7, std::to_string(mark));
  const Reader dials = Open();
  EXPECT_EQ(envdial_int64(envdial_find(dials.get(), "LIMIT")), mark);
}

TEST_F(SnapshotFileTest, ATextThatOutgrowsItsRoomComesInANewFile) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  const envdial_dial* name = envdial_find(dials.get(), "NAME");
  const ino_t inode = Inode();
  Write(8, "600", std::string(200, 'x'));
  EXPECT_NE(Inode(), inode);
  EXPECT_EQ(envdial_int64(limit), 600);
  EXPECT_EQ(Text(name), std::string(200, 'x'));
  Write(9, "700", "short");
  EXPECT_EQ(envdial_int64(limit), 700);
}

TEST_F(SnapshotFileTest, ARestartedWriterGoesOnInTheSameFile) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  const ino_t inode = Inode();
  EXPECT_EQ(SnapshotFile::VersionAt(path_), 7U);
  writer_ = NewWriter();
  Write(8, "600");
  EXPECT_EQ(Inode(), inode);
  EXPECT_EQ(envdial_int64(limit), 600);
}

TEST_F(SnapshotFileTest, OtherDialsNeedANewFileAndADialThatIsGoneKeepsItsLastValue) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  const envdial_dial* ratio = envdial_find(dials.get(), "RATIO");
  Beat();
  dials_.erase(dials_.begin());
  writer_ = NewWriter();
  base::Snapshot snapshot = Version(8, "600", "hard");
  snapshot.dials.erase(snapshot.dials.begin());
  snapshot.dials[0].value = "3.5";
  ASSERT_TRUE(writer_->Write(snapshot));
  Beat();
  EXPECT_EQ(envdial_double(ratio), 3.5);
  EXPECT_EQ(envdial_int64(limit), 500) << "the last value that it had";
  EXPECT_EQ(envdial_version(dials.get()), 8U);
}

TEST_F(SnapshotFileTest, AReaderFindsTheNewFileAfterTheDirectoryWasEmptied) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  fs::remove(path_);
  EXPECT_FALSE(writer_->intact());
  EXPECT_EQ(envdial_int64(limit), 500);
  writer_ = NewWriter();  // it knows nothing of the file that is still mapped
  Write(8, "600");
  EXPECT_EQ(envdial_refresh(dials.get()), 0);
  EXPECT_EQ(envdial_int64(limit), 600);
}

TEST_F(SnapshotFileTest, AMillionReadsAreEnoughToFindTheNewFile) {
  Write(7, "500");
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  fs::remove(path_);
  writer_ = NewWriter();
  Write(8, "600");
  std::int64_t seen = 0;
  for (std::uint32_t i = 0; i <= ENVDIAL_READS_BETWEEN_LOOKS && seen != 600; ++i) seen = envdial_int64(limit);
  EXPECT_EQ(seen, 600);
}

TEST_F(SnapshotFileTest, StateAndAgeTellWhetherTheWriterLives) {
  Write(7, "500");
  const Reader dials = Open();
  EXPECT_EQ(envdial_age(dials.get()), -1);
  Beat();
  EXPECT_EQ(envdial_state(dials.get()), ENVDIAL_READY);
  EXPECT_GE(envdial_age(dials.get()), 0);
  Beat(base::State::kStale);
  EXPECT_EQ(envdial_state(dials.get()), ENVDIAL_STALE);
  const base::Now now = base::ReadClock();
  writer_->Beat({.state = base::State::kReady, .contact = now.wall, .contact_mono = now.mono},
                now.mono - std::chrono::minutes(1));
  EXPECT_EQ(envdial_state(dials.get()), ENVDIAL_STALE) << "the heartbeat is a minute old";
}

TEST_F(SnapshotFileTest, ThoseWhoWaitAreWoken) {
  Write(7, "500");
  Beat();
  const Reader dials = Open();
  EXPECT_EQ(envdial_wait(dials.get(), 6, -1), 1);
  EXPECT_EQ(envdial_wait(dials.get(), 7, 1), 0);
  std::thread writer([this] { Write(8, "600", std::string(300, 'x')); });  // in a new file
  EXPECT_EQ(envdial_wait(dials.get(), 7, 60'000), 1);
  writer.join();
  EXPECT_EQ(envdial_version(dials.get()), 8U);
}

// Cut or altered anywhere, a file is refused by readers and never gone on in where its version is not whole.
TEST_F(SnapshotFileTest, ADamagedFileIsNotRead) {
  Write(7, "500");
  const std::string whole = Bytes();
  const auto put_back = [&] {
    fs::remove(path_);
    std::ofstream(path_, std::ios::binary) << whole;
  };
  for (std::size_t size = 0; size < whole.size(); size += 8) {
    put_back();
    fs::resize_file(path_, size);
    envdial_dials* dials = nullptr;
    EXPECT_EQ(envdial_open(&dials, dir_.c_str()), -EPROTO) << "cut to " << size;
    EXPECT_EQ(SnapshotFile::VersionAt(path_), 0U);
  }
  for (std::size_t offset = 0; offset < whole.size(); ++offset) {
    put_back();
    Overwrite(offset, std::string(1, static_cast<char>(~whole[offset])));
    const std::uint64_t version = SnapshotFile::VersionAt(path_);
    EXPECT_TRUE(version == 0 || version == 7) << "altered at " << offset;
    envdial_dials* dials = nullptr;
    if (envdial_open(&dials, dir_.c_str()) != 0) continue;
    if (const envdial_dial* name = envdial_find(dials, "NAME"); name != nullptr) Text(name);
    envdial_close(dials);
  }
}

TEST_F(SnapshotFileTest, AFileOfANewerLayoutIsLeftAsItIs) {
  Write(7, "500");
  Overwrite(offsetof(envdial_header, layout), std::string("\2", 1));
  const std::string newer = Bytes();
  writer_ = NewWriter();
  const auto written = writer_->Write(Version(8, "600", "easy"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message,
            "snapshot file: " + path_ + " has layout 2, this envdial knows 1 at most; it is left as it is");
  EXPECT_EQ(Bytes(), newer);
}

TEST_F(SnapshotFileTest, OfANewerLayoutOnlyTheBeginningNeedsToBeKnown) {
  const std::string newer = std::string("envdial\0\2\0\0\0", 12);
  std::ofstream(path_, std::ios::binary) << newer;
  EXPECT_FALSE(writer_->Write(Version(8, "600", "easy")));
  EXPECT_EQ(Bytes(), newer);
}

// A file that somebody cut or wrote over while it is mapped is not touched where it is no more, nor is it believed.
TEST_F(SnapshotFileTest, AFileThatWasHarmedUnderItsWriterIsReplaced) {
  Write(7, "500");
  const std::string whole = Bytes();
  for (std::size_t word = 0; word <= whole.size(); word += 8) {
    const ino_t inode = Inode();
    if (word % 128 == 0) {
      fs::resize_file(path_, word < whole.size() ? word : 0);
    } else {
      std::string harmed = whole;
      harmed.replace(word, whole.size() - word, whole.size() - word, '\xff');
      Overwrite(0, harmed);
    }
    Beat();
    const auto* header = reinterpret_cast<const envdial_header*>(whole.data());
    const bool is_all_spare = word >= header->slots[1] + header->slot_bytes;
    ASSERT_EQ(writer_->intact(), is_all_spare) << word;
    Write(7, "500");
    ASSERT_EQ(Inode() == inode, is_all_spare) << word;
    ASSERT_EQ(envdial_int64(envdial_find(Open().get(), "LIMIT")), 500);
  }
}

TEST_F(SnapshotFileTest, AFileWithADamagedFrameIsNotGoneOnIn) {
  Write(7, "500");
  const std::string whole = Bytes();
  const auto* header = reinterpret_cast<const envdial_header*>(whole.data());
  const std::size_t frame = FrameWords(*header) * 8;
  for (std::size_t offset = 0; offset < frame; ++offset) {
    if (offset >= offsetof(envdial_header, current) && offset < sizeof(envdial_header)) continue;
    if (offset >= offsetof(envdial_header, layout) && offset < offsetof(envdial_header, dials)) continue;
    Overwrite(0, whole);
    Overwrite(offset, std::string(1, static_cast<char>(~whole[offset])));
    const ino_t inode = Inode();
    writer_ = NewWriter();
    Write(8, "600");
    ASSERT_NE(Inode(), inode) << offset;
    ASSERT_EQ(envdial_int64(envdial_find(Open().get(), "LIMIT")), 600) << offset;
  }
}

TEST_F(SnapshotFileTest, AReaderDoesNotWaitAtAFifo) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  envdial_dials* dials = nullptr;
  EXPECT_EQ(envdial_open(&dials, dir_.c_str()), -EPROTO);
}

TEST_F(SnapshotFileTest, WhatCannotBeWrittenIsAnErrorAndLeavesTheOldFile) {
  Write(7, "500");
  fs::create_directory(path_ + ".tmp");  // where the new file is to be made
  const auto written = writer_->Write(Version(8, "600", std::string(200, 'x')));
  ASSERT_FALSE(written);
  EXPECT_TRUE(written.error().message.starts_with("write snapshot file: open ")) << written.error().message;
  const Reader dials = Open();
  EXPECT_EQ(envdial_int64(envdial_find(dials.get(), "LIMIT")), 500);
}

// What the file holds after each store of a writer that makes `after` of `before`, in the order of its stores.
std::vector<std::string> AfterEachStore(const std::string& before, const std::string& after) {
  std::vector<std::size_t> changed;
  for (std::size_t word = 0; word < before.size(); word += 8) {
    if (before.compare(word, 8, after, word, 8) != 0) changed.push_back(word);
  }
  const auto* header = reinterpret_cast<const envdial_header*>(after.data());
  const std::uint64_t slot = header->slots[header->current & 1];
  const auto stage = [&](std::size_t word) {
    if (word >= slot && word < slot + header->slot_bytes) return 0;  // the slot first,
    return word == offsetof(envdial_header, current) ? 2 : 1;        // then the scalars, then what makes it current
  };
  std::ranges::sort(changed, {}, [&](std::size_t word) { return std::pair(stage(word), word); });
  std::vector<std::string> pictures;
  std::string now = before;
  for (const std::size_t word : changed) {
    now.replace(word, 8, after, word, 8);
    pictures.push_back(now);
  }
  return pictures;
}

class SnapshotCrash : public SnapshotFixture {
 protected:
  void Leave(const std::string& bytes) {
    fs::remove(path_);
    std::ofstream(path_, std::ios::binary) << bytes;
    fs::permissions(path_, fs::perms(0640));
  }

  // One of the versions is shown whole, and the next writer goes on.
  void CheckLeft(std::uint64_t older, std::uint64_t newer) {
    ++points_;
    const std::uint64_t version = SnapshotFile::VersionAt(path_);
    ASSERT_TRUE(version == older || version == newer) << version;
    const Reader dials = Open();
    EXPECT_EQ(Text(envdial_find(dials.get(), "NAME")), Name(version));
    const auto limit = static_cast<std::uint64_t>(envdial_int64(envdial_find(dials.get(), "LIMIT")));
    // A single scalar may be that of a version that was not yet current when its writer was killed.
    EXPECT_TRUE(limit % 100 == 0 && limit >= older * 100 && limit <= newer * 100) << limit;
    WriteAs(newer + 1);
    EXPECT_EQ(Text(envdial_find(dials.get(), "NAME")), Name(newer + 1)) << "the next writer goes on";
  }

  // By a writer that has just started.
  void WriteAs(std::uint64_t version) {
    writer_ = NewWriter();
    Write(version, std::to_string(version * 100), Name(version));
  }

  static std::string Name(std::uint64_t version) { return "name " + std::to_string(version); }

  std::size_t points_ = 0;
};

// The writer is killed after each of its stores in turn, and so is the next one, that goes on in what it left.
TEST_F(SnapshotCrash, KilledAtAnyStoreOneWholeVersionStands) {
  WriteAs(1);
  const std::string first = Bytes();
  WriteAs(2);
  for (const std::string& left : AfterEachStore(first, Bytes())) {
    Leave(left);
    CheckLeft(1, 2);
    Leave(left);
    const std::uint64_t older = SnapshotFile::VersionAt(path_);
    WriteAs(3);
    for (const std::string& left_again : AfterEachStore(left, Bytes())) {
      Leave(left_again);
      CheckLeft(older, 3);
    }
  }
  std::cout << "[ points   ] " << points_ << "\n";
  RecordProperty("points", std::to_string(points_));
  EXPECT_GE(points_, 308U) << "the enumeration has become smaller than it was";
}

}  // namespace
}  // namespace envdial::inject
