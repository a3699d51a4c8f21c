// SPDX-License-Identifier: Apache-2.0
#include "tests/support/real_consul.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

namespace envdial::test {
namespace {

using base::ErrnoError;
using base::ErrorKind;
using base::Fail;
using base::Result;

constexpr std::chrono::seconds kMaxStart{30};  // on a busy machine; one alone takes two
constexpr int kMaxStarts = 3;                  // where another process took one of the ports meanwhile
constexpr std::chrono::milliseconds kProbeEvery{50};
constexpr long kMaxCallSeconds = 10;

bool IsExecutable(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

std::string InCache(const std::string& path) {
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.cache/envdial/" + path;
}

Result<std::string> FindOldBinary() {
  const char* given = std::getenv("ENVDIAL_OLD_CONSUL");
  const std::string path = given != nullptr && *given != '\0' ? given : InCache("consul-1.8.7/usr/bin/consul");
  if (IsExecutable(path)) return path;
  return Fail(ErrorKind::kNotFound, "no old Consul at " + path + " (ENVDIAL_OLD_CONSUL); script/setup gets one");
}

Result<std::string> FindBinary() {
  if (const char* given = std::getenv("ENVDIAL_CONSUL"); given != nullptr && *given != '\0') {
    if (IsExecutable(given)) return given;
    return Fail(ErrorKind::kNotFound, "ENVDIAL_CONSUL names no executable: " + std::string(given));
  }
  const char* path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    if (!directory.empty() && IsExecutable(directory + "/consul")) return directory + "/consul";
  }
  const std::string kept = InCache("consul-1.20.6/consul");
  if (IsExecutable(kept)) return kept;
  return Fail(ErrorKind::kNotFound, "no Consul: neither ENVDIAL_CONSUL nor the PATH has one, and there is no " + kept +
                                        "; script/setup gets one");
}

// Below the ports that the kernel gives to outgoing connections, and those of tests/support/processes.py.
constexpr int kFirstPort = 9000;
constexpr int kPorts = 3000;
constexpr int kPortsEach = 8;  // of a test process; each begins elsewhere, so that tests at the same time rarely meet

bool IsFree(int port, int type) {
  const base::UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// A port on which nobody listens now, by TCP or UDP, and that this process was not given before.
std::uint16_t FreePort() {
  static int next = ::getpid() * kPortsEach % kPorts;
  for (int tried = 0; tried < kPorts; ++tried) {
    const int port = kFirstPort + next;
    next = (next + 1) % kPorts;
    if (IsFree(port, SOCK_STREAM) && IsFree(port, SOCK_DGRAM)) return static_cast<std::uint16_t>(port);
  }
  return 0;
}

struct Answer {
  long status = 0;
  std::string body;
};

std::size_t Append(char* bytes, std::size_t, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(bytes, count);
  return count;
}

// One HTTP call that must be answered with 200.
Result<std::string> Call(const std::string& method, const std::string& url, const std::string& body) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  Answer answer;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, kMaxCallSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  if (method == "PUT") {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl.get(), CURLOPT_COPYPOSTFIELDS, body.c_str());
  }
  const std::string context = method + " " + url;
  if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK) {
    return Fail(ErrorKind::kUnavailable, context + ": " + curl_easy_strerror(code));
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  if (answer.status == 200) return answer.body;
  return Fail(ErrorKind::kUnavailable, context + ": " + std::to_string(answer.status) + " " + answer.body);
}

Result<void> WithoutAnswer(Result<std::string> answer) {
  if (!answer) return std::unexpected(std::move(answer.error()));
  return {};
}

std::string Tail(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.substr(all.size() - std::min<std::size_t>(all.size(), 2'000));
}

}  // namespace

RealConsul::RealConsul(std::string binary, std::filesystem::path directory, Ports ports)
    : binary_(std::move(binary)), directory_(std::move(directory)), ports_(ports) {}

RealConsul::RealConsul(RealConsul&& other) noexcept
    : binary_(std::move(other.binary_)),
      directory_(std::exchange(other.directory_, {})),
      ports_(other.ports_),
      has_grpc_tls_(other.has_grpc_tls_),
      pid_(std::exchange(other.pid_, 0)),
      process_(std::move(other.process_)) {}

RealConsul::~RealConsul() {
  if (directory_.empty()) return;  // moved from
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Result<RealConsul> RealConsul::Start(Age age) {
  const auto binary = age == Age::kOld ? FindOldBinary() : FindBinary();
  if (!binary) return std::unexpected(binary.error());
  bool has_grpc_tls = true;
  for (int tries = 1;; ++tries) {
    auto consul = StartOnce(*binary, has_grpc_tls);
    if (consul || tries == kMaxStarts) return consul;
    const bool flag_unknown = consul.error().message.find("-grpc-tls-port") != std::string::npos;
    const bool port_taken = consul.error().message.find("address already in use") != std::string::npos;
    if (!flag_unknown && !port_taken) return consul;
    if (flag_unknown) has_grpc_tls = false;
  }
}

Result<RealConsul> RealConsul::StartOnce(const std::string& binary, bool has_grpc_tls) {
  std::string directory = (std::filesystem::temp_directory_path() / "envdial-consul-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return std::unexpected(ErrnoError(errno, "mkdtemp " + directory));
  RealConsul consul(binary, directory, {FreePort(), FreePort(), FreePort(), FreePort()});
  consul.has_grpc_tls_ = has_grpc_tls;
  if (auto launched = consul.Launch(); !launched) return std::unexpected(launched.error());
  if (auto leader = consul.WaitForLeader(); !leader) return std::unexpected(leader.error());
  return consul;
}

base::HttpEndpoint RealConsul::endpoint() const {
  base::HttpEndpoint endpoint;
  endpoint.host = "127.0.0.1";
  endpoint.port = ports_.http;
  return endpoint;
}

void RealConsul::Kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
  process_.Reset();
}

Result<void> RealConsul::Restart(Data data) {
  Kill();
  if (data == Data::kEmpty) std::filesystem::remove_all(directory_ / "data");
  if (auto launched = Launch(); !launched) return launched;
  return WaitForLeader();
}

Result<void> RealConsul::Put(std::string_view key, std::string_view value) {
  return WithoutAnswer(Call("PUT", endpoint().ToString() + "/v1/kv/" + std::string(key), std::string(value)));
}

Result<void> RealConsul::Delete(std::string_view key) {
  return WithoutAnswer(Call("DELETE", endpoint().ToString() + "/v1/kv/" + std::string(key), ""));
}

Result<void> RealConsul::DeletePrefix(std::string_view prefix) {
  return WithoutAnswer(Call("DELETE", endpoint().ToString() + "/v1/kv/" + std::string(prefix) + "?recurse", ""));
}

Result<std::string> RealConsul::SaveSnapshot() { return Call("GET", endpoint().ToString() + "/v1/snapshot", ""); }

Result<void> RealConsul::RestoreSnapshot(std::string_view snapshot) {
  return WithoutAnswer(Call("PUT", endpoint().ToString() + "/v1/snapshot", std::string(snapshot)));
}

Result<void> RealConsul::Launch() {
  std::vector<std::string> words = {binary_,
                                    "agent",
                                    "-server",
                                    "-bootstrap-expect=1",
                                    "-node=test",
                                    "-bind=127.0.0.1",
                                    "-client=127.0.0.1",
                                    "-data-dir=" + (directory_ / "data").string(),
                                    "-http-port=" + std::to_string(ports_.http),
                                    "-server-port=" + std::to_string(ports_.server),
                                    "-serf-lan-port=" + std::to_string(ports_.serf_lan),
                                    "-serf-wan-port=" + std::to_string(ports_.serf_wan),
                                    "-grpc-port=-1",
                                    "-dns-port=-1",
                                    "-hcl=performance { raft_multiplier = 1 }",
                                    "-hcl=disable_update_check = true",
                                    "-log-level=warn"};
  if (has_grpc_tls_) words.emplace_back("-grpc-tls-port=-1");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  const std::string log = (directory_ / "log").string();
  const base::UniqueFd out(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!out) return std::unexpected(ErrnoError(errno, "open " + log));
  const pid_t pid = ::fork();
  if (pid < 0) return std::unexpected(ErrnoError(errno, "fork"));
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // so that a test that crashed leaves none behind
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(out.get(), STDERR_FILENO);
    ::execv(binary_.c_str(), arguments.data());
    ::_exit(127);
  }
  pid_ = pid;
  process_ = base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return {};
}

Result<void> RealConsul::WaitForLeader() {
  const auto deadline = std::chrono::steady_clock::now() + kMaxStart;
  std::string last;
  while (std::chrono::steady_clock::now() < deadline) {
    // A write needs what the tests need: a leader that has taken up its work.
    auto written = Call("PUT", endpoint().ToString() + "/v1/kv/ready", "yes");
    if (written && *written == "true") return {};
    last = written ? *written : written.error().message;
    pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, static_cast<int>(kProbeEvery.count())) != 0) {
      Kill();
      return Fail(ErrorKind::kUnavailable, "Consul ended: " + Tail(directory_ / "log"));
    }
  }
  return Fail(ErrorKind::kTimeout, "no leader in time: " + last + "\n" + Tail(directory_ / "log"));
}

}  // namespace envdial::test
