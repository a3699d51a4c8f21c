// SPDX-License-Identifier: Apache-2.0
#include "sidecar/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>
#include <string_view>

namespace envdial::sidecar {
namespace {

constexpr int kCannotExecute = 126;  // of POSIX' shell, 2.8.2
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;
constexpr rlim_t kMaxClosedOneByOne = 65'536;  // where close_range is not to be had; we never open as many

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<int> OpenDescriptors() {
  std::vector<int> found;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir("/proc/self/fd"));
  if (!directory) return found;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name(static_cast<const char*>(entry->d_name));
    int fd = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), fd);
    if (error == std::errc() && fd > STDERR_FILENO && fd != ::dirfd(directory.get())) found.push_back(fd);
  }
  return found;
}

// All that follows runs between fork and exec: no allocation, nothing that could wait for a lock.

void CloseOnExec(const Inherited& inherited) {
  if (::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {  // before Linux 5.11, or a seccomp filter's no
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    const int end = static_cast<int>(std::min(files.rlim_cur, kMaxClosedOneByOne));
    for (int fd = STDERR_FILENO + 1; fd < end; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  for (const int fd : inherited.descriptors) ::fcntl(fd, F_SETFD, 0);
}

void ResetSignals(const Inherited& inherited) {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  for (const int signal : inherited.ignored) ::signal(signal, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void Say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // nobody is left to be told
}

struct Prepared {
  std::vector<char*> arguments;
  std::vector<char*> environment;
  bool own_group = false;
  int death_signal = 0;
  pid_t parent = 0;
};

[[noreturn]] void Become(const Prepared& prepared, const Inherited& inherited) {
  if (prepared.own_group) ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, prepared.death_signal, 0UL, 0UL, 0UL);
  if (::getppid() != prepared.parent) ::_exit(kSignalled + prepared.death_signal);  // it died before it was asked for
  CloseOnExec(inherited);
  ::setrlimit(RLIMIT_NOFILE, &inherited.files);  // may be lower than what is open
  ResetSignals(inherited);
  ::execvpe(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  const int code = errno;
  Say("envdial: start ");
  Say(prepared.arguments[0]);
  Say(": ");
  Say(::strerrordesc_np(code));
  Say("\n");
  ::_exit(code == ENOENT ? kNotFound : kCannotExecute);
}

// As execve(2) takes them; they point into `texts`.
std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Inherited Inherited::Read() {
  Inherited inherited;
  for (const int fd : OpenDescriptors()) {
    if ((::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) inherited.descriptors.push_back(fd);
  }
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) inherited.ignored.push_back(signal);
  }
  ::getrlimit(RLIMIT_NOFILE, &inherited.files);
  return inherited;
}

std::vector<std::string> MakeEnvironment(const char* const* inherited, const std::map<std::string, std::string>& dials,
                                         const std::string& run_dir, const std::string& preload) {
  constexpr const char* kPreload = "LD_PRELOAD";
  std::map<std::string, std::string> ours = dials;
  ours["ENVDIAL_RUN_DIR"] = run_dir;
  if (!preload.empty()) ours[kPreload] = preload;
  std::vector<std::string> environment;
  for (; *inherited != nullptr; ++inherited) {
    const std::string entry(*inherited);
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    if (!ours.contains(name)) environment.push_back(entry);
    if (name != kPreload || preload.empty() || equals == std::string::npos) continue;
    if (equals + 1 < entry.size()) ours[kPreload] = preload + ":" + entry.substr(equals + 1);
  }
  for (const auto& [name, value] : ours) environment.emplace_back(name).append("=").append(value);
  return environment;
}

base::Result<Child> Child::Start(Launch launch, const Inherited& inherited) {
  assert(!launch.command.empty());
  const Prepared prepared{.arguments = Pointers(launch.command),
                          .environment = Pointers(launch.environment),
                          .own_group = launch.own_group,
                          .death_signal = launch.death_signal,
                          .parent = ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return std::unexpected(base::ErrnoError(errno, "start " + launch.command[0] + ": fork"));
  if (pid == 0) Become(prepared, inherited);
  // Here too, so that it is so by the time we signal the group; it fails where the child was first.
  if (launch.own_group) ::setpgid(pid, pid);
  return Child(pid, launch.own_group);
}

void Child::Signal(int signal) const { ::kill(pid_, signal); }

void Child::Kill() const {
  if (own_group_) ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);  // it may have left its group
}

bool Child::left_somebody() const { return own_group_ && (::kill(-pid_, 0) == 0 || errno != ESRCH); }

std::optional<Ended> NextEnded() {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return std::nullopt;
  return Ended{info.si_pid, info.si_code == CLD_EXITED ? info.si_status : kSignalled + info.si_status};
}

void Reap(pid_t pid) {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
}

}  // namespace envdial::sidecar
