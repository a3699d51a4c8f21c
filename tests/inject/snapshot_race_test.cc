// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "clients/c/envdial.h"
#include "inject/snapshot_file.h"

namespace envdial::inject {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLeastVersions = 5'000;
constexpr std::uint64_t kLeastSeen = 50;  // different versions that each reader must have seen
constexpr std::chrono::minutes kPatience{2};
constexpr std::size_t kMostLetters = 400;

// The version, and then letters that depend on it, as do their number: what is torn shows.
std::string TextOf(std::uint64_t version) {
  return std::to_string(version) + std::string(version * 7 % kMostLetters, "abcdefg"[version % 7]);
}

base::Snapshot Version(std::uint64_t version) {
  base::Snapshot snapshot{.version = version, .published = {}, .state = base::State::kReady, .dials = {}};
  for (const std::string& value : {std::to_string(version), TextOf(version), std::to_string(version) + "ns"}) {
    base::DialValue& dial = snapshot.dials.emplace_back();
    dial.value = value;
    dial.origin = base::kOriginConsul;
  }
  return snapshot;
}

// Where this process has `path` mapped to be written.
const envdial_header* WritersMapping(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with(" " + path) || line.find(" rw-s ") == std::string::npos) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): that is what the kernel tells
    return reinterpret_cast<const envdial_header*>(std::stoull(line, nullptr, 16));
  }
  return nullptr;
}

// One writer and several readers as threads, through the very same addresses: ThreadSanitizer sees both sides, which
// it does not where each has a mapping of its own.
class SnapshotRaceTest : public testing::Test {
 protected:
  SnapshotRaceTest() {
    std::string pattern = (fs::temp_directory_path() / "envdial-race-XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
    path_ = dir_ / kSnapshotFileName;
    writer_ =
        std::make_unique<SnapshotFile>(path_, base::FileRights{.mode = 0640, .group = std::nullopt},
                                       std::vector<base::DialInfo>{{"NUMBER", "int", "", "consul", "a", false},
                                                                   {"TEXT", "string", "", "consul", "b", false},
                                                                   {"TIME", "duration", "", "consul", "c", false}});
  }
  ~SnapshotRaceTest() override {
    for (envdial_dial* dial : {number_, text_, time_}) std::free(dial);
    fs::remove_all(dir_);
  }
  void SetUp() override {
    // Room for every text, so that there is one file from the first version to the last.
    while (first_ * 7 % kMostLetters < kMostLetters - 1) ++first_;
    ASSERT_TRUE(writer_->Write(Version(first_)));
    Beat();
    struct stat status{};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    dials_.file = WritersMapping(path_);
    ASSERT_NE(dials_.file, nullptr);
    dials_.device = status.st_dev;
    dials_.inode = status.st_ino;
    path_.copy(dials_.path, sizeof dials_.path - 1);
    number_ = envdial_find(&dials_, "NUMBER");
    text_ = envdial_find(&dials_, "TEXT");
    time_ = envdial_find(&dials_, "TIME");
  }

  void Beat() {
    const base::Now now = base::ReadClock();
    writer_->Beat({.state = base::State::kReady, .contact = now.wall, .contact_mono = now.mono}, now.mono);
  }
  void Fail(const std::string& what) {
    if (!failed_.exchange(true)) failure_ = what;
  }

  // Calls `read`, which returns the version that it saw, until the writer is done.
  void Follow(std::atomic<std::uint64_t>& seen, const std::function<std::uint64_t()>& read) {
    std::uint64_t newest = first_;
    while (!done_ && !failed_) {
      const std::uint64_t version = read();
      if (version < newest) Fail(std::to_string(version) + " after " + std::to_string(newest));
      if (version > newest) ++seen;
      newest = version;
    }
  }
  std::uint64_t ReadText() {
    std::array<char, kMostLetters + 32> text{};
    const std::int64_t bytes = envdial_text(text_, text.data(), text.size());
    std::uint64_t version = 0;
    std::from_chars(text.begin(), text.end(), version);
    if (bytes < 0 || TextOf(version) != text.data() || version > newest_) {
      Fail("the text " + std::string(text.data()) + ", " + std::to_string(bytes));
    }
    return version;
  }
  std::uint64_t ReadTogether() {
    const std::array<const envdial_dial*, 2> wanted{number_, time_};
    std::array<std::uint64_t, 2> words{};
    const std::uint64_t version = envdial_together(wanted.data(), words.data(), words.size());
    if (words[0] != words[1] || words[0] != version) {
      std::ostringstream what;
      what << "version " << version << " has " << words[0] << " and " << words[1];
      Fail(what.str());
    }
    if (envdial_origin(text_) != ENVDIAL_CONSUL || envdial_state(&dials_) != ENVDIAL_READY) Fail("origin or state");
    if (envdial_age(&dials_) < 0) Fail("age");
    return version;
  }

  fs::path dir_;
  std::string path_;
  std::unique_ptr<SnapshotFile> writer_;
  std::uint64_t first_ = 1;
  envdial_dials dials_{};
  envdial_dial* number_ = nullptr;
  envdial_dial* text_ = nullptr;
  envdial_dial* time_ = nullptr;
  std::atomic<std::uint64_t> newest_ = 0;  // that the writer may have begun
  std::atomic<bool> done_ = false;
  std::atomic<bool> failed_ = false;
  std::string failure_;
};

TEST_F(SnapshotRaceTest, NothingTornMixedOrOlderIsReadThroughTheWritersOwnMapping) {
  std::array<std::atomic<std::uint64_t>, 4> seen{};
  newest_ = first_;
  std::vector<std::thread> readers;
  readers.emplace_back([&] { Follow(seen[0], [&] { return static_cast<std::uint64_t>(envdial_int64(number_)); }); });
  readers.emplace_back([&] { Follow(seen[1], [&] { return ReadText(); }); });
  readers.emplace_back([&] { Follow(seen[2], [&] { return ReadTogether(); }); });
  readers.emplace_back([&] {
    Follow(seen[3], [&] {
      const std::uint64_t version = envdial_version(&dials_);
      envdial_wait(&dials_, version, 1);
      return version;
    });
  });
  const auto end = std::chrono::steady_clock::now() + kPatience;
  const auto is_enough = [&] {
    return newest_ > first_ + kLeastVersions &&
           std::ranges::all_of(seen, [](const auto& versions) { return versions >= kLeastSeen; });
  };
  while (!is_enough() && !failed_ && std::chrono::steady_clock::now() < end) {
    ++newest_;
    if (!writer_->Write(Version(newest_))) Fail("it could not be written");
    Beat();
  }
  done_ = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_FALSE(failed_) << failure_;
  EXPECT_TRUE(is_enough()) << seen[0] << ", " << seen[1] << ", " << seen[2] << " and " << seen[3] << " of " << newest_;
  EXPECT_EQ(WritersMapping(path_), dials_.file) << "there was a new file";
}

}  // namespace
}  // namespace envdial::inject
