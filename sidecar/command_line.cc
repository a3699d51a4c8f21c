// SPDX-License-Identifier: Apache-2.0
#include "sidecar/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ranges>
#include <span>

#include "sidecar/consul_environment.h"
#include "sidecar/exec_flags.h"
#include "sidecar/flag.h"

namespace envdial::sidecar {
namespace {

using Command = CommandLine::Command;

// Flags as they were typed; what they mean is worked out after the whole line was read.
struct RawRun {
  std::vector<std::string> consul_addr;
  std::string connect_timeout = "1s";
  std::string timeout = "3s";
  std::string startup_wait = "3s";
  std::string consistency = "default";
  std::string socket_mode = "0660";
  std::string env_file_mode = "0640";
  std::string signal;
  std::string signal_to;
  std::string log_format = "text";
  std::string log_level = "info";
};

constexpr const char* kRunFooter = R"(
Every flag can also be given as a variable: --consul-addr as ENVDIAL_CONSUL_ADDR (lists separated by commas); a flag
wins over its variable. Consul's own are honoured: CONSUL_HTTP_ADDR, _TOKEN, _TOKEN_FILE, _AUTH, _SSL and _SSL_VERIFY,
CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME, CONSUL_NAMESPACE and
CONSUL_PARTITION; their files are read again when they change. Durations: 250ms, 3s, 1m30s.

Examples:
  envdial run --key hunt/max-concurrent --env MAX_CONCURRENT --type int --default 500 --min 1 --max 2500
  envdial run --dials dials.json --listen :9102

Exit codes: 0 stopped as asked, 1 cannot work at all, 3 with --once if some value did not come from Consul, 64 usage,
78 a bad dials file. Consul being away is never a reason to exit.)";

void AddRunDir(CLI::App& app, std::string& run_dir) {
  AddOption(app, "--run-dir", run_dir, "directory shared with the app: env file and control socket")
      ->capture_default_str();
}

void AddDialOptions(CLI::App& app, RunOptions& run) {
  guard::OneDial& dial = run.one_dial;
  AddOption(app, "--dials", run.dials_files, "dials file (JSON); may be given several times")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group("What to watch: dials files");
  const char* group = "What to watch: one dial, without a file";
  AddOption(app, "--key", dial.key, "Consul key")->group(group);
  AddOption(app, "--env", dial.env, "the name under which the app sees the value")->group(group);
  AddOption(app, "--type", dial.type, "int, float, bool, duration, string or json")->group(group);
  AddOption(app, "--default", dial.default_value, "value while there is none in Consul")->group(group);
  AddOption(app, "--min", dial.min, "least value that passes the guard")->group(group);
  AddOption(app, "--max", dial.max, "greatest value that passes the guard")->group(group);
  AddOption(app, "--max-step", dial.max_step, "largest change at once: 50, 5s or 100%")->group(group);
  AddOption(app, "--on-violation", dial.on_violation, "reject or clamp [reject]")->group(group);
  AddOption(app, "--on-delete", dial.on_delete, "keep or default [keep]")->group(group);
  AddOption(app, "--stale-after", dial.stale_after, "without contact for that long it is stale [30s]")->group(group);
  AddOption(app, "--when-stale", dial.when_stale, "hold or default [hold]")->group(group);
}

void AddConsulOptions(CLI::App& app, RunOptions& run, RawRun& raw) {
  const char* group = "Consul";
  AddOption(app, "--consul-addr", raw.consul_addr,
            "address [127.0.0.1:8500], also https://host:8501 or unix:///path; several are tried in turn")
      ->delimiter(',')
      ->allow_extra_args(false)  // with them CLI11 would take [::1] for a list
      ->group(group);
  AddOption(app, "--datacenter", run.consul.datacenter, "datacenter to ask for [the agent's own]")->group(group);
  AddOption(app, "--connect-timeout", raw.connect_timeout, "for finding and connecting")
      ->capture_default_str()
      ->group(group);
  AddOption(app, "--timeout", raw.timeout, "for an answer, 1s to 10m; the long poll waits 5/6 of it")
      ->capture_default_str()
      ->group(group);
  AddOption(app, "--consistency", raw.consistency, "default, stale or consistent")->capture_default_str()->group(group);
}

void AddServingOptions(CLI::App& app, RunOptions& run, RawRun& raw) {
  const char* group = "Serving";
  AddRunDir(app, run.run_dir);
  app.get_option("--run-dir")->group(group);
  AddOption(app, "--state-dir", run.state_dir, "the sidecar's own directory: the last-known-good values")
      ->capture_default_str()
      ->group(group);
  AddOption(app, "--startup-wait", raw.startup_wait, "wait that long for Consul before serving what is on disk")
      ->capture_default_str()
      ->group(group);
  AddOption(app, "--listen", run.listen, "ADDR:PORT for metrics and health over TCP [off]")->group(group);
  AddOption(app, "--socket-mode", raw.socket_mode, "mode of the control socket")->capture_default_str()->group(group);
  AddOption(app, "--env-file-mode", raw.env_file_mode, "mode of the env file")->capture_default_str()->group(group);
  AddOption(app, "--group", run.group, "numeric group of what is in the run directory")->group(group);
  AddOption(app, "--instance", run.instance, "name of this instance [the host's name]")->group(group);
  app.add_flag("--require-unprivileged", run.require_unprivileged, "refuse to run if any capability is left")
      ->envname("ENVDIAL_REQUIRE_UNPRIVILEGED")
      ->group(group);
  AddOption(app, "--log-format", raw.log_format, "text or json")->capture_default_str()->group("Logging");
  AddOption(app, "--log-level", raw.log_level, "debug, info, warn or error")->capture_default_str()->group("Logging");
}

// What makes no sense for a sidecar that is the app's parent as well.
void AddLoneSidecarOptions(CLI::App& app, RunOptions& run, RawRun& raw) {
  const char* group = "Serving";
  AddOption(app, "--signal", raw.signal, "signal that tells the app of a new version, say HUP; with --signal-to")
      ->group(group);
  AddOption(app, "--signal-to", raw.signal_to, "exe:/path of the app's program, or pidfile:/path")->group(group);
  app.add_flag("--once", run.once, "publish as at start-up, then end: 0 if every value came from Consul, else 3")
      ->envname("ENVDIAL_ONCE")
      ->group(group);
}

base::Result<mode_t> ModeFlag(const char* flag, const std::string& text) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc() || end != text.data() + text.size() || mode > 0777) {
    return base::Fail(base::ErrorKind::kInvalid,
                      std::string(flag) + ": found \"" + text + "\", expected an octal mode such as 0640");
  }
  return static_cast<mode_t>(mode);
}

// The address itself is judged where it is listened on.
base::Result<void> CheckListenFlag(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  if (colon != std::string::npos) {
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error == std::errc() && rest == end) return {};
  }
  return base::Fail(base::ErrorKind::kInvalid,
                    "--listen: found \"" + text + "\", expected ADDR:PORT as 127.0.0.1:9102, [::1]:9102 or :9102");
}

base::Result<consul::Consistency> ConsistencyFlag(const std::string& text) {
  if (text == "default") return consul::Consistency::kDefault;
  if (text == "stale") return consul::Consistency::kStale;
  if (text == "consistent") return consul::Consistency::kConsistent;
  return base::Fail(base::ErrorKind::kInvalid,
                    "--consistency: found \"" + text + "\", expected default, stale or consistent");
}

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

base::Result<void> ReadConsulFlags(const RawRun& raw, consul::Options& consul) {
  for (const std::string& text : raw.consul_addr) {
    auto address = consul::ParseAddress(text);
    if (!address) return std::unexpected(FlagError("--consul-addr", std::move(address.error())));
    consul.addresses.push_back(std::move(*address));
  }
  using std::chrono::duration_cast, std::chrono::milliseconds;
  const auto connect =
      DurationFlag("--connect-timeout", raw.connect_timeout, {milliseconds(10), std::chrono::minutes(1)});
  if (!connect) return std::unexpected(connect.error());
  consul.connect_timeout = duration_cast<milliseconds>(*connect);
  const auto timeout = DurationFlag("--timeout", raw.timeout, {std::chrono::seconds(1), std::chrono::minutes(10)});
  if (!timeout) return std::unexpected(timeout.error());
  consul.timeout = duration_cast<milliseconds>(*timeout);
  const auto consistency = ConsistencyFlag(raw.consistency);
  if (!consistency) return std::unexpected(consistency.error());
  consul.consistency = *consistency;
  return ApplyConsulEnvironment(consul);
}

base::Result<void> ReadSignalFlags(const RawRun& raw, RunOptions& run) {
  if (raw.signal.empty() && raw.signal_to.empty()) return {};
  if (raw.signal.empty() || raw.signal_to.empty()) {
    return base::Fail(base::ErrorKind::kInvalid, std::string(raw.signal.empty() ? "--signal-to" : "--signal") +
                                                     " stands alone, expected both --signal and --signal-to");
  }
  const auto signal = inject::ParseSignal(raw.signal);
  if (!signal) return std::unexpected(FlagError("--signal", signal.error()));
  run.signal = *signal;
  auto target = inject::SignalTarget::Parse(raw.signal_to);
  if (!target) return std::unexpected(FlagError("--signal-to", std::move(target.error())));
  run.signal_to = std::move(*target);
  return {};
}

base::Result<void> ReadServingFlags(const RawRun& raw, RunOptions& run) {
  const auto wait =
      DurationFlag("--startup-wait", raw.startup_wait, {std::chrono::nanoseconds(0), std::chrono::hours(1)});
  if (!wait) return std::unexpected(wait.error());
  run.startup_wait = *wait;
  const auto socket_mode = ModeFlag("--socket-mode", raw.socket_mode);
  if (!socket_mode) return std::unexpected(socket_mode.error());
  run.socket_mode = *socket_mode;
  const auto env_file_mode = ModeFlag("--env-file-mode", raw.env_file_mode);
  if (!env_file_mode) return std::unexpected(env_file_mode.error());
  run.env_file_mode = *env_file_mode;
  const auto format = ParseLogFormat(raw.log_format);
  if (!format) return std::unexpected(FlagError("--log-format", format.error()));
  run.log_format = *format;
  const auto level = ParseLogLevel(raw.log_level);
  if (!level) return std::unexpected(FlagError("--log-level", level.error()));
  run.log_level = *level;
  if (run.instance.empty()) run.instance = HostName();
  return run.listen.empty() ? base::Result<void>() : CheckListenFlag(run.listen);
}

bool UsesOneDialForm(const guard::OneDial& dial) {
  return !dial.key.empty() || !dial.env.empty() || !dial.type.empty() || dial.default_value || dial.min || dial.max ||
         dial.max_step || dial.on_violation || dial.on_delete || dial.stale_after || dial.when_stale;
}

base::Result<void> CheckDialForm(const RunOptions& run) {
  const bool one = UsesOneDialForm(run.one_dial);
  if (one && !run.dials_files.empty()) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "--dials and flags of the one-dial form (--key, --env, --min, …) were given, expected either "
                      "dials files or one dial");
  }
  if (!one && run.dials_files.empty()) {
    return base::Fail(base::ErrorKind::kInvalid,
                      "nothing to watch: expected --dials FILE, or --key, --env and --type for one dial");
  }
  return {};
}

base::Result<void> ReadRunFlags(const RawRun& raw, RunOptions& run) {
  if (auto form = CheckDialForm(run); !form) return form;
  if (auto consul = ReadConsulFlags(raw, run.consul); !consul) return consul;
  if (auto signal = ReadSignalFlags(raw, run); !signal) return signal;
  return ReadServingFlags(raw, run);
}

base::Result<void> ReadExecLine(const RawRun& raw, const RawExec& raw_exec, CommandLine& line) {
  if (auto exec = ReadExecFlags(raw_exec, line.exec); !exec) return exec;
  line.exec.serve = UsesOneDialForm(line.run.one_dial) || !line.run.dials_files.empty();
  return line.exec.serve ? ReadRunFlags(raw, line.run) : ReadServingFlags(raw, line.run);
}

int Usage(const std::string& message) {
  std::fprintf(stderr, "envdial: %s\nRun envdial --help, or envdial COMMAND --help, for more.\n", message.c_str());
  return kExitUsage;
}

void AddClientCommands(CLI::App& app, CommandLine& line) {
  CLI::App* get = app.add_subcommand("get", "print one value that is in force");
  get->footer(
      "\nExit codes: 0, or 1 for an unknown dial, no value yet or no sidecar.\nExample: envdial get MAX_CONCURRENT");
  get->add_option("NAME", line.name, "the dial's env name")->required();
  get->callback([&line] { line.command = Command::kGet; });
  CLI::App* status = app.add_subcommand("status", "show state, Consul and every dial");
  status->footer("\nExit codes: 0 ready, 3 stale, 4 not ready, 1 no sidecar.");
  status->add_flag("--json", line.json, "print /v1/status as it is");
  status->callback([&line] { line.command = Command::kStatus; });
  CLI::App* probe = app.add_subcommand("probe", "ask for health, as Kubernetes' exec probes do");
  probe->footer(
      "\nstartup: values were published once; ready: values are there (also stale ones); live: the sidecar "
      "answers.\nLiveness never depends on Consul. Exit codes: 0 yes, 1 no.");
  probe->add_option("WHICH", line.probe, "startup, ready or live");
  probe->callback([&line] { line.command = Command::kProbe; });
  CLI::App* watch = app.add_subcommand("watch", "print every value, then a line NAME='value' per change");
  watch->footer("\nIt goes on when the sidecar is restarted; end it with Ctrl-C.");
  watch->callback([&line] { line.command = Command::kWatch; });
  for (CLI::App* client : {get, status, watch, probe}) AddRunDir(*client, line.run_dir);
  CLI::App* check = app.add_subcommand("check", "tell every mistake in a dials file, and what the guard would say");
  check->footer(
      "\nExit codes: 0 good, 1 a try was refused, 78 a bad dials file.\n"
      "Example: envdial check dials.json --try MAX_CONCURRENT=9000");
  check->add_option("FILE", line.file, "dials file")->required();
  check->add_option("--try", line.tries, "NAME=VALUE: would the guard let it through? May be given several times")
      ->allow_extra_args(false);
  check->callback([&line] { line.command = Command::kCheck; });
  app.add_subcommand("version", "print the version")->callback([&line] { line.command = Command::kVersion; });
}

// CLI11 reads the variables of all commands, also of those that were not given, and several commands fill one target:
// there the variable of one would win over the flag of another.
void ReadVariablesOnlyFor(std::string_view command, CLI::App& app) {
  for (CLI::App* other : app.get_subcommands({})) {
    if (other->get_name() == command) continue;
    for (CLI::Option* option : other->get_options()) option->envname("");
  }
}

}  // namespace

std::expected<CommandLine, int> ParseCommandLine(int argc, const char* const* argv) {
  CommandLine line;
  line.run_dir = kDefaultRunDir;
  RawRun raw;
  RawExec raw_exec;
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "exec") {
    // What follows -- is the app's, down to the last flag.
    const auto all = std::span(argv, static_cast<std::size_t>(argc));
    const auto end = std::ranges::find(all, std::string_view("--"));
    if (end != all.end()) line.exec.command.assign(std::next(end), all.end());
    argc = static_cast<int>(end - all.begin());
  }
  CLI::App app{
      "envdial turns Consul keys into dials: typed, guarded values that a running program follows without a "
      "restart."};
  app.require_subcommand(0, 1);  // none is told below, in a sentence that names them
  app.footer("\nRun envdial COMMAND --help for a command's flags.");
  CLI::App* run = app.add_subcommand("run", "watch Consul and hand each change to the app: the sidecar");
  run->footer(kRunFooter);
  AddDialOptions(*run, line.run);
  AddConsulOptions(*run, line.run, raw);
  AddServingOptions(*run, line.run, raw);
  AddLoneSidecarOptions(*run, line.run, raw);
  run->callback([&line] { line.command = Command::kRun; });
  CLI::App* exec = app.add_subcommand("exec", "start the app with its values");
  AddExecFlags(*exec, line.exec, raw_exec);
  AddDialOptions(*exec, line.run);
  AddConsulOptions(*exec, line.run, raw);
  AddServingOptions(*exec, line.run, raw);
  exec->callback([&line] { line.command = Command::kExec; });
  AddClientCommands(app, line);
  ReadVariablesOnlyFor(command, app);
  // Like `main` and the decoding of a JSON document, reading the command line is one place where a library throws.
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked_for) {
    return std::unexpected(app.exit(asked_for));
  } catch (const CLI::ParseError& error) {
    return std::unexpected(Usage(error.what()));
  }
  if (app.get_subcommands().empty()) {
    return std::unexpected(Usage("no command given, expected run, exec, get, status, watch, probe, check or version"));
  }
  if (line.command == Command::kProbe && line.probe != "startup" && line.probe != "ready" && line.probe != "live") {
    return std::unexpected(Usage("probe: found \"" + line.probe + "\", expected startup, ready or live"));
  }
  if (line.command == Command::kRun) {
    if (auto read = ReadRunFlags(raw, line.run); !read) return std::unexpected(Usage(read.error().message));
  }
  if (line.command == Command::kExec) {
    if (auto read = ReadExecLine(raw, raw_exec, line); !read) return std::unexpected(Usage(read.error().message));
  }
  return line;
}

}  // namespace envdial::sidecar
