// SPDX-License-Identifier: Apache-2.0
#include "base/async_dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace envdial::base {
namespace {

// A server that is silent this long is passed over for the next one; doubled in each round. Short, because whoever asks
// gives DNS, TCP and TLS together a second by default, and the second name server shall get its chance within that.
constexpr int kFirstTryMillis = 300;
constexpr int kMaxTries = 4;  // 4.5 s in all for one server, so that a slow answer still comes, and is kept
constexpr std::size_t kMaxAddresses = 16;  // more are of no use within one connect timeout

struct ChannelDeleter {
  void operator()(ares_channeldata* channel) const { ::ares_destroy(channel); }
};
struct AnswerDeleter {
  void operator()(ares_addrinfo* answer) const { ::ares_freeaddrinfo(answer); }
};

AsyncDns::Addresses ToText(const ares_addrinfo& answer) {
  AsyncDns::Addresses addresses;
  for (const ares_addrinfo_node* node = answer.nodes; node != nullptr; node = node->ai_next) {
    const void* binary = nullptr;
    if (node->ai_family == AF_INET) {
      binary = &reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr;
    } else if (node->ai_family == AF_INET6) {
      binary = &reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (binary == nullptr || ::inet_ntop(node->ai_family, binary, text.data(), text.size()) == nullptr) continue;
    addresses.emplace_back(text.data());
    if (addresses.size() == kMaxAddresses) break;
  }
  return addresses;
}

ErrorKind KindOf(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
      return ErrorKind::kNotFound;
    case ARES_ETIMEOUT:
      return ErrorKind::kTimeout;
    default:
      return ErrorKind::kUnavailable;
  }
}

class CaresDns final : public AsyncDns {
 public:
  CaresDns(EventLoop& loop, std::vector<std::string> name_servers)
      : loop_(loop),
        name_servers_(std::move(name_servers)),
        deliver_(loop, [this](Now now) { DeliverOne(now); }),
        retry_(loop, [this](Now) { Process(ARES_SOCKET_BAD, FdWatcher::kNone); }) {}

  ~CaresDns() override {
    for (auto& [host, question] : questions_) Orphan(question.askers);
    Orphan(answered_);
  }

  std::unique_ptr<Lookup> Resolve(const std::string& host, Callback on_done) override {
    auto lookup = std::make_unique<CaresLookup>(this, host, std::move(on_done));
    if (const auto kept = answers_.find(host); kept != answers_.end()) {
      Answer(*lookup, kept->second);
    } else if (const auto asked = questions_.find(host); asked != questions_.end()) {
      asked->second.askers.push_back(lookup.get());
    } else if (auto ready = OpenChannel(); !ready) {
      Answer(*lookup, std::unexpected(std::move(ready.error())));
    } else {
      Ask(host, *lookup);
    }
    return lookup;
  }

  void Forget(const std::string& host) override { answers_.erase(host); }

 private:
  struct CaresLookup final : Lookup {
    CaresLookup(CaresDns* asked, std::string name, Callback callback)
        : dns(asked), host(std::move(name)), on_done(std::move(callback)) {}
    ~CaresLookup() override {
      if (dns != nullptr) dns->Drop(this);
    }

    CaresDns* dns;  // null once that is gone
    std::string host;
    Callback on_done;
    Result<Addresses> result;
  };
  struct Question {
    CaresDns* dns;
    std::string host;
    std::vector<CaresLookup*> askers;
  };

  // The channel is made when a name is first needed, since most sidecars are given an address, and anew after a
  // failure, so that a changed resolv.conf is read.
  Result<void> OpenChannel() {
    if (channel_failed_ && questions_.empty()) channel_.reset();
    if (channel_ != nullptr) return {};
    std::array<char, 3> lookups = {'f', 'b', '\0'};  // the hosts file, then the name servers
    ares_options options{};
    options.timeout = kFirstTryMillis;
    options.tries = kMaxTries;
    options.lookups = lookups.data();
    options.sock_state_cb = &CaresDns::OnSocketState;
    options.sock_state_cb_data = this;
    ares_channel channel = nullptr;
    int status = ::ares_init_options(&channel, &options,
                                     ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) return FailWith(status, "start the resolver");
    channel_.reset(channel);
    channel_failed_ = false;
    if (name_servers_.empty()) return {};

    std::string servers;
    for (const std::string& server : name_servers_) servers.append(servers.empty() ? "" : ",").append(server);
    status = ::ares_set_servers_ports_csv(channel, servers.c_str());
    if (status == ARES_SUCCESS) return {};
    channel_.reset();
    return FailWith(status, "use the name servers " + servers);
  }

  static std::unexpected<Error> FailWith(int status, std::string_view context) {
    return Fail(KindOf(status), std::string(context).append(": ").append(::ares_strerror(status)));
  }

  void Ask(const std::string& host, CaresLookup& lookup) {
    Question& question = questions_[host];
    question = {.dns = this, .host = host, .askers = {&lookup}};
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_flags = ARES_AI_NOSORT;  // libcurl tries both families side by side
    ::ares_getaddrinfo(channel_.get(), host.c_str(), nullptr, &hints, &CaresDns::OnAnswer, &question);
    ScheduleRetry();
  }

  static void OnAnswer(void* argument, int status, int /*timeouts*/, ares_addrinfo* raw) {
    const std::unique_ptr<ares_addrinfo, AnswerDeleter> answer(raw);
    if (status == ARES_EDESTRUCTION) return;  // the question goes with its resolver
    auto* asked = static_cast<Question*>(argument);
    CaresDns* dns = asked->dns;
    const auto question = dns->questions_.extract(asked->host);

    Result<Addresses> result;
    if (status == ARES_SUCCESS && answer != nullptr) result = ToText(*answer);
    if (status == ARES_SUCCESS && result->empty()) status = ARES_ENODATA;
    if (status == ARES_SUCCESS) {
      dns->answers_[question.key()] = *result;
    } else {
      dns->channel_failed_ = true;
      result = FailWith(status, "resolve " + question.key());
    }
    for (CaresLookup* lookup : question.mapped().askers) dns->Answer(*lookup, result);
  }

  static void OnSocketState(void* self, ares_socket_t fd, int readable, int writable) {
    auto* dns = static_cast<CaresDns*>(self);
    dns->watchers_.erase(fd);
    const int interest = (readable != 0 ? FdWatcher::kRead : 0) | (writable != 0 ? FdWatcher::kWrite : 0);
    if (interest == 0) return;
    dns->watchers_.try_emplace(fd, dns->loop_, fd, static_cast<FdWatcher::Interest>(interest),
                               [dns, fd](FdWatcher::Interest ready, Now) { dns->Process(fd, ready); });
  }

  void Process(ares_socket_t fd, FdWatcher::Interest ready) {
    ::ares_process_fd(channel_.get(), (ready & FdWatcher::kRead) != 0 ? fd : ARES_SOCKET_BAD,
                      (ready & FdWatcher::kWrite) != 0 ? fd : ARES_SOCKET_BAD);
    ScheduleRetry();
  }

  void ScheduleRetry() {
    timeval wait{};
    if (::ares_timeout(channel_.get(), nullptr, &wait) == nullptr) return retry_.Stop();
    retry_.Start(std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec));
  }

  void Answer(CaresLookup& lookup, Result<Addresses> result) {
    lookup.result = std::move(result);
    answered_.push_back(&lookup);
    if (!deliver_.running()) deliver_.Start(std::chrono::nanoseconds::zero());
  }

  void DeliverOne(Now now) {
    if (answered_.empty()) return;
    CaresLookup* lookup = answered_.front();
    answered_.erase(answered_.begin());
    if (!answered_.empty()) deliver_.Start(std::chrono::nanoseconds::zero());
    lookup->dns = nullptr;  // we are done with it: either may be gone before the other
    const Callback on_done = std::move(lookup->on_done);
    on_done(std::move(lookup->result), now);  // may destroy the lookup and this object
  }

  void Drop(CaresLookup* lookup) {
    std::erase(answered_, lookup);
    if (const auto asked = questions_.find(lookup->host); asked != questions_.end()) {
      std::erase(asked->second.askers, lookup);
    }
  }

  static void Orphan(const std::vector<CaresLookup*>& lookups) {
    for (CaresLookup* lookup : lookups) lookup->dns = nullptr;
  }

  EventLoop& loop_;
  std::vector<std::string> name_servers_;
  std::map<std::string, Addresses> answers_;
  std::map<std::string, Question> questions_;  // c-ares holds their addresses
  std::vector<CaresLookup*> answered_;         // to be told, in order
  Timer deliver_;
  Timer retry_;
  std::map<ares_socket_t, FdWatcher> watchers_;
  bool channel_failed_ = false;
  std::unique_ptr<ares_channeldata, ChannelDeleter> channel_;  // closes its sockets by the watchers above
};

}  // namespace

std::unique_ptr<AsyncDns> AsyncDns::Create(EventLoop& loop, std::vector<std::string> name_servers) {
  return std::make_unique<CaresDns>(loop, std::move(name_servers));
}

}  // namespace envdial::base
