// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.h"

#include <curl/curl.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/async_dns.h"
#include "base/http_exchange.h"

namespace envdial::base {
namespace {

// Consul takes 200 connections from one address; more than that is never worth keeping.
constexpr long kMaxKeptConnections = 200;

struct MultiDeleter {
  void operator()(CURLM* multi) const { ::curl_multi_cleanup(multi); }
};

// libcurl's library state, counted by libcurl itself.
class CurlLibrary {
 public:
  CurlLibrary() : ready_(::curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK) {}
  CurlLibrary(const CurlLibrary&) = delete;
  CurlLibrary& operator=(const CurlLibrary&) = delete;
  ~CurlLibrary() {
    if (ready_) ::curl_global_cleanup();
  }
  bool ready() const { return ready_; }

 private:
  bool ready_;
};

// libcurl calls us only to say which sockets to watch and when to call it again, and never while one of our callers
// runs: an outcome is put into a queue, from which one is told when libcurl has returned to the loop, and one in each
// turn of it. So whoever is told may start and destroy transfers as he likes.
class CurlClient final : public HttpClient {
 public:
  CurlClient(EventLoop& loop, HttpClientOptions options)
      : loop_(loop),
        options_(std::move(options)),
        curl_timer_(loop, [this](Now now) { Act(CURL_SOCKET_TIMEOUT, 0, now); }),
        deliver_(loop, [this](Now now) { DeliverOne(now); }),
        multi_(library_.ready() ? ::curl_multi_init() : nullptr) {
    if (multi_ == nullptr) return;
    ::curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &CurlClient::OnSocket);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &CurlClient::OnTimer);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, kMaxKeptConnections);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, long{CURLPIPE_NOTHING});
  }

  bool ready() const { return multi_ != nullptr; }

  std::unique_ptr<HttpTransfer> Start(HttpRequest request, std::function<void(HttpResult, Now)> on_done) override {
    auto transfer = std::make_unique<Transfer>(*this, std::move(request), std::move(on_done));
    if (auto error = transfer->exchange.Check()) {
      Finish(*transfer, std::unexpected(std::move(*error)));
    } else if (const auto name = transfer->exchange.NameToResolve()) {
      if (dns_ == nullptr) dns_ = AsyncDns::Create(loop_, options_.name_servers);
      transfer->lookup = dns_->Resolve(*name, [this, started = transfer.get()](auto addresses, Now now) {
        OnResolved(*started, std::move(addresses), now);
      });
    } else {
      Begin(*transfer, {}, ReadClock().mono);
    }
    return transfer;
  }

 private:
  struct Transfer final : HttpTransfer {
    Transfer(CurlClient& owner, HttpRequest request, std::function<void(HttpResult, Now)> callback)
        : client(owner), on_done(std::move(callback)), exchange(owner.loop_, std::move(request), [this](Now) {
            client.Finish(*this, std::unexpected(exchange.Overdue()));
          }) {}
    ~Transfer() override { client.Drop(*this); }

    CurlClient& client;
    std::function<void(HttpResult, Now)> on_done;
    std::optional<HttpResult> outcome;  // once it is in the queue
    bool in_multi = false;
    std::unique_ptr<AsyncDns::Lookup> lookup;
    HttpExchange exchange;
  };

  struct Watched {
    Watched(EventLoop& loop, int fd, FdWatcher::Interest interest_in,
            std::function<void(FdWatcher::Interest, Now)> on_ready)
        : interest(interest_in), watcher(loop, fd, interest_in, std::move(on_ready)) {}

    FdWatcher::Interest interest;
    bool wanted = true;  // by libcurl
    FdWatcher watcher;
  };

  void OnResolved(Transfer& transfer, Result<AsyncDns::Addresses> addresses, Now now) {
    if (addresses) return Begin(transfer, *addresses, now.mono);
    Finish(transfer, std::unexpected(transfer.exchange.Error(HttpFault::kDns, addresses.error().message)));
  }

  void Begin(Transfer& transfer, const AsyncDns::Addresses& addresses, MonoTime now) {
    if (auto error = transfer.exchange.Prepare(addresses, now)) {
      return Finish(transfer, std::unexpected(std::move(*error)));
    }
    CURL* easy = transfer.exchange.native();
    ::curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    ::curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlClient::OnCloseSocket);
    ::curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
    if (const CURLMcode code = ::curl_multi_add_handle(multi_.get(), easy); code != CURLM_OK) {
      return Finish(transfer,
                    std::unexpected(transfer.exchange.Error(HttpFault::kRefused, ::curl_multi_strerror(code))));
    }
    transfer.in_multi = true;
  }

  // libcurl says how many parameters it has. NOLINTNEXTLINE(readability-function-size)
  static int OnSocket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<CurlClient*>(self)->Watch(fd, what);
    return 0;
  }

  // Between two requests libcurl watches nothing. A kept connection stays watched as it was all the same, until it is
  // closed or something comes: most often the next request wants just that, and the kernel is spared two calls.
  void Watch(curl_socket_t fd, int what) {
    int interest = FdWatcher::kNone;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) interest |= FdWatcher::kRead;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) interest |= FdWatcher::kWrite;
    if (const auto found = watched_.find(fd); found != watched_.end()) {
      found->second.wanted = interest != FdWatcher::kNone;
      if (!found->second.wanted || found->second.interest == interest) return;
      watched_.erase(found);
    }
    if (interest == FdWatcher::kNone) return;
    const auto wanted = static_cast<FdWatcher::Interest>(interest);
    watched_.try_emplace(fd, loop_, fd, wanted,
                         [this, fd](FdWatcher::Interest ready, Now now) { OnReady(fd, ready, now); });
  }

  void OnReady(curl_socket_t fd, FdWatcher::Interest ready, Now now) {
    if (!watched_.at(fd).wanted) {
      watched_.erase(fd);
      return;
    }
    const int read = (ready & FdWatcher::kRead) != 0 ? CURL_CSELECT_IN : 0;
    const int write = (ready & FdWatcher::kWrite) != 0 ? CURL_CSELECT_OUT : 0;
    Act(fd, read | write, now);
  }

  static int OnCloseSocket(void* self, curl_socket_t fd) {
    static_cast<CurlClient*>(self)->watched_.erase(fd);
    return ::close(fd);
  }

  static int OnTimer(CURLM*, long timeout_ms, void* self) {
    auto* client = static_cast<CurlClient*>(self);
    if (timeout_ms < 0) {
      client->curl_timer_.Stop();
    } else {
      client->curl_timer_.Start(std::chrono::milliseconds(timeout_ms));
    }
    return 0;
  }

  void Act(curl_socket_t fd, int ready, Now now) {
    int running = 0;
    ::curl_multi_socket_action(multi_.get(), fd, ready, &running);
    int left = 0;
    while (const CURLMsg* message = ::curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      transfer->exchange.Stop();
      Note(*transfer, transfer->exchange.Conclude(code));
    }
    DeliverOne(now);
  }

  void Note(Transfer& transfer, HttpResult outcome) {
    if (!outcome && dns_ != nullptr) dns_->Forget(transfer.exchange.endpoint().host);
    transfer.outcome = std::move(outcome);
    finished_.push_back(&transfer);
  }

  // Ends a transfer that libcurl has not ended. A caller of ours may be running, so the loop tells the outcome later.
  void Finish(Transfer& transfer, HttpResult outcome) {
    Detach(transfer);
    Note(transfer, std::move(outcome));
    if (!deliver_.running()) deliver_.Start(std::chrono::nanoseconds::zero());
  }

  // Taken out before its end, a transfer's connection is closed by libcurl, not kept.
  void Detach(Transfer& transfer) {
    transfer.exchange.Stop();
    transfer.lookup.reset();
    if (std::exchange(transfer.in_multi, false)) {
      ::curl_multi_remove_handle(multi_.get(), transfer.exchange.native());
    }
  }

  void Drop(Transfer& transfer) {
    Detach(transfer);
    std::erase(finished_, &transfer);
  }

  void DeliverOne(Now now) {
    if (finished_.empty()) return;
    Transfer* transfer = finished_.front();
    finished_.pop_front();
    if (!finished_.empty() && !deliver_.running()) deliver_.Start(std::chrono::nanoseconds::zero());
    const auto on_done = std::move(transfer->on_done);
    on_done(std::move(*transfer->outcome), now);  // may destroy this transfer and any other
  }

  EventLoop& loop_;
  HttpClientOptions options_;
  CurlLibrary library_;
  std::unique_ptr<AsyncDns> dns_;  // once a name is asked for
  std::map<curl_socket_t, Watched> watched_;
  std::deque<Transfer*> finished_;  // to be told, in order
  Timer curl_timer_;
  Timer deliver_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
};

}  // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::Create(EventLoop& loop, HttpClientOptions options) {
  auto client = std::make_unique<CurlClient>(loop, std::move(options));
  if (!client->ready()) return Fail(ErrorKind::kUnavailable, "start libcurl: out of memory");
  return client;
}

}  // namespace envdial::base
