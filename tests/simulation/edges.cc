// SPDX-License-Identifier: Apache-2.0
// The edges of the sidecar, made up: what base/event_loop.cc, clock.cc, file_system.cc, disk_sync.cc, http_client.cc
// and http_server.cc, inject/listen_socket.cc and privileges.cc, sidecar/log.cc and memory.cc are in the real one. The
// linker takes these instead, because it meets them first; everything else of the sidecar is the real thing.
#include <fcntl.h>
#include <spdlog/logger.h>

#include <cassert>
#include <utility>

#include "base/event_loop.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "inject/listen_socket.h"
#include "inject/privileges.h"
#include "sidecar/log.h"
#include "sidecar/memory.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/network.h"
#include "tests/simulation/world.h"

// libevent's, known to base/event_loop.h by name only.
struct event_base {};
struct event {
  envdial::simulation::World::EventId id = 0;
};

namespace envdial {

using simulation::World;

namespace base {

Now ReadClock() { return World::Get().now(); }

// No processor is simulated: what takes time there is a pause of the whole sidecar.
std::chrono::nanoseconds ThreadCpuTime() { return {}; }

void EventBaseDeleter::operator()(event_base* base) const { delete base; }
void EventDeleter::operator()(event* event) const {
  World::Get().Cancel(event->id);
  delete event;
}

Result<EventLoop> EventLoop::Create() { return EventLoop(new event_base); }
void EventLoop::Run() { assert(false); }  // the simulation steps the world itself
void EventLoop::Stop() {}

Timer::Timer(EventLoop&, std::function<void(Now)> callback) : callback_(std::move(callback)), event_(new event) {}

void Timer::Start(std::chrono::nanoseconds delay) {
  due_ = ReadClock().mono + std::max(delay, std::chrono::nanoseconds::zero());
  Schedule(delay);
}

void Timer::Stop() { World::Get().Cancel(event_->id); }
bool Timer::running() const { return World::Get().pending(event_->id); }
void Timer::OnTimeout(int, short, void* self) { static_cast<Timer*>(self)->callback_.Run(ReadClock()); }

void Timer::Schedule(std::chrono::nanoseconds) {
  World::Get().Cancel(event_->id);
  event_->id = World::Get().At(due_, World::Whose::kSidecar, [this] { OnTimeout(-1, 0, this); });
}

FdWatcher::FdWatcher(EventLoop&, int, Interest, std::function<void(Interest, Now)> callback)
    : callback_(std::move(callback)) {}
void FdWatcher::OnReady(int, short, void*) {}

SignalWatcher::SignalWatcher(EventLoop&, int, std::function<void(Now)> callback) : callback_(std::move(callback)) {}
void SignalWatcher::OnSignal(int, short, void*) {}

std::unique_ptr<FileSystem> MakeFileSystem() { return simulation::Disks::Get().MakeFiles(); }
std::unique_ptr<DiskSync> MakeDiskSync(EventLoop&) { return simulation::Disks::Get().MakeSync(); }
std::optional<FileIdentity> FileIdentity::Of(const std::string& path) {
  return simulation::Disks::Get().IdentityOf(path);
}

Result<std::unique_ptr<HttpClient>> HttpClient::Create(EventLoop&, HttpClientOptions) {
  return simulation::Network::Get().MakeClient();
}

std::unique_ptr<HttpServer> HttpServer::Create(EventLoop&, const HttpServerLimits&,
                                               std::function<void(IncomingRequest&, Now)> handler) {
  return simulation::Clients::Get().MakeServer(std::move(handler));
}

}  // namespace base

namespace inject {

base::Result<base::UniqueFd> ListenOnPath(const std::string&, const base::FileRights&) {
  return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}
base::Result<base::UniqueFd> ListenOnAddress(const std::string&) { return ListenOnPath("", {}); }

base::Result<void> DropPrivileges(const std::vector<std::string>&) { return {}; }
base::Result<std::string> RemainingCapabilities(const std::vector<std::string>&) { return std::string(); }

}  // namespace inject

namespace sidecar {

class Log::Sink {};
Log::Log(LogFormat format, LogLevel level) : format_(format), level_(level), sink_(nullptr) {}
Log::~Log() = default;
void Log::Write(LogLevel level, const std::string& line) {
  if (level >= level_) World::Get().Tell(line);
}

void LimitFreeMemory() {}
void ReturnFreeMemory() {}

}  // namespace sidecar
}  // namespace envdial
