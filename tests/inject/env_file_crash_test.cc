// SPDX-License-Identifier: Apache-2.0
// What the env file shows when the process is killed or the power is lost at any step of any operation, and when any
// operation fails.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include "inject/env_file.h"
#include "tests/support/faulty_file_system.h"

namespace envdial::inject {
namespace {

using test::Disk;
using test::FaultyFileSystem;
using test::Files;
using Done = FaultyFileSystem::Done;

// The rights of a file are asked of the real system, where this path stands for nothing: they count as wrong, so that
// every start writes.
constexpr const char* kPath = "/nowhere/run/env";
constexpr const char* kSpare = "/nowhere/run/env.tmp";
constexpr const char* kBefore = "LIMIT='500'\nNAME='easy'\n";
constexpr int kErrors[] = {ENOSPC, EIO, EROFS, EDQUOT, EACCES, EMFILE, EINTR};

// Each half differs, so that a mix shows.
std::string Text(int generation) {
  const std::string number = std::to_string(600 + generation);
  return "LIMIT='" + number + "'\nNAME='much harder than " + number + "'\n";
}

struct Start {
  const char* name;
  Files files;
};

std::vector<Start> Starts() {
  return {{"nothing", {}},
          {"one generation", {{kPath, kBefore}}},
          {"two generations", {{kPath, kBefore}, {kSpare, Text(0)}}},
          {"a damaged spare", {{kPath, kBefore}, {kSpare, "LIMIT='6"}}},
          {"a damaged file", {{kPath, "LIMIT='5"}}},
          {"an empty file", {{kPath, ""}, {kSpare, ""}}}};
}

std::string Shown(const Files& files) {
  const auto found = files.find(kPath);
  return found == files.end() ? "(nothing)" : found->second;
}

// One life that writes a few generations, and what a start after each step of it finds and does.
class Life {
 public:
  explicit Life(const Start& start) : start_(start) {}

  void Live() {
    FaultyFileSystem files(start_.files);
    Live(files);
    operations_ = files.operations();
  }

  void LiveWithFailure(std::size_t nth, int code, Done done) {
    FaultyFileSystem files(start_.files);
    files.FailOperation(nth, code, done);
    failures_left_ = 1;
    Live(files);
    failures_left_ = 0;
  }

  std::size_t operations() const { return operations_; }
  std::size_t points() const { return points_; }

 private:
  void Live(FaultyFileSystem& files) {
    old_ = Shown(start_.files);
    files.OnStep([this](const Disk& disk) { Check(disk); });
    EnvFile file(files, kPath, {});
    for (int generation = 1; generation <= 3; ++generation) {
      new_ = Text(generation);
      while (!file.Write(new_)) {
        ASSERT_GE(failures_left_--, 1) << start_.name << ": more than one write failed";
        Check(files.disk());
      }
      Check(files.disk());
      old_ = new_;
      // The next generation overwrites the file that is made now.
      file.Prepare();
      Check(files.disk());
      ASSERT_EQ(file.Write(new_), false) << "it stands there already";
    }
    files.OnStep(nullptr);
  }

  void Check(const Disk& disk) {
    const Files killed = disk.AfterKill();
    EXPECT_TRUE(Shown(killed) == old_ || Shown(killed) == new_) << start_.name << ": a kill leaves " << Shown(killed);
    ExpectTheNextStartMendsIt(killed);
    for (const Files& found : disk.AfterPowerLoss({kPath, kSpare})) ExpectTheNextStartMendsIt(found);
  }

  // The run directory is not synced, because a loss of power takes its readers with it. Whatever is left, the next
  // start replaces it before it says that it has delivered anything.
  void ExpectTheNextStartMendsIt(const Files& found) {
    ++points_;
    FaultyFileSystem files(found);
    EnvFile file(files, kPath, {});
    EXPECT_TRUE(file.Write(Text(9))) << start_.name;
    EXPECT_EQ(Shown(files.disk().AfterKill()), Text(9)) << start_.name;
    EXPECT_EQ(file.found_other(), found.contains(kPath)) << start_.name;
  }

  const Start start_;
  std::string old_;
  std::string new_;
  int failures_left_ = 0;
  std::size_t operations_ = 0;
  std::size_t points_ = 0;
};

TEST(EnvFileCrash, ShowsTheOldOrTheNewTextAtEachStepAndAfterEachFailure) {
  std::size_t points = 0;
  std::size_t failures = 0;
  for (const Start& start : Starts()) {
    Life life(start);
    life.Live();
    ASSERT_GE(life.operations(), 5U);
    for (const int code : kErrors) {
      for (std::size_t nth = 0; nth < life.operations(); ++nth) {
        // The second is a short write, too: half of the bytes are left.
        for (const Done done : {Done::kLittle, Done::kMuch}) {
          life.LiveWithFailure(nth, code, done);
          ++failures;
        }
      }
    }
    points += life.points();
  }
  std::cout << "[ points   ] " << points << " after " << failures << " failures\n";
  RecordProperty("points", std::to_string(points));
  EXPECT_GE(points, 2'107'449U) << "the enumeration has become smaller than it was";
}

}  // namespace
}  // namespace envdial::inject
