// SPDX-License-Identifier: Apache-2.0
#include "tests/inject/signal_app.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>

namespace envdial::inject {
namespace {

constexpr std::chrono::milliseconds kDeadline{30'000};

}  // namespace

std::string SignalApp::BuiltProgram() { return ENVDIAL_SIGNAL_APP; }

SignalApp::SignalApp(const std::string& program, std::optional<uid_t> user) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  EXPECT_EQ(::pipe2(in.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    if (user && (::setgid(*user) != 0 || ::setuid(*user) != 0)) ::_exit(1);
    ::execl(program.c_str(), program.c_str(), nullptr);
    ::_exit(1);
  }
  EXPECT_GT(pid_, 0);
  ::close(in[0]);
  ::close(out[1]);
  to_ = base::UniqueFd(in[1]);
  from_ = base::UniqueFd(out[0]);
  EXPECT_EQ(Ask('x'), Lines());
}

SignalApp::~SignalApp() {
  to_.Reset();
  if (::kill(pid_, SIGKILL) == 0) ::waitpid(pid_, nullptr, 0);
}

SignalApp::Lines SignalApp::Ask(char letter) {
  Write(letter);
  std::string last;
  return ReadUntil("done", &last);
}

pid_t SignalApp::Fork() {
  Write('f');
  std::string last;
  EXPECT_EQ(ReadUntil("forked ", &last), Lines());
  return last.empty() ? -1 : std::stoi(last.substr(7));
}

SignalApp::Lines SignalApp::AskWorker(pid_t worker) {
  EXPECT_EQ(::kill(worker, SIGUSR1), 0);
  std::string last;
  return ReadUntil("worker asked", &last);
}

std::string SignalApp::ReadLine() {
  std::string line;
  for (;;) {
    pollfd ready{.fd = from_.get(), .events = POLLIN, .revents = 0};
    char byte = 0;
    if (::poll(&ready, 1, static_cast<int>(kDeadline.count())) != 1 || ::read(from_.get(), &byte, 1) != 1) {
      ADD_FAILURE() << "the app ended or hangs; it wrote \"" << line << '"';
      return "";
    }
    if (byte == '\n') return line;
    line += byte;
  }
}

SignalApp::Lines SignalApp::ReadUntil(const std::string& start, std::string* last) {
  Lines lines;
  for (;;) {
    std::string line = ReadLine();
    if (line.starts_with(start)) {
      *last = line;
      return lines;
    }
    if (line.empty()) return lines;
    lines.push_back(std::move(line));
  }
}

void SignalApp::Write(char letter) { EXPECT_EQ(::write(to_.get(), &letter, 1), 1); }

}  // namespace envdial::inject
