// SPDX-License-Identifier: Apache-2.0
#include "sidecar/daemon.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "inject/privileges.h"
#include "sidecar/metrics.h"
#include "sidecar/status.h"

namespace envdial::sidecar {
namespace {

constexpr mode_t kRunDirMode = 0750;
constexpr std::chrono::seconds kRedeliverEvery{1};    // the plan: what failed is tried again every second
constexpr std::chrono::minutes kSaveContactEvery{1};  // the plan: without a new value, at most once a minute
enum Channel : std::size_t { kEnvFile, kControl };    // indices into channels_

std::vector<base::DialInfo> InfoOf(const guard::Config& config) {
  std::vector<base::DialInfo> infos;
  infos.reserve(config.dials.size());
  for (const guard::Dial& dial : config.dials) {
    infos.push_back({dial.env, std::string(ToString(dial.type)), dial.unit, "consul", dial.key, dial.secret});
  }
  return infos;
}

std::string Counted(std::size_t count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string OwnerLine(const std::string& instance) {
  return "pid " + std::to_string(::getpid()) + ", instance " + instance;
}

base::Result<void> GiveUpPrivileges(bool required, Log& log) {
  if (auto dropped = inject::DropPrivileges(); !dropped) {
    if (required) return dropped;
    log.Warn("privileges were not dropped: " + dropped.error().message);
  }
  const auto left = inject::RemainingCapabilities();
  if (!left) return std::unexpected(left.error());
  if (left->empty()) return {};
  if (required) {
    return base::Fail(base::ErrorKind::kDenied, "--require-unprivileged: these capabilities are left: " + *left);
  }
  log.Warn("these capabilities are left: " + *left);
  return {};
}

// Waiting clients cost a descriptor each, and the soft limit is often 1,024. Where it can't be raised, it stays.
void RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

base::Result<void> MakeRunDir(const RunOptions& options) {
  const char* path = options.run_dir.c_str();
  if (::mkdir(path, kRunDirMode) != 0) {
    if (errno == EEXIST) return {};
    return std::unexpected(base::ErrnoError(errno, "make run directory " + options.run_dir));
  }
  // The umask must not decide who may read the values.
  if (::chmod(path, kRunDirMode) != 0 ||
      (options.group && ::chown(path, static_cast<uid_t>(-1), *options.group) != 0)) {
    return std::unexpected(base::ErrnoError(errno, "give run directory " + options.run_dir + " its rights"));
  }
  return {};
}

}  // namespace

base::Result<std::unique_ptr<Daemon>> Daemon::Create(RunOptions options, guard::Config config, Log& log) {
  if (auto unprivileged = GiveUpPrivileges(options.require_unprivileged, log); !unprivileged) {
    return std::unexpected(unprivileged.error());
  }
  ::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  auto loop = base::EventLoop::Create();
  if (!loop) return std::unexpected(loop.error());
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options), std::move(config), log, std::move(*loop)));
  if (auto opened = daemon->Open(base::ReadClock()); !opened) return std::unexpected(opened.error());
  return daemon;
}

Daemon::Daemon(RunOptions options, guard::Config config, Log& log, base::EventLoop loop)
    : options_(std::move(options)),
      config_(std::move(config)),
      log_(log),
      loop_(std::move(loop)),
      files_(base::MakeFileSystem()),
      logged_values_(config_.dials.size()),
      deadline_(loop_, [this](base::Now now) { Advance(now); }),
      redeliver_(loop_, [this](base::Now now) { Deliver(now); }) {}

Daemon::~Daemon() = default;

base::Result<void> Daemon::Open(base::Now start) {
  started_ = start.wall;
  answered_ = start;
  WatchSignals();
  if (auto made = MakeRunDir(options_); !made) return made;
  auto lock = base::FileLock::Acquire(options_.run_dir + "/lock", OwnerLine(options_.instance));
  if (!lock) return std::unexpected(std::move(lock.error()).Within("run directory"));
  run_lock_ = std::move(*lock);
  auto http = base::HttpClient::Create(loop_);
  if (!http) return std::unexpected(http.error());
  http_ = std::move(*http);
  auto store = StoreKeeper::Open(loop_, *files_, log_, {options_.state_dir, OwnerLine(options_.instance)});
  if (!store) return std::unexpected(std::move(store.error()).Within("state directory"));
  store_ = std::move(*store);
  ledger_.emplace(config_,
                  fallback::LedgerOptions{options_.consul.datacenter, options_.consul.namespace_name,
                                          options_.startup_wait, options_.consul.addresses.size()},
                  store_->loaded(), start);
  LogEvents(ledger_->start_events());
  if (store_->loaded()) {
    for (const fallback::KeptValue& kept : store_->loaded()->values) {
      const auto dial = std::ranges::find(config_.dials, kept.name, &guard::Dial::env);
      if (dial != config_.dials.end())
        logged_values_[static_cast<std::size_t>(dial - config_.dials.begin())] = kept.value;
    }
  }
  channels_.resize(2);
  channels_[kEnvFile].name = inject::kChannelEnvFile;
  channels_[kControl].name = inject::kChannelControl;
  injector_.emplace(*files_, options_.run_dir, base::FileRights{options_.env_file_mode, options_.group},
                    InfoOf(config_));
  const GroupContext context{loop_, *http_, options_.consul, config_, *ledger_, log_};
  for (std::size_t group = 0; group < config_.groups.size(); ++group) {
    watches_.push_back(std::make_unique<GroupWatch>(context, group, static_cast<GroupListener&>(*this)));
  }
  return Listen();
}

base::Result<void> Daemon::Listen() {
  control_ = inject::ControlServer::Create(loop_, InfoOf(config_), *this);
  control_->Publish(&ledger_->snapshot());
  const std::string socket = options_.run_dir + "/" + kSocketName;
  if (auto listening = control_->ListenUnix(socket, {options_.socket_mode, options_.group}); !listening) {
    return listening;
  }
  if (options_.listen.empty()) return {};
  const auto port = control_->ListenTcp(options_.listen);
  if (!port) return std::unexpected(std::move(base::Error(port.error())).Within("--listen"));
  log_.Info("metrics and health on TCP port " + std::to_string(*port));
  return {};
}

void Daemon::WatchSignals() {
  for (const int signal : {SIGTERM, SIGINT}) {
    signals_.push_back(
        std::make_unique<base::SignalWatcher>(loop_, signal, [this, signal](base::Now) { EndOn(signal); }));
  }
  signals_.push_back(std::make_unique<base::SignalWatcher>(
      loop_, SIGHUP, [this](base::Now) { log_.Warn("SIGHUP is ignored: a changed dials file needs a restart"); }));
}

void Daemon::Run() {
  std::string addresses;
  for (const base::HttpEndpoint& address : options_.consul.addresses) addresses += " " + address.ToString();
  log_.Info("envdial " ENVDIAL_VERSION " serves " + Counted(config_.dials.size(), "dial") + " in " + options_.run_dir +
            ", from Consul at" + addresses);
  for (const auto& watch : watches_) watch->Start();
  Advance(base::ReadClock());
  loop_.Run();
}

void Daemon::EndOn(int signal) {
  // So that the next process knows how old the values are, to the second rather than to the minute.
  if (ledger_->snapshot().version > 0) store_->Save(ledger_->ToKept(), base::ReadClock());
  log_.Info(std::string("stopped by ") + (signal == SIGTERM ? "SIGTERM" : "SIGINT"));
  loop_.Stop();
}

void Daemon::OnReading(std::size_t group, const base::Reading& reading, base::Now now) {
  answered_ = now;
  const std::vector<fallback::Event> events = ledger_->Apply(group, reading, now);
  Advance(now);
  LogEvents(events);  // they tell which value is kept, so only now
}

void Daemon::OnFailure(std::size_t group, base::Now now) {
  answered_ = now;
  ledger_->NoteFailure(group);
  Advance(now);
}

void Daemon::Advance(base::Now now) {
  const fallback::Refreshed refreshed = ledger_->Refresh(now);
  // Written before it is delivered, so that kill -9 never finds a store older than a channel; synced after.
  const bool save = ledger_->store_stale();
  if (save) store_->Save(ledger_->ToKept(), now);
  if (refreshed.published) {
    Deliver(now);
  } else if (refreshed.shown) {
    control_->Publish(&ledger_->snapshot());
  }
  if (save) {
    store_->Sync();
  } else {
    SaveContact(now);
  }
  if (refreshed.published) LogChanges(refreshed.changed);
  LogState();
  ArmDeadline(now);
}

void Daemon::Deliver(base::Now now) {
  const base::Snapshot& snapshot = ledger_->snapshot();
  bool failed = false;
  for (const inject::Delivery& delivery : injector_->Deliver(snapshot)) {
    NoteDelivery(*std::ranges::find(channels_, delivery.channel, &ChannelRecord::name), delivery.result, now);
    failed |= !delivery.result;
  }
  if (channels_[kControl].version != snapshot.version) {
    control_->Publish(&snapshot);
    NoteDelivery(channels_[kControl], {}, now);
  }
  if (failed) redeliver_.Start(kRedeliverEvery);
}

void Daemon::NoteDelivery(ChannelRecord& channel, const base::Result<void>& result, base::Now now) {
  const std::string name = "channel " + std::string(channel.name) + ": ";
  const std::uint64_t version = ledger_->snapshot().version;
  if (!result) {
    if (channel.error != result.error().message) {
      log_.Error(name + result.error().message + "; the app keeps the values it had, trying every second");
    }
    channel.NoteFailed(result.error().message);
  } else if (channel.version != version || channel.error) {
    if (channel.error) log_.Info(name + "delivers again");
    channel.NoteDelivered(version, now, base::ReadClock().mono - answered_.mono);
  }
}

void Daemon::SaveContact(base::Now now) {
  if (ledger_->snapshot().version == 0) return;
  const auto saved_at = store_->saved_at();
  const bool contact = std::ranges::any_of(watches_, [](const auto& watch) { return watch->status().connected; });
  if (!contact || (saved_at && now.mono - *saved_at < kSaveContactEvery)) return;
  store_->Save(ledger_->ToKept(), now);
  store_->Sync();
}

void Daemon::LogEvents(const std::vector<fallback::Event>& events) {
  for (const fallback::Event& event : events) LogEvent(event);
}

void Daemon::LogEvent(const fallback::Event& event) {
  using Kind = fallback::Event::Kind;
  const guard::Dial& dial = config_.dials[event.dial];
  const auto& present = ledger_ ? ledger_->snapshot().dials[event.dial].value : std::nullopt;
  const std::string revision = "revision " + std::to_string(event.revision);
  const std::string reason = " (" + std::string(event.reason) + "): " + event.message;
  const std::string keeping = present ? "keeping " + Shown(event.dial, *present) : "there is no value yet";
  switch (event.kind) {
    case Kind::kAccepted:
      return;  // told as a change of the value in force
    case Kind::kClamped:
      return log_.Warn(dial.env + ": " + revision + " clamped: " + event.message);
    case Kind::kRefused:
      return log_.Warn(dial.env + ": " + revision + " refused" + reason + "; " + keeping);
    case Kind::kDeletedKept:
      return log_.Warn(dial.env + ": " + dial.key + " was deleted; " + keeping + " (on_delete: keep)");
    case Kind::kDeletedDefault:
      return log_.Warn(dial.env + ": " + dial.key + " was deleted; the default is served (on_delete: default)");
    case Kind::kRestored:
      return log_.Warn(dial.env + ": Consul went back to an older " + revision + " of " + dial.key +
                       " and confirms it (restored or rebuilt); it is taken");
    case Kind::kKeptRefused:
      return log_.Warn(dial.env + ": the last-known-good value does not pass today's guard" + reason);
  }
  std::unreachable();
}

std::string Daemon::Shown(std::size_t dial, const std::string& value) const {
  constexpr std::size_t kMaxLoggedValue = 80;  // one line per change is for reading
  if (config_.dials[dial].secret) return "•••";
  return value.size() <= kMaxLoggedValue ? value : std::to_string(value.size()) + " bytes";
}

void Daemon::LogChanges(const std::vector<std::size_t>& changed) {
  const base::Snapshot& snapshot = ledger_->snapshot();
  for (const std::size_t dial : changed) {
    const base::DialValue& value = snapshot.dials[dial];
    const auto& before = logged_values_[dial];
    log_.Info(config_.dials[dial].env + ": " + (before ? Shown(dial, *before) + " -> " : "") +
              Shown(dial, *value.value) + " (" + std::string(value.origin) +
              (value.origin == base::kOriginConsul ? " revision " + std::to_string(value.revision) : "") +
              "), version " + std::to_string(snapshot.version));
    logged_values_[dial] = value.value;
  }
  if (logged_first_) return;
  logged_first_ = true;
  const auto from = [&](std::string_view origin) {
    return std::ranges::count(snapshot.dials, origin, &base::DialValue::origin);
  };
  log_.Info("serving version " + std::to_string(snapshot.version) + ": " + std::to_string(from(base::kOriginConsul)) +
            " from Consul, " + std::to_string(from(base::kOriginLastKnownGood)) + " from the last-known-good store, " +
            std::to_string(from(base::kOriginDefault)) + " from defaults");
}

void Daemon::LogState() {
  const base::State state = ledger_->snapshot().state;
  if (state == logged_state_) return;
  logged_state_ = state;
  if (state == base::State::kStale) {
    log_.Warn(
        "state stale: Consul has not confirmed some values for longer than their stale_after; see envdial status");
  } else {
    log_.Info("state " + std::string(base::ToString(state)));
  }
}

void Daemon::ArmDeadline(base::Now now) {
  if (const auto next = ledger_->NextDeadline()) {
    deadline_.Start(*next - now.mono);
  } else {
    deadline_.Stop();
  }
}

View Daemon::MakeView() const {
  View view{options_.instance, config_, *ledger_, {}, channels_, store_->status(), control_->clients(), started_};
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    view.groups.push_back({&config_.groups[i], &watches_[i]->status(), ledger_->last_contact(i)});
  }
  return view;
}

std::string Daemon::StatusJson(base::Now) { return sidecar::StatusJson(MakeView()); }

std::string Daemon::MetricsText(base::Now) { return sidecar::MetricsText(MakeView()); }

}  // namespace envdial::sidecar
