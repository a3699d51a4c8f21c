// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/cluster.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "tests/support/base64.h"

namespace envdial::simulation {
namespace {

using namespace std::chrono_literals;
using Whose = World::Whose;

bool Matches(const Cluster::Query& query, const std::string& key) {
  return query.recurse ? key.starts_with(query.name) : key == query.name;
}

}  // namespace

base::HttpResponse PlainAnswer(int status, std::string text) {
  return {.status = status, .headers = {{"content-type", "text/plain"}}, .body = std::move(text)};
}

Cluster::Cluster() : is_old_(World::Get().Draw(2) == 0) {
  history_.push_back({.index = raft_index_, .keys = {}, .tombstones = {}});
}

void Cluster::Put(const std::string& key, const std::string& value) {
  if (leaderless_) return;
  Moment next = newest();
  next.index = ++raft_index_;
  next.keys[key] = {value, next.index};
  next.tombstones.erase(key);
  changes_[key].push_back({value});
  World::Get().Tell("-- put " + key + " " + value);
  Commit(std::move(next));
}

void Cluster::Delete(const std::string& key) {
  if (leaderless_ || !newest().keys.contains(key)) return;
  Moment next = newest();
  next.index = ++raft_index_;
  next.keys.erase(key);
  next.tombstones[key] = next.index;
  changes_[key].push_back({std::nullopt});
  World::Get().Tell("-- delete " + key);
  Commit(std::move(next));
}

void Cluster::Restore(FaultPtr fault) {
  if (leaderless_ || history_.size() < 2) return;
  Moment old = history_[history_.size() - 2 - World::Get().Draw(std::min<std::size_t>(history_.size() - 1, 20))];
  for (auto& [key, changes] : changes_) {
    const auto found = old.keys.find(key);
    const std::optional<std::string> value =
        found == old.keys.end() ? std::nullopt : std::optional(found->second.value);
    if (changes.back().value == value) continue;
    changes.push_back({value});
    fault->Seen();
  }
  Replace(std::move(old));
}

void Cluster::LoseData(FaultPtr fault) {
  for (auto& [key, changes] : changes_) {
    if (!changes.back().value) continue;
    changes.push_back({std::nullopt});
    fault->Seen();
  }
  raft_index_ = 20;
  Replace({.index = raft_index_, .keys = {}, .tombstones = {}});
}

// What went before is nowhere any more: no server answers from it.
void Cluster::Replace(Moment next) {
  ++era_;
  raft_index_ = std::max(raft_index_, next.index);
  deposed_.reset();
  Commit(std::move(next));
  for (std::size_t i = 0; i < kServers; ++i) {
    servers_[i].held_back.reset();
    Applied(i, history_.size() - 1);
  }
}

void Cluster::LoseLeader(FaultPtr fault, std::chrono::nanoseconds time) {
  leaderless_ = std::move(fault);
  leaderless_since_ = World::Get().now().mono;
  deposed_.reset();
  if (World::Get().Draw(2) == 0) EndPolls();
  World::Get().After(time, Whose::kWorld, [this, heals = heals_] {
    if (heals != heals_) return;
    leaderless_.reset();
    leader_ = World::Get().Draw(kServers);
    Applied(leader_, history_.size() - 1);
  });
}

void Cluster::DeposeLeader(FaultPtr fault, std::chrono::nanoseconds time) {
  if (leaderless_) return;
  deposed_ = {leader_, servers_[leader_].moment, std::move(fault)};
  leader_ = (leader_ + 1) % kServers;
  Applied(leader_, history_.size() - 1);
  World::Get().After(time, Whose::kWorld, [this, heals = heals_] {
    if (heals != heals_) return;
    deposed_.reset();
    Wake();
  });
}

void Cluster::Elect(std::size_t server) {
  if (leaderless_ || deposed_) return;
  leader_ = server;
  servers_[server].held_back.reset();
  Applied(server, history_.size() - 1);
}

void Cluster::HoldBack(std::size_t server, FaultPtr fault, std::chrono::nanoseconds time) {
  if (server == leader_) Elect((server + 1) % kServers);
  servers_[server].held_back = std::move(fault);
  World::Get().After(time, Whose::kWorld, [this, server, heals = heals_] {
    if (heals != heals_) return;
    servers_[server].held_back.reset();
    Applied(server, history_.size() - 1);
  });
}

void Cluster::Heal() {
  ++heals_;
  leaderless_.reset();
  deposed_.reset();
  for (std::size_t i = 0; i < kServers; ++i) {
    servers_[i].held_back.reset();
    Applied(i, history_.size() - 1);
  }
}

void Cluster::Commit(Moment next) {
  history_.push_back(std::move(next));
  const std::size_t moment = history_.size() - 1;
  for (std::size_t i = 0; i < kServers; ++i) {
    if (i == leader_) continue;
    World::Get().After(World::Get().Between(1ms, 50ms), Whose::kWorld, [this, i, moment] { Applied(i, moment); });
  }
  Applied(leader_, moment);
}

void Cluster::Applied(std::size_t server, std::size_t moment) {
  Server& one = servers_[server];
  if (one.held_back && server != leader_) return;
  one.moment = std::max(one.moment, moment);
  Wake();
}

Cluster::Source Cluster::SourceOf(std::size_t server, const Query& query) const {
  using consul::Consistency;
  if (query.consistency == Consistency::kStale) {
    const Server& one = servers_[server];
    const auto since = leaderless_ ? World::Get().now().mono - leaderless_since_ : std::chrono::nanoseconds(0);
    return {.moment = one.moment,
            .known_leader = leaderless_ == nullptr,
            .last_contact = std::chrono::duration_cast<std::chrono::milliseconds>(since) + 10ms,
            .error = {},
            .cause = leaderless_ ? leaderless_ : one.held_back};
  }
  if (deposed_ && deposed_->server == server) {
    if (query.consistency == Consistency::kConsistent) {
      return {.error = "rpc error: leadership lost while committing log", .cause = deposed_->fault};
    }
    return {.moment = deposed_->moment, .error = {}, .cause = deposed_->fault};
  }
  if (leaderless_) return {.error = "No cluster leader", .cause = leaderless_};
  return {.moment = servers_[leader_].moment, .error = {}};
}

std::uint64_t Cluster::IndexOf(const Moment& moment, const Query& query) const {
  std::uint64_t index = 0;
  for (const auto& [key, entry] : moment.keys) {
    if (Matches(query, key)) index = std::max(index, entry.modify_index);
  }
  if (!query.recurse) return index > 0 ? index : moment.index;
  for (const auto& [key, deleted] : moment.tombstones) {
    if (Matches(query, key)) index = std::max(index, deleted);
  }
  return index > 0 ? index : moment.index;
}

// Whether the newest moment says something else.
bool Cluster::Behind(const Source& source, const Query& query) const {
  return IndexOf(history_[source.moment], query) != IndexOf(newest(), query);
}

void Cluster::Send(const Source& source, const Query& query, const Reply& reply) const {
  const bool other = !source.error.empty() || !source.known_leader || Behind(source, query);
  if (source.cause && other) source.cause->Seen();
  reply(Render(source, query));
}

base::HttpResponse Cluster::Render(const Source& source, const Query& query) const {
  if (!source.error.empty()) return PlainAnswer(500, source.error);
  const Moment& moment = history_[source.moment];
  base::HttpResponse response{.status = 404,
                              .headers = {{"x-consul-index", std::to_string(IndexOf(moment, query))},
                                          {"x-consul-knownleader", source.known_leader ? "true" : "false"},
                                          {"x-consul-lastcontact", std::to_string(source.last_contact.count())}},
                              .body = {}};
  for (const auto& [key, entry] : moment.keys) {
    if (!Matches(query, key)) continue;
    response.body += (response.body.empty() ? "[" : ",") +
                     ("{\"LockIndex\":0,\"Key\":\"" + key + "\",\"Flags\":0,\"Value\":") +
                     (entry.value.empty() ? "null" : '"' + test::EncodeBase64(entry.value) + '"') +
                     ",\"CreateIndex\":1,\"ModifyIndex\":" + std::to_string(entry.modify_index) + "}";
  }
  if (response.body.empty()) return response;
  response.body += "]";
  response.status = 200;
  response.headers.emplace_back("content-type", "application/json");
  return response;
}

Cluster::Ticket Cluster::Ask(std::size_t server, Query query, Reply reply) {
  const Ticket ticket = next_ticket_++;
  const Source source = SourceOf(server, query);
  const bool hold = source.error.empty() && query.index > 0 && IndexOf(history_[source.moment], query) <= query.index;
  if (!hold) {
    Send(source, query, reply);
    return ticket;
  }
  if (source.cause && source.known_leader && Behind(source, query)) source.cause->Seen();  // it would be answered
  const auto most = query.wait + query.wait / 16;
  const auto wait = query.wait + (most - query.wait) * static_cast<std::int64_t>(World::Get().Draw(1000)) / 1000;
  waiting_.emplace(ticket, Waiting{server, std::move(query), std::move(reply), source});
  World::Get().After(wait, Whose::kWorld, [this, ticket] { Expire(ticket); });
  return ticket;
}

// Held to its end, a poll is answered from what was known when it began, or when last something was applied.
void Cluster::Expire(Ticket ticket) {
  auto node = waiting_.extract(ticket);
  if (node.empty()) return;
  const Waiting& one = node.mapped();
  Send(one.seen, one.query, one.reply);
}

void Cluster::EndPolls() {
  std::vector<std::pair<Waiting, Source>> ended;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Source source = SourceOf(it->second.server, it->second.query);
    if (source.error.empty()) {
      ++it;
      continue;
    }
    source.error = "rpc error making call: EOF";
    ended.emplace_back(std::move(it->second), std::move(source));
    it = waiting_.erase(it);
  }
  for (const auto& [one, source] : ended) Send(source, one.query, one.reply);
}

bool Cluster::IsNews(const Source& source, const Waiting& one) const {
  const Moment& now = history_[source.moment];
  if (IndexOf(now, one.query) <= one.query.index) return false;
  const bool was_absent = !one.query.recurse && !history_[one.seen.moment].keys.contains(one.query.name);
  return is_old_ || !was_absent || now.keys.contains(one.query.name);
}

void Cluster::Wake() {
  std::vector<std::pair<Waiting, Source>> due;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Waiting& one = it->second;
    Source source = SourceOf(one.server, one.query);
    if (!source.error.empty()) {
      ++it;
      continue;
    }
    // An open poll that a restore overtakes is answered from before it (seen with Consul 1.20).
    const bool restored = history_[source.moment].index < history_[one.seen.moment].index;
    if (!IsNews(source, one) && !restored) {
      const bool late = source.known_leader && Behind(source, one.query);  // without the fault it would be answered now
      if (source.cause && late) source.cause->Seen();
      if (source.moment != one.seen.moment) one.seen = std::move(source);
      ++it;
      continue;
    }
    if (restored) source.moment = one.seen.moment;
    due.emplace_back(std::move(one), std::move(source));
    it = waiting_.erase(it);
  }
  for (const auto& [one, source] : due) Send(source, one.query, one.reply);
}

const std::vector<Cluster::Change>& Cluster::ChangesOf(const std::string& key) const {
  static const std::vector<Change> kNone;
  const auto found = changes_.find(key);
  return found == changes_.end() ? kNone : found->second;
}

}  // namespace envdial::simulation
