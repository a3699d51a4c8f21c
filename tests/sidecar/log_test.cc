// SPDX-License-Identifier: Apache-2.0
#include "sidecar/log.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace envdial::sidecar
