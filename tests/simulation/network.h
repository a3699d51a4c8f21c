// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/http_client.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {

inline constexpr std::uint16_t kFirstPort = 8500;  // of server 0; the next ones follow

// What is between the sidecar and the cluster. Each way to a server has at most one fault at a time.
class Network {
 public:
  explicit Network(Cluster& cluster);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  static Network& Get();

  void Break(std::size_t server, FaultPtr fault);
  // Only if it is that one.
  void Mend(std::size_t server, const FaultPtr& fault);
  void MendAll() { faults_ = {}; }
  // No answer from before is replayed: Consul's data were replaced, and nobody could tell old from new.
  void ForgetPast() { past_.clear(); }

  std::unique_ptr<base::HttpClient> MakeClient();
  // Whether an answer that was not tampered with, and counts as a contact, reached the sidecar between these times.
  bool HadContact(const std::string& name, base::MonoTime from, base::MonoTime to) const;
  // When each group was first told of a failure, since that was forgotten.
  const std::map<std::string, base::MonoTime>& failures() const { return failures_; }
  void ForgetFailures() { failures_.clear(); }
  std::uint64_t requests() const { return requests_; }
  // The server that was asked last.
  std::size_t last_asked() const { return last_asked_; }

 private:
  class Client;
  class Transfer;
  using Id = std::uint64_t;
  using OnDone = std::function<void(base::HttpResult, base::Now)>;
  struct Exchange {
    base::HttpRequest request;
    OnDone on_done;
    std::size_t server;
    Cluster::Query query;
    std::optional<Cluster::Ticket> ticket;
    std::uint64_t era = 0;  // Cluster::era() when it arrived
    bool honest = false;
  };

  Id Start(base::HttpRequest request, OnDone on_done);
  void Drop(Id id);
  void Connect(Id id);
  void Arrive(Id id);
  void Answer(Id id, base::HttpResponse response);
  void Tamper(Kind kind, const Cluster::Query& query, base::HttpResponse& response);
  static void Tell(const Exchange& exchange, const base::HttpResult& result);
  void Finish(Id id, base::HttpResult result, std::chrono::nanoseconds delay);
  base::HttpError Error(const Exchange& exchange, base::HttpFault fault, std::string what) const;
  std::chrono::nanoseconds Latency() const;

  Cluster& cluster_;
  std::array<FaultPtr, kServers> faults_;
  std::map<Id, Exchange> exchanges_;
  std::map<std::string, std::deque<base::HttpResponse>> past_;  // answers by what was asked for
  std::map<std::string, std::deque<base::MonoTime>> contacts_;  // the newest ones
  std::map<std::string, base::MonoTime> failures_;
  Id next_ = 1;
  std::uint64_t requests_ = 0;
  std::size_t last_asked_ = 0;
};

}  // namespace envdial::simulation
