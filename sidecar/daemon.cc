// SPDX-License-Identifier: Apache-2.0
#include "sidecar/daemon.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "inject/privileges.h"
#include "sidecar/command_line.h"
#include "sidecar/memory.h"
#include "sidecar/metrics.h"
#include "sidecar/run_directory.h"
#include "sidecar/status.h"

namespace envdial::sidecar {
namespace {

constexpr std::chrono::minutes kSaveContactEvery{1};  // the plan: without a new value, at most once a minute
constexpr std::chrono::seconds kTidyEvery{10};        // a thousandth of a percent of a core

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

base::Result<void> GiveUpPrivileges(const RunOptions& options, Log& log) {
  const bool required = options.require_unprivileged;
  std::vector<std::string> kept;
  if (options.signal_to && !required) kept = options.signal_to->capabilities();
  if (auto dropped = inject::DropPrivileges(kept); !dropped) {
    if (required) return dropped;
    log.Warn("privileges were not dropped: " + dropped.error().message);
  }
  const auto left = inject::RemainingCapabilities(kept);
  if (!left) return std::unexpected(left.error());
  if (left->empty()) return {};
  if (required) {
    return base::Fail(base::ErrorKind::kDenied, "--require-unprivileged: these capabilities are left: " + *left);
  }
  log.Warn("these capabilities are left: " + *left);
  return {};
}

// Waiting clients cost a descriptor each, and the soft limit is often 1,024. Where it can't be raised, it stays.
// Returns what is in force.
std::size_t RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  ::getrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur;
}

}  // namespace

base::Result<std::unique_ptr<Daemon>> Daemon::Create(const DaemonContext& context, RunOptions options,
                                                     guard::Config config) {
  if (auto unprivileged = GiveUpPrivileges(options, context.log); !unprivileged) {
    return std::unexpected(unprivileged.error());
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a delivery that failed, and not the end
  std::unique_ptr<Daemon> daemon(new Daemon(context, std::move(options), std::move(config)));
  if (auto opened = daemon->Open(base::ReadClock()); !opened) return std::unexpected(opened.error());
  return daemon;
}

Daemon::Daemon(const DaemonContext& context, RunOptions options, guard::Config config)
    : options_(std::move(options)),
      config_(std::move(config)),
      log_(context.log),
      loop_(context.loop),
      app_parent_(context.app_parent),
      service_(context.service),
      files_(base::MakeFileSystem()),
      deadline_(loop_, [this](base::Now now) { Advance(now); }) {}

Daemon::~Daemon() = default;

base::Result<void> Daemon::Open(base::Now start) {
  started_ = answered_ = start;
  if (app_parent_ == nullptr) WatchSignals();
  const std::string owner = OwnerLine(options_.instance);
  auto run_directory = RunDirectory::Take({options_.run_dir, options_.group, owner});
  if (!run_directory) return std::unexpected(run_directory.error());
  auto http = base::HttpClient::Create(loop_);
  if (!http) return std::unexpected(http.error());
  http_ = std::move(*http);
  credentials_.emplace(loop_, log_, options_.consul, [this](base::Now) {
    for (const auto& watch : watches_) watch->TryNow();
  });
  auto store = StoreKeeper::Open(loop_, *files_, log_, {options_.state_dir, owner});
  if (!store) return std::unexpected(std::move(store.error()).Within("state directory"));
  store_ = std::move(*store);
  const std::uint64_t shown_version =
      inject::SnapshotFile::VersionAt(options_.run_dir + "/" + std::string(inject::kSnapshotFileName));
  ledger_.emplace(config_,
                  fallback::LedgerOptions{options_.consul.datacenter, options_.consul.namespace_name,
                                          options_.startup_wait, shown_version, options_.consul.addresses.size()},
                  store_->loaded(), start);
  journal_.emplace(log_, config_, store_->loaded());
  journal_->Events(ledger_->start_events(), ledger_->snapshot());
  control_ = inject::ControlServer::Create(loop_, InfoOf(config_), *this,
                                           {.limits = inject::ControlLimits::For(RaiseFileLimit())});
  control_->Publish(&ledger_->snapshot());
  inject::InjectorOptions injector{
      .run_dir = options_.run_dir,
      .rights = {options_.env_file_mode, options_.group},
      .dials = InfoOf(config_),
      .signal = {},
      .known_version = std::max(shown_version, store_->loaded() ? store_->loaded()->version : 0)};
  if (options_.signal_to) injector.signal.emplace(*options_.signal_to, options_.signal);
  channels_.emplace(ChannelsContext{loop_, *files_, *control_, log_}, std::move(*run_directory),
                    ChannelsOptions{.injector = std::move(injector),
                                    .socket_rights = {options_.socket_mode, options_.group},
                                    .serve = !options_.once});
  const GroupContext context{loop_, *http_, options_.consul, config_, *ledger_, log_};
  for (std::size_t group = 0; group < config_.groups.size(); ++group) {
    watches_.push_back(std::make_unique<GroupWatch>(context, group, static_cast<GroupListener&>(*this)));
  }
  return options_.once ? base::Result<void>() : Listen();
}

base::Result<void> Daemon::Listen() {
  if (auto listening = channels_->Listen(); !listening) return listening;
  if (options_.listen.empty()) return {};
  const auto port = control_->ListenTcp(options_.listen);
  if (!port) return std::unexpected(std::move(base::Error(port.error())).Within("--listen"));
  log_.Info("metrics and health on TCP port " + std::to_string(*port));
  return {};
}

void Daemon::WatchSignals() {
  for (const int signal : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<base::SignalWatcher>(loop_, signal, [this, signal](base::Now) {
      End(std::string("stopped by ") + (signal == SIGTERM ? "SIGTERM" : "SIGINT"));
    }));
  }
  signals_.push_back(std::make_unique<base::SignalWatcher>(
      loop_, SIGHUP, [this](base::Now) { log_.Warn("SIGHUP is ignored: a changed dials file needs a restart"); }));
}

int Daemon::Run() {
  Start();
  loop_.Run();
  return exit_code_;
}

void Daemon::Start() {
  std::string addresses;
  for (const base::HttpEndpoint& address : options_.consul.addresses) addresses += " " + address.ToString();
  log_.Info("envdial " ENVDIAL_VERSION " serves " + Counted(config_.dials.size(), "dial") + " in " + options_.run_dir +
            ", from Consul at" + addresses);
  for (const auto& watch : watches_) watch->Start();
  Advance(base::ReadClock());
}

void Daemon::End(const std::string& why) {
  // So that the next process knows how old the values are, to the second rather than to the minute.
  if (ledger_->snapshot().version > 0) store_->Save(ledger_->ToKept(), base::ReadClock());
  log_.Info(why);
  if (service_ != nullptr) service_->TellStopping();
  loop_.Stop();
}

// As at start-up: published, or startup_wait has passed and there is nothing to publish.
void Daemon::EndOnce(base::Now now) {
  const base::Snapshot& snapshot = ledger_->snapshot();
  if (snapshot.version == 0 && now.mono - started_.mono < options_.startup_wait) return;
  const bool all_from_consul = std::ranges::all_of(
      snapshot.dials, [](const base::DialValue& dial) { return dial.origin == base::kOriginConsul; });
  exit_code_ = channels_->failing() ? kExitFailure : all_from_consul ? kExitOk : kExitNotAllFromConsul;
  if (snapshot.version == 0) log_.Error("some dial has no value, so nothing is published");
  loop_.Stop();
}

void Daemon::OnReading(std::size_t group, const base::Reading& reading, base::Now now) {
  answered_ = now;
  const std::vector<fallback::Event> events = ledger_->Apply(group, reading, now);
  Advance(now);
  journal_->Events(events, ledger_->snapshot());  // they tell which value is kept, so only now
}

void Daemon::OnFailure(std::size_t group, base::Now now) {
  answered_ = now;
  ledger_->NoteFailure(group);
  Advance(now);
}

void Daemon::Advance(base::Now now) {
  const fallback::Refreshed refreshed = ledger_->Refresh(now);
  const base::Snapshot& snapshot = ledger_->snapshot();
  // Written before it is delivered, so that kill -9 never finds a store older than a channel; synced after.
  const bool save = ledger_->store_stale();
  if (save) store_->Save(ledger_->ToKept(), now);
  if (refreshed.published) {
    channels_->Deliver(snapshot, answered_.mono, now);
  } else if (refreshed.shown) {
    control_->Publish(&snapshot);
  }
  channels_->NoteFreshness(FreshnessNow(now), now);
  if (save) {
    store_->Sync();
  } else {
    SaveContact(now);
  }
  if (now.mono - tidied_ >= kTidyEvery) {
    tidied_ = now.mono;
    ReturnFreeMemory();
  }
  if (refreshed.published) journal_->Published(snapshot, refreshed.changed);
  journal_->State(snapshot.state);
  ArmDeadline(now);
  if (service_ != nullptr) TellServiceManager();
  if (options_.once) EndOnce(now);
  if (refreshed.published && app_parent_ != nullptr) TellAppParent(now);
}

void Daemon::TellAppParent(base::Now now) {
  const base::Snapshot& snapshot = ledger_->snapshot();
  Values values{.version = snapshot.version, .dials = {}};
  for (std::size_t i = 0; i < config_.dials.size(); ++i) {
    values.dials.emplace_back(config_.dials[i].env, snapshot.dials[i].value.value_or(""));
  }
  app_parent_->OnValues(values, now);
}

// Who is started after us finds the files. Not so the signal: whom it is for may be started after us, too.
void Daemon::TellServiceManager() {
  const base::Snapshot& snapshot = ledger_->snapshot();
  const bool delivered = std::ranges::none_of(channels_->records(), [](const ChannelRecord& record) {
    return record.error && record.name != inject::kChannelSignal;
  });
  service_->Tell(snapshot.version > 0 && delivered, ServiceStatus(config_, snapshot));
}

void Daemon::SaveContact(base::Now now) {
  if (ledger_->snapshot().version == 0) return;
  const auto saved_at = store_->saved_at();
  const bool contact = std::ranges::any_of(watches_, [](const auto& watch) { return watch->status().connected; });
  if (!contact || (saved_at && now.mono - *saved_at < kSaveContactEvery)) return;
  store_->Save(ledger_->ToKept(), now);
  store_->Sync();
}

inject::Freshness Daemon::FreshnessNow(base::Now now) const {
  inject::Freshness freshness{.state = ledger_->snapshot().state, .contact = now.wall, .contact_mono = now.mono};
  for (std::size_t group = 0; group < watches_.size(); ++group) {
    const auto contact = ledger_->last_contact(group);
    if (!contact) return {.state = freshness.state, .contact = {}, .contact_mono = {}};
    freshness.contact = std::min(*freshness.contact, *contact);
    if (!ledger_->answered(group)) freshness.contact_mono.reset();
  }
  if (freshness.contact_mono) *freshness.contact_mono -= now.wall - *freshness.contact;
  return freshness;
}

void Daemon::ArmDeadline(base::Now now) {
  if (const auto next = ledger_->NextDeadline()) {
    deadline_.Start(*next - now.mono);
  } else {
    deadline_.Stop();
  }
}

View Daemon::MakeView() const {
  View view{.instance = options_.instance,
            .config = config_,
            .ledger = *ledger_,
            .groups = {},
            .channels = channels_->records(),
            .store = store_->status(),
            .credential_troubles = credentials_->troubles(),
            .control_clients = control_->clients(),
            .updates_coalesced = control_->updates_coalesced(),
            .consumers = control_->consumers(),
            .started = started_.wall};
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    view.groups.push_back({&config_.groups[i], &watches_[i]->status(), ledger_->last_contact(i)});
  }
  return view;
}

std::string Daemon::StatusJson(base::Now) { return sidecar::StatusJson(MakeView()); }

std::string Daemon::MetricsText(base::Now) { return sidecar::MetricsText(MakeView()); }

std::chrono::milliseconds Daemon::Age(base::Now now) {
  base::WallTime oldest = now.wall;
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    oldest = std::min(oldest, ledger_->last_contact(i).value_or(started_.wall));
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(now.wall - oldest);
}

}  // namespace envdial::sidecar
