// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_consul.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/support/base64.h"

namespace envdial::test {
namespace {

std::string Format(const ScriptedAnswer& answer) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " Scripted\r\n";
  for (const std::string& header : answer.headers) text += header + "\r\n";
  return text + "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body;
}

// Parses "GET /x HTTP/1.1\r\nName: value\r\n…", without the empty line at its end.
ScriptedRequest ParseHead(std::string_view head) {
  ScriptedRequest request;
  const auto next_line = [&head] {
    const std::size_t end = std::min(head.find("\r\n"), head.size());
    const std::string line(head.substr(0, end));
    head.remove_prefix(std::min(end + 2, head.size()));
    return line;
  };
  const std::string first = next_line();
  const std::size_t method_end = first.find(' ');
  request.method = first.substr(0, method_end);
  request.target = first.substr(method_end + 1, first.rfind(' ') - method_end - 1);
  while (!head.empty()) {
    const std::string line = next_line();
    const std::size_t colon = line.find(':');
    base::HttpHeader header{.name = line.substr(0, colon),
                            .value = line.substr(line.find_first_not_of(' ', colon + 1))};
    std::transform(header.name.begin(), header.name.end(), header.name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers.push_back(std::move(header));
  }
  return request;
}

std::size_t ContentLength(const ScriptedRequest& request) {
  for (const base::HttpHeader& header : request.headers) {
    if (header.name == "content-length") return std::stoul(header.value);
  }
  return 0;
}

}  // namespace

// One client's connection: reads its requests one by one, and answers them.
class ScriptedConsul::Connection {
 public:
  Connection(ScriptedConsul& server, std::size_t number, int fd)
      : server_(server),
        number_(number),
        timer_(server.loop_, [this](base::Now) { Send(); }),
        buffer_(bufferevent_socket_new(server.loop_.native(), fd, BEV_OPT_CLOSE_ON_FREE)) {
    bufferevent_setcb(
        buffer_, [](bufferevent*, void* self) { static_cast<Connection*>(self)->OnRead(); },
        [](bufferevent*, void* self) { static_cast<Connection*>(self)->OnSent(); },
        [](bufferevent*, short, void* self) { static_cast<Connection*>(self)->Drop(); }, this);
    bufferevent_enable(buffer_, EV_READ | EV_WRITE);
  }
  ~Connection() { bufferevent_free(buffer_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool held() const { return held_; }

  void Answer(ScriptedAnswer answer) {
    held_ = answer.kind == ScriptedAnswer::Kind::kHold;
    if (held_) return;
    answer_ = std::move(answer);
    timer_.Start(answer_->after);
  }

 private:
  void OnRead() {
    evbuffer* const input = bufferevent_get_input(buffer_);
    const std::size_t size = evbuffer_get_length(input);
    const std::string_view text(reinterpret_cast<const char*>(evbuffer_pullup(input, -1)), size);
    const std::size_t head_end = text.find("\r\n\r\n");
    if (head_end == std::string_view::npos) return;
    ScriptedRequest request = ParseHead(text.substr(0, head_end));
    const std::size_t body = head_end + 4;
    const std::size_t length = ContentLength(request);
    if (text.size() < body + length) return;
    request.body = text.substr(body, length);
    request.connection = number_;
    request.time = base::ReadClock().mono;
    evbuffer_drain(input, body + length);
    server_.requests_.push_back(request);
    Answer(server_.script_(request));
  }

  void Send() {
    const ScriptedAnswer answer = *std::exchange(answer_, std::nullopt);
    if (answer.kind == ScriptedAnswer::Kind::kClose) return Drop();
    const std::string bytes = answer.kind == ScriptedAnswer::Kind::kRaw ? answer.body : Format(answer);
    close_when_sent_ = answer.kind == ScriptedAnswer::Kind::kRaw;
    bufferevent_write(buffer_, bytes.data(), bytes.size());
  }

  void OnSent() {
    if (close_when_sent_) Drop();
  }

  void Drop() { server_.Drop(number_); }  // destroys this

  ScriptedConsul& server_;
  const std::size_t number_;
  bool held_ = false;
  bool close_when_sent_ = false;
  std::optional<ScriptedAnswer> answer_;
  base::Timer timer_;
  bufferevent* const buffer_;
};

std::optional<std::string> ScriptedRequest::Parameter(std::string_view name) const {
  std::string_view query = target;
  query.remove_prefix(std::min(query.find('?'), query.size()));
  while (!query.empty()) {
    query.remove_prefix(1);
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(parameter.size());
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    if (parameter.substr(0, equals) != name) continue;
    return std::string(parameter.substr(std::min(equals + 1, parameter.size())));
  }
  return std::nullopt;
}

ScriptedAnswer ScriptedAnswer::After(std::chrono::milliseconds delay) && {
  after = delay;
  return std::move(*this);
}

ScriptedAnswer ScriptedAnswer::With(std::string header) && {
  headers.push_back(std::move(header));
  return std::move(*this);
}

ScriptedAnswer Found(std::uint64_t index, const std::vector<ScriptedEntry>& entries) {
  nlohmann::json list = nlohmann::json::array();
  for (const ScriptedEntry& entry : entries) {
    nlohmann::json object = {{"LockIndex", 0}, {"Key", entry.key}, {"Flags", 0}, {"Value", nullptr}};
    if (!entry.value.empty()) object["Value"] = EncodeBase64(entry.value);
    object["CreateIndex"] = entry.modify_index;
    object["ModifyIndex"] = entry.modify_index;
    list.push_back(std::move(object));
  }
  ScriptedAnswer answer = NotFound(index);
  answer.status = 200;
  answer.headers.push_back("Content-Type: application/json");
  answer.body = list.dump();
  return answer;
}

ScriptedAnswer NotFound(std::uint64_t index) {
  return Status(404, "")
      .With("X-Consul-Index: " + std::to_string(index))
      .With("X-Consul-KnownLeader: true")
      .With("X-Consul-LastContact: 0");
}

ScriptedAnswer Status(int status, std::string text) {
  ScriptedAnswer answer;
  answer.status = status;
  if (!text.empty()) answer.headers.emplace_back("Content-Type: text/plain; charset=utf-8");
  answer.body = std::move(text);
  return answer;
}

ScriptedAnswer Hold() {
  ScriptedAnswer answer;
  answer.kind = ScriptedAnswer::Kind::kHold;
  return answer;
}

ScriptedAnswer Close() {
  ScriptedAnswer answer;
  answer.kind = ScriptedAnswer::Kind::kClose;
  return answer;
}

ScriptedAnswer Raw(std::string bytes) {
  ScriptedAnswer answer;
  answer.kind = ScriptedAnswer::Kind::kRaw;
  answer.body = std::move(bytes);
  return answer;
}

ScriptedConsul::ScriptedConsul(base::EventLoop& loop, Script script) : loop_(loop), script_(std::move(script)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener_.reset(evconnlistener_new_bind(
      loop.native(),
      [](evconnlistener*, int fd, sockaddr*, int, void* self) { static_cast<ScriptedConsul*>(self)->Accept(fd); }, this,
      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, reinterpret_cast<sockaddr*>(&address), sizeof address));
  socklen_t size = sizeof address;
  if (!listener_ ||
      ::getsockname(evconnlistener_get_fd(listener_.get()), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::cerr << "the scripted Consul can't listen on 127.0.0.1\n";
    std::abort();
  }
  endpoint_.host = "127.0.0.1";
  endpoint_.port = ntohs(address.sin_port);
}

ScriptedConsul::~ScriptedConsul() = default;

void ScriptedConsul::ListenerDeleter::operator()(evconnlistener* listener) const { evconnlistener_free(listener); }

std::size_t ScriptedConsul::held() const {
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(), [](const auto& entry) { return entry.second->held(); }));
}

void ScriptedConsul::AnswerHeld(const ScriptedAnswer& answer) {
  for (const auto& [number, connection] : connections_) {
    if (connection->held()) connection->Answer(answer);
  }
}

void ScriptedConsul::Accept(int fd) {
  const std::size_t number = connection_count_++;
  connections_.emplace(number, std::make_unique<Connection>(*this, number, fd));
}

void ScriptedConsul::Drop(std::size_t connection) { connections_.erase(connection); }

}  // namespace envdial::test
