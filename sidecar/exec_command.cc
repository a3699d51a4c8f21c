// SPDX-License-Identifier: Apache-2.0
#include "sidecar/exec_command.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "sidecar/app_parent.h"
#include "sidecar/command_line.h"
#include "sidecar/daemon.h"
#include "sidecar/follower.h"
#include "sidecar/load_dials.h"

namespace envdial::sidecar {
namespace {

constexpr const char* kPreloadLibrary = "libenvdial-getenv.so";

// Follows the sidecar of a run directory for the app's parent, and reads the env file where there is none.
class ValuesFromRunDirectory : public FollowerListener {
 public:
  // All borrowed.
  ValuesFromRunDirectory(const CommandLine& line, AppParent& app, Log& log)
      : run_dir_(line.run.run_dir),
        only_at_start_(line.exec.on_change == ExecOptions::OnChange::kNone),
        app_(app),
        log_(log) {}

  void Start(base::EventLoop& loop, base::HttpClient& http) { follower_.emplace(loop, http, run_dir_, *this).Start(); }

  void OnValues(const Values& values, base::Now now) override {
    away_ = false;
    if (values.version == 0) {
      app_.NoteTrouble("the sidecar in " + run_dir_ +
                       " has published nothing yet, since some dial has no value (envdial status)");
      return;
    }
    if (only_at_start_) follower_->Stop();
    app_.OnValues(values, now);
  }

  void OnTrouble(const std::string& message, base::Now now) override {
    if (app_.started()) {
      if (!std::exchange(away_, true)) log_.Warn(message + "; the app keeps the values that it has");
      return;
    }
    const auto values = ReadEnvFile(run_dir_);
    if (!values) return app_.NoteTrouble(message + "; " + values.error().message);
    away_ = true;
    log_.Warn(message + "; the app is started with the values of " + run_dir_ + "/env");
    if (only_at_start_) follower_->Stop();
    app_.OnValues(*values, now);
  }

 private:
  std::string run_dir_;
  bool only_at_start_;
  bool away_ = false;
  AppParent& app_;
  Log& log_;
  std::optional<Follower> follower_;
};

base::Result<void> Follow(base::EventLoop& loop, const CommandLine& line, AppParent& app, Log& log) {
  auto http = base::HttpClient::Create(loop);
  if (!http) return std::unexpected(http.error());
  ValuesFromRunDirectory values(line, app, log);
  values.Start(loop, **http);
  loop.Run();
  return {};
}

base::Result<void> Serve(const DaemonContext& context, CommandLine line, guard::Config config) {
  auto daemon = Daemon::Create(context, std::move(line.run), std::move(config));
  if (!daemon) return std::unexpected(daemon.error());
  // In the loop, because what it publishes at once may already start the app, and that may end the loop.
  base::Timer start(context.loop, [&daemon](base::Now) { (*daemon)->Start(); });
  start.Start({});
  context.loop.Run();
  (*daemon)->End("stopped, since the app has ended");
  return {};
}

// Beside this program, where it was built or copied, or in ../lib, where it was installed.
base::Result<std::string> FindPreloadLibrary() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (size < 0) return std::unexpected(base::ErrnoError(errno, "--preload: find this program by /proc/self/exe"));
  const auto directory =
      std::filesystem::path(std::string(buffer.data(), static_cast<std::size_t>(size))).parent_path();
  const auto beside = directory / kPreloadLibrary;
  const auto installed = directory.parent_path() / "lib" / kPreloadLibrary;
  for (const auto& path : {beside, installed}) {
    if (::access(path.c_str(), R_OK) != 0) continue;
    if (path.string().find_first_of(" :") == std::string::npos) return path.string();
    return base::Fail(base::ErrorKind::kInvalid,
                      "--preload: " + path.string() + ": LD_PRELOAD can't name a path with a space or a colon");
  }
  return base::Fail(base::ErrorKind::kNotFound,
                    "--preload: found no library, expected " + beside.string() + " or " + installed.string());
}

base::Result<AppOptions> MakeAppOptions(const CommandLine& line, Inherited inherited) {
  AppOptions options{.exec = line.exec, .run_dir = {}, .preload = {}, .inherited = std::move(inherited)};
  std::error_code error;
  options.run_dir = std::filesystem::absolute(line.run.run_dir, error).string();
  if (error) return base::Fail(base::ErrorKind::kIo, "--run-dir " + line.run.run_dir + ": " + error.message());
  if (!line.exec.preload) return options;
  auto library = FindPreloadLibrary();
  if (!library) return std::unexpected(library.error());
  options.preload = std::move(*library);
  return options;
}

base::Result<int> Run(CommandLine line, guard::Config config, Inherited inherited, Log& log) {
  auto options = MakeAppOptions(line, std::move(inherited));
  if (!options) return std::unexpected(options.error());
  auto loop = base::EventLoop::Create();
  if (!loop) return std::unexpected(loop.error());
  const auto app = AppParent::Create(*loop, log, std::move(*options));
  if (!app) return std::unexpected(app.error());
  const auto done = line.exec.serve ? Serve({*loop, log, app->get()}, std::move(line), std::move(config))
                                    : Follow(*loop, line, **app, log);
  if (!done) return std::unexpected(done.error());
  return (*app)->exit_code();
}

}  // namespace

int Exec(CommandLine line) {
  Inherited inherited = Inherited::Read();
  guard::Config config;
  if (line.exec.serve) {
    auto loaded = line.run.dials_files.empty() ? LoadOneDial(line.run.one_dial) : LoadDialsFiles(line.run.dials_files);
    if (!loaded) return loaded.error();
    config = std::move(*loaded);
  }
  Log log(line.run.log_format, line.run.log_level);
  const auto code = Run(std::move(line), std::move(config), std::move(inherited), log);
  if (code) return *code;
  log.Error("the app is not started: " + code.error().message);
  return kExitNotStarted;
}

}  // namespace envdial::sidecar
