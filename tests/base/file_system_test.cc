// SPDX-License-Identifier: Apache-2.0
#include "base/file_system.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <tuple>
#include <utility>

#include "tests/base/temp_directory.h"

namespace envdial::base {
namespace {

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void Put(const std::string& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

mode_t ModeOf(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

bool ClosedOnExec(const UniqueFd& fd) { return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0; }

class FileSystemTest : public ::testing::Test {
 protected:
  TempDirectory directory_;
  std::unique_ptr<FileSystem> files_ = MakeFileSystem();
};

TEST_F(FileSystemTest, ReadsWholeFilesUpToTheirBound) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}}) {
    const std::string bytes(size, 'a');
    Put(directory_ / "f", bytes);
    EXPECT_EQ(files_->Read(directory_ / "f", size), bytes);
    if (size == 0) continue;
    const auto over = files_->Read(directory_ / "f", size - 1);
    ASSERT_FALSE(over.has_value());
    EXPECT_EQ(over.error().kind, ErrorKind::kInvalid);
    EXPECT_TRUE(over.error().message.contains(directory_ / "f")) << over.error().message;
  }
}

TEST_F(FileSystemTest, ReadsFilesWhoseSizeIsNotToldBefore) {
  const auto status = files_->Read("/proc/self/status", 1 << 20);
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(status->contains("\nSigCgt:"));
  const auto bounded = files_->Read("/proc/self/status", 10);
  ASSERT_FALSE(bounded.has_value());
  EXPECT_EQ(bounded.error().kind, ErrorKind::kInvalid);
}

TEST_F(FileSystemTest, RefusesWhatIsNoRegularFile) {
  Put(directory_ / "target", "x");
  ASSERT_EQ(::symlink("target", (directory_ / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (directory_ / "socket").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);

  for (const std::string& path :
       {directory_ / "link", directory_ / "fifo", directory_ / "socket", directory_.path(), std::string("/dev/null")}) {
    const auto read = files_->Read(path, 100);
    ASSERT_FALSE(read.has_value()) << path;
    EXPECT_EQ(read.error().kind, ErrorKind::kInvalid) << read.error().message;
    EXPECT_TRUE(read.error().message.contains(path)) << read.error().message;
  }
}

TEST_F(FileSystemTest, TellsWhichOperationFailedOnWhichPath) {
  const std::string missing = directory_ / "no" + "/f";
  const auto read = files_->Read(missing, 1);
  EXPECT_EQ(read.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(read.error().message, "open " + missing + ": No such file or directory");
  const auto created = files_->Create(missing, "x", {});
  EXPECT_EQ(created.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(created.error().message, "create " + missing + ": No such file or directory");
  const auto removed = files_->Remove(missing);
  EXPECT_EQ(removed.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(removed.error().message, "remove " + missing + ": No such file or directory");
  const auto renamed = files_->Rename(missing, directory_ / "g");
  EXPECT_EQ(renamed.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(renamed.error().message, "rename " + missing + " to " + (directory_ / "g") + ": No such file or directory");
  const auto opened = files_->OpenDirectory(missing);
  EXPECT_EQ(opened.error().kind, ErrorKind::kNotFound);
  Put(directory_ / "f", "");
  EXPECT_FALSE(files_->OpenDirectory(directory_ / "f").has_value());
}

TEST_F(FileSystemTest, CreateGivesExactlyTheRightsAsked) {
  const mode_t before = ::umask(077);
  for (const mode_t mode : {0600U, 0640U, 0644U, 0666U, 0400U}) {
    const auto fd = files_->Create(directory_ / "f", "abc", {.mode = mode, .group = ::getgid()});
    ASSERT_TRUE(fd.has_value()) << fd.error().message;
    EXPECT_TRUE(ClosedOnExec(*fd));
    EXPECT_EQ(ModeOf(directory_ / "f"), mode);
    EXPECT_EQ(Slurp(directory_ / "f"), "abc");
    EXPECT_EQ(::fsync(fd->get()), 0);
    ASSERT_TRUE(files_->Remove(directory_ / "f").has_value());
  }
  ::umask(before);
}

TEST_F(FileSystemTest, CreateGivesTheGroupAsked) {
  // Root may give any group, others one of their own.
  gid_t group = 12345;
  if (::geteuid() != 0) group = ::getegid();
  const auto fd = files_->Create(directory_ / "f", "abc", {.mode = 0640, .group = group});
  ASSERT_TRUE(fd.has_value()) << fd.error().message;
  struct stat status{};
  ASSERT_EQ(::fstat(fd->get(), &status), 0);
  EXPECT_EQ(status.st_gid, group);
  EXPECT_EQ(status.st_mode & 07777, mode_t{0640});
}

TEST_F(FileSystemTest, CreateNeverTouchesWhatIsThere) {
  Put(directory_ / "f", "old");
  ASSERT_EQ(::symlink((directory_ / "elsewhere").c_str(), (directory_ / "link").c_str()), 0);
  EXPECT_FALSE(files_->Create(directory_ / "f", "new", {}).has_value());
  EXPECT_FALSE(files_->Create(directory_ / "link", "new", {}).has_value());
  EXPECT_EQ(Slurp(directory_ / "f"), "old");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "elsewhere"));
}

// A file that can't be written to its end, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
    ::signal(SIGXFSZ, SIG_IGN);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_{};
};

TEST_F(FileSystemTest, AFailedWriteLeavesNothing) {
  const FileSizeLimit limit(1000);
  const auto fd = files_->Create(directory_ / "f", std::string(2000, 'x'), {});
  ASSERT_FALSE(fd.has_value());
  EXPECT_EQ(fd.error().kind, ErrorKind::kIo);
  EXPECT_EQ(fd.error().message, "write " + (directory_ / "f") + ": File too large");
  EXPECT_EQ(directory_.size(), 0U);
}

TEST_F(FileSystemTest, OverwritesTheOpenFile) {
  const auto fd = files_->Create(directory_ / "f", "middle", {});
  ASSERT_TRUE(fd.has_value());
  for (const std::string& bytes :
       {std::string("equals"), std::string("shorter"), std::string(), std::string(100'000, 'y'), std::string("z")}) {
    const auto written = files_->OverwriteOpen(*fd, directory_ / "f", bytes, {});
    ASSERT_TRUE(written.has_value()) << written.error().message;
    EXPECT_EQ(Slurp(directory_ / "f"), bytes);
  }
  const FileSizeLimit limit(1000);
  const auto written = files_->OverwriteOpen(*fd, directory_ / "f", std::string(2000, 'x'), {});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().message, "write " + (directory_ / "f") + ": File too large");
}

TEST_F(FileSystemTest, DoesNotOverwriteTheOpenFileThatOthersHaveAWayTo) {
  const std::string path = directory_ / "f";
  const std::function<void()> harms[] = {[&] { ASSERT_EQ(::unlink(path.c_str()), 0); },
                                         [&] {
                                           Put(directory_ / "theirs", "theirs");
                                           ASSERT_EQ(::rename((directory_ / "theirs").c_str(), path.c_str()), 0);
                                         },
                                         [&] { ASSERT_EQ(::link(path.c_str(), (directory_ / "more").c_str()), 0); },
                                         [&] { ASSERT_EQ(::chmod(path.c_str(), 0666), 0); }};
  for (const auto& harm : harms) {
    const auto fd = files_->Create(path, "before", {});
    ASSERT_TRUE(fd.has_value()) << fd.error().message;
    harm();
    const std::string before = Slurp(path);
    const auto written = files_->OverwriteOpen(*fd, path, "ours", {});
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().kind, ErrorKind::kInvalid) << written.error().message;
    EXPECT_EQ(Slurp(path), before);
    std::ignore = ::unlink(path.c_str());
  }
}

TEST_F(FileSystemTest, OverwritesInPlaceAndCutsOffWhatIsLonger) {
  ASSERT_TRUE(files_->Create(directory_ / "f", "middle", {}).has_value());
  const UniqueFd reader(::open((directory_ / "f").c_str(), O_RDONLY | O_CLOEXEC));
  for (const std::string& bytes : {std::string("equals"), std::string("shorter"), std::string("x"), std::string(),
                                   std::string(100'000, 'y'), std::string(10, 'z')}) {
    const auto fd = files_->Overwrite(directory_ / "f", bytes, {});
    ASSERT_TRUE(fd.has_value()) << fd.error().message;
    EXPECT_TRUE(ClosedOnExec(*fd));
    EXPECT_EQ(Slurp(directory_ / "f"), bytes);
    EXPECT_EQ(::fsync(fd->get()), 0);
    struct stat written{};
    struct stat read{};
    ASSERT_EQ(::fstat(fd->get(), &written), 0);
    ASSERT_EQ(::fstat(reader.get(), &read), 0);
    EXPECT_EQ(written.st_ino, read.st_ino) << "it is another file";
  }
}

TEST_F(FileSystemTest, OverwritesOnlyFilesOfItsOwn) {
  for (const char* name : {"target", "shared", "open"}) ASSERT_TRUE(files_->Create(directory_ / name, "old", {}));
  ASSERT_EQ(::symlink("target", (directory_ / "link").c_str()), 0);
  ASSERT_EQ(::link((directory_ / "shared").c_str(), (directory_ / "second").c_str()), 0);
  ASSERT_EQ(::chmod((directory_ / "open").c_str(), 0644), 0);
  ASSERT_EQ(::mkdir((directory_ / "folder").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((directory_ / "read").c_str(), 0600), 0);
  const UniqueFd reader(::open((directory_ / "read").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  for (const char* name : {"link", "shared", "second", "open", "folder", "fifo", "read"}) {
    const auto fd = files_->Overwrite(directory_ / name, "new", {});
    ASSERT_FALSE(fd.has_value()) << name;
    EXPECT_EQ(fd.error().kind, ErrorKind::kInvalid) << fd.error().message;
    EXPECT_TRUE(fd.error().message.contains(directory_ / name)) << fd.error().message;
  }
  for (const char* name : {"target", "shared", "open"}) EXPECT_EQ(Slurp(directory_ / name), "old") << name;
  const auto missing = files_->Overwrite(directory_ / "none", "new", {});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  const gid_t other = ::getegid() + 1;
  EXPECT_FALSE(files_->Overwrite(directory_ / "target", "new", {.mode = 0600, .group = other}).has_value());
}

TEST_F(FileSystemTest, OverwritingTellsWhenItCouldNotWriteAll) {
  ASSERT_TRUE(files_->Create(directory_ / "f", "old", {}).has_value());
  const FileSizeLimit limit(1000);
  const auto fd = files_->Overwrite(directory_ / "f", std::string(2000, 'x'), {});
  ASSERT_FALSE(fd.has_value());
  EXPECT_EQ(fd.error().kind, ErrorKind::kIo);
  EXPECT_EQ(fd.error().message, "write " + (directory_ / "f") + ": File too large");
}

TEST_F(FileSystemTest, ExchangesTwoNames) {
  Put(directory_ / "a", "one");
  Put(directory_ / "b", "two");
  const auto exchanged = files_->Exchange(directory_ / "a", directory_ / "b");
  ASSERT_TRUE(exchanged.has_value()) << exchanged.error().message;
  EXPECT_EQ(Slurp(directory_ / "a"), "two");
  EXPECT_EQ(Slurp(directory_ / "b"), "one");
  for (const auto& [a, b] : {std::pair("a", "none"), std::pair("none", "a")}) {
    const auto failed = files_->Exchange(directory_ / a, directory_ / b);
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().kind, ErrorKind::kNotFound) << failed.error().message;
  }
  EXPECT_EQ(Slurp(directory_ / "a"), "two");
}

TEST_F(FileSystemTest, SaysWhatCannotBeExchanged) {
  // EINVAL, which is also what a file system says that has no exchange.
  ASSERT_EQ(::mkdir((directory_ / "d").c_str(), 0700), 0);
  ASSERT_EQ(::mkdir((directory_ / "d/inner").c_str(), 0700), 0);
  const auto failed = files_->Exchange(directory_ / "d", directory_ / "d/inner");
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().kind, ErrorKind::kUnavailable) << failed.error().message;
}

TEST_F(FileSystemTest, OpensDirectoriesForSyncing) {
  const auto fd = files_->OpenDirectory(directory_.path());
  ASSERT_TRUE(fd.has_value());
  EXPECT_TRUE(ClosedOnExec(*fd));
  EXPECT_EQ(::fsync(fd->get()), 0);
}

}  // namespace
}  // namespace envdial::base
