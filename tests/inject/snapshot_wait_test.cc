// SPDX-License-Identifier: Apache-2.0
// Who sleeps on a file that nobody wakes does so for this long: for ever, as far as a test is concerned.
#define ENVDIAL_HEARTBEAT_LIMIT_NS INT64_C(3'600'000'000'000)
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "clients/c/envdial.h"
#include "tests/inject/snapshot_fixture.h"

namespace envdial::inject {
namespace {

using SnapshotWaitTest = SnapshotFixture;

// One of them maps the new file; meanwhile the other one neither sleeps on nor sees the new version with old values.
TEST_F(SnapshotWaitTest, AllThreadsThatWaitSeeANewFileAtOnce) {
  constexpr std::uint64_t kLast = 100;
  Write(1, "1");
  Beat();
  const Reader dials = Open();
  for (int i = 0; i < 200; ++i) envdial_find(dials.get(), "NAME");  // so that going over takes its time
  const envdial_dial* limit = envdial_find(dials.get(), "LIMIT");
  std::atomic<std::uint64_t> seen[2] = {1, 1};
  const auto watch = [&](int self) {
    for (std::uint64_t version = 1; version < kLast;) {
      ASSERT_EQ(envdial_wait(dials.get(), version, -1), 1);
      version = envdial_version(dials.get());
      EXPECT_GE(envdial_int64(limit), static_cast<std::int64_t>(version));
      seen[self] = version;
    }
  };
  std::thread one(watch, 0);
  std::thread other(watch, 1);
  for (std::uint64_t version = 2; version <= kLast; ++version) {
    WriteNewFile(version, std::to_string(version));
    while (seen[0] < version || seen[1] < version) std::this_thread::yield();
  }
  one.join();
  other.join();
}

}  // namespace
}  // namespace envdial::inject
