// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "inject/signal_channel.h"
#include "tests/base/temp_directory.h"
#include "tests/inject/signal_app.h"

namespace envdial::inject {

using Lines = SignalApp::Lines;

inline const Lines kNone;
inline const Lines kOne{"HUP"};

inline SignalTarget Exe(const std::string& path) { return {SignalTarget::Kind::kExe, path}; }
inline SignalTarget Pidfile(const std::string& path) { return {SignalTarget::Kind::kPidfile, path}; }

inline std::string Say(const base::Result<void>& result) { return result ? "delivered" : result.error().message; }

class SignalChannelTest : public ::testing::Test {
 protected:
  // A copy of the app, so that its path is this test's alone.
  std::string Program(const std::string& name = "app") {
    const std::string path = directory_ / name;
    std::filesystem::copy_file(SignalApp::BuiltProgram(), path);
    return path;
  }

  std::string WritePidfile(const std::string& text) {
    const std::string path = directory_ / "app.pid";
    std::ofstream(path, std::ios::trunc) << text;
    return path;
  }

  base::TempDirectory directory_;
};

inline void ExpectFailure(const base::Result<void>& result, base::ErrorKind kind, const std::string& part) {
  ASSERT_FALSE(result) << "expected a failure with: " << part;
  EXPECT_EQ(result.error().kind, kind) << result.error().message;
  EXPECT_THAT(result.error().message, ::testing::HasSubstr(part));
}

}  // namespace envdial::inject
