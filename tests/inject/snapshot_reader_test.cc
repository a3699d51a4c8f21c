// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "clients/c/envdial.h"
#include "clients/cpp/envdial.hpp"
#include "tests/inject/snapshot_fixture.h"

namespace envdial::inject {
namespace {

class SnapshotReaderTest : public SnapshotFixture {
 protected:
  // From now on RATIO is called SHARE, and LIMIT is a float.
  void WriteOtherDials(std::uint64_t version) {
    dials_[0].type = "float";
    dials_[1].name = "SHARE";
    writer_ = NewWriter();
    Write(version, "1.5");
    Beat();
  }
};

TEST_F(SnapshotReaderTest, ADialOfANewFileIsFoundByItsName) {
  Write(7, "500");
  Beat();
  const Reader dials = Open();
  const Reader other = Open();
  EXPECT_EQ(envdial_double_of(dials.get(), "SHARE", -1), -1);
  WriteOtherDials(8);
  EXPECT_EQ(envdial_double_of(dials.get(), "SHARE", -1), 2.5);
  EXPECT_NE(envdial_find(other.get(), "SHARE"), nullptr);
}

TEST_F(SnapshotReaderTest, ByItsNameADialIsNeverReadAsAnotherType) {
  Write(7, "500");
  Beat();
  const Reader dials = Open();
  const Reader other = Open();
  EXPECT_EQ(envdial_int64_of(dials.get(), "LIMIT", -1), 500);
  EXPECT_EQ(envdial_double_of(other.get(), "LIMIT", -1), -1);
  WriteOtherDials(8);
  EXPECT_EQ(envdial_int64_of(dials.get(), "LIMIT", -1), -1);
  EXPECT_EQ(envdial_double_of(other.get(), "LIMIT", -1), 1.5);
}

TEST_F(SnapshotReaderTest, ByNameInCpp) {
  Write(7, "500");
  Beat();
  Dials dials(dir_.c_str());
  EXPECT_EQ(dials.IntOf("LIMIT", -1), 500);
  EXPECT_EQ(dials.FloatOf("RATIO", -1), 2.5);
  EXPECT_TRUE(dials.BoolOf("ON", false));
  EXPECT_EQ(dials.DurationOf("WAIT", {}), std::chrono::seconds(90));
  EXPECT_EQ(dials.IntOf("WAIT", -1), -1);
  EXPECT_EQ(dials.IntOf("NOBODY", -1), -1);
  EXPECT_EQ(dials.IntOf(std::string_view("LIMITS").substr(0, 5), -1), 500);
}

TEST_F(SnapshotReaderTest, AnOriginIsThatOfTheNewFile) {
  Write(7, "500");
  Beat();
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  base::Snapshot snapshot = Version(8, "600", std::string(300, 'x'));
  snapshot.dials[0].origin = base::kOriginDefault;
  ASSERT_TRUE(writer_->Write(snapshot));
  EXPECT_EQ(envdial_origin(limit), ENVDIAL_DEFAULT);
}

// As in the child of a process that was forked while one of its threads had taken up the new file and no dial yet.
TEST_F(SnapshotReaderTest, AMoveThatWasCutShortIsDoneAgain) {
  Write(7, "500");
  Beat();
  const Reader dials = Open();
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  const envdial_header* old = dials->file;
  WriteNewFile(8, "600");
  dials->mover = ::getpid() + 1;
  EXPECT_EQ(envdial_int64(limit), 600);
  EXPECT_NE(dials->file, old);
}

TEST_F(SnapshotReaderTest, AFileWhoseSlotsAreTooSmallIsRefused) {
  Write(7, "500");
  const auto refused = [&](std::size_t offset, std::uint32_t value) {
    const std::string whole = Bytes();
    Overwrite(offset, std::string(reinterpret_cast<const char*>(&value), sizeof value));
    envdial_dials* dials = nullptr;
    const int failed = envdial_open(&dials, dir_.c_str());
    if (failed == 0) envdial_close(dials);
    Overwrite(0, whole);
    return failed == -EPROTO;
  };
  const auto directory = reinterpret_cast<const envdial_header*>(Bytes().data())->directory;
  EXPECT_TRUE(refused(directory + offsetof(envdial_entry, record), sizeof(envdial_slot) - 8));
  EXPECT_TRUE(refused(offsetof(envdial_header, slot_bytes), sizeof(envdial_slot) - 8));
}

std::atomic<int> signals = 0;

// The sidecar answers only after the teller's wait was broken off by signals.
TEST_F(SnapshotReaderTest, TellingGoesOnAfterASignal) {
  Write(7, "500");
  const Reader dials = Open();
  const base::UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (dir_ / "control.sock").string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  struct sigaction action{};
  action.sa_handler = [](int) { signals.fetch_add(1, std::memory_order_relaxed); };
  struct sigaction before{};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  std::thread sidecar([&, teller = ::pthread_self()] {
    const base::UniqueFd client(::accept(listening.get(), nullptr, nullptr));
    while (signals < 3) {
      ::pthread_kill(teller, SIGUSR1);
      std::this_thread::yield();
    }
    ::send(client.get(), "HTTP/1.1 204 No Content\r\n\r\n", 27, MSG_NOSIGNAL);
  });
  EXPECT_EQ(envdial_applied(dials.get(), "hunt-service", 7), 0);
  sidecar.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(SnapshotReaderTest, ATimeThatIsOverIsNotWaitedFor) {
  Write(7, "500");
  Beat();
  Dials dials(dir_.c_str());
  EXPECT_FALSE(dials.Wait(7, std::chrono::milliseconds(-1)));
  EXPECT_TRUE(dials.Wait(6, std::chrono::milliseconds::min()));
}

}  // namespace
}  // namespace envdial::inject
