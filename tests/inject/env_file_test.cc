// SPDX-License-Identifier: Apache-2.0
#include "inject/env_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "inject/injector.h"
#include "tests/base/temp_directory.h"

namespace envdial::inject {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using testing::HasSubstr;

// One dial for each value, D0, D1, …; none: no value yet.
struct Made {
  std::vector<base::DialInfo> dials;
  base::Snapshot snapshot;
};

Made Make(const std::vector<std::optional<std::string>>& values) {
  Made made;
  made.snapshot.version = 1;
  for (const auto& value : values) {
    made.dials.push_back({.name = "D" + std::to_string(made.dials.size()),
                          .type = "string",
                          .unit = "",
                          .source_kind = "consul",
                          .source_key = "k",
                          .secret = false});
    made.snapshot.dials.push_back({});
    made.snapshot.dials.back().value = value;
  }
  return made;
}

class EnvFileTest : public testing::Test {
 protected:
  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  struct stat Status() const {
    struct stat status{};
    EXPECT_EQ(::stat(path_.c_str(), &status), 0);
    return status;
  }

  const base::TempDirectory temporary_;
  const std::string dir_ = temporary_.path();
  const std::string path_ = dir_ + "/env";
  std::unique_ptr<base::FileSystem> files_ = base::MakeFileSystem();
};

TEST(FormatEnvFile, WritesOneQuotedLineADial) {
  const Made made = Make({"500", std::nullopt, "", "a b"});
  EXPECT_EQ(FormatEnvFile(made.dials, made.snapshot), "D0='500'\nD2=''\nD3='a b'\n");
}

TEST_F(EnvFileTest, HasTheRightsAskedForWhateverTheUmask) {
  const mode_t umask = ::umask(0077);
  EnvFile file(*files_, path_, {.mode = 0644, .group = ::getegid()});
  const auto written = file.Write("A='1'\n");
  ::umask(umask);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_TRUE(*written);
  EXPECT_EQ(Content(), "A='1'\n");
  EXPECT_EQ(Status().st_mode & 07777, 0644U);
  EXPECT_EQ(Status().st_gid, ::getegid());
}

TEST_F(EnvFileTest, IsReplacedOnlyByAChange) {
  EnvFile file(*files_, path_, {.mode = 0640, .group = std::nullopt});
  ASSERT_TRUE(file.Write("A='1'\n"));
  const ino_t first = Status().st_ino;
  EXPECT_EQ(file.Write("A='1'\n"), false);
  EXPECT_EQ(Status().st_ino, first);
  EXPECT_EQ(file.Write("A='2'\n"), true);
  EXPECT_NE(Status().st_ino, first);
  EXPECT_EQ(Content(), "A='2'\n");
}

TEST_F(EnvFileTest, IsLeftAloneByARestartWithEqualValues) {
  ASSERT_TRUE(EnvFile(*files_, path_, {.mode = 0640, .group = std::nullopt}).Write("A='1'\n"));
  const ino_t first = Status().st_ino;
  EnvFile restarted(*files_, path_, {.mode = 0640, .group = std::nullopt});
  EXPECT_EQ(restarted.Write("A='1'\n"), false);
  EXPECT_EQ(Status().st_ino, first);
  EXPECT_EQ(restarted.Write("A='2'\n"), true);
}

TEST_F(EnvFileTest, IsReplacedByARestartWhereAnythingDiffers) {
  const struct {
    std::string name, found;
    mode_t mode;
  } cases[] = {{"shorter", "A='1'", 0640}, {"longer", "A='1'\n\n", 0640},    {"other value", "A='2'\n", 0640},
               {"empty", "", 0640},        {"more rights", "A='1'\n", 0644}, {"fewer rights", "A='1'\n", 0600}};
  for (const auto& [name, found, mode] : cases) {
    std::ofstream(path_, std::ios::binary) << found;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    EXPECT_EQ(EnvFile(*files_, path_, {.mode = 0640, .group = std::nullopt}).Write("A='1'\n"), true) << name;
    EXPECT_EQ(Content(), "A='1'\n") << name;
    EXPECT_EQ(Status().st_mode & 07777, 0640U) << name;
  }
}

TEST_F(EnvFileTest, ReplacesALinkAndNotWhatItPointsTo) {
  const std::string target = dir_ + "/target";
  std::ofstream(target) << "A='1'\n";
  fs::create_symlink(target, path_);
  ASSERT_TRUE(EnvFile(*files_, path_, {.mode = 0640, .group = std::nullopt}).Write("A='1'\n"));
  EXPECT_FALSE(fs::is_symlink(path_));
  EXPECT_TRUE(fs::exists(target));
}

TEST_F(EnvFileTest, IsTriedAgainAfterAFailure) {
  EnvFile file(*files_, dir_ + "/later/env", {.mode = 0640, .group = std::nullopt});
  const auto failed = file.Write("A='1'\n");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(failed.error().message, HasSubstr("write env file"));
  fs::create_directory(dir_ + "/later");
  EXPECT_EQ(file.Write("A='1'\n"), true);
}

TEST_F(EnvFileTest, WhatWasRemovedReplacedOrChangedIsWrittenAgain) {
  const Made made = Make({"500"});
  const std::string text = FormatEnvFile(made.dials, made.snapshot);
  EnvFile file(*files_, path_, {.mode = 0640, .group = std::nullopt});
  EXPECT_TRUE(file.intact()) << "nothing was written yet";
  ASSERT_TRUE(*file.Write(text));
  EXPECT_TRUE(file.intact());
  const std::function<void()> harms[] = {
      [&] { fs::remove(path_); },
      [&] { fs::rename(path_, path_ + ".away"); },
      [&] { std::ofstream(path_) << "D0='600'\n"; },
      [&] { std::ofstream(path_, std::ios::app) << "#"; },
      [&] {
        fs::remove_all(dir_);
        fs::create_directory(dir_);
      },
  };
  for (const auto& harm : harms) {
    harm();
    EXPECT_FALSE(file.intact());
    EXPECT_TRUE(file.Write(text).value_or(false));
    EXPECT_TRUE(file.intact());
    EXPECT_EQ(Content(), text);
  }
}

// What `shell` hands to a program after reading the file, by name.
std::string ReadBy(const std::string& shell, const std::string& path, const std::string& name) {
  const std::string command = shell + " -c 'set -a; . \"$1\"; printenv -0 \"$2\"' - " + path + " " + name;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), got);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  EXPECT_TRUE(output.ends_with('\0'));
  return output.substr(0, output.find('\0'));
}

// systemd and the kubelet cannot run here; their reading of the same lines is told in docs/env-file.md.
TEST_F(EnvFileTest, IsReadByShellsAsItWasMeant) {
  const std::vector<std::optional<std::string>> values = {"500",
                                                          "",
                                                          " leading and trailing ",
                                                          "two\nlines",
                                                          "trailing newline\n",
                                                          "\n\n",
                                                          "back\\slash \\n \\\\",
                                                          "trailing backslash\\",
                                                          "line\\\ncontinued?",
                                                          "\"double\"",
                                                          "$HOME ${HOME} $(id) `id`",
                                                          "# no comment",
                                                          "a # b; c & d | e > f * ? [x] {a,b} !! ~",
                                                          "tab\tand = signs = here",
                                                          "ünïcödé € \xF0\x9F\x90\x8B",
                                                          R"({"json": ["a", 1, null]})",
                                                          std::string(32 * 1024, 'x')};
  const Made made = Make(values);
  ASSERT_TRUE(EnvFile(*files_, path_, {}).Write(FormatEnvFile(made.dials, made.snapshot)));
  for (const char* shell : {"dash", "bash", "bash --posix"}) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(ReadBy(shell, path_, made.dials[i].name), *values[i]) << shell;
    }
  }
}

}  // namespace
}  // namespace envdial::inject
