// SPDX-License-Identifier: Apache-2.0
#include "consul/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace envdial::consul {
namespace {

TEST(ParseAddress, TakesWhatConsulsCommandLineTakes) {
  const struct {
    std::string text, expected;
  } kRows[] = {
      {"127.0.0.1:8500", "http://127.0.0.1:8500"},
      {"127.0.0.1", "http://127.0.0.1:8500"},
      {"consul.example", "http://consul.example:8500"},
      {"consul.example:80", "http://consul.example:80"},
      {":8501", "http://127.0.0.1:8501"},
      {"http://consul_1.example:1", "http://consul_1.example:1"},
      {"http://consul:8500/", "http://consul:8500"},
      {"http://host", "http://host:8500"},
      {"https://host", "https://host:8501"},
      {"https://consul.example:443/", "https://consul.example:443"},
      {"https://[::1]", "https://[::1]:8501"},
      {"[::1]:8500", "http://[::1]:8500"},
      {"[::1]", "http://[::1]:8500"},
      {"http://[2001:db8::7]:65535", "http://[2001:db8::7]:65535"},
      {"[fe80::1%eth0]:8500", "http://[fe80::1%eth0]:8500"},
      {"unix:///run/consul.sock", "unix:///run/consul.sock"},
  };
  for (const auto& row : kRows) {
    const auto endpoint = ParseAddress(row.text);
    ASSERT_TRUE(endpoint) << row.text << ": " << endpoint.error().message;
    EXPECT_EQ(endpoint->ToString(), row.expected) << row.text;
  }
}

TEST(ParseAddress, RefusesTheRestAndSaysWhatItExpected) {
  const struct {
    std::string text, message;
  } kRows[] = {
      {"", "host"},
      {"http://", "host"},
      {"https://", "host"},
      {"https://consul:8501/proxy", "a path after the port"},
      {"ftp://consul", "expected http://, https:// or unix://"},
      {"HTTP//consul", "host"},
      {"consul:0", "port from 1 to 65535"},
      {"consul:65536", "port from 1 to 65535"},
      {"consul:", "port from 1 to 65535"},
      {"consul:http", "port from 1 to 65535"},
      {"consul:+80", "port from 1 to 65535"},
      {"consul:80:81", "port from 1 to 65535"},
      {"con sul:80", "host"},
      {"user:password@consul:80", "port"},
      {"::1", "in brackets"},
      {"[::1", "']'"},
      {"[consul]:80", "IPv6"},
      {"[::1%]:80", "IPv6"},
      {"[::1" + std::string(1, '\0') + "]:80", "IPv6"},
      {"[::1]8500", "port"},
      {"http://consul:8500/proxy", "a path after the port"},
      {"unix://", "absolute path"},
      {"unix://run/consul.sock", "absolute path"},
      {"unix:///" + std::string(107, 'x'), "107 bytes"},
      {std::string(254, 'x'), "host"},
  };
  for (const auto& row : kRows) {
    const auto endpoint = ParseAddress(row.text);
    ASSERT_FALSE(endpoint) << row.text << " gave " << endpoint->ToString();
    EXPECT_EQ(endpoint.error().kind, base::ErrorKind::kInvalid);
    EXPECT_THAT(endpoint.error().message, testing::StartsWith("address \"" + row.text + "\": "));
    EXPECT_THAT(endpoint.error().message, testing::HasSubstr(row.message));
  }
}

}  // namespace
}  // namespace envdial::consul
