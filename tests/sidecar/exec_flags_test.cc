// SPDX-License-Identifier: Apache-2.0
#include "sidecar/exec_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "sidecar/command_line.h"

namespace envdial::sidecar {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

std::expected<CommandLine, int> ParseExec(std::vector<const char*> more) {
  std::vector<const char*> arguments{"envdial", "exec"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(ExecFlagsTest, DefaultsAreThoseOfThePlan) {
  const auto line = ParseExec({"--", "app"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->command, CommandLine::Command::kExec);
  EXPECT_EQ(line->run.run_dir, "/run/envdial");
  const ExecOptions& exec = line->exec;
  EXPECT_THAT(exec.command, ElementsAre("app"));
  EXPECT_EQ(exec.on_change, ExecOptions::OnChange::kNone);
  EXPECT_EQ(exec.wait, 10s);
  EXPECT_EQ(exec.signal, SIGHUP);
  EXPECT_EQ(exec.stop_signal, SIGTERM);
  EXPECT_EQ(exec.stop_timeout, 10s);
  EXPECT_EQ(exec.min_interval, 30s);
  EXPECT_EQ(exec.jitter, 10s);
  EXPECT_FALSE(exec.preload);
  EXPECT_FALSE(exec.serve);
}

TEST(ExecFlagsTest, EveryFlagArrives) {
  const auto line = ParseExec({"--wait", "1m", "--on-change", "restart", "--signal", "SIGUSR1", "--stop-signal", "QUIT",
                               "--stop-timeout", "0s", "--min-interval", "24h", "--jitter", "250ms", "--preload",
                               "--run-dir", "run", "--", "app"});
  ASSERT_TRUE(line);
  const ExecOptions& exec = line->exec;
  EXPECT_EQ(line->run.run_dir, "run");
  EXPECT_EQ(exec.on_change, ExecOptions::OnChange::kRestart);
  EXPECT_EQ(exec.wait, 1min);
  EXPECT_EQ(exec.signal, SIGUSR1);
  EXPECT_EQ(exec.stop_signal, SIGQUIT);
  EXPECT_EQ(exec.stop_timeout, 0s);
  EXPECT_EQ(exec.min_interval, 24h);
  EXPECT_EQ(exec.jitter, 250ms);
  EXPECT_TRUE(exec.preload);
}

TEST(ExecFlagsTest, WhatFollowsIsTheAppsDownToTheLastFlag) {
  const auto line = ParseExec({"--wait", "1s", "--", "app", "--wait", "2s", "--", "", "--dials"});
  ASSERT_TRUE(line);
  EXPECT_THAT(line->exec.command, ElementsAre("app", "--wait", "2s", "--", "", "--dials"));
  EXPECT_EQ(line->exec.wait, 1s);
}

TEST(ExecFlagsTest, WithDialsItIsTheSidecarToo) {
  EXPECT_TRUE(ParseExec({"--dials", "a.json", "--", "app"})->exec.serve);
  const auto one = ParseExec({"--key", "k", "--env", "K", "--type", "int", "--timeout", "5s", "--", "app"});
  ASSERT_TRUE(one);
  EXPECT_TRUE(one->exec.serve);
  EXPECT_EQ(one->run.consul.timeout, 5s);
  EXPECT_FALSE(one->run.signal_to);
}

}  // namespace
}  // namespace envdial::sidecar
