// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/clients/preload/preload_fixture.h"

extern "C" {
#include "clients/preload/memory.h"
}

namespace envdial {
namespace {

// One of 90 texts, of a letter that goes with the length: a torn one would have two letters, or a wrong one. All fit
// into the record that was made for the first.
constexpr std::size_t kShortest = 100;

constexpr char LetterOf(std::size_t length) { return static_cast<char>('a' + (length - kShortest) % 26); }

std::string Letters(std::size_t number) {
  const std::size_t length = kShortest + number % 90;
  return std::string(length, LetterOf(length));
}

// Without malloc(): for handlers of signals too.
bool IsWhole(std::string_view text) {
  return text.size() >= kShortest && text.find_first_not_of(LetterOf(text.size())) == std::string_view::npos;
}

// Publishes letters without end, from a thread of its own.
class Storm {
 public:
  explicit Storm(Writer& writer)
      : thread_([this, &writer] {
          for (std::size_t i = 0; !done_; ++i) writer.Write({Letters(i)});
        }) {}
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() {
    done_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

TEST(Getenv, SaysThePresentValueOfADialAndKeepsOldPointers) {
  Writer writer({"PRELOAD_TEST_VALUE", "PRELOAD_TEST_OTHER"});
  writer.Write({"500", ""});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_VALUE") == "500"; }));
  const char* const first = ::getenv("PRELOAD_TEST_VALUE");
  EXPECT_EQ("", Get("PRELOAD_TEST_OTHER"));

  writer.Write({"500", "a text of more than eight bytes"});
  EXPECT_EQ(first, ::getenv("PRELOAD_TEST_VALUE")) << "an unchanged value keeps its pointer";
  EXPECT_EQ("a text of more than eight bytes", Get("PRELOAD_TEST_OTHER"));

  writer.Write({"700", "12345678"});
  EXPECT_EQ("700", Get("PRELOAD_TEST_VALUE"));
  EXPECT_EQ("12345678", Get("PRELOAD_TEST_OTHER")) << "the NUL after a whole word";
  EXPECT_STREQ("500", first);
  writer.Write({"500", "1234567"});
  EXPECT_EQ(first, ::getenv("PRELOAD_TEST_VALUE")) << "a value that comes again has its old pointer";
  EXPECT_EQ("1234567", Get("PRELOAD_TEST_OTHER"));
  EXPECT_EQ(first, ::secure_getenv("PRELOAD_TEST_VALUE"));
}

TEST(Getenv, EndsATextWhereItsLengthEnds) {
  Writer writer({"PRELOAD_TEST_LENGTH"});
  writer.Write({"xyzzy"});
  std::fstream file(Writer::path(), std::ios::in | std::ios::out | std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto at = bytes.find("xyzzy");
  ASSERT_NE(std::string::npos, at);
  file.seekp(static_cast<std::streamoff>(at)) << "xyzzy, and more";  // as no sidecar writes it: zeros should follow
  file.close();
  EXPECT_TRUE(Eventually([] { return Get("PRELOAD_TEST_LENGTH") != "(none)"; }));
  EXPECT_EQ("xyzzy", Get("PRELOAD_TEST_LENGTH"));
  EXPECT_EQ(::getenv("PRELOAD_TEST_LENGTH"), ::getenv("PRELOAD_TEST_LENGTH"));
}

TEST(Getenv, LeavesOtherNamesToTheCLibrary) {
  Writer writer({"PRELOAD_TEST_NAME"});
  writer.Write({"500"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_NAME") == "500"; }));
  EXPECT_EQ(kStartValue, Get(kStartName));
  for (const char* name : {"", "=", "PRELOAD_TEST_NAME=", "PRELOAD_TEST_NAM", "PRELOAD_TEST_NAMES", "P"}) {
    EXPECT_EQ("(none)", Get(name)) << name;
  }
}

TEST(Getenv, LeavesErrnoAlone) {
  errno = ENOTTY;
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_ERRNO") == "(none)"; }));
  Writer writer({"PRELOAD_TEST_ERRNO"});
  writer.Write({"500"});
  errno = ENOTTY;
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_ERRNO") == "500" || errno != ENOTTY; }));
  EXPECT_EQ(ENOTTY, errno);
}

TEST(Getenv, GoesOverToANewFile) {
  Writer before({"PRELOAD_TEST_STAYS", "PRELOAD_TEST_GOES"});
  before.Write({"1", "2"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_GOES") == "2"; }));
  const char* const stays = ::getenv("PRELOAD_TEST_STAYS");

  Writer after({"PRELOAD_TEST_COMES", "PRELOAD_TEST_STAYS"});
  after.Write({"3", "1"});
  EXPECT_EQ("3", Get("PRELOAD_TEST_COMES")) << "at once: the old file says that it is superseded";
  EXPECT_EQ(stays, ::getenv("PRELOAD_TEST_STAYS"));
  EXPECT_EQ("2", Get("PRELOAD_TEST_GOES")) << "the last value of a dial that is no more";
  after.Write({"3", std::string(30000, 'x')});
  EXPECT_EQ(std::string(30000, 'x'), Get("PRELOAD_TEST_STAYS"));
}

TEST(Getenv, FindsAFileThatCameAfterItsForerunnerWasLost) {
  Writer before({"PRELOAD_TEST_LOST"});
  before.Write({"1"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_LOST") == "1"; }));
  std::filesystem::remove(Writer::path());
  EXPECT_EQ("1", Get("PRELOAD_TEST_LOST"));
  Writer after({"PRELOAD_TEST_LOST"});
  after.Write({"2"});
  EXPECT_TRUE(Eventually([] { return Get("PRELOAD_TEST_LOST") == "2"; })) << "its heartbeat is old";
}

TEST(Getenv, WaitsForNoFifoInTheFilesPlace) {
  Writer before({"PRELOAD_TEST_FIFO"});
  before.Write({"1"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_FIFO") == "1"; }));
  Writer after({"PRELOAD_TEST_FIFO", "PRELOAD_TEST_COMES"});
  const std::string path = Writer::path();  // asks getenv()
  after.Write({"2", "3"});
  std::filesystem::remove(path);
  ASSERT_EQ(0, ::mkfifo(path.c_str(), 0600));
  EXPECT_EQ("1", Get("PRELOAD_TEST_FIFO")) << "superseded, and the new file is none";
  std::filesystem::remove(path);
  Writer again({"PRELOAD_TEST_FIFO"});
  again.Write({"4"});
  EXPECT_TRUE(Eventually([] { return Get("PRELOAD_TEST_FIFO") == "4"; }));
}

TEST(Getenv, IsTheSameForAllThreads) {
  Writer writer({"PRELOAD_TEST_THREADS"});
  writer.Write({Letters(0)});
  ASSERT_TRUE(Eventually([] { return IsWhole(Get("PRELOAD_TEST_THREADS")); }));
  std::vector<std::map<std::string, const char*>> seen(4);
  std::vector<std::thread> readers;
  const Storm storm(writer);
  for (auto& mine : seen) {
    readers.emplace_back([&mine] {
      for (int i = 0; i < 20000 || mine.size() < 3; ++i) {
        const char* value = ::getenv("PRELOAD_TEST_THREADS");
        ASSERT_TRUE(IsWhole(value)) << value;
        ASSERT_EQ(mine.try_emplace(value, value).first->second, value);
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  for (const auto& theirs : seen) {
    for (const auto& [text, pointer] : theirs) {
      EXPECT_EQ(text, pointer);
      EXPECT_EQ(seen[0].try_emplace(text, pointer).first->second, pointer) << "two pointers for one text";
    }
  }
}

TEST(Getenv, HasOnePointerForATextThatTwoThreadsMeetAtOnce) {
  constexpr int kRounds = 300;
  Writer writer({"PRELOAD_TEST_AT_ONCE"});
  writer.Write({"begin"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_AT_ONCE") == "begin"; }));
  std::atomic<int> begun = 0;
  std::atomic<int> done = 0;
  const char* theirs = nullptr;
  std::thread other([&] {
    for (int round = 1; round <= kRounds; ++round) {
      while (begun != round) continue;
      theirs = ::getenv("PRELOAD_TEST_AT_ONCE");
      done = round;
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    writer.Write({std::to_string(round)});
    begun = round;
    const char* const ours = ::getenv("PRELOAD_TEST_AT_ONCE");
    while (done != round) continue;
    EXPECT_EQ(ours, theirs);
    EXPECT_EQ(std::to_string(round), ours);
  }
  other.join();
}

TEST(Getenv, WorksInTheChildOfAFork) {
  Writer writer({"PRELOAD_TEST_FORK"});
  writer.Write({Letters(0)});
  ASSERT_TRUE(Eventually([] { return IsWhole(Get("PRELOAD_TEST_FORK")); }));
  std::atomic<bool> done = false;
  std::thread reader([&done] {
    while (!done) ASSERT_TRUE(IsWhole(::getenv("PRELOAD_TEST_FORK")));
  });
  {
    const Storm storm(writer);
    for (int i = 0; i < 50; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(60);
        for (int k = 0; k < 100; ++k) {
          if (!IsWhole(::getenv("PRELOAD_TEST_FORK"))) ::_exit(1);
        }
        ::_exit(0);
      }
      int status = -1;
      EXPECT_EQ(child, ::waitpid(child, &status, 0));
      EXPECT_EQ(0, status);
    }
  }
  done = true;
  reader.join();
}

std::atomic<int> g_handled = 0;
std::atomic<int> g_torn = 0;

void OnSignal(int) {
  if (!IsWhole(::getenv("PRELOAD_TEST_SIGNAL"))) ++g_torn;
  ++g_handled;
}

TEST(Getenv, WorksInTheHandlerOfASignal) {
  Writer writer({"PRELOAD_TEST_SIGNAL"});
  writer.Write({Letters(0)});
  ASSERT_TRUE(Eventually([] { return IsWhole(Get("PRELOAD_TEST_SIGNAL")); }));
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(0, ::sigaction(SIGUSR1, &action, nullptr));
  {
    const Storm storm(writer);
    const pthread_t self = ::pthread_self();
    std::atomic<bool> done = false;
    std::thread sender([self, &done] {
      while (!done) ::pthread_kill(self, SIGUSR1);
    });
    const bool enough = Eventually([] {
      // Not one by one: between two calls the processor is given away.
      for (int i = 0; i < 10000; ++i) g_torn += IsWhole(::getenv("PRELOAD_TEST_SIGNAL")) ? 0 : 1;
      return g_handled > 100;
    });
    done = true;
    sender.join();
    EXPECT_TRUE(enough) << g_handled;
  }
  EXPECT_EQ(0, g_torn);
}

TEST(Getenv, KeepsTheLastValueWhereThereIsNoMemoryForAnother) {
  Writer writer({"PRELOAD_TEST_MEMORY"});
  writer.Write({"first"});
  ASSERT_TRUE(Eventually([] { return Get("PRELOAD_TEST_MEMORY") == "first"; }));
  writer.Write({"second"});
  EXPECT_EQ("second", Get("PRELOAD_TEST_MEMORY"));
  writer.Write({"third"});
  const pid_t child = ::fork();
  if (child == 0) {
    for (std::size_t bytes = MAX_KEPT_BYTES / 8; bytes > 0; bytes /= 2) {
      while (keep(bytes) != nullptr) continue;
    }
    const bool last = Get("PRELOAD_TEST_MEMORY") == "second";
    writer.Write({"first"});
    ::_exit(last && Get("PRELOAD_TEST_MEMORY") == "first" ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(child, ::waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
}

}  // namespace
}  // namespace envdial
