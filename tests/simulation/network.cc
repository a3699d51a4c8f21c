// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/network.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <utility>

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using base::HttpFault;
using Whose = World::Whose;

Network* the_network = nullptr;

constexpr std::size_t kRemembered = 8;  // old answers to be replayed
constexpr std::size_t kContacts = 200;

bool HasParameter(const std::string& target, std::string_view name) {
  const std::size_t at = target.find(name);
  if (at == std::string::npos || (target[at - 1] != '?' && target[at - 1] != '&')) return false;
  const std::size_t end = at + name.size();
  return end == target.size() || target[end] == '&' || target[end] == '=';
}

std::uint64_t Number(const std::string& target, std::string_view name) {
  if (!HasParameter(target, name)) return 0;
  const char* begin = target.data() + target.find(name) + name.size() + 1;
  std::uint64_t number = 0;
  std::from_chars(begin, target.data() + target.size(), number);
  return number;
}

// The keys of the simulation need no percent-encoding.
Cluster::Query QueryOf(const base::HttpRequest& request) {
  constexpr std::string_view kPath = "/v1/kv/";
  assert(request.method == "GET" && request.target.starts_with(kPath));
  const std::string& target = request.target;
  const std::size_t end = std::min(target.find('?'), target.size());
  const std::string query = target.substr(end);
  return {.name = target.substr(kPath.size(), end - kPath.size()),
          .recurse = HasParameter(query, "recurse"),
          .index = Number(query, "index"),
          .wait = std::chrono::milliseconds(Number(query, "wait")),
          .consistency = HasParameter(query, "consistent") ? consul::Consistency::kConsistent
                         : HasParameter(query, "stale")    ? consul::Consistency::kStale
                                                           : consul::Consistency::kDefault};
}

// What the sidecar counts as a contact (rule 10).
bool IsContact(const base::HttpResponse& response) {
  const std::string* leader = response.FindHeader("x-consul-knownleader");
  const std::string* contact = response.FindHeader("x-consul-lastcontact");
  return leader != nullptr && *leader == "true" && contact != nullptr && std::stoul(*contact) <= 5000;
}

std::string* Header(base::HttpResponse& response, std::string_view name) {
  const auto found = std::ranges::find(response.headers, name, &base::HttpHeader::name);
  return found == response.headers.end() ? nullptr : &found->value;
}

void ReplaceAll(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace

class Network::Transfer final : public base::HttpTransfer {
 public:
  Transfer(Network& network, Id id) : network_(network), id_(id) {}
  ~Transfer() override { network_.Drop(id_); }

 private:
  Network& network_;
  Id id_;
};

class Network::Client final : public base::HttpClient {
 public:
  explicit Client(Network& network) : network_(network) {}
  std::unique_ptr<base::HttpTransfer> Start(base::HttpRequest request, OnDone on_done) override {
    return std::make_unique<Transfer>(network_, network_.Start(std::move(request), std::move(on_done)));
  }

 private:
  Network& network_;
};

Network::Network(Cluster& cluster) : cluster_(cluster) { the_network = this; }
Network::~Network() { the_network = nullptr; }

Network& Network::Get() {
  assert(the_network != nullptr);
  return *the_network;
}

std::unique_ptr<base::HttpClient> Network::MakeClient() { return std::make_unique<Client>(*this); }

bool Network::HadContact(const std::string& name, base::MonoTime from, base::MonoTime to) const {
  const auto found = contacts_.find(name);
  return found != contacts_.end() &&
         std::ranges::any_of(found->second, [&](base::MonoTime contact) { return from <= contact && contact <= to; });
}

std::chrono::nanoseconds Network::Latency() const { return World::Get().Between(100us, 5ms); }

base::HttpError Network::Error(const Exchange& exchange, HttpFault fault, std::string what) const {
  return {.fault = fault, .message = exchange.request.endpoint.ToString() + ": " + std::move(what)};
}

void Network::Tell(const Exchange& exchange, const base::HttpResult& result) {
  World& world = World::Get();
  if (!world.tells()) return;
  const std::string what = "   " + exchange.request.endpoint.host + exchange.request.target + ": ";
  world.Tell(what + (result ? std::to_string(result->status) + " " + result->body : result.error().message));
}

void Network::Break(std::size_t server, FaultPtr fault) {
  faults_[server] = fault;
  if (fault->kind() != Kind::kReset && fault->kind() != Kind::kServerDown) return;
  for (auto& [id, exchange] : exchanges_) {
    if (exchange.server != server || !exchange.ticket) continue;
    fault->Seen();
    Finish(id, std::unexpected(Error(exchange, HttpFault::kRefused, "Connection reset by peer")), 0ns);
  }
}

void Network::Mend(std::size_t server, const FaultPtr& fault) {
  if (faults_[server] == fault) faults_[server].reset();
}

Network::Id Network::Start(base::HttpRequest request, OnDone on_done) {
  ++requests_;
  const Id id = next_++;
  const std::size_t server = last_asked_ = request.endpoint.port - kFirstPort;
  Cluster::Query query = QueryOf(request);
  exchanges_.emplace(
      id, Exchange{std::move(request), std::move(on_done), server, std::move(query), std::nullopt, 0, false});
  World::Get().After(0ns, Whose::kSidecar, [this, id] { Connect(id); });
  return id;
}

void Network::Drop(Id id) {
  const auto node = exchanges_.extract(id);
  if (!node.empty() && node.mapped().ticket) cluster_.Withdraw(*node.mapped().ticket);
}

void Network::Connect(Id id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  const Exchange& exchange = found->second;
  const auto fail = [&](HttpFault fault, const char* what, std::chrono::nanoseconds delay) {
    faults_[exchange.server]->Seen();
    Finish(id, std::unexpected(Error(exchange, fault, what)), delay);
  };
  if (const FaultPtr& fault = faults_[exchange.server]) {
    switch (fault->kind()) {
      case Kind::kRefused:
      case Kind::kServerDown:
        return fail(HttpFault::kRefused, "Connection refused", Latency());
      case Kind::kDns:
        return fail(HttpFault::kDns, "could not be resolved", Latency());
      case Kind::kTls:
        return fail(HttpFault::kTls, "certificate has expired", Latency());
      case Kind::kConnectSwallowed:
        return fail(HttpFault::kTimeout, "no connection in time", exchange.request.connect_timeout);
      default:
        break;
    }
  }
  const auto latency = Latency();
  World::Get().After(latency, Whose::kWorld, [this, id] { Arrive(id); });
  World::Get().After(latency + exchange.request.timeout, Whose::kSidecar, [this, id] {
    const auto late = exchanges_.find(id);
    if (late == exchanges_.end()) return;
    Finish(id, std::unexpected(Error(late->second, HttpFault::kTimeout, "no answer in time")), 0ns);
  });
}

void Network::Arrive(Id id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  Exchange& exchange = found->second;
  exchange.ticket = 0;  // it is at the server
  exchange.era = cluster_.era();
  const Cluster::Ticket ticket = cluster_.Ask(
      exchange.server, exchange.query, [this, id](base::HttpResponse response) { Answer(id, std::move(response)); });
  const auto still = exchanges_.find(id);
  if (still != exchanges_.end()) still->second.ticket = ticket;
}

void Network::Answer(Id id, base::HttpResponse response) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  Exchange& exchange = found->second;
  const FaultPtr& fault = faults_[exchange.server];
  std::chrono::nanoseconds delay = Latency();
  auto& past = past_[exchange.query.name];
  if (!fault) {
    if (exchange.era == cluster_.era()) past.push_back(response);
    if (past.size() > kRemembered) past.pop_front();
    exchange.honest = true;
    return Finish(id, std::move(response), delay);
  }
  const base::HttpResponse honest = response;
  switch (fault->kind()) {
    case Kind::kAnswerSwallowed:
      fault->Seen();
      return;  // the deadline of the request ends it
    case Kind::kReset:
      fault->Seen();
      return Finish(id, std::unexpected(Error(exchange, HttpFault::kRefused, "Connection reset by peer")), delay);
    case Kind::kCutShort:
      fault->Seen();
      return Finish(id, std::unexpected(Error(exchange, HttpFault::kCutShort, "the answer was cut short")), delay);
    case Kind::kTooLarge:
      fault->Seen();
      return Finish(id, std::unexpected(Error(exchange, HttpFault::kTooLarge, "more than 16 MiB")), delay);
    case Kind::kSlow:
      fault->Seen();
      delay = World::Get().Between(10ms, 6s);
      break;
    default:
      Tamper(fault->kind(), exchange.query, response);
  }
  if (response.status != honest.status || response.body != honest.body ||
      !std::ranges::equal(response.headers, honest.headers, {}, &base::HttpHeader::value, &base::HttpHeader::value)) {
    fault->Seen();
  }
  Finish(id, std::move(response), delay);
}

// Makes of an honest answer what the fault makes of it. Consistent reads of single keys are left as they are where the
// lie is about values: nobody who must find out the truth could, if every answer were forged alike.
void Network::Tamper(Kind kind, const Cluster::Query& query, base::HttpResponse& response) {
  const bool decisive = query.consistency == consul::Consistency::kConsistent;
  std::string* const index = Header(response, "x-consul-index");
  switch (kind) {
    case Kind::kDenied:
      response = PlainAnswer(403, "Permission denied: token lacks permission 'key:read'");
      break;
    case Kind::kFilteredByAcls:
      if (index == nullptr) break;
      response.headers.push_back({"x-consul-results-filtered-by-acls", "true"});
      response.status = query.recurse ? 404 : 403;
      response.body.clear();
      break;
    case Kind::kThrottled:
      response = PlainAnswer(429, "Your IP is issuing too many concurrent connections");
      response.headers.push_back({"retry-after", "2"});
      break;
    case Kind::kServerError:
      response = PlainAnswer(500, "rpc error making call: EOF");
      break;
    case Kind::kRedirect:
      response = PlainAnswer(301, "");
      response.headers.push_back({"location", "http://elsewhere/"});
      break;
    case Kind::kHtml:
      response = {.status = 200, .headers = {{"content-type", "text/html"}}, .body = "<html>Please log in</html>"};
      break;
    case Kind::kOtherKey:
      ReplaceAll(response.body, "\"Key\":\"", "\"Key\":\"other/");
      break;
    case Kind::kBadBase64:
      ReplaceAll(response.body, "\"Value\":\"", "\"Value\":\"!");
      break;
    case Kind::kNoIndex:
      std::erase_if(response.headers, [](const auto& header) { return header.name == "x-consul-index"; });
      break;
    case Kind::kIndexZero:
      if (index != nullptr) *index = "0";
      break;
    case Kind::kIndexBackwards:
      // With a 404 it would be a restore, after which nobody can tell old from new.
      if (index != nullptr && response.status == 200) *index = std::to_string(1 + World::Get().Draw(9));
      break;
    case Kind::kOlderAnswer: {
      const auto& past = past_[query.name];
      if (!decisive && !past.empty()) response = past.front();
      break;
    }
    case Kind::kFalse404:
      if (decisive || index == nullptr) break;
      response.status = 404;
      response.body.clear();
      break;
    default:
      break;
  }
}

void Network::Finish(Id id, base::HttpResult result, std::chrono::nanoseconds delay) {
  World::Get().After(delay, Whose::kSidecar, [this, id, result = std::move(result)]() mutable {
    const auto found = exchanges_.find(id);
    if (found == exchanges_.end()) return;
    const OnDone on_done = std::move(found->second.on_done);
    Tell(found->second, result);
    const std::string name = found->second.query.name;
    const bool contact = found->second.honest && result && IsContact(*result);
    if (!result) failures_.try_emplace(name, World::Get().now().mono);
    Drop(id);
    const Id next = next_;
    on_done(std::move(result), World::Get().now());
    // Where something is asked at once, the answer has to be confirmed first.
    if (!contact || next_ != next) return;
    auto& contacts = contacts_[name];
    contacts.push_back(World::Get().now().mono);
    if (contacts.size() > kContacts) contacts.pop_front();
  });
}

}  // namespace envdial::simulation
