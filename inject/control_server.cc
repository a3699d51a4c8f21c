// SPDX-License-Identifier: Apache-2.0
#include "inject/control_server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <utility>

#include "inject/control_request.h"
#include "inject/http_reply.h"
#include "inject/listen_socket.h"
#include "inject/long_polls.h"
#include "inject/snapshot_json.h"

namespace envdial::inject {
namespace {

using base::Result;
using Resource = ControlRoute::Resource;

constexpr int kMaxHeaderBytes = 16 * 1024;  // of a request; ours need some hundred
constexpr int kMaxBodyBytes = 64 * 1024;    // no request of today has a body; bounds what a client may make us keep

// When descriptors have run out, accepting stops until this has passed, instead of failing again in every turn of the
// loop. libevent does not say whose listener it was, so a look at all of them is taken in this rhythm.
constexpr std::chrono::seconds kAcceptPause{1};

constexpr const char* kAllowed = "GET, HEAD";

struct HttpDeleter {
  void operator()(evhttp* http) const { ::evhttp_free(http); }
};

class Server final : public ControlServer {
 public:
  Server(base::EventLoop& loop, std::vector<base::DialInfo> dials, ControlContent& content,
         std::chrono::milliseconds idle_timeout)
      : loop_(loop),
        dials_(std::move(dials)),
        content_(content),
        over_path_(MakeHttp(&Server::OnPathRequest, idle_timeout)),
        over_tcp_(MakeHttp(&Server::OnTcpRequest, idle_timeout)),
        polls_(loop, idle_timeout, [this](evhttp_request* request) { ReplySnapshot(request); }),
        accept_again_(loop, [this](base::Now) { AcceptAgain(); }) {}

  Result<void> ListenUnix(const std::string& path, const base::FileRights& rights) override {
    Result<base::UniqueFd> fd = ListenOnPath(path, rights);
    if (!fd) return std::unexpected(std::move(fd.error()).Within("control channel"));
    return Serve(over_path_.get(), std::move(*fd));
  }

  Result<int> ListenTcp(const std::string& address) override {
    Result<base::UniqueFd> fd = ListenOnAddress(address);
    if (!fd) return std::unexpected(std::move(fd.error()));
    sockaddr_in6 bound{};  // the port stands at the same place in an IPv4 address
    socklen_t size = sizeof bound;
    if (::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
      return std::unexpected(base::ErrnoError(errno, "listen on " + address));
    }
    if (auto served = Serve(over_tcp_.get(), std::move(*fd)); !served) return std::unexpected(served.error());
    return ntohs(bound.sin6_port);
  }

  void Publish(const base::Snapshot* snapshot) override {
    assert(snapshot != nullptr && snapshot->dials.size() == dials_.size());
    snapshot_ = snapshot;
    body_.reset();
    polls_.Wake(snapshot->version);
  }

  std::size_t clients() const override { return polls_.size(); }

 private:
  using Http = std::unique_ptr<evhttp, HttpDeleter>;

  Http MakeHttp(void (*on_request)(evhttp_request*, void*), std::chrono::milliseconds idle_timeout);
  Result<void> Serve(evhttp* http, base::UniqueFd fd);
  void AcceptAgain();

  static void OnPathRequest(evhttp_request* request, void* self) {
    static_cast<Server*>(self)->OnRequest(request, true);
  }
  static void OnTcpRequest(evhttp_request* request, void* self) {
    static_cast<Server*>(self)->OnRequest(request, false);
  }

  void OnRequest(evhttp_request* request, bool over_path);
  void Answer(evhttp_request* request, const ControlRoute& route, base::Now now);
  void OnSnapshotRequest(evhttp_request* request, base::Now now);
  void ReplySnapshot(evhttp_request* request);
  void ReplyValue(evhttp_request* request, const std::string& name);
  void ReplyReady(evhttp_request* request);
  void ReplyStarted(evhttp_request* request);
  std::uint64_t version() const { return snapshot_ == nullptr ? 0 : snapshot_->version; }

  base::EventLoop& loop_;
  const std::vector<base::DialInfo> dials_;
  ControlContent& content_;
  const base::Snapshot* snapshot_ = nullptr;
  Evbuffer body_;  // of /v1/snapshot, rendered when first asked for, then shared by all who read it
  Http over_path_;
  Http over_tcp_;
  LongPolls polls_;  // after the servers of its requests, so that it goes before them
  std::vector<evconnlistener*> listeners_;
  base::Timer accept_again_;
};

void OnAcceptError(evconnlistener* listener, void*) { ::evconnlistener_disable(listener); }

Server::Http Server::MakeHttp(void (*on_request)(evhttp_request*, void*), std::chrono::milliseconds idle_timeout) {
  Http http(::evhttp_new(loop_.native()));
  assert(http != nullptr);
  ::evhttp_set_max_headers_size(http.get(), kMaxHeaderBytes);
  ::evhttp_set_max_body_size(http.get(), kMaxBodyBytes);
  const timeval timeout = ToTimeval(idle_timeout);
  ::evhttp_set_timeout_tv(http.get(), &timeout);
  // All that it knows: what we don't serve is answered by us, with what we do.
  ::evhttp_set_allowed_methods(http.get(), EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                               EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                               EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
  ::evhttp_set_gencb(http.get(), on_request, this);
  return http;
}

Result<void> Server::Serve(evhttp* http, base::UniqueFd fd) {
  evconnlistener* listener = ::evconnlistener_new(loop_.native(), nullptr, nullptr,
                                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd.get());
  if (listener == nullptr) return base::Fail(base::ErrorKind::kIo, "listen: no event could be made");
  std::ignore = fd.Release();  // the listener's now, and that is the server's
  ::evconnlistener_set_error_cb(listener, &OnAcceptError);
  if (::evhttp_bind_listener(http, listener) == nullptr) {
    ::evconnlistener_free(listener);
    return base::Fail(base::ErrorKind::kIo, "listen: out of memory");
  }
  listeners_.push_back(listener);
  accept_again_.Start(kAcceptPause);
  return {};
}

void Server::AcceptAgain() {
  for (evconnlistener* listener : listeners_) ::evconnlistener_enable(listener);
  accept_again_.Start(kAcceptPause);
}

void Server::OnRequest(evhttp_request* request, bool over_path) {
  const evhttp_uri* uri = ::evhttp_request_get_evhttp_uri(request);
  const char* path = uri == nullptr ? nullptr : ::evhttp_uri_get_path(uri);
  const std::string shown = path == nullptr ? "" : path;
  const ControlRoute route = RouteOf(shown);
  if (route.resource == Resource::kUnknown) {
    ReplyError(request, HTTP_NOTFOUND,
               "there is no " + shown + "; there are /v1/snapshot, /v1/values/NAME, /v1/status, /metrics, /livez, " +
                   "/readyz and /startupz");
    return;
  }
  if (!over_path && !route.over_tcp()) {
    ReplyError(request, HTTP_NOTFOUND,
               shown + " is served by the control socket only; here are /metrics, /livez, " + "/readyz and /startupz");
    return;
  }
  const evhttp_cmd_type method = ::evhttp_request_get_command(request);
  if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
    ::evhttp_add_header(::evhttp_request_get_output_headers(request), "Allow", kAllowed);
    ReplyError(request, HTTP_BADMETHOD, shown + " can only be read: GET or HEAD is expected");
    return;
  }
  Answer(request, route, base::ReadClock());
}

void Server::Answer(evhttp_request* request, const ControlRoute& route, base::Now now) {
  switch (route.resource) {
    case Resource::kSnapshot:
      return OnSnapshotRequest(request, now);
    case Resource::kValue:
      return ReplyValue(request, route.name);
    case Resource::kStatus:
      return Reply(request, HTTP_OK, kJsonType, content_.StatusJson(now));
    case Resource::kMetrics:
      return Reply(request, HTTP_OK, kMetricsType, content_.MetricsText(now));
    case Resource::kLivez:
      return Reply(request, HTTP_OK, kTextType, "ok\n");
    case Resource::kReadyz:
      return ReplyReady(request);
    case Resource::kStartupz:
      return ReplyStarted(request);
    case Resource::kUnknown:
      break;
  }
  std::unreachable();
}

void Server::OnSnapshotRequest(evhttp_request* request, base::Now now) {
  const Result<SnapshotQuery> query =
      ParseSnapshotQuery(::evhttp_uri_get_query(::evhttp_request_get_evhttp_uri(request)));
  if (!query) return ReplyError(request, HTTP_BADREQUEST, query.error().message);
  if (query->after != version() || query->wait == std::chrono::nanoseconds::zero()) return ReplySnapshot(request);
  if (polls_.full()) {
    return ReplyError(request, HTTP_SERVUNAVAIL,
                      std::to_string(LongPolls::kMaxWaiting) + " clients wait already; try again later");
  }
  polls_.Park(request, *query->after, now.mono + query->wait);
}

void Server::ReplySnapshot(evhttp_request* request) {
  if (!body_) {
    const std::string json = RenderSnapshotJson(dials_, snapshot_);
    body_.reset(::evbuffer_new());
    ::evbuffer_add(body_.get(), json.data(), json.size());
  }
  ReplyShared(request, HTTP_OK, kJsonType, body_.get());
}

void Server::ReplyValue(evhttp_request* request, const std::string& name) {
  const auto dial =
      std::find_if(dials_.begin(), dials_.end(), [&](const base::DialInfo& info) { return info.name == name; });
  if (dial == dials_.end()) return ReplyError(request, HTTP_NOTFOUND, "there is no dial " + name);
  const auto index = static_cast<std::size_t>(dial - dials_.begin());
  if (version() == 0 || !snapshot_->dials[index].value) {
    return ReplyError(request, HTTP_SERVUNAVAIL, name + " has no value yet: nothing was published");
  }
  Reply(request, HTTP_OK, kTextType, *snapshot_->dials[index].value);
}

// Stale counts as ready: an outage of Consul must not take the app out of service.
void Server::ReplyReady(evhttp_request* request) {
  const base::State state = snapshot_ == nullptr ? base::State::kNotReady : snapshot_->state;
  if (state == base::State::kNotReady) {
    return ReplyError(request, HTTP_SERVUNAVAIL, "not_ready: some dial has no value yet; see /v1/status");
  }
  Reply(request, HTTP_OK, kTextType, std::string(base::ToString(state)) + "\n");
}

void Server::ReplyStarted(evhttp_request* request) {
  if (version() == 0) return ReplyError(request, HTTP_SERVUNAVAIL, "nothing was published yet");
  Reply(request, HTTP_OK, kTextType, "ok\n");
}

}  // namespace

std::unique_ptr<ControlServer> ControlServer::Create(base::EventLoop& loop, std::vector<base::DialInfo> dials,
                                                     ControlContent& content, std::chrono::milliseconds idle_timeout) {
  return std::make_unique<Server>(loop, std::move(dials), content, idle_timeout);
}

}  // namespace envdial::inject
