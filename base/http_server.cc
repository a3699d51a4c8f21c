// SPDX-License-Identifier: Apache-2.0
#include "base/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <list>
#include <optional>
#include <utility>

#include "base/http_connection.h"

namespace envdial::base {
namespace {

// Per turn of the loop and listener, so that a flood of connecting clients doesn't keep the loop from all else.
constexpr std::size_t kMaxAcceptsPerTurn = 16;

// So that those who were accepted in one turn are not all gone for the next ones before they could ask for anything.
constexpr std::size_t kTurnsToBeHeard = 4;

// Requests that were read already, per turn of the loop: one may cost a millisecond (/metrics).
constexpr std::size_t kMaxResumedPerTurn = 32;

// How long nothing is accepted when there is no room and none can be made: the listener stays readable, and would be
// tried in every turn of the loop. A connection that ends makes room at once.
constexpr std::chrono::milliseconds kAcceptPause{100};

// How long what a client still sends is thrown away behind an answer that ends the connection.
constexpr std::chrono::milliseconds kMaxLeaving{2'000};

// Who may be closed to make room for a new connection.
constexpr std::array kMakeRoomBy{HttpPhase::kLeaving, HttpPhase::kNew, HttpPhase::kIdle, HttpPhase::kAnswering};

bool SomeoneWaits(int listener) {
  pollfd listens{.fd = listener, .events = POLLIN, .revents = 0};
  return ::poll(&listens, 1, 0) > 0;
}

class Server final : public HttpServer, public HttpConnection::Owner {
 public:
  Server(EventLoop& loop, const HttpServerLimits& limits, std::function<void(IncomingRequest&, Now)> handler)
      : loop_(loop),
        limits_(limits),
        handler_(std::move(handler)),
        next_turn_(loop, [this](Now now) { ResumePending(now); }),
        expiry_(loop, [this](Now now) { Expire(now); }),
        pause_(loop, [this](Now) { AcceptAgain(); }) {}

  Result<void> Listen(UniqueFd fd) override {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
      return std::unexpected(ErrnoError(errno, "listen"));
    }
    if (listening == 0) return Fail(ErrorKind::kInvalid, "listen: this is no listening socket");
    listeners_.push_back({.fd = std::move(fd), .watcher = nullptr});
    if (!pause_.running()) Watch(listeners_.back());
    return {};
  }

  void StopListening() override { listeners_.clear(); }

  std::size_t connections() const override {
    std::size_t count = 0;
    for (const Connections& list : phases_) count += list.size();
    return count;
  }

  // For the connections.
  const HttpServerLimits& limits() const override { return limits_; }
  void Enter(HttpConnection& connection, HttpPhase phase) override;
  void Handle(HttpConnection& connection, Now now) override { handler_(connection, now); }
  void Close(HttpConnection& connection) override;

 private:
  using Connections = std::list<std::unique_ptr<HttpConnection>>;
  struct Listener {
    UniqueFd fd;
    std::unique_ptr<FdWatcher> watcher;  // none during a pause
  };

  const Connections& InPhase(HttpPhase phase) const { return phases_[static_cast<std::size_t>(phase)]; }
  Connections& InPhase(HttpPhase phase) { return phases_[static_cast<std::size_t>(phase)]; }
  std::optional<std::chrono::milliseconds> TimeOf(HttpPhase phase) const;

  void Watch(Listener& listener);
  void Accept(int listener);
  void Add(UniqueFd fd);
  bool MakeRoom();
  bool HasRoom() const;
  void Pause();
  void AcceptAgain();

  void ResumePending(Now now);
  void Expire(Now now);
  void ExpireAt(MonoTime time);

  EventLoop& loop_;
  const HttpServerLimits limits_;
  const std::function<void(IncomingRequest&, Now)> handler_;
  std::vector<Listener> listeners_;
  std::array<Connections, kHttpPhases> phases_;
  Timer next_turn_;  // while some are pending
  Timer expiry_;     // for expires_
  MonoTime expires_{};
  Timer pause_;  // while nothing is accepted
};

std::optional<std::chrono::milliseconds> Server::TimeOf(HttpPhase phase) const {
  switch (phase) {
    case HttpPhase::kNew:
    case HttpPhase::kIdle:
    case HttpPhase::kAnswering:
      return limits_.idle_timeout;
    case HttpPhase::kStalled:
      return limits_.stream_timeout;
    case HttpPhase::kLeaving:
      return std::min(limits_.idle_timeout, kMaxLeaving);
    case HttpPhase::kPending:
    case HttpPhase::kKept:
    case HttpPhase::kStreaming:
      break;
  }
  return std::nullopt;
}

void Server::Enter(HttpConnection& connection, HttpPhase phase) {
  const MonoTime now = ReadClock().mono;
  Connections& to = InPhase(phase);
  to.splice(to.end(), InPhase(connection.phase()), connection.place());
  connection.SetPlace(phase, now, connection.place());
  if (phase == HttpPhase::kPending && !next_turn_.running()) next_turn_.Start(std::chrono::nanoseconds::zero());
  if (const auto time = TimeOf(phase)) ExpireAt(now + *time);
  if (pause_.running() && HasRoom()) AcceptAgain();
}

void Server::Close(HttpConnection& connection) {
  InPhase(connection.phase()).erase(connection.place());
  if (pause_.running()) AcceptAgain();
}

void Server::Watch(Listener& listener) {
  const int fd = listener.fd.get();
  listener.watcher =
      std::make_unique<FdWatcher>(loop_, fd, FdWatcher::kRead, [this, fd](FdWatcher::Interest, Now) { Accept(fd); });
}

void Server::Accept(int listener) {
  bool made_room = false;
  const std::size_t most = std::clamp<std::size_t>(limits_.max_connections / kTurnsToBeHeard, 1, kMaxAcceptsPerTurn);
  for (std::size_t i = 0; i < most; ++i) {
    if (!HasRoom()) return Pause();
    UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      Add(std::move(fd));
      made_room = false;
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Without a free descriptor it fails even when nobody waits.
    if (errno == EAGAIN || errno == EWOULDBLOCK || !SomeoneWaits(listener)) return;
    // Out of descriptors or of memory, as a rule; whatever else it is, it may not be tried again at once.
    if (made_room || !MakeRoom()) return Pause();
    made_room = true;
  }
}

void Server::Add(UniqueFd fd) {
  if (connections() >= limits_.max_connections) MakeRoom();
  Connections& list = InPhase(HttpPhase::kNew);
  list.push_back(std::make_unique<HttpConnection>(loop_, *this, std::move(fd)));
  const MonoTime now = ReadClock().mono;
  list.back()->SetPlace(HttpPhase::kNew, now, std::prev(list.end()));
  ExpireAt(now + limits_.idle_timeout);
}

bool Server::HasRoom() const {
  return connections() < limits_.max_connections ||
         std::ranges::any_of(kMakeRoomBy, [this](HttpPhase phase) { return !InPhase(phase).empty(); });
}

// Those at the front of each list have been there longest. Of new and idle ones the greater part gives way: a flood of
// those who never ask, or of those who ask once and stay, takes places from its own kind.
bool Server::MakeRoom() {
  std::array order = kMakeRoomBy;
  if (InPhase(HttpPhase::kIdle).size() > InPhase(HttpPhase::kNew).size()) std::swap(order[1], order[2]);
  for (const HttpPhase phase : order) {
    if (InPhase(phase).empty()) continue;
    Close(*InPhase(phase).front());
    return true;
  }
  return false;
}

void Server::Pause() {
  for (Listener& listener : listeners_) listener.watcher.reset();
  pause_.Start(kAcceptPause);
}

void Server::AcceptAgain() {
  pause_.Stop();
  for (Listener& listener : listeners_) Watch(listener);
}

// Of those that are pending now; what they leave for later waits for the turn after this one.
void Server::ResumePending(Now now) {
  Connections& pending = InPhase(HttpPhase::kPending);
  std::size_t left = std::min(pending.size(), kMaxResumedPerTurn);
  for (; left > 0 && !pending.empty(); --left) pending.front()->Resume(now);
  if (!pending.empty() && !next_turn_.running()) next_turn_.Start(std::chrono::nanoseconds::zero());
}

void Server::Expire(Now now) {
  for (std::size_t i = 0; i < kHttpPhases; ++i) {
    Connections& list = phases_[i];
    const auto time = TimeOf(static_cast<HttpPhase>(i));
    if (!time) continue;
    while (!list.empty() && list.front()->since() + *time <= now.mono) list.front()->Expire(now);
    if (!list.empty()) ExpireAt(list.front()->since() + *time);
  }
}

void Server::ExpireAt(MonoTime time) {
  if (expiry_.running() && expires_ <= time) return;
  expires_ = time;
  expiry_.Start(time - ReadClock().mono);
}

}  // namespace

std::unique_ptr<HttpServer> HttpServer::Create(EventLoop& loop, const HttpServerLimits& limits,
                                               std::function<void(IncomingRequest&, Now)> handler) {
  return std::make_unique<Server>(loop, limits, std::move(handler));
}

}  // namespace envdial::base
