// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/http_client.h"
#include "consul/options.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/world.h"

namespace envdial::simulation {

inline constexpr std::size_t kServers = 3;

// A cluster of Consul servers, as far as the KV API shows it: one history of what was committed, a leader, followers
// that lag, blocking queries. What is known of the real ones is in docs/consul.md; it is a modern or an old one.
class Cluster {
 public:
  struct Entry {
    std::string value;
    std::uint64_t modify_index = 0;
  };
  // What is committed at one moment.
  struct Moment {
    std::uint64_t index = 0;  // the highest of anything in it
    std::map<std::string, Entry> keys;
    std::map<std::string, std::uint64_t> tombstones;  // of deleted keys
  };
  // One change of one key, in the order in which they were committed; none: deleted. Also those by a restore.
  struct Change {
    std::optional<std::string> value;
  };
  struct Query {
    std::string name;  // a key, or a prefix with `recurse`
    bool recurse = false;
    std::uint64_t index = 0;
    std::chrono::nanoseconds wait{};
    consul::Consistency consistency = consul::Consistency::kDefault;
  };
  using Reply = std::function<void(base::HttpResponse)>;
  using Ticket = std::uint64_t;

  Cluster();

  // Writes; they do nothing while there is no leader.
  void Put(const std::string& key, const std::string& value);
  void Delete(const std::string& key);
  // Faults, each until its end. A leader that dies ends the polls that wait for it, one that steps down does not.
  void LoseLeader(FaultPtr fault, std::chrono::nanoseconds time);
  // There is a new leader at once, but the old one does not know it yet, and answers from what it had.
  void DeposeLeader(FaultPtr fault, std::chrono::nanoseconds time);
  // One follower hears of nothing new; a leader is one no longer.
  void HoldBack(std::size_t server, FaultPtr fault, std::chrono::nanoseconds time);
  // A change of the leader as it should be: nobody is without one.
  void Elect(std::size_t server);
  // The data of an earlier moment, and what a new cluster has.
  void Restore(FaultPtr fault);
  void LoseData(FaultPtr fault);
  // Everything is in order again from now on.
  void Heal();

  // Answers a request that arrived at `server`, at once or later, unless it is withdrawn.
  Ticket Ask(std::size_t server, Query query, Reply reply);
  void Withdraw(Ticket ticket) { waiting_.erase(ticket); }

  const Moment& newest() const { return history_.back(); }
  const std::vector<Change>& ChangesOf(const std::string& key) const;
  // How often its data were replaced.
  std::uint64_t era() const { return era_; }

 private:
  struct Server {
    std::size_t moment = 0;  // the newest that it has applied
    FaultPtr held_back;
  };
  // Where an answer comes from, or why there is none.
  struct Source {
    std::size_t moment = 0;
    bool known_leader = true;
    std::chrono::milliseconds last_contact{0};
    std::string error;
    FaultPtr cause{};  // of its being another than without faults
  };
  struct Waiting {
    std::size_t server;
    Query query;
    Reply reply;
    Source seen;  // when it began to wait, or when last something was applied
  };

  Source SourceOf(std::size_t server, const Query& query) const;
  std::uint64_t IndexOf(const Moment& moment, const Query& query) const;
  base::HttpResponse Render(const Source& source, const Query& query) const;
  bool Behind(const Source& source, const Query& query) const;
  bool IsNews(const Source& source, const Waiting& one) const;
  void Send(const Source& source, const Query& query, const Reply& reply) const;
  void Commit(Moment next);
  void Replace(Moment next);
  void Applied(std::size_t server, std::size_t moment);
  void EndPolls();
  void Wake();
  void Expire(Ticket ticket);

  bool is_old_;  // as Consul 1.8: a poll for an absent key is woken by any write
  std::vector<Moment> history_;
  std::map<std::string, std::vector<Change>> changes_;
  std::uint64_t raft_index_ = 20;
  std::array<Server, kServers> servers_;
  std::size_t leader_ = 0;
  FaultPtr leaderless_;
  base::MonoTime leaderless_since_{};
  struct Deposed {
    std::size_t server;
    std::size_t moment;
    FaultPtr fault;
  };
  std::optional<Deposed> deposed_;
  std::uint64_t era_ = 0;
  std::uint64_t heals_ = 0;  // so that the end of a fault that was healed before does nothing
  std::map<Ticket, Waiting> waiting_;
  Ticket next_ticket_ = 1;
};

// A connection that is not answered, or an answer that says so.
base::HttpResponse PlainAnswer(int status, std::string text);

}  // namespace envdial::simulation
