// SPDX-License-Identifier: Apache-2.0
// What `script/drill readers` does: two processes read the snapshot file while a third writes versions as fast as it
// can, is killed with -9 at random moments, and begins again. Every value tells of which version it is, so that a torn,
// mixed, older or invented one shows. Ends with 1 if one was seen, with 2 if it could not run.
//
//     readers_drill READS SEED
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {
thread_local std::uint64_t retries_of_read = 0;
}
#define ENVDIAL_ON_RETRY() (++retries_of_read)
#include "base/unique_fd.h"
#include "clients/c/envdial.h"
#include "inject/snapshot_file.h"

namespace {

using envdial::inject::SnapshotFile;
using Clock = std::chrono::steady_clock;

constexpr int kReaders = 2;
constexpr std::uint64_t kBatch = 800;  // reads between two looks at what the system says of this process
constexpr std::chrono::milliseconds kStall{1};
constexpr std::uint64_t kLimit = 1'000'000'007;  // texts and scalars differ in what they make of a version

// Steps that took longer than a stall although this process did not wait for a processor meanwhile.
struct Stalls {
  std::uint64_t own;     // it slept, met a page fault, repeated a read, or ran on: its timer's signals came meanwhile
  std::uint64_t stolen;  // it hardly ran: its processor was taken from the whole machine, by the hypervisor
  std::uint64_t
      occupied;  // its processor ran none of its code, not even at a timer's signal: the kernel's or hypervisor's
};

// Shared by all processes of the drill.
struct Board {
  std::uint64_t begun;  // the newest version that a writer may have stored a part of
  std::uint64_t kills;
  struct Reader {
    std::uint64_t reads, versions, wrong, most_retries;
    std::chrono::nanoseconds ran;
    Stalls stalls;
  } readers[kReaders];
};

const std::vector<envdial::base::DialInfo> kDials = {
    {"LIMIT", "int", "", "consul", "a", false},
    {"HALF", "float", "", "consul", "b", false},
    {"NAME", "string", "", "consul", "c", false},
};

std::int64_t LimitOf(std::uint64_t version) { return static_cast<std::int64_t>(version * kLimit); }

// Of changing length, with the version at both ends.
std::string NameOf(std::uint64_t version) {
  const std::string number = std::to_string(version);
  return number + std::string(version % 40, static_cast<char>('a' + version % 26)) + number;
}

[[noreturn]] void WriteFlatOut(const std::string& path, Board& board) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  SnapshotFile file(path, {.mode = 0600, .group = std::nullopt}, kDials);
  envdial::base::Snapshot snapshot{.version = SnapshotFile::VersionAt(path),
                                   .published = {},
                                   .state = envdial::base::State::kReady,
                                   .dials = std::vector<envdial::base::DialValue>(kDials.size())};
  for (;;) {
    ++snapshot.version;
    __atomic_store_n(&board.begun, snapshot.version, __ATOMIC_RELEASE);
    snapshot.dials[0].value = std::to_string(LimitOf(snapshot.version));
    snapshot.dials[1].value = std::to_string(static_cast<double>(snapshot.version) / 2);
    snapshot.dials[2].value = NameOf(snapshot.version);
    if (const auto written = file.Write(snapshot); !written) {
      std::fprintf(stderr, "%s\n", written.error().message.c_str());
      std::_Exit(2);
    }
    if (snapshot.version % 64 == 0)
      file.Beat({.state = snapshot.state, .contact = {}, .contact_mono = {}}, Clock::now());
  }
}

// How long this process waited for a processor so far, in nanoseconds.
class RunDelay {
 public:
  std::uint64_t Now() const {
    std::array<char, 64> text{};
    if (::pread(fd_.get(), text.data(), text.size() - 1, 0) <= 0) return 0;
    const char* space = std::strchr(text.data(), ' ');
    return space == nullptr ? 0 : std::strtoull(space, nullptr, 10);
  }

 private:
  envdial::base::UniqueFd fd_{::open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC)};
};

// Processor time of this process, without what the hypervisor took meanwhile (CONFIG_PARAVIRT_TIME_ACCOUNTING).
std::chrono::nanoseconds Ran() {
  struct timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Sleeps and page faults of this process.
long Halts() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_minflt + usage.ru_majflt;
}

// Signals of a timer, which come wherever this process runs code of its own.
class Ticks {
 public:
  static constexpr std::chrono::microseconds kEach{250};

  Ticks() {
    struct sigaction action{};
    action.sa_handler = [](int) { Note(); };
    const struct timeval each{.tv_sec = 0, .tv_usec = kEach.count()};
    const struct itimerval timer{.it_interval = each, .it_value = each};
    if (::sigaction(SIGALRM, &action, nullptr) != 0 || ::setitimer(ITIMER_REAL, &timer, nullptr) != 0) std::_Exit(2);
  }

  void Restart() {
    longest_ = {};
    last_ = Clock::now();
  }

  // Between two of them since Restart().
  Clock::duration Longest() {
    Note();
    return longest_;
  }

 private:
  static void Note() {
    const auto now = Clock::now();
    longest_ = std::max(longest_, now - last_);
    last_ = now;
  }

  static inline Clock::time_point last_;
  static inline Clock::duration longest_;
};

class StallWatch {
 public:
  explicit StallWatch(Stalls& stalls) : stalls_(stalls) {}

  template <typename Work>
  void Watch(const Work& work) {
    const std::uint64_t waited = delay_.Now();
    const long halts = Halts();
    longest_ = {};
    tries_ = 0;
    const auto ran = Ran();
    ticks_.Restart();
    const auto began = last_ = Clock::now();
    work();
    if (longest_ < kStall) return;
    const auto away = (Clock::now() - began) - (Ran() - ran);
    const bool ran_on = ticks_.Longest() < longest_ - 2 * Ticks::kEach;
    if (delay_.Now() != waited) return;
    const bool own = ran_on || tries_ > kManyTries || Halts() != halts;
    ++(own ? stalls_.own : longest_ - away < kStall ? stalls_.stolen : stalls_.occupied);
  }

  // After each step of the work, with how often a read had to be repeated in it.
  void Step(std::uint64_t tries) {
    const auto now = Clock::now();
    longest_ = std::max(longest_, now - last_);
    tries_ = std::max(tries_, tries);
    last_ = now;
  }

 private:
  static constexpr std::uint64_t kManyTries = 10;  // of some nanoseconds each

  RunDelay delay_;
  Ticks ticks_;
  Stalls& stalls_;
  Clock::time_point last_;
  Clock::duration longest_{};
  std::uint64_t tries_ = 0;
};

class Reader {
 public:
  Reader(envdial_dials* dials, Board& board, Board::Reader& mine)
      : dials_(dials),
        limit_(envdial_find(dials, "LIMIT")),
        half_(envdial_find(dials, "HALF")),
        name_(envdial_find(dials, "NAME")),
        board_(board),
        mine_(mine) {}

  void Read(std::uint64_t reads) {
    StallWatch watch(mine_.stalls);
    while (mine_.reads < reads) {
      watch.Watch([&] {
        for (std::uint64_t i = 0; i < kBatch / 4; ++i) ReadEach(), watch.Step(retries_of_read);
      });
      mine_.reads += kBatch;
      mine_.ran = Ran();
    }
    envdial_refresh(dials_);
  }

 private:
  void ReadEach() {
    retries_of_read = 0;
    const std::int64_t limit = envdial_int64(limit_);
    Check("LIMIT", static_cast<std::uint64_t>(limit / static_cast<std::int64_t>(kLimit)), newest_limit_,
          limit % static_cast<std::int64_t>(kLimit) == 0);
    const double half = envdial_double(half_);
    Check("HALF", static_cast<std::uint64_t>(half * 2), newest_half_, true);
    std::array<char, 128> text{};
    const std::int64_t bytes = envdial_text(name_, text.data(), text.size());
    const std::uint64_t version = std::strtoull(text.data(), nullptr, 10);
    // A text that begins by chance with a longer number is impossible: what follows the number is a letter or itself.
    Check("NAME", NameVersion(text.data(), version), newest_name_, bytes > 0);
    const std::array<const envdial_dial*, 2> both{limit_, half_};
    std::array<std::uint64_t, 2> words{};
    const std::uint64_t together = envdial_together(both.data(), words.data(), 2);
    if (together == 0) {
      ++mine_.wrong;
      std::fprintf(stderr, "a thousand tries were not enough\n");
    } else {
      double other = 0;
      std::memcpy(&other, &words[1], sizeof other);
      Check("both", together, newest_both_,
            static_cast<std::int64_t>(words[0]) == LimitOf(together) && other * 2 == static_cast<double>(together));
    }
    mine_.most_retries = std::max(mine_.most_retries, retries_of_read);
  }

  // The version of which `text` is the whole name; 0 if of none.
  static std::uint64_t NameVersion(const std::string& text, std::uint64_t number) {
    if (text == NameOf(number)) return number;
    // Without letters the number stands there twice.
    const std::string half = text.substr(0, text.size() / 2);
    const std::uint64_t version = std::strtoull(half.c_str(), nullptr, 10);
    return text == NameOf(version) ? version : 0;
  }

  void Check(const char* what, std::uint64_t version, std::uint64_t& newest, bool sound) {
    const std::uint64_t begun = __atomic_load_n(&board_.begun, __ATOMIC_ACQUIRE);
    if (!sound || version == 0 || version < newest || version > begun) {
      ++mine_.wrong;
      std::fprintf(stderr, "%s shows version %llu after %llu, of %llu that were begun%s\n", what,
                   static_cast<unsigned long long>(version), static_cast<unsigned long long>(newest),
                   static_cast<unsigned long long>(begun), sound ? "" : ", and is torn");
    }
    mine_.versions += version != newest ? 1 : 0;
    newest = std::max(newest, version);
  }

  envdial_dials* dials_;
  const envdial_dial* limit_;
  const envdial_dial* half_;
  const envdial_dial* name_;
  Board& board_;
  Board::Reader& mine_;
  std::uint64_t newest_limit_ = 0, newest_half_ = 0, newest_name_ = 0, newest_both_ = 0;
};

pid_t StartWriter(const std::string& path, Board& board) {
  const pid_t pid = ::fork();
  if (pid == 0) WriteFlatOut(path, board);
  return pid;
}

pid_t StartReader(const std::string& directory, Board& board, int index, std::uint64_t reads) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  envdial_dials* dials = nullptr;
  while (envdial_open(&dials, directory.c_str()) != 0) ::usleep(1'000);
  Reader(dials, board, board.readers[index]).Read(reads);
  envdial_close(dials);
  std::_Exit(board.readers[index].wrong == 0 ? 0 : 1);
}

// What the machine does by itself: the same reader, on a file that nobody writes any more, until it is killed.
pid_t StartControl(const std::string& directory, Board& board) {
  std::filesystem::create_directory(directory);
  const pid_t writer = StartWriter(directory + "/snapshot", board);
  while (SnapshotFile::VersionAt(directory + "/snapshot") == 0) ::usleep(1'000);
  ::kill(writer, SIGKILL);
  ::waitpid(writer, nullptr, 0);
  return StartReader(directory, board, 0, std::numeric_limits<std::uint64_t>::max());
}

// Kills and restarts the writer until every reader has ended; false if one did not end well.
bool Drill(const std::string& directory, Board* boards, std::uint64_t reads, std::uint64_t seed) {
  Board& board = boards[0];
  std::mt19937_64 random(seed);
  const std::string path = directory + "/snapshot";
  pid_t writer = StartWriter(path, board);
  std::vector<pid_t> readers;
  for (int i = 0; i < kReaders; ++i) readers.push_back(StartReader(directory, board, i, reads / kReaders));
  const pid_t control = StartControl(directory + "/control", boards[1]);
  bool well = true;
  while (!readers.empty()) {
    ::usleep(static_cast<useconds_t>(random() % 40'000));
    ::kill(writer, SIGKILL);
    int status = 0;
    ::waitpid(writer, &status, 0);
    if (!WIFSIGNALED(status)) return false;
    ++board.kills;
    std::erase_if(readers, [&](pid_t reader) {
      const bool ended = ::waitpid(reader, &status, WNOHANG) == reader;
      if (ended) well = well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
      return ended;
    });
    writer = StartWriter(path, board);
  }
  for (const pid_t pid : {writer, control}) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  return well;
}

void Print(const char* who, const Board::Reader& reader) {
  std::printf("%s: %llu reads, %llu values, %llu wrong, at most %llu retries of one round\n", who,
              static_cast<unsigned long long>(reader.reads), static_cast<unsigned long long>(reader.versions),
              static_cast<unsigned long long>(reader.wrong), static_cast<unsigned long long>(reader.most_retries));
  const Stalls& stalls = reader.stalls;
  const std::uint64_t all = stalls.own + stalls.stolen + stalls.occupied;
  std::printf("    in %.1f s of processor time, stalls above 1 ms while its run delay stood still: %llu\n",
              std::chrono::duration<double>(reader.ran).count(), static_cast<unsigned long long>(all));
  std::printf("    of them its own: %llu; the processor taken from the machine: %llu; busy below the reader: %llu\n",
              static_cast<unsigned long long>(stalls.own), static_cast<unsigned long long>(stalls.stolen),
              static_cast<unsigned long long>(stalls.occupied));
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) {
    std::fprintf(stderr, "usage: readers_drill READS SEED\n");
    return 2;
  }
  const std::uint64_t reads = std::strtoull(words[1], nullptr, 10);
  const std::uint64_t seed = std::strtoull(words[2], nullptr, 10);
  // The second is the control's.
  void* shared = ::mmap(nullptr, 2 * sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  std::string directory = (std::filesystem::temp_directory_path() / "envdial-readers-XXXXXX").string();
  if (shared == MAP_FAILED || ::mkdtemp(directory.data()) == nullptr) return 2;
  auto* boards = static_cast<Board*>(shared);
  const bool well = Drill(directory, boards, reads, seed);
  std::printf("seed %llu: %llu versions, the writer was killed %llu times\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(boards[0].begun), static_cast<unsigned long long>(boards[0].kills));
  for (const Board::Reader& reader : boards[0].readers) Print("reader", reader);
  Print("the same on a file that nobody writes", boards[1].readers[0]);
  std::filesystem::remove_all(directory);
  return well ? 0 : 1;
}
