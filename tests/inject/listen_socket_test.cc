// SPDX-License-Identifier: Apache-2.0
#include "inject/listen_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/base/temp_directory.h"

namespace envdial::inject {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::UniqueFd;
using testing::HasSubstr;

class ListenOnPathTest : public testing::Test {
 protected:
  static bool CanConnect(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  }

  const base::TempDirectory temporary_;
  const std::string dir_ = temporary_.path();
  const std::string path_ = dir_ + "/control.sock";
};

TEST_F(ListenOnPathTest, HasTheRightsAskedForWhateverTheUmask) {
  for (const mode_t mode : {0600U, 0660U, 0666U}) {
    for (const mode_t umask : {0U, 022U, 0777U}) {
      const mode_t before = ::umask(umask);
      const auto fd = ListenOnPath(path_, {.mode = mode, .group = ::getegid()});
      EXPECT_EQ(::umask(before), umask) << "the umask was not restored";
      ASSERT_TRUE(fd) << fd.error().message;
      struct stat status{};
      ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
      EXPECT_TRUE(S_ISSOCK(status.st_mode));
      EXPECT_EQ(status.st_mode & 07777, mode);
      EXPECT_EQ(status.st_gid, ::getegid());
      EXPECT_TRUE(CanConnect(path_));
    }
  }
}

TEST_F(ListenOnPathTest, GivesTheGroup) {
  const gid_t group = ::geteuid() == 0 ? 4242 : ::getegid();
  const auto fd = ListenOnPath(path_, {.mode = 0660, .group = group});
  ASSERT_TRUE(fd) << fd.error().message;
  struct stat status{};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_gid, group);
  EXPECT_EQ(status.st_mode & 07777, 0660U);
}

TEST_F(ListenOnPathTest, ReplacesAStaleSocketAndWhatAKilledOneLeft) {
  {
    ASSERT_TRUE(ListenOnPath(path_, {}));
  }
  ASSERT_TRUE(fs::exists(path_));
  ASSERT_FALSE(CanConnect(path_));
  std::ofstream(dir_ + "/control.soc~") << "left";
  const auto fd = ListenOnPath(path_, {});
  ASSERT_TRUE(fd) << fd.error().message;
  EXPECT_TRUE(CanConnect(path_));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1) << "something was left";
}

TEST_F(ListenOnPathTest, ReplacesALinkAndNotWhatItPointsTo) {
  const std::string target = dir_ + "/target";
  std::ofstream(target) << "precious";
  ASSERT_EQ(::chmod(target.c_str(), 0600), 0);
  fs::create_symlink(target, path_);
  fs::create_symlink(target, dir_ + "/control.soc~");
  ASSERT_TRUE(ListenOnPath(path_, {.mode = 0666, .group = std::nullopt}));
  struct stat status{};
  ASSERT_EQ(::stat(target.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(status.st_size, 8);
}

TEST_F(ListenOnPathTest, TakesAPathOfTheFullLengthAndRefusesALongerOne) {
  const std::string longest = dir_ + "/" + std::string(107 - dir_.size() - 1, 's');
  const auto fd = ListenOnPath(longest, {});
  ASSERT_TRUE(fd) << fd.error().message;
  EXPECT_TRUE(CanConnect(longest));
  const auto refused = ListenOnPath(longest + "s", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("has 108 bytes, and a socket's may have 107"));
}

TEST_F(ListenOnPathTest, SaysWhatFailed) {
  const auto nowhere = ListenOnPath(dir_ + "/nowhere/control.sock", {});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(ListenOnPath("", {}));
  EXPECT_FALSE(ListenOnPath(dir_ + "/", {}));
  fs::create_directory(path_);
  EXPECT_FALSE(ListenOnPath(path_, {}));
  EXPECT_FALSE(fs::exists(dir_ + "/control.soc~"));
}

TEST(ListenOnAddress, TakesLiteralAddresses) {
  for (const char* address : {"127.0.0.1:0", ":0", "0.0.0.0:0"}) {
    const auto fd = ListenOnAddress(address);
    EXPECT_TRUE(fd) << address << ": " << fd.error().message;
  }
}

TEST(ListenOnAddress, RefusesWhatIsNone) {
  for (const char* address : {"", "9102", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
                              "127.0.0.1:91 02", "localhost:9102", "example.org:9102", "::1:9102", "[::1:9102",
                              "[]:9102", "[127.0.0.1]x:9102", "127.0.0.256:9102"}) {
    const auto fd = ListenOnAddress(address);
    ASSERT_FALSE(fd) << address;
    EXPECT_EQ(fd.error().kind, ErrorKind::kInvalid) << address;
    EXPECT_THAT(fd.error().message, HasSubstr("127.0.0.1:9102")) << "an example helps";
  }
}

TEST(ListenOnAddress, SaysThatAPortIsTaken) {
  const auto first = ListenOnAddress("127.0.0.1:0");
  ASSERT_TRUE(first);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ASSERT_EQ(::getsockname(first->get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
  const std::uint16_t port = ntohs(reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  const auto second = ListenOnAddress("127.0.0.1:" + std::to_string(port));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kIo);
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace envdial::inject
