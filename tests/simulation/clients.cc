// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/clients.h"

#include <cassert>
#include <nlohmann/json.hpp>
#include <utility>

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;

Clients* the_clients = nullptr;

}  // namespace

class Clients::Server final : public base::HttpServer {
 public:
  Server(Clients& clients, std::function<void(base::IncomingRequest&, base::Now)> handler)
      : clients_(clients), handler_(std::move(handler)) {}
  ~Server() override {
    if (clients_.server_ == this) clients_.server_ = nullptr;
  }
  base::Result<void> Listen(base::UniqueFd) override { return {}; }
  void StopListening() override {}
  std::size_t connections() const override { return 1; }
  void Handle(base::IncomingRequest& request) { handler_(request, World::Get().now()); }

 private:
  Clients& clients_;
  std::function<void(base::IncomingRequest&, base::Now)> handler_;
};

// GET /v1/watch, for ever.
class Clients::Stream final : public base::IncomingRequest {
 public:
  explicit Stream(Clients& clients) : clients_(clients) {}

  std::string_view method() const override { return "GET"; }
  std::string_view path() const override { return "/v1/watch"; }
  std::string_view query() const override { return ""; }
  std::string_view Header(std::string_view) const override { return ""; }
  std::string_view body() const override { return ""; }
  void Reply(const base::HttpReply&) override { assert(false); }
  void Keep(base::RequestKeeper&) override { assert(false); }
  void StartStream(std::string_view, base::RequestKeeper& keeper) override { keeper_ = &keeper; }
  void EndStream() override {}
  std::size_t unsent() const override { return untaken_.size(); }

  void Write(std::string_view bytes) override {
    if (!slow_) return clients_.Take(bytes);
    slow_->Seen();
    clients_.queued_ |= !untaken_.empty();
    untaken_ += bytes;
  }
  void SetSlow(const FaultPtr& fault) { slow_ = fault; }
  void Resume() {
    slow_.reset();
    if (untaken_.empty()) return;
    clients_.Take(std::exchange(untaken_, {}));
    keeper_->OnDrained(*this, World::Get().now());
  }
  void Go() { keeper_->OnGone(*this); }

 private:
  Clients& clients_;
  base::RequestKeeper* keeper_ = nullptr;
  FaultPtr slow_;
  std::string untaken_;
};

Clients::Clients() { the_clients = this; }
Clients::~Clients() { the_clients = nullptr; }

Clients& Clients::Get() {
  assert(the_clients != nullptr);
  return *the_clients;
}

std::unique_ptr<base::HttpServer> Clients::MakeServer(std::function<void(base::IncomingRequest&, base::Now)> handler) {
  auto server = std::make_unique<Server>(*this, std::move(handler));
  if (server_ == nullptr) server_ = server.get();  // the first is that of the control socket
  return server;
}

void Clients::Connect() {
  shown_.reset();
  text_.clear();
  stream_ = std::make_unique<Stream>(*this);
  server_->Handle(*stream_);
}

void Clients::Disconnect() {
  stream_.reset();
  shown_.reset();
}

void Clients::Slow(const FaultPtr& fault, std::chrono::nanoseconds time) {
  if (stream_ == nullptr) return;
  stream_->SetSlow(fault);
  World::Get().After(time, World::Whose::kSidecar, [this, slow = stream_.get()] {
    if (stream_.get() == slow) stream_->Resume();
  });
}

void Clients::Resume() {
  World::Get().After(0ns, World::Whose::kSidecar, [this] {
    if (stream_ != nullptr) stream_->Resume();
  });
}

void Clients::Vanish(const FaultPtr& fault) {
  if (stream_ == nullptr) return;
  fault->Seen();
  stream_->Go();
  Connect();
}

void Clients::Take(std::string_view events) {
  text_ += events;
  for (std::size_t end = text_.find("\n\n"); end != std::string::npos; end = text_.find("\n\n")) {
    const std::string event = text_.substr(0, end);
    text_.erase(0, end + 2);
    const std::size_t data = event.find("\ndata: ");
    if (!event.starts_with("event: snapshot\n") || data == std::string::npos) continue;
    const auto json = nlohmann::json::parse(event.substr(data + 7));
    Shown shown{.version = json["version"], .values = {}};
    for (const auto& dial : json["dials"]) {
      if (dial["value"].is_string()) shown.values[dial["name"]] = dial["value"];
    }
    shown_ = std::move(shown);
    ++told_;
  }
}

}  // namespace envdial::simulation
