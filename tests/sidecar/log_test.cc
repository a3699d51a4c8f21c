// SPDX-License-Identifier: Apache-2.0
#include "sidecar/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace envdial::sidecar {
namespace {

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Log, JsonLinesAreObjectsWithTimeLevelAndMsg) {
  testing::internal::CaptureStderr();
  Log(LogFormat::kJson, LogLevel::kInfo).Warn("a \"quoted\"\nline with \xff in it");
  const auto lines = Lines(testing::internal::GetCapturedStderr());
  ASSERT_EQ(lines.size(), 1u);
  const auto json = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(json.size(), 3u);
  EXPECT_EQ(json["level"], "warn");
  EXPECT_EQ(json["msg"], "a \"quoted\"\nline with \xEF\xBF\xBD in it");
  EXPECT_EQ(json["time"].get<std::string>().back(), 'Z');
}

TEST(Log, AValueCannotForgeATextLine) {
  testing::internal::CaptureStderr();
  Log(LogFormat::kText, LogLevel::kInfo).Info("a\nforged \x1b[31mline");
  const auto lines = Lines(testing::internal::GetCapturedStderr());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("a\\x0aforged \\x1b[31mline"), std::string::npos) << lines[0];
}

TEST(Log, EqualLinesAreWrittenOnce) {
  testing::internal::CaptureStderr();
  Log log(LogFormat::kText, LogLevel::kInfo);
  for (int i = 0; i < 5; ++i) log.Warn("again");
  log.Warn("another");
  const auto lines = Lines(testing::internal::GetCapturedStderr());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("again"), std::string::npos);
}

TEST(Log, ManyDifferentLinesAreAllWritten) {
  testing::internal::CaptureStderr();
  Log log(LogFormat::kText, LogLevel::kInfo);
  for (int i = 0; i < 1000; ++i) log.Info("line " + std::to_string(i));
  EXPECT_EQ(Lines(testing::internal::GetCapturedStderr()).size(), 1000u);
}

TEST(Log, LinesBelowTheLevelAreNotWritten) {
  testing::internal::CaptureStderr();
  Log log(LogFormat::kText, LogLevel::kWarn);
  log.Debug("a");
  log.Info("b");
  log.Error("c");
  EXPECT_EQ(Lines(testing::internal::GetCapturedStderr()).size(), 1u);
}

// Standard error is a pipe that is never read while this is alive.
class UnreadStderr {
 public:
  UnreadStderr() {
    EXPECT_EQ(::pipe2(pipe_, O_CLOEXEC), 0);
    EXPECT_GE(::fcntl(pipe_[1], F_SETPIPE_SZ, kSize), kSize);
    EXPECT_EQ(::dup2(pipe_[1], STDERR_FILENO), STDERR_FILENO);
  }
  UnreadStderr(const UnreadStderr&) = delete;
  UnreadStderr& operator=(const UnreadStderr&) = delete;
  ~UnreadStderr() {
    ::dup2(before_, STDERR_FILENO);
    for (const int fd : {pipe_[0], pipe_[1], before_}) ::close(fd);
  }

  // What is in the pipe now.
  std::string Read() {
    std::string text(1 << 20, ' ');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(pipe_[0], text.data(), text.size()), 0)));
    return text;
  }

  static constexpr int kSize = 64 * 1024;

 private:
  int before_ = ::dup(STDERR_FILENO);
  int pipe_[2] = {-1, -1};
};

TEST(Log, WaitsForNobodyWhoDoesNotReadItAndTellsWhatWasLost) {
  UnreadStderr unread;
  Log log(LogFormat::kJson, LogLevel::kInfo);
  for (int i = 0; i < 5000; ++i) log.Info("line " + std::to_string(i));
  const auto first = Lines(unread.Read());
  ASSERT_GT(first.size(), 100u);
  ASSERT_LT(first.size(), 5000u);
  log.Info("read again");
  const auto then = Lines(unread.Read());
  ASSERT_EQ(then.size(), 2u);
  const auto told = nlohmann::json::parse(then[0])["msg"].get<std::string>();
  EXPECT_EQ(told,
            "the log was not read in time, and is short of some lines here: " + std::to_string(5000 - first.size()));
  EXPECT_EQ(nlohmann::json::parse(then[1])["msg"], "read again");
}

TEST(Log, ALineThatWasCutIsEndedBeforeTheNext) {
  UnreadStderr unread;
  Log log(LogFormat::kText, LogLevel::kInfo);
  log.Info(std::string(2 * UnreadStderr::kSize, 'x'));
  const std::string cut = unread.Read();
  EXPECT_EQ(cut.back(), 'x');
  log.Info("the next");
  const auto lines = Lines(unread.Read());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "");
  EXPECT_NE(lines[1].find("short of some lines here: 1"), std::string::npos) << lines[1];
  EXPECT_NE(lines[2].find("the next"), std::string::npos);
}

TEST(Log, WritesALongLineWhole) {
  testing::internal::CaptureStderr();
  Log(LogFormat::kText, LogLevel::kInfo).Info(std::string(100'000, 'x'));
  const auto lines = Lines(testing::internal::GetCapturedStderr());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_GT(lines[0].size(), 100'000u);
}

}  // namespace
}  // namespace envdial::sidecar
