// SPDX-License-Identifier: Apache-2.0
#include "sidecar/command_line.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

namespace envdial::sidecar {
namespace {

using namespace std::chrono_literals;

// Sets a variable for the length of one test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// The tests must not depend on who runs them.
class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_SSL",
          "CONSUL_HTTP_SSL_VERIFY", "CONSUL_HTTP_AUTH", "CONSUL_CACERT", "CONSUL_CAPATH", "CONSUL_CLIENT_CERT",
          "CONSUL_CLIENT_KEY", "CONSUL_TLS_SERVER_NAME", "CONSUL_NAMESPACE", "CONSUL_PARTITION"}) {
      ::unsetenv(name);
    }
  }
};

std::expected<CommandLine, int> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "envdial");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

std::expected<CommandLine, int> ParseRun(std::vector<const char*> more) {
  std::vector<const char*> arguments{"run", "--key", "k", "--env", "K", "--type", "int"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Parse(arguments);
}

TEST_F(CommandLineTest, DefaultsAreThoseOfThePlan) {
  const auto line = ParseRun({});
  ASSERT_TRUE(line);
  const RunOptions& run = line->run;
  EXPECT_EQ(line->command, CommandLine::Command::kRun);
  ASSERT_EQ(run.consul.addresses.size(), 1u);
  EXPECT_EQ(run.consul.addresses[0].ToString(), "http://127.0.0.1:8500");
  EXPECT_EQ(run.consul.connect_timeout, 1s);
  EXPECT_EQ(run.consul.timeout, 3s);
  EXPECT_EQ(run.startup_wait, 3s);
  EXPECT_EQ(run.run_dir, "/run/envdial");
  EXPECT_EQ(run.state_dir, "/var/lib/envdial");
  EXPECT_EQ(run.socket_mode, 0660u);
  EXPECT_EQ(run.env_file_mode, 0640u);
  EXPECT_FALSE(run.instance.empty());
  EXPECT_FALSE(run.require_unprivileged);
}

TEST_F(CommandLineTest, AFlagWinsOverItsVariableAndThatOverConsulsOwn) {
  const Variable consul("CONSUL_HTTP_ADDR", "10.0.0.1:1");
  EXPECT_EQ(ParseRun({})->run.consul.addresses[0].ToString(), "http://10.0.0.1:1");
  const Variable ours("ENVDIAL_CONSUL_ADDR", "10.0.0.2:2,10.0.0.3:3");
  const auto by_variable = ParseRun({});
  ASSERT_EQ(by_variable->run.consul.addresses.size(), 2u);
  EXPECT_EQ(by_variable->run.consul.addresses[1].ToString(), "http://10.0.0.3:3");
  const auto by_flag = ParseRun({"--consul-addr", "10.0.0.4:4"});
  ASSERT_EQ(by_flag->run.consul.addresses.size(), 1u);
  EXPECT_EQ(by_flag->run.consul.addresses[0].ToString(), "http://10.0.0.4:4");
}

TEST_F(CommandLineTest, EveryFlagOfTheOneDialFormArrives) {
  const auto line =
      Parse({"run",   "--key",       "hunt/max", "--env",         "MAX", "--type",       "int",    "--default",
             "-5",    "--min",       "-10",      "--max",         "10",  "--max-step",   "100%",   "--on-violation",
             "clamp", "--on-delete", "default",  "--stale-after", "1m",  "--when-stale", "default"});
  ASSERT_TRUE(line);
  const guard::OneDial& dial = line->run.one_dial;
  EXPECT_EQ(dial.key, "hunt/max");
  EXPECT_EQ(dial.env, "MAX");
  EXPECT_EQ(dial.type, "int");
  EXPECT_EQ(dial.default_value, "-5");
  EXPECT_EQ(dial.min, "-10");
  EXPECT_EQ(dial.max, "10");
  EXPECT_EQ(dial.max_step, "100%");
  EXPECT_EQ(dial.on_violation, "clamp");
  EXPECT_EQ(dial.on_delete, "default");
  EXPECT_EQ(dial.stale_after, "1m");
  EXPECT_EQ(dial.when_stale, "default");
}

TEST_F(CommandLineTest, TheSignalChannelIsASignalAndATarget) {
  const auto line = ParseRun({"--signal", "HUP", "--signal-to", "pidfile:/run/app.pid"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->run.signal, SIGHUP);
  ASSERT_TRUE(line->run.signal_to);
  EXPECT_EQ(line->run.signal_to->kind, inject::SignalTarget::Kind::kPidfile);
  EXPECT_EQ(line->run.signal_to->path, "/run/app.pid");
  EXPECT_FALSE(ParseRun({})->run.signal_to);
}

TEST_F(CommandLineTest, VariablesThatKubernetesInventsAreNoneOfOurs) {
  const Variable port("ENVDIAL_PORT", "tcp://10.0.0.1:80");
  const Variable host("ENVDIAL_SERVICE_HOST", "10.0.0.1");
  EXPECT_TRUE(ParseRun({}));
}

TEST_F(CommandLineTest, WhatIsWrongIsAUsageErrorThatNamesIt) {
  struct Case {
    std::vector<const char*> arguments;
    const char* expected;
  };
  const Case cases[] = {
      {{}, "no command given, expected run"},
      {{"fly"}, "fly"},
      {{"run"}, "nothing to watch"},
      {{"run", "--dials", "a.json", "--key", "k"}, "either dials files or one dial"},
      {{"run", "--dials", "a.json", "--min", "3"}, "either dials files or one dial"},
      {{"run", "--dials", "a.json", "--listen", "nowhere"}, "--listen"},
      {{"run", "--dials", "a.json", "--timeout", "3"}, "--timeout"},
      {{"run", "--dials", "a.json", "--timeout", "500ms"}, "--timeout: found 500ms, expected 1s to 10m"},
      {{"run", "--dials", "a.json", "--connect-timeout", "-1s"}, "--connect-timeout"},
      {{"run", "--dials", "a.json", "--consistency", "strong"}, "expected default, stale or consistent"},
      {{"run", "--dials", "a.json", "--consul-addr", "host:port"}, "--consul-addr"},
      {{"run", "--dials", "a.json", "--socket-mode", "rw"}, "--socket-mode: found \"rw\", expected an octal mode"},
      {{"run", "--dials", "a.json", "--env-file-mode", "1777"}, "--env-file-mode"},
      {{"run", "--dials", "a.json", "--log-format", "xml"}, "expected text or json"},
      {{"run", "--dials", "a.json", "--log-level", "loud"}, "expected debug, info, warn or error"},
      {{"run", "--dials", "a.json", "--signal", "HUP"}, "expected both --signal and --signal-to"},
      {{"run", "--dials", "a.json", "--signal-to", "exe:/app"}, "expected both --signal and --signal-to"},
      {{"run", "--dials", "a.json", "--signal", "LOUD", "--signal-to", "exe:/app"}, "--signal"},
      {{"run", "--dials", "a.json", "--signal", "KILL", "--signal-to", "exe:/app"}, "--signal"},
      {{"run", "--dials", "a.json", "--signal", "HUP", "--signal-to", "app"}, "--signal-to"},
      {{"run", "--dials", "a.json", "--signal", "HUP", "--signal-to", "exe:app"}, "--signal-to"},
      {{"run", "--dials", "a.json", "--no-such-flag"}, "--no-such-flag"},
      {{"get"}, "NAME"},
      {{"probe"}, "expected startup, ready or live"},
      {{"probe", "dead"}, "found \"dead\", expected startup, ready or live"},
      {{"check"}, "FILE"},
  };
  for (const Case& c : cases) {
    testing::internal::CaptureStderr();
    const auto line = Parse(c.arguments);
    const std::string told = testing::internal::GetCapturedStderr();
    ASSERT_FALSE(line) << told;
    EXPECT_EQ(line.error(), kExitUsage);
    EXPECT_NE(told.find(c.expected), std::string::npos) << told;
  }
}

TEST_F(CommandLineTest, ATokenWithALineBreakInsideIsRefusedAndNotTold) {
  const Variable token("CONSUL_HTTP_TOKEN", "abc\r\nX-Evil: 1");
  testing::internal::CaptureStderr();
  const auto line = ParseRun({});
  const std::string told = testing::internal::GetCapturedStderr();
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error(), kExitUsage);
  EXPECT_EQ(told.find("abc"), std::string::npos) << told;
}

TEST_F(CommandLineTest, WhatCannotBeMeantOfAConnectionIsRefusedRatherThanIgnored) {
  const std::pair<const char*, const char*> kRows[] = {
      {"CONSUL_HTTP_SSL", "yes"},        {"CONSUL_HTTP_SSL_VERIFY", "2"}, {"CONSUL_CLIENT_CERT", "/cert.pem"},
      {"CONSUL_CLIENT_KEY", "/key"},     {"CONSUL_HTTP_AUTH", "a:b\n"},   {"CONSUL_HTTP_AUTH", "a:\xc3\xb6"},
      {"CONSUL_TLS_SERVER_NAME", "a b"},
  };
  for (const auto& [name, value] : kRows) {
    const Variable variable(name, value);
    testing::internal::CaptureStderr();
    const auto line = ParseRun({});
    EXPECT_NE(testing::internal::GetCapturedStderr().find(name), std::string::npos) << name;
    ASSERT_FALSE(line) << name;
    EXPECT_EQ(line.error(), kExitUsage);
  }
}

TEST_F(CommandLineTest, ConsulsVariablesForTls) {
  const Variable secure("CONSUL_HTTP_SSL", "true");
  const Variable verify("CONSUL_HTTP_SSL_VERIFY", "FALSE");
  const Variable ca("CONSUL_CACERT", "/ca.pem");
  const Variable ca_path("CONSUL_CAPATH", "/cas");
  const Variable certificate("CONSUL_CLIENT_CERT", "/cert.pem");
  const Variable key("CONSUL_CLIENT_KEY", "/key.pem");
  const Variable name("CONSUL_TLS_SERVER_NAME", "server.dc1.consul");
  const Variable token("CONSUL_HTTP_TOKEN_FILE", "/token");
  const Variable auth("CONSUL_HTTP_AUTH", "user:pass word");
  const consul::Options consul = ParseRun({})->run.consul;
  EXPECT_EQ(consul.addresses[0].ToString(), "https://127.0.0.1:8500");
  EXPECT_FALSE(consul.tls_options.verify);
  EXPECT_EQ(consul.tls_options.server_name, "server.dc1.consul");
  EXPECT_EQ(consul.files.ca, "/ca.pem");
  EXPECT_EQ(consul.files.ca_path, "/cas");
  EXPECT_EQ(consul.files.certificate, "/cert.pem");
  EXPECT_EQ(consul.files.key, "/key.pem");
  EXPECT_EQ(consul.files.token, "/token");
  EXPECT_EQ(consul.basic_auth, "user:pass word");
}

TEST_F(CommandLineTest, TlsThatWasAskedForOnceIsNeverTakenBack) {
  const Variable secure("CONSUL_HTTP_SSL", "1");
  const auto line = ParseRun({"--consul-addr", "http://a:1,unix:///run/consul.sock,https://b"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->run.consul.addresses[0].ToString(), "https://a:1");
  EXPECT_EQ(line->run.consul.addresses[1].ToString(), "unix:///run/consul.sock");
  EXPECT_EQ(line->run.consul.addresses[2].ToString(), "https://b:8501");
}

TEST_F(CommandLineTest, AnAddressMayStandInBrackets) {
  EXPECT_EQ(ParseRun({"--consul-addr", "[::1]"})->run.consul.addresses[0].ToString(), "http://[::1]:8500");
  EXPECT_EQ(ParseRun({"--consul-addr", "[::1]:9"})->run.consul.addresses[0].ToString(), "http://[::1]:9");
}

TEST_F(CommandLineTest, HelpIsNoError) {
  for (const std::vector<const char*>& arguments : {std::vector<const char*>{"--help"}, {"run", "--help"}}) {
    testing::internal::CaptureStdout();
    const auto line = Parse(arguments);
    EXPECT_FALSE(testing::internal::GetCapturedStdout().empty());
    ASSERT_FALSE(line);
    EXPECT_EQ(line.error(), kExitOk);
  }
}

}  // namespace
}  // namespace envdial::sidecar
