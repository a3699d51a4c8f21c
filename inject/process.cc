// SPDX-License-Identifier: Apache-2.0
#include "inject/process.h"

#include <dirent.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <utility>

#include "base/file_system.h"

namespace envdial::inject {
namespace {

using base::ErrnoError;
using base::ErrorKind;
using base::Fail;
using base::Result;

constexpr std::size_t kMaxProcBytes = 64 * 1024;  // stat has hundreds of bytes, status some thousand
// Where the state, the parent and the start time stand in /proc/PID/stat, counted from what follows the name.
constexpr std::size_t kParentField = 1;
constexpr std::size_t kStartField = 19;

template <typename T>
std::optional<T> ToNumber(std::string_view text, int base = 10) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The field with this index of `text`, whose fields stand between single separators.
std::string_view Field(std::string_view text, std::size_t index, char separator) {
  for (; index > 0; --index) {
    const std::size_t end = text.find(separator);
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find_first_of(std::array{separator, '\n'}.data(), 0, 2));
}

// What follows "name:\t" on its line.
std::string_view Line(std::string_view text, std::string_view name) {
  const std::string start = "\n" + std::string(name) + ":\t";
  const std::size_t found = text.find(start);
  if (found == std::string_view::npos) return {};
  text.remove_prefix(found + start.size());
  return text.substr(0, text.find('\n'));
}

std::string Printable(std::string_view text) {
  std::string shown(text);
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

// By number: the <sys/pidfd.h> of glibc 2.36 cannot be used from C++.
int OpenPidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

std::string Named(pid_t pid) { return "process " + std::to_string(pid); }

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view text, long ticks_per_second) {
  // The name may hold anything, ")" and line feeds too; after it come only numbers and the letter of the state.
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close <= open) return std::nullopt;
  const std::string_view rest = text.substr(close + 2);
  const auto parent = ToNumber<pid_t>(Field(rest, kParentField, ' '));
  const auto ticks = ToNumber<std::int64_t>(Field(rest, kStartField, ' '));
  if (!parent || !ticks || *ticks < 0 || ticks_per_second <= 0) return std::nullopt;
  const std::chrono::nanoseconds started =
      std::chrono::seconds(*ticks / ticks_per_second) +
      std::chrono::nanoseconds(std::chrono::seconds(1)) * (*ticks % ticks_per_second) / ticks_per_second;
  return ProcessStat{Printable(text.substr(open + 1, close - open - 1)), *parent, started};
}

std::optional<ProcessStatus> ParseProcessStatus(std::string_view text) {
  const auto caught = ToNumber<std::uint64_t>(Line(text, "SigCgt"), 16);
  const auto ignored = ToNumber<std::uint64_t>(Line(text, "SigIgn"), 16);
  const auto blocked = ToNumber<std::uint64_t>(Line(text, "SigBlk"), 16);
  const auto user = ToNumber<uid_t>(Field(Line(text, "Uid"), 0, '\t'));
  if (!caught || !ignored || !blocked || !user) return std::nullopt;
  return ProcessStatus{*caught, *ignored, *blocked, *user};
}

Result<Process> Process::Open(pid_t pid) {
  base::UniqueFd fd(OpenPidfd(pid));
  if (fd) return Process(pid, std::move(fd));
  const int code = errno;
  if (code == ESRCH) return Fail(ErrorKind::kNotFound, "there is no " + Named(pid));
  return std::unexpected(ErrnoError(
      code, "open a pidfd of " + Named(pid) + " (needs Linux 5.3 and a seccomp profile that allows pidfd_open)"));
}

bool Process::ended() const {
  pollfd watched{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) == 1;
}

Result<std::string> Process::Read(const char* file) const {
  auto text = base::MakeFileSystem()->Read("/proc/" + std::to_string(pid_) + "/" + file, kMaxProcBytes);
  if (ended()) return Fail(ErrorKind::kNotFound, Named(pid_) + " has ended");
  if (text) return text;
  const ErrorKind kind = text.error().kind;
  if (kind != ErrorKind::kNotFound && kind != ErrorKind::kDenied) return text;
  return Fail(ErrorKind::kDenied, Named(pid_) +
                                      " lives, but /proc hides it (is it mounted with hidepid, or of another "
                                      "PID namespace?), so that nobody can tell what a signal would do to it");
}

Result<ProcessStat> Process::Stat() const {
  const auto text = Read("stat");
  if (!text) return std::unexpected(text.error());
  if (auto stat = ParseProcessStat(*text, ::sysconf(_SC_CLK_TCK))) return std::move(*stat);
  return Fail(ErrorKind::kCorrupt, "/proc/" + std::to_string(pid_) + "/stat is not as proc(5) says");
}

Result<ProcessStatus> Process::Status() const {
  const auto text = Read("status");
  if (!text) return std::unexpected(text.error());
  if (auto status = ParseProcessStatus(*text)) return *status;
  return Fail(ErrorKind::kCorrupt, "/proc/" + std::to_string(pid_) + "/status is not as proc(5) says");
}

Result<void> Process::Signal(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) == 0) return {};
  const int code = errno;
  if (code == ESRCH) return Fail(ErrorKind::kNotFound, Named(pid_) + " has ended");
  return std::unexpected(ErrnoError(code, "signal " + Named(pid_)));
}

std::optional<bool> RunsOneOf(pid_t pid, const std::vector<std::string>& paths) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = "/proc/" + std::to_string(pid) + "/exe";
  const ssize_t size = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EACCES || errno == EPERM)) return std::nullopt;
  if (size < 0) return false;
  constexpr std::string_view kDeleted = " (deleted)";
  std::string_view exe(buffer.data(), static_cast<std::size_t>(size));
  if (std::ranges::find(paths, exe) != paths.end()) return true;
  if (!exe.ends_with(kDeleted)) return false;
  exe.remove_suffix(kDeleted.size());
  return std::ranges::find(paths, exe) != paths.end();
}

Result<ExeScan> ScanByExe(const std::vector<std::string>& paths) {
  const std::unique_ptr<DIR, DirectoryCloser> proc(::opendir("/proc"));
  if (!proc) return std::unexpected(ErrnoError(errno, "look for processes in /proc"));
  ExeScan scan;
  const pid_t own = ::getpid();
  errno = 0;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = ToNumber<pid_t>(entry->d_name);
    if (!pid || *pid == own) continue;
    const std::optional<bool> runs = RunsOneOf(*pid, paths);
    if (!runs) scan.some_unseen = true;
    if (runs.value_or(false)) scan.pids.push_back(*pid);
    errno = 0;
  }
  if (errno != 0) return std::unexpected(ErrnoError(errno, "look for processes in /proc"));
  return scan;
}

}  // namespace envdial::inject
