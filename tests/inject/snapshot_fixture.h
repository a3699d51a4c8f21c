// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "clients/c/envdial.h"
#include "inject/snapshot_file.h"

namespace envdial::inject {

namespace fs = std::filesystem;

struct CloseDials {
  void operator()(envdial_dials* dials) const { envdial_close(dials); }
};
using Reader = std::unique_ptr<envdial_dials, CloseDials>;

// A writer and readers of the snapshot file in a directory of their own.
class SnapshotFixture : public testing::Test {
 protected:
  SnapshotFixture() {
    std::string pattern = (fs::temp_directory_path() / "envdial-snapshot-XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
    path_ = dir_ / kSnapshotFileName;
    writer_ = NewWriter();
  }
  ~SnapshotFixture() override { fs::remove_all(dir_); }

  std::unique_ptr<SnapshotFile> NewWriter() const {
    return std::make_unique<SnapshotFile>(path_, base::FileRights{.mode = 0640, .group = std::nullopt}, dials_);
  }
  static base::Snapshot Version(std::uint64_t version, const std::string& limit, const std::string& name) {
    base::Snapshot snapshot{.version = version, .published = {}, .state = base::State::kReady, .dials = {}};
    for (const std::string& value : {limit, std::string("2.5"), std::string("true"), std::string("1m30s"), name}) {
      base::DialValue& dial = snapshot.dials.emplace_back();
      dial.value = value;
      dial.origin = base::kOriginConsul;
    }
    return snapshot;
  }
  void Write(std::uint64_t version, const std::string& limit, const std::string& name = "easy") {
    const auto written = writer_->Write(Version(version, limit, name));
    ASSERT_TRUE(written) << written.error().message;
  }
  void Beat(base::State state = base::State::kReady) {
    const base::Now now = base::ReadClock();
    writer_->Beat({.state = state, .contact = now.wall, .contact_mono = now.mono}, now.mono);
  }
  // Other dials need another file.
  void WriteNewFile(std::uint64_t version, const std::string& limit) {
    dials_[0].unit = dials_[0].unit.empty() ? "hunts" : "";
    writer_ = NewWriter();
    Write(version, limit);
    Beat();
  }
  Reader Open() const {
    envdial_dials* dials = nullptr;
    EXPECT_EQ(envdial_open(&dials, dir_.c_str()), 0);
    return Reader(dials);
  }
  static std::string Text(const envdial_dial* dial) {
    std::array<char, 256> text{};
    const std::int64_t bytes = envdial_text(dial, text.data(), text.size());
    return bytes < 0 ? "failed: " + std::to_string(bytes) : std::string(text.data());
  }
  ino_t Inode() const {
    struct stat status{};
    ::stat(path_.c_str(), &status);
    return status.st_ino;
  }
  std::string Bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Overwrite(std::size_t offset, const std::string& bytes) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }

  std::vector<base::DialInfo> dials_ = {
      {"LIMIT", "int", "hunts", "consul", "a", false}, {"RATIO", "float", "", "consul", "b", false},
      {"ON", "bool", "", "consul", "c", false},        {"WAIT", "duration", "", "consul", "d", false},
      {"NAME", "string", "", "consul", "e", true},
  };
  fs::path dir_;
  std::string path_;
  std::unique_ptr<SnapshotFile> writer_;
};

}  // namespace envdial::inject
