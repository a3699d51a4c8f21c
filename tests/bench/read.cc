// SPDX-License-Identifier: Apache-2.0
// What `script/bench read` measures with, among 256 dials named as real variables are:
//
//     read_bench write RUN_DIR      writes the snapshot file, prints a line, then new versions of all dials: a thousand
//                                   a second, and flat out from the first line on its standard input to the next
//     read_bench names              prints the dials' names
//     read_bench WHAT RUN_DIR       prints the nanoseconds of one read, as the median of many batches
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clients/cpp/envdial.hpp"
#include "inject/snapshot_file.h"

namespace {

using envdial::inject::SnapshotFile;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kTextBytes = 64;
constexpr std::chrono::milliseconds kPause{1};
constexpr std::chrono::milliseconds kMeasured{150};
constexpr int kBatch = 4'096;  // turns between two looks at the clock

// The first is an int, the second a float, the third a text of 64 bytes; the others are ints.
std::vector<std::string> Names() {
  constexpr std::array kSubjects = {"HUNT",  "REDIS", "KAFKA", "CONSUL", "HTTP",  "CACHE", "QUEUE", "WORKER",
                                    "LOGIN", "MATCH", "PRICE", "SHARD",  "RETRY", "BATCH", "IMAGE", "SEARCH"};
  constexpr std::array kObjects = {"MAX_CONCURRENT", "TIMEOUT",   "LIMIT", "RATIO",   "GREETING", "BACKOFF",
                                   "POOL_SIZE",      "TTL",       "DEPTH", "PERCENT", "MODE",     "BUDGET",
                                   "MIN_IDLE",       "THRESHOLD", "SEED",  "WINDOW"};
  std::vector<std::string> names = {"HUNT_MAX_CONCURRENT", "HUNT_RATIO", "HUNT_GREETING"};
  for (const char* subject : kSubjects) {
    for (const char* object : kObjects) {
      std::string name = std::string(subject) + "_" + object;
      if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
  }
  return names;
}

std::string ValueOf(std::size_t dial, std::uint64_t version) {
  if (dial == 1) return std::to_string(version) + ".5";
  if (dial == 2) return std::string(kTextBytes, static_cast<char>('a' + version % 26));
  return std::to_string(version + dial);
}

std::vector<envdial::base::DialInfo> Dials() {
  std::vector<envdial::base::DialInfo> dials;
  for (const std::string& name : Names()) {
    const char* type = dials.size() == 1 ? "float" : dials.size() == 2 ? "string" : "int";
    dials.push_back({name, type, "", "consul", name, false});
  }
  return dials;
}

bool LineIsThere() {
  pollfd in{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (::poll(&in, 1, 0) == 0) return false;
  char line = 0;
  while (line != '\n') {
    if (::read(STDIN_FILENO, &line, 1) != 1) std::_Exit(0);
  }
  return true;
}

int Write(const std::string& run_dir) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::vector<envdial::base::DialInfo> dials = Dials();
  SnapshotFile file(run_dir + "/snapshot", {.mode = 0600, .group = std::nullopt}, dials);
  envdial::base::Snapshot snapshot{.version = 0,
                                   .published = {},
                                   .state = envdial::base::State::kReady,
                                   .dials = std::vector<envdial::base::DialValue>(dials.size())};
  bool flat_out = false;
  Clock::time_point beaten;
  for (;;) {
    ++snapshot.version;
    for (std::size_t i = 0; i < dials.size(); ++i) snapshot.dials[i].value = ValueOf(i, snapshot.version);
    if (const auto written = file.Write(snapshot); !written) {
      std::fprintf(stderr, "%s\n", written.error().message.c_str());
      return 1;
    }
    if (snapshot.version == 1) std::puts("written"), std::fflush(stdout);
    if (const auto now = Clock::now(); now - beaten > std::chrono::seconds(1)) {
      beaten = now;
      file.Beat({.state = snapshot.state, .contact = {}, .contact_mono = {}}, now);
    }
    if (LineIsThere()) flat_out = !flat_out;
    if (!flat_out) ::usleep(std::chrono::microseconds(kPause).count());
  }
}

// In a register: a read that only could be made is none.
template <typename Value>
void Use(Value value) {
  asm volatile("" : : "r"(value) : "memory");
}
void Use(double value) { asm volatile("" : : "x"(value) : "memory"); }

// One read in each turn of a loop that is not unrolled, for every kind of read.
template <typename Read>
void Measure(const Read& read, int reads_in_turn = 1) {
  std::vector<double> batches;
  const auto end = Clock::now() + kMeasured;
  for (auto begin = Clock::now(); begin < end; begin = Clock::now()) {
#pragma GCC unroll 1
    for (int turn = 0; turn < kBatch; ++turn) read(turn);
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    batches.push_back(took.count() / (kBatch * reads_in_turn));
  }
  std::ranges::nth_element(batches, batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 2));
  std::printf("%.3f\n", batches[batches.size() / 2]);
}

// Eight reads in each turn: how many of them the processor has under way at once.
template <typename Read>
void MeasureUnrolled(const Read& read) {
  const auto eight = [&](int turn) {
    read(turn), read(turn), read(turn), read(turn);
    read(turn), read(turn), read(turn), read(turn);
  };
  Measure(eight, 8);
}

int Read(std::string_view what, const char* run_dir) {
  const std::vector<std::string> names = Names();
  // One after the other, as a compiler puts the literals of a program.
  std::string literals;
  for (const std::string& text : names) literals += text + '\0';
  std::array<const char*, 256> texts{};
  std::array<std::string_view, 256> views{};
  const char* next = literals.c_str();
  for (const char*& text : texts) text = std::exchange(next, next + std::strlen(next) + 1);
  std::ranges::copy(texts, views.begin());
  const auto name = [&](int read) { return texts[static_cast<unsigned>(read) % texts.size()]; };
  const auto view = [&](int read) { return views[static_cast<unsigned>(read) % views.size()]; };
  envdial_dials* dials = nullptr;
  if (const int failed = envdial_open(&dials, run_dir); failed != 0) {
    std::fprintf(stderr, "open the snapshot in %s: %s\n", run_dir, std::strerror(-failed));
    return 1;
  }
  const envdial_dial* number = envdial_find(dials, names[0].c_str());
  const envdial_dial* fraction = envdial_find(dials, names[1].c_str());
  const envdial_dial* text = envdial_find(dials, names[2].c_str());
  const std::uint64_t* word = number->word;
  std::array<char, 2 * kTextBytes> copy{};
  if (what == "floor") {
    Measure([&](int) { Use(__atomic_load_n(word, __ATOMIC_ACQUIRE)); });
  } else if (what == "int64") {
    Measure([&](int) { Use(envdial_int64(number)); });
  } else if (what == "floor8") {
    MeasureUnrolled([&](int) { Use(__atomic_load_n(word, __ATOMIC_ACQUIRE)); });
  } else if (what == "int64x8") {
    MeasureUnrolled([&](int) { Use(envdial_int64(number)); });
  } else if (what == "double") {
    Measure([&](int) { Use(envdial_double(fraction)); });
  } else if (what == "text") {
    Measure([&](int) { Use(envdial_text(text, copy.data(), copy.size())), Use(copy[0]); });
  } else if (what == "name") {
    Measure([&](int read) { Use(envdial_int64_of(dials, name(read), 0)); });
  } else if (what == "view") {
    envdial::Dials wrapped(run_dir);
    Measure([&](int read) { Use(wrapped.IntOf(view(read), 0)); });
  } else if (what == "getenv") {
    Measure([&](int read) { Use(std::getenv(name(read))); });
  } else {
    std::fprintf(stderr, "usage: read_bench write|names|floor|int64|double|text|name|view|getenv RUN_DIR\n");
    return 2;
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::string_view what = count > 1 ? words[1] : "";
  if (what == "names") {
    for (const std::string& name : Names()) std::puts(name.c_str());
    return 0;
  }
  if (what == "write" && count == 3) return Write(words[2]);
  return Read(what, count > 2 ? words[2] : "");
}
