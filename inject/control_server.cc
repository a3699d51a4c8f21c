// SPDX-License-Identifier: Apache-2.0
#include "inject/control_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "base/http_server.h"
#include "inject/control_request.h"
#include "inject/event_streams.h"
#include "inject/listen_socket.h"
#include "inject/long_polls.h"
#include "inject/snapshot_json.h"

namespace envdial::inject {
namespace {

using base::HttpServer;
using base::IncomingRequest;
using base::Result;
using Resource = ControlRoute::Resource;

constexpr std::string_view kJsonType = "application/json";
constexpr std::string_view kTextType = "text/plain; charset=utf-8";
constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// Each is a metric's label; the plan's number.
constexpr std::size_t kMaxConsumers = 16;

// The one body there is, of PUT /v1/applied, needs a hundred bytes.
constexpr std::size_t kMaxBodyBytes = 4096;

// Of each kind, for one share. The plan allows 1,024 to wait: that is with kMaxShares.
constexpr std::size_t kWaitingPerShare = 8;
constexpr std::size_t kSilentPerShare = 2;  // connections over the path that wait for nothing, or not yet
constexpr std::size_t kTcpPerShare = 1;     // Prometheus and the kubelet, and whoever holds the port open
constexpr std::size_t kMaxShares = 128;
constexpr std::size_t kKeptBack = 64;  // descriptors for all else: Consul, names, the store, the env file

void ReplyError(IncomingRequest& request, int status, std::string_view message, std::vector<std::string> headers = {}) {
  const std::string body = RenderErrorJson(message);
  request.Reply({.status = status, .type = kJsonType, .body = body, .headers = std::move(headers)});
}

class Server final : public ControlServer, private StreamContent {
 public:
  Server(base::EventLoop& loop, std::vector<base::DialInfo> dials, ControlContent& content,
         const ControlOptions& options)
      : dials_(std::move(dials)),
        content_(content),
        max_waiting_(options.limits.waiting),
        polls_(loop, [this](IncomingRequest& request) { ReplySnapshot(request); }),
        streams_(loop, *this, options.heartbeat),
        over_path_(
            HttpServer::Create(loop,
                               {.max_connections = options.limits.path_connections,
                                .max_body_bytes = kMaxBodyBytes,
                                .idle_timeout = options.idle_timeout},
                               [this](IncomingRequest& request, base::Now now) { OnPathRequest(request, now); })),
        over_tcp_(HttpServer::Create(loop,
                                     {.max_connections = options.limits.tcp_connections,
                                      .max_body_bytes = kMaxBodyBytes,
                                      .idle_timeout = options.idle_timeout},
                                     [this](IncomingRequest& request, base::Now now) { OnTcpRequest(request, now); })) {
  }

  Result<void> ListenUnix(const std::string& path, const base::FileRights& rights) override;
  Result<int> ListenTcp(const std::string& address) override;
  void Publish(const base::Snapshot* snapshot) override;

  std::size_t clients() const override { return polls_.size() + streams_.size(); }
  std::uint64_t updates_coalesced() const override { return streams_.coalesced(); }
  const std::vector<Consumer>& consumers() const override { return consumers_; }

 private:
  std::uint64_t version() const override { return snapshot_ == nullptr ? 0 : snapshot_->version; }
  base::State state() const override { return snapshot_ == nullptr ? base::State::kNotReady : snapshot_->state; }
  const std::string& SnapshotJson() override;
  std::chrono::milliseconds Age(base::Now now) override { return content_.Age(now); }

  void OnPathRequest(IncomingRequest& request, base::Now now);
  void OnTcpRequest(IncomingRequest& request, base::Now now);
  void Answer(IncomingRequest& request, const ControlRoute& route, base::Now now);
  void AnswerSnapshot(IncomingRequest& request, base::Now now);
  void AnswerWatch(IncomingRequest& request);
  void AnswerApplied(IncomingRequest& request, base::Now now);
  bool RefuseToWait(IncomingRequest& request);
  void ReplySnapshot(IncomingRequest& request);
  void ReplyValue(IncomingRequest& request, const std::string& name);
  void ReplyReady(IncomingRequest& request);
  void ReplyStarted(IncomingRequest& request);

  const std::vector<base::DialInfo> dials_;
  ControlContent& content_;
  const std::size_t max_waiting_;
  const base::Snapshot* snapshot_ = nullptr;
  std::string snapshot_json_;  // rendered when first asked for
  std::vector<Consumer> consumers_;
  LongPolls polls_;
  EventStreams streams_;
  std::unique_ptr<HttpServer> over_path_;
  std::unique_ptr<HttpServer> over_tcp_;
};

Result<void> Server::ListenUnix(const std::string& path, const base::FileRights& rights) {
  Result<base::UniqueFd> fd = ListenOnPath(path, rights);
  if (!fd) return std::unexpected(std::move(fd.error()).Within("control channel"));
  over_path_->StopListening();
  return over_path_->Listen(std::move(*fd));
}

Result<int> Server::ListenTcp(const std::string& address) {
  Result<base::UniqueFd> fd = ListenOnAddress(address);
  if (!fd) return std::unexpected(std::move(fd.error()));
  sockaddr_in6 bound{};  // the port stands at the same place in an IPv4 address
  socklen_t size = sizeof bound;
  if (::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return std::unexpected(base::ErrnoError(errno, "listen on " + address));
  }
  if (auto listening = over_tcp_->Listen(std::move(*fd)); !listening) return std::unexpected(listening.error());
  return ntohs(bound.sin6_port);
}

void Server::Publish(const base::Snapshot* snapshot) {
  assert(snapshot != nullptr && snapshot->dials.size() == dials_.size());
  snapshot_ = snapshot;
  snapshot_json_.clear();
  polls_.Wake(snapshot->version);
  streams_.Publish();
}

const std::string& Server::SnapshotJson() {
  if (snapshot_json_.empty()) snapshot_json_ = RenderSnapshotJson(dials_, snapshot_);
  return snapshot_json_;
}

void Server::OnPathRequest(IncomingRequest& request, base::Now now) {
  const std::string path = Excerpt(request.path());
  const ControlRoute route = RouteOf(request.path());
  if (route.resource == Resource::kUnknown) {
    return ReplyError(request, 404, "there is no " + path + "; there are " + KnownPaths(false));
  }
  if (!route.Allows(request.method())) {
    return ReplyError(request, 405,
                      Excerpt(request.method()) + " " + path + ": " + std::string(route.allow) + " is expected",
                      {"Allow: " + std::string(route.allow)});
  }
  Answer(request, route, now);
}

void Server::OnTcpRequest(IncomingRequest& request, base::Now now) {
  const ControlRoute route = RouteOf(request.path());
  if (route.over_tcp) return OnPathRequest(request, now);
  const std::string why = route.resource == Resource::kUnknown
                              ? "there is no " + Excerpt(request.path())
                              : Excerpt(request.path()) + " is served by the control socket only";
  ReplyError(request, 404, why + "; here are " + KnownPaths(true));
}

void Server::Answer(IncomingRequest& request, const ControlRoute& route, base::Now now) {
  switch (route.resource) {
    case Resource::kSnapshot:
      return AnswerSnapshot(request, now);
    case Resource::kValue:
      return ReplyValue(request, route.name);
    case Resource::kWatch:
      return AnswerWatch(request);
    case Resource::kApplied:
      return AnswerApplied(request, now);
    case Resource::kStatus:
      return request.Reply({.type = kJsonType, .body = content_.StatusJson(now)});
    case Resource::kMetrics:
      return request.Reply({.type = kMetricsType, .body = content_.MetricsText(now)});
    case Resource::kLivez:
      return request.Reply({.type = kTextType, .body = "ok\n"});
    case Resource::kReadyz:
      return ReplyReady(request);
    case Resource::kStartupz:
      return ReplyStarted(request);
    case Resource::kUnknown:
      break;
  }
  std::unreachable();
}

void Server::AnswerSnapshot(IncomingRequest& request, base::Now now) {
  const Result<SnapshotQuery> query = ParseSnapshotQuery(request.query());
  if (!query) return ReplyError(request, 400, query.error().message);
  if (query->after != version() || query->wait == std::chrono::nanoseconds::zero()) return ReplySnapshot(request);
  if (!RefuseToWait(request)) polls_.Park(request, *query->after, query->wait, now);
}

void Server::AnswerWatch(IncomingRequest& request) {
  if (!RefuseToWait(request)) streams_.Open(request, ParseLastEventId(request.Header("Last-Event-ID")));
}

void Server::AnswerApplied(IncomingRequest& request, base::Now now) {
  Result<AppliedReport> report = ParseApplied(request.body());
  if (!report) return ReplyError(request, 400, report.error().message);
  const auto known = std::ranges::find(consumers_, report->consumer, &Consumer::name);
  if (known == consumers_.end() && consumers_.size() == kMaxConsumers) {
    std::string names;
    for (const Consumer& consumer : consumers_) names += " " + consumer.name;
    return ReplyError(request, 429,
                      "there are " + std::to_string(kMaxConsumers) + " consumers already, no more are kept:" + names);
  }
  Consumer& consumer = known == consumers_.end() ? consumers_.emplace_back() : *known;
  consumer = {.name = std::move(report->consumer), .version = report->version, .time = now.wall};
  request.Reply({.status = 204});
}

bool Server::RefuseToWait(IncomingRequest& request) {
  if (clients() < max_waiting_) return false;
  ReplyError(request, 503, std::to_string(max_waiting_) + " clients wait already, no more may; try again later",
             {"Retry-After: 1"});
  return true;
}

void Server::ReplySnapshot(IncomingRequest& request) { request.Reply({.type = kJsonType, .body = SnapshotJson()}); }

void Server::ReplyValue(IncomingRequest& request, const std::string& name) {
  const auto dial = std::ranges::find(dials_, name, &base::DialInfo::name);
  if (dial == dials_.end()) return ReplyError(request, 404, "there is no dial " + Excerpt(name));
  const auto index = static_cast<std::size_t>(dial - dials_.begin());
  if (version() == 0 || !snapshot_->dials[index].value) {
    return ReplyError(request, 503, name + " has no value yet: nothing was published");
  }
  request.Reply({.type = kTextType, .body = *snapshot_->dials[index].value});
}

// Stale counts as ready: an outage of Consul must not take the app out of service.
void Server::ReplyReady(IncomingRequest& request) {
  if (state() == base::State::kNotReady) {
    return ReplyError(request, 503, "not_ready: some dial has no value yet; see /v1/status");
  }
  request.Reply({.type = kTextType, .body = std::string(base::ToString(state())) + "\n"});
}

void Server::ReplyStarted(IncomingRequest& request) {
  if (version() == 0) return ReplyError(request, 503, "nothing was published yet");
  request.Reply({.type = kTextType, .body = "ok\n"});
}

}  // namespace

ControlLimits ControlLimits::For(std::size_t files) {
  const std::size_t free = files - std::min(kKeptBack, files / 4);
  const std::size_t shares =
      std::clamp<std::size_t>(free / (kWaitingPerShare + kSilentPerShare + kTcpPerShare), 1, kMaxShares);
  return {.path_connections = shares * (kWaitingPerShare + kSilentPerShare),
          .tcp_connections = shares * kTcpPerShare,
          .waiting = shares * kWaitingPerShare};
}

std::unique_ptr<ControlServer> ControlServer::Create(base::EventLoop& loop, std::vector<base::DialInfo> dials,
                                                     ControlContent& content, const ControlOptions& options) {
  return std::make_unique<Server>(loop, std::move(dials), content, options);
}

}  // namespace envdial::inject
