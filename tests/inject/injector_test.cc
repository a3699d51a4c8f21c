// SPDX-License-Identifier: Apache-2.0
#include "inject/injector.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace envdial::inject {
namespace {

namespace fs = std::filesystem;

class RecordingControl final : public ControlServer {
 public:
  base::Result<void> ListenUnix(const std::string&, const base::FileRights&) override { return {}; }
  base::Result<int> ListenTcp(const std::string&) override { return 0; }
  void Publish(const base::Snapshot* snapshot) override { published.push_back(snapshot->version); }
  std::size_t clients() const override { return 0; }
  std::uint64_t updates_coalesced() const override { return 0; }
  const std::vector<Consumer>& consumers() const override { return consumers_; }

  std::vector<std::uint64_t> published;

 private:
  std::vector<Consumer> consumers_;
};

class InjectorTest : public testing::Test {
 protected:
  InjectorTest() : files_(base::MakeFileSystem()) {
    std::string pattern = (fs::temp_directory_path() / "envdial-injector-XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
  }
  ~InjectorTest() override { fs::remove_all(dir_); }

  InjectorOptions Options(std::uint64_t known_version = 0) const {
    return {.run_dir = dir_,
            .rights = {.mode = 0640, .group = std::nullopt},
            .dials = {{"MAX", "int", "", "consul", "hunt/max", false}},
            .signal = {},
            .known_version = known_version};
  }
  // With a signal channel to nobody.
  InjectorOptions Signalling(std::uint64_t known_version) const {
    InjectorOptions options = Options(known_version);
    options.signal.emplace(SignalTarget{SignalTarget::Kind::kPidfile, dir_ / "no.pid"}, SIGHUP);
    return options;
  }

  static base::Snapshot Version(std::uint64_t version, const std::string& value) {
    base::Snapshot snapshot{.version = version, .published = {}, .state = base::State::kReady, .dials = {{}}};
    snapshot.dials[0].value = value;
    return snapshot;
  }

  std::string EnvFile() const {
    std::ifstream file(dir_ / "env");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path dir_;
  std::unique_ptr<base::FileSystem> files_;
  RecordingControl control_;
};

TEST_F(InjectorTest, BringsASnapshotToEveryChannelOnce) {
  Injector injector(*files_, control_, Options());
  EXPECT_EQ(injector.channels(),
            (std::vector<std::string_view>{kChannelEnvFile, kChannelSnapshotFile, kChannelControl}));
  const base::Snapshot snapshot = Version(7, "500");
  for (int round = 0; round < 2; ++round) {
    const std::vector<Delivery> deliveries = injector.Deliver(snapshot, {});
    ASSERT_EQ(deliveries.size(), 3U);
    EXPECT_EQ(deliveries[0].channel, kChannelEnvFile);
    EXPECT_EQ(deliveries[1].channel, kChannelSnapshotFile);
    EXPECT_EQ(deliveries[2].channel, kChannelControl);
    for (const Delivery& delivery : deliveries) EXPECT_TRUE(delivery.result);
    EXPECT_EQ(EnvFile(), "MAX='500'\n");
    EXPECT_EQ(SnapshotFile::VersionAt(dir_ / kSnapshotFileName), 7U);
    EXPECT_EQ(control_.published, std::vector<std::uint64_t>{7});
  }
}

TEST_F(InjectorTest, AnEnvFileThatCannotBeWrittenStopsNoOtherChannel) {
  fs::create_directory(dir_ / "env");
  Injector injector(*files_, control_, Options());
  const std::vector<Delivery> deliveries = injector.Deliver(Version(7, "500"), {});
  EXPECT_FALSE(deliveries[0].result);
  EXPECT_TRUE(deliveries[1].result);
  EXPECT_TRUE(deliveries[2].result);
  EXPECT_EQ(SnapshotFile::VersionAt(dir_ / kSnapshotFileName), 7U);
  EXPECT_EQ(control_.published, std::vector<std::uint64_t>{7});
}

TEST_F(InjectorTest, ASnapshotFileThatCannotBeWrittenStopsNoOtherChannelAndIsToldOfLater) {
  fs::create_directory(dir_ / kSnapshotFileName);
  Injector injector(*files_, control_, Signalling(6));
  std::vector<Delivery> deliveries = injector.Deliver(Version(7, "500"), {});
  ASSERT_EQ(deliveries.size(), 4U) << "the signal is tried: who reads the env file need not wait";
  EXPECT_TRUE(deliveries[0].result);
  ASSERT_FALSE(deliveries[1].result);
  EXPECT_TRUE(deliveries[2].result);
  fs::remove(dir_ / kSnapshotFileName);
  deliveries = injector.Deliver(Version(7, "500"), {});
  EXPECT_TRUE(deliveries[1].result);
  EXPECT_EQ(deliveries.size(), 4U) << "who looked at the snapshot file in vain is told again";
}

TEST_F(InjectorTest, WritesNothingIntoARunDirectoryThatIsNotOurs) {
  Injector injector(*files_, control_, Signalling(6));
  const auto held = base::Fail(base::ErrorKind::kUnavailable, "held by another");
  const std::vector<Delivery> deliveries = injector.Deliver(Version(7, "500"), {held, held});
  ASSERT_EQ(deliveries.size(), 3U) << "no signal before the file is there";
  for (const Delivery& delivery : deliveries) {
    ASSERT_FALSE(delivery.result);
    EXPECT_EQ(delivery.result.error().message, "held by another");
  }
  EXPECT_FALSE(fs::exists(dir_ / "env"));
  EXPECT_EQ(control_.published, std::vector<std::uint64_t>{7}) << "who is connected is served";
}

TEST_F(InjectorTest, WithoutASocketWhatNeedsNoneIsDelivered) {
  Injector injector(*files_, control_, Options());
  const auto removed = base::Fail(base::ErrorKind::kIo, "is a directory");
  const std::vector<Delivery> deliveries = injector.Deliver(Version(7, "500"), {{}, removed});
  ASSERT_EQ(deliveries.size(), 3U);
  for (const Delivery& delivery : deliveries) {
    EXPECT_EQ(delivery.result.has_value(), delivery.channel != kChannelControl) << delivery.channel;
  }
  EXPECT_TRUE(fs::exists(dir_ / "env"));
}

TEST_F(InjectorTest, SignalsForEachVersionAfterTheFirst) {
  struct Row {
    const char* what;
    std::uint64_t known;  // from a process before this one
    std::uint64_t first;  // published first by this one
    bool tells_first;     // whether that is a reason to signal
  } const rows[] = {
      {"the first values of all", 0, 1, false},
      {"a restart that changes nothing", 7, 7, false},
      {"a restart that finds a new value", 7, 8, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    fs::remove(dir_ / "env");
    Injector injector(*files_, control_, Signalling(row.known));
    EXPECT_EQ(injector.channels().back(), kChannelSignal);
    // The target is nobody, so that each try is a failure that is seen here.
    EXPECT_EQ(injector.Deliver(Version(row.first, "500"), {}).size(), row.tells_first ? 4U : 3U);
    EXPECT_EQ(injector.Deliver(Version(row.first, "500"), {}).size(), row.tells_first ? 4U : 3U);
    const std::vector<Delivery> deliveries = injector.Deliver(Version(row.first + 1, "600"), {});
    ASSERT_EQ(deliveries.size(), 4U);
    EXPECT_EQ(deliveries[3].channel, kChannelSignal);
    EXPECT_FALSE(deliveries[3].result);
  }
}

// Killed between keeping a value and delivering it, the process before us told nobody of the version that it kept.
TEST_F(InjectorTest, SignalsForAVersionThatWasKeptAndNotDelivered) {
  for (const bool other : {false, true}) {
    std::ofstream(dir_ / "env") << (other ? "MAX='400'\n" : "MAX='500'\n");
    Injector injector(*files_, control_, Signalling(7));
    EXPECT_EQ(injector.Deliver(Version(7, "500"), {}).size(), other ? 4U : 3U);
    EXPECT_EQ(injector.Deliver(Version(7, "500"), {}).size(), other ? 4U : 3U) << "until it succeeds";
  }
}

}  // namespace
}  // namespace envdial::inject
