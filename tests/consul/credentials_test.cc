// SPDX-License-Identifier: Apache-2.0
#include "consul/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace envdial::consul {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

class CredentialsTest : public testing::Test {
 protected:
  CredentialsTest() {
    std::filesystem::remove_all(where_);
    std::filesystem::create_directories(where_);
  }
  ~CredentialsTest() override { std::filesystem::remove_all(where_); }

  std::string Put(const std::string& name, const std::string& text) const {
    std::ofstream(where_ + name, std::ios::trunc) << text;
    return where_ + name;
  }

  Options options_;
  const std::string where_ = testing::TempDir() + "envdial-credentials-" + std::to_string(::getpid()) + "/";
};

TEST_F(CredentialsTest, WithoutFilesTheTokenOfTheEnvironmentStays) {
  options_.token = "by-variable";
  Credentials credentials(options_);
  EXPECT_THAT(credentials.Refresh(), IsEmpty());
  EXPECT_EQ(options_.token, "by-variable");
  EXPECT_THAT(credentials.troubles(), IsEmpty());
  EXPECT_TRUE(options_.tls->ca.empty());
}

TEST_F(CredentialsTest, TheTokensFileWinsAndIsReadAgain) {
  options_.token = "by-variable";
  options_.files.token = Put("token", " by-file\n");
  Credentials credentials(options_);
  EXPECT_THAT(credentials.Refresh(), ElementsAre(where_ + "token"));
  EXPECT_EQ(options_.token, "by-file");
  EXPECT_THAT(credentials.Refresh(), IsEmpty());
  Put("token", "another");
  EXPECT_THAT(credentials.Refresh(), ElementsAre(where_ + "token"));
  EXPECT_EQ(options_.token, "another");
}

TEST_F(CredentialsTest, ATokensFileOfNoUseLeavesWhatWasInForce) {
  options_.files.token = Put("token", "good");
  Credentials credentials(options_);
  credentials.Refresh();
  for (const char* text : {"", " \n", "two words", "line\nbreak", "h\xc3\xa9"}) {
    Put("token", text);
    EXPECT_THAT(credentials.Refresh(), IsEmpty()) << text;
    EXPECT_EQ(options_.token, "good");
    EXPECT_THAT(credentials.troubles(), ElementsAre(HasSubstr("what it held before stays in force")));
  }
  Put("token", std::string(5000, 'x'));
  EXPECT_THAT(credentials.Refresh(), IsEmpty());
  std::filesystem::remove(where_ + "token");
  EXPECT_THAT(credentials.Refresh(), IsEmpty());
  EXPECT_EQ(options_.token, "good");
  Put("token", "good");
  EXPECT_THAT(credentials.Refresh(), IsEmpty());  // nothing new
  EXPECT_THAT(credentials.troubles(), IsEmpty());
}

TEST_F(CredentialsTest, ATokensFileMayComeLater) {
  options_.files.token = where_ + "token";
  Credentials credentials(options_);
  credentials.Refresh();
  EXPECT_EQ(options_.token, "");
  EXPECT_THAT(credentials.troubles(), ElementsAre(HasSubstr("No such file or directory; Consul is asked without")));
  Put("token", "late");
  EXPECT_THAT(credentials.Refresh(), ElementsAre(where_ + "token"));
  EXPECT_EQ(options_.token, "late");
}

TEST_F(CredentialsTest, WhatTheTokenIsIsNeverSaid) {
  options_.files.token = Put("token", "se cret");
  Credentials credentials(options_);
  credentials.Refresh();
  ASSERT_EQ(credentials.troubles().size(), 1u);
  EXPECT_EQ(credentials.troubles()[0].find("cret"), std::string::npos) << credentials.troubles()[0];
}

TEST_F(CredentialsTest, APipeIsReadOnce) {
  const std::string pipe = where_ + "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  options_.files.token = pipe;
  Credentials credentials(options_);
  std::thread first([&] { credentials.Refresh(); });
  std::ofstream(pipe) << "once";  // each end waits for the other
  first.join();
  EXPECT_EQ(options_.token, "once");
  EXPECT_THAT(credentials.Refresh(), IsEmpty());  // would wait for a writer for ever
  EXPECT_THAT(credentials.troubles(), IsEmpty());
}

TEST_F(CredentialsTest, FilesForTls) {
  options_.tls_options.server_name = "server.dc1.consul";
  options_.files.ca = Put("ca", kPem);
  options_.files.certificate = Put("cert", std::string("the certificate\n") + kPem);
  options_.files.key = Put("key", std::string("the key\n") + kPem);
  Credentials credentials(options_);
  credentials.Refresh();
  EXPECT_EQ(options_.tls->ca, kPem);
  EXPECT_THAT(options_.tls->certificate, HasSubstr("the certificate"));
  EXPECT_THAT(options_.tls->key, HasSubstr("the key"));
  EXPECT_EQ(options_.tls->server_name, "server.dc1.consul");
  EXPECT_TRUE(options_.tls->trouble.empty());
  const auto before = options_.tls;
  credentials.Refresh();
  EXPECT_EQ(options_.tls, before);
  Put("ca", "no PEM");
  credentials.Refresh();
  EXPECT_EQ(options_.tls->ca, kPem);
  EXPECT_TRUE(options_.tls->trouble.empty());
  EXPECT_THAT(credentials.troubles(), ElementsAre(HasSubstr("expected PEM")));
}

TEST_F(CredentialsTest, WithoutOneOfTheFilesThereIsNoConnection) {
  options_.files.ca = Put("ca", kPem);
  options_.files.certificate = where_ + "cert";
  options_.files.key = Put("key", "");
  Credentials credentials(options_);
  credentials.Refresh();
  EXPECT_THAT(options_.tls->trouble, HasSubstr("CONSUL_CLIENT_KEY"));
  EXPECT_EQ(credentials.troubles().size(), 2u);
  Put("key", kPem);
  credentials.Refresh();
  EXPECT_THAT(options_.tls->trouble, HasSubstr("CONSUL_CLIENT_CERT"));
  Put("cert", kPem);
  credentials.Refresh();
  EXPECT_EQ(options_.tls->trouble, "");
}

TEST_F(CredentialsTest, ADirectoryOfCas) {
  options_.files.ca_path = where_;
  Credentials credentials(options_);
  credentials.Refresh();
  EXPECT_THAT(options_.tls->trouble, HasSubstr("expected a file with a PEM certificate"));
  Put("a.crt", std::string("a\n") + kPem);
  Put("b", std::string("b\n") + kPem);
  std::filesystem::create_directory(where_ + "folder");
  EXPECT_THAT(credentials.Refresh(), ElementsAre(where_));
  EXPECT_EQ(options_.tls->ca, std::string("a\n") + kPem + "\nb\n" + kPem + "\n");
  EXPECT_EQ(options_.tls->trouble, "");
  Put("c", std::string("c\n") + kPem);
  EXPECT_THAT(credentials.Refresh(), ElementsAre(where_));
  EXPECT_THAT(options_.tls->ca, HasSubstr("c\n"));
}

TEST_F(CredentialsTest, AFileOfCasWinsOverADirectory) {
  options_.files.ca_path = where_ + "nowhere";
  options_.files.ca = Put("ca", kPem);
  Credentials credentials(options_);
  credentials.Refresh();
  EXPECT_EQ(options_.tls->ca, kPem);
  EXPECT_THAT(credentials.troubles(), IsEmpty());
}

}  // namespace
}  // namespace envdial::consul
