// SPDX-License-Identifier: Apache-2.0
#include "base/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <utility>

namespace envdial::base {
namespace {

// What is read at a time: as much as a header may have, so that most requests come at once.
constexpr std::size_t kReadSize = 16 * 1024;

// Of a stream's socket. What the kernel has queued cannot be taken back when something newer is there to be sent.
constexpr int kStreamBuffer = 16 * 1024;

// What is read and thrown away behind an answer that ends the connection. Closing before would make the kernel reset
// it, and the client might lose the answer.
constexpr std::size_t kMaxThrownAway = 256 * 1024;

std::string ToHex(std::size_t number) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
  return {digits.data(), end};
}

}  // namespace

HttpConnection::HttpConnection(EventLoop& loop, Owner& owner, UniqueFd fd)
    : loop_(loop), owner_(owner), fd_(std::move(fd)) {
  // What is sent in two pieces would else wait for the client's acknowledgement of the first. A Unix socket has no such
  // option, and doesn't wait.
  const int on = 1;
  std::ignore = ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void HttpConnection::SetPlace(HttpPhase phase, MonoTime since, Place place) {
  phase_ = phase;
  since_ = since;
  place_ = place;
  Watch();
}

void HttpConnection::Resume(Now now) { Advance(now); }

void HttpConnection::Expire(Now) {
  if ((phase_ == HttpPhase::kNew || phase_ == HttpPhase::kIdle) && request_ != nullptr) {
    return Refuse(408, "the request took too long to arrive");
  }
  Lose();
}

std::string_view HttpConnection::path() const {
  std::string_view target = request_->target();
  // As a proxy is asked: http://host/path.
  if (const std::size_t host = target.find("://"); host != std::string_view::npos && host < target.find('/')) {
    const std::size_t slash = target.find('/', host + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

std::string_view HttpConnection::query() const {
  const std::string_view target = request_->target();
  const std::size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

void HttpConnection::Reply(const HttpReply& reply) {
  assert(phase_ == HttpPhase::kKept);
  const bool was_kept = std::exchange(keeper_, nullptr) != nullptr;
  Answer(reply);
  // The handler may still look at it.
  if (was_kept) request_.reset();
}

void HttpConnection::Keep(RequestKeeper& keeper) {
  assert(phase_ == HttpPhase::kKept);
  keeper_ = &keeper;
}

void HttpConnection::StartStream(std::string_view type, RequestKeeper& keeper) {
  assert(phase_ == HttpPhase::kKept && method() != "HEAD");
  keeper_ = &keeper;
  is_last_ = true;
  std::ignore = ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &kStreamBuffer, sizeof kStreamBuffer);
  Enter(HttpPhase::kStreaming);
  AddHead(200, type);
  out_ += request_->is_http_1_0() ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n";
  PushStream();
}

void HttpConnection::Write(std::string_view bytes) {
  assert(phase_ == HttpPhase::kStreaming || phase_ == HttpPhase::kStalled);
  // An empty chunk would be the end.
  if (bytes.empty() || broken_) return;
  if (request_->is_http_1_0()) {
    out_ += bytes;
  } else {
    out_.append(ToHex(bytes.size())).append("\r\n").append(bytes).append("\r\n");
  }
  PushStream();
}

void HttpConnection::EndStream() {
  assert(phase_ == HttpPhase::kStreaming || phase_ == HttpPhase::kStalled);
  if (!request_->is_http_1_0()) out_ += "0\r\n\r\n";
  keeper_ = nullptr;
  request_.reset();
  Flush();
  EndAnswer();
}

void HttpConnection::OnReady(FdWatcher::Interest ready, Now now) {
  // One of them: the connection may be gone after it. If the other is still true, the loop says so again.
  if ((ready & FdWatcher::kWrite) != 0) return OnWritable(now);
  OnReadable(now);
}

void HttpConnection::OnWritable(Now now) {
  const bool some = Flush();
  if (broken_) return Lose();
  if (phase_ == HttpPhase::kAnswering && (some || unsent() == 0)) return EndAnswer();
  if (phase_ != HttpPhase::kStalled) return Watch();
  if (unsent() == 0) {
    Enter(HttpPhase::kStreaming);
    keeper_->OnDrained(*this, now);
  } else if (some) {
    Enter(HttpPhase::kStalled);
  }
}

void HttpConnection::OnReadable(Now now) {
  std::string ignored;
  switch (phase_) {
    case HttpPhase::kNew:
    case HttpPhase::kIdle:
      if (Receive(in_)) return Advance(now);
      if (request_ == nullptr) return owner_.Close(*this);
      return Refuse(400, "the request ended before it was whole");
    case HttpPhase::kKept:
      // A client that waits for an answer has no reason to send more than another request or two.
      if (!Receive(in_) || in_.size() > owner_.limits().max_header_bytes) Lose();
      return;
    case HttpPhase::kStreaming:
    case HttpPhase::kStalled:
      if (!Receive(ignored)) Lose();
      return;
    case HttpPhase::kLeaving:
      if (!Receive(ignored)) return owner_.Close(*this);
      thrown_away_ += ignored.size();
      if (thrown_away_ > kMaxThrownAway) owner_.Close(*this);
      return;
    case HttpPhase::kPending:
    case HttpPhase::kAnswering:
      return;
  }
}

// Adds what can be read at once to `bytes`. False if there will be no more.
bool HttpConnection::Receive(std::string& bytes) {
  std::array<char, kReadSize> buffer;
  const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) bytes.append(buffer.data(), static_cast<std::size_t>(size));
  return size > 0 || (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

// One request at most, so that nobody's pipeline keeps the loop from the others.
void HttpConnection::Advance(Now now) {
  if (in_.empty()) return;
  if (request_ == nullptr) {
    request_ = HttpRequestParser::Create(owner_.limits());
    Enter(phase_ == HttpPhase::kNew ? HttpPhase::kNew : HttpPhase::kIdle);
  }
  in_.erase(0, request_->Put(in_));
  if (in_.empty()) in_.shrink_to_fit();
  if (request_->fault().status != 0) return Refuse(request_->fault().status, request_->fault().message);
  if (request_->TakeExpectation()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    Flush();
    Watch();
  }
  if (!request_->done()) return;
  is_last_ = !request_->keep_alive();
  Enter(HttpPhase::kKept);
  owner_.Handle(*this, now);
  assert(phase_ != HttpPhase::kKept || keeper_ != nullptr);
  if (keeper_ == nullptr) request_.reset();
}

void HttpConnection::Refuse(int status, std::string_view message) {
  is_last_ = true;
  const std::string body = "{\"error\": \"" + std::string(message) + "\"}\n";
  Answer({.status = status, .type = "application/json", .body = body});
  request_.reset();
}

void HttpConnection::Answer(const HttpReply& reply) {
  AddHead(reply.status, reply.type);
  for (const std::string& header : reply.headers) out_ += header + "\r\n";
  const bool has_body = reply.status != 204;
  if (has_body) out_ += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
  out_ += "\r\n";
  if (has_body && method() != "HEAD") out_ += reply.body;
  Flush();
  EndAnswer();
}

void HttpConnection::EndAnswer() {
  if (unsent() > 0) return Enter(HttpPhase::kAnswering);
  if (!is_last_) return Enter(in_.empty() ? HttpPhase::kIdle : HttpPhase::kPending);
  ::shutdown(fd_.get(), SHUT_WR);
  Enter(HttpPhase::kLeaving);
}

void HttpConnection::AddHead(int status, std::string_view type) {
  out_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(HttpReason(status)).append("\r\n");
  if (!type.empty()) out_.append("Content-Type: ").append(type).append("\r\n");
  // What was true a moment ago is not to be shown again by something in between.
  out_ += "Cache-Control: no-store\r\n";
  if (is_last_) {
    out_ += "Connection: close\r\n";
  } else if (request_->is_http_1_0()) {
    out_ += "Connection: keep-alive\r\n";
  }
}

// Gives the kernel what it takes; true if that was something.
bool HttpConnection::Flush() {
  const std::size_t before = unsent();
  while (unsent() > 0) {
    const ssize_t size = ::send(fd_.get(), out_.data() + sent_, unsent(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      broken_ = errno != EAGAIN && errno != EWOULDBLOCK;
      break;
    }
    sent_ += static_cast<std::size_t>(size);
  }
  const bool some = unsent() < before;
  // Nobody is told from within a call of theirs: the loop sees the end of it, and tells them. Nor is anything more done
  // for who is gone: what it had pipelined may be hundreds of requests.
  if (broken_) {
    ::shutdown(fd_.get(), SHUT_RDWR);
    in_.clear();
  }
  if (broken_ || unsent() == 0) {
    out_ = {};
    sent_ = 0;
  }
  return some;
}

// If some was left before, the loop sends what was added, and tells the keeper when that is done.
void HttpConnection::PushStream() {
  if (phase_ == HttpPhase::kStalled) return;
  Flush();
  if (unsent() > 0) Enter(HttpPhase::kStalled);
}

void HttpConnection::Lose() {
  if (RequestKeeper* keeper = std::exchange(keeper_, nullptr)) keeper->OnGone(*this);
  owner_.Close(*this);
}

void HttpConnection::Watch() {
  const bool reads = phase_ != HttpPhase::kPending && phase_ != HttpPhase::kAnswering;
  const auto interest =
      static_cast<FdWatcher::Interest>((reads ? FdWatcher::kRead : 0) | (unsent() > 0 ? FdWatcher::kWrite : 0));
  if (watcher_ != nullptr && interest == interest_) return;
  interest_ = interest;
  watcher_.reset();
  watcher_ = std::make_unique<FdWatcher>(loop_, fd_.get(), interest,
                                         [this](FdWatcher::Interest ready, Now now) { OnReady(ready, now); });
}

}  // namespace envdial::base
