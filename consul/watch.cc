// SPDX-License-Identifier: Apache-2.0
#include "consul/watch.h"

#include <sys/random.h>

#include <cassert>
#include <expected>
#include <functional>
#include <utility>

#include "consul/kv_answer.h"
#include "consul/kv_request.h"
#include "consul/scrutiny.h"
#include "consul/watch_policy.h"

namespace envdial::consul {
namespace {

using base::HttpResult;
using base::Now;

// A server that heard from the leader longer ago tells of a past that is no contact with Consul any more (rule 10). Far
// above a follower's usual lag of 50 ms and a leader's election, far below the default of `stale_after`.
constexpr std::chrono::seconds kMaxFreshContact{5};

std::uint32_t MakeSeed(const Options& options, base::MonoTime now) {
  if (options.jitter_seed) return *options.jitter_seed;
  std::uint32_t seed = 0;
  if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) return seed;
  return static_cast<std::uint32_t>(now.time_since_epoch().count());  // early in the boot of a machine
}

std::string MessageOf(IndexReset reset) {
  return reset == IndexReset::kZero ? "X-Consul-Index 0, which Consul never sends"
                                    : "X-Consul-Index went backwards, as after a restore of Consul's data";
}

}  // namespace

// The edge of the watch: requests, timers and counters. At any time either one request is under way or the timer runs.
class Watch::Poller {
 public:
  // The arguments of Watch's constructor.
  struct Parts {
    base::EventLoop& loop;
    base::HttpClient& http;
    const Options& options;
    WatchTarget target;
    WatchListener& listener;
  };

  explicit Poller(Parts parts)
      : http_(parts.http),
        options_(parts.options),
        target_(std::move(parts.target)),
        listener_(parts.listener),
        timer_(parts.loop, [this](Now now) { Poll(now); }) {
    assert(!options_.addresses.empty());
    policy_.jitter.seed(MakeSeed(options_, base::ReadClock().mono));
    scrutiny_.keys.resize(target_.keys.size());
    status_.address = options_.addresses.front().ToString();
  }

  void Start() { timer_.Start(std::chrono::nanoseconds::zero()); }

  void TryNow() {
    if (status_.failures_in_a_row > 0 && timer_.running()) Start();
  }

  const WatchStatus& status() const { return status_; }
  const WatchTarget& target() const { return target_; }

 private:
  // What is known of the poll that is under way.
  struct Question {
    base::MonoTime asked{};
    Consistency consistency{};
    base::MonoTime answered{};
    KvAnswer answer;
    std::vector<KnownKey> known;
    std::vector<std::size_t> to_confirm;
    std::vector<Confirmation> confirmations;
    bool odd = false;                     // noted already
    std::chrono::nanoseconds handling{};  // of the confirmations so far
  };

  void Poll(Now now) {
    done_transfer_.reset();
    question_.asked = now.mono;
    question_.consistency = std::exchange(ask_leader_, false) ? Consistency::kConsistent : options_.consistency;
    status_.address = options_.addresses[policy_.address].ToString();
    Options options = options_;
    options.consistency = question_.consistency;
    Send(PollRequest(options, target_, policy_.address, policy_.index),
         [this](HttpResult result, Now done) { OnAnswer(std::move(result), done); });
  }

  void Send(base::HttpRequest request, std::function<void(HttpResult, Now)> on_done) {
    transfer_ = http_.Start(std::move(request), [this, on_done = std::move(on_done)](HttpResult result, Now now) {
      // Kept until the next one is done: it must not die within its own callback.
      done_transfer_ = std::move(transfer_);
      on_done(std::move(result), now);
    });
  }

  std::expected<KvAnswer, PollFailure> Read(const HttpResult& result, const WatchTarget& target,
                                            Consistency consistency) const {
    auto answer = ReadKvAnswer(result, target, consistency);
    // The HTTP client names the address by itself.
    if (!answer && result) answer.error().message = status_.address + ": " + answer.error().message;
    return answer;
  }

  void OnAnswer(HttpResult result, Now now) {
    auto answer = Read(result, target_, question_.consistency);
    if (!answer) return Fail(answer.error(), now);
    question_.answered = now.mono;
    question_.answer = *std::move(answer);
    question_.known = listener_.Known();
    assert(question_.known.size() == target_.keys.size());
    if (RevivesDeleted()) return AskLeader(result->cpu_at_first_byte, now);
    question_.to_confirm = KeysToConfirm(scrutiny_, question_.answer, question_.known);
    Confirm(result->cpu_at_first_byte, now);
  }

  // Asks for the next suspicious key; when there is none left, hands the reading on. `cpu_since`: when the processor
  // time of this turn began to count.
  void Confirm(std::chrono::nanoseconds cpu_since, Now now) {
    const std::size_t next = question_.confirmations.size();
    if (next == question_.to_confirm.size()) return Finish(cpu_since, now);
    const std::size_t key = question_.to_confirm[next];
    Send(ConfirmRequest(options_, target_.keys[key], policy_.address),
         [this, key](HttpResult result, Now done) { OnConfirmation(key, std::move(result), done); });
    question_.handling += base::ThreadCpuTime() - cpu_since;
  }

  void OnConfirmation(std::size_t key, HttpResult result, Now now) {
    const WatchTarget single{.name = target_.keys[key], .is_prefix = false, .keys = {target_.keys[key]}};
    auto answer = Read(result, single, Consistency::kConsistent);
    if (!answer) {
      Deliver(now, false);
      answer.error().message = "confirm " + single.name + ": " + answer.error().message;
      return Fail(answer.error(), now);
    }
    question_.confirmations.push_back(
        {.key = key, .entry = std::move(answer->body.keys.front()), .index = answer->index});
    if (Refutes(question_.confirmations.back(), question_.answer)) return Drop(result->cpu_at_first_byte, now);
    Confirm(result->cpu_at_first_byte, now);
  }

  // The answer was refuted by the newest confirmation: the leader is asked for all of it at once.
  void Drop(std::chrono::nanoseconds cpu_since, Now now) {
    const Confirmation& confirmation = question_.confirmations.back();
    const std::string& key = target_.keys[confirmation.key];
    const auto& said = question_.answer.body.keys[confirmation.key];
    NoteOddity(!said                 ? key + " was answered to be gone; a consistent read says it is there"
               : !confirmation.entry ? key + " was answered; a consistent read says it is gone"
               : said->modify_index < confirmation.entry->modify_index
                   ? "an older value of " + key + " was answered; a consistent read says a newer one"
                   : "another value of " + key + " was answered than a consistent read says",
               now);
    ++status_.answers_refuted;
    AskLeader(cpu_since, now);
  }

  // Whether the answer, which is not the leader's own, has a key that was deleted at a time that nobody knows: it may
  // be older than that.
  bool RevivesDeleted() const {
    if (leader_heard_ || question_.consistency == Consistency::kConsistent) return false;
    for (std::size_t i = 0; i < question_.known.size(); ++i) {
      if (question_.known[i].deletion_kept && question_.answer.body.keys[i]) return true;
    }
    return false;
  }

  // Uses nothing of the answer, and polls at once by a consistent read.
  void AskLeader(std::chrono::nanoseconds cpu_since, Now now) {
    ++status_.polls_unchanged;
    ask_leader_ = true;
    GoOn(PollAnswered{.index = question_.answer.index,
                      .confirmed = true,
                      .refuted = true,
                      .took = question_.answered - question_.asked,
                      .handling = question_.handling + base::ThreadCpuTime() - cpu_since},
         now);
  }

  // Rule 10.
  bool IsFresh() const { return question_.answer.known_leader && question_.answer.last_contact <= kMaxFreshContact; }

  // Hands what is believed of the answer to the listener. `complete`: all that had to be confirmed was.
  Scrutinised Deliver(Now now, bool complete) {
    Scrutinised scrutinised =
        Scrutinise(std::move(scrutiny_), question_.answer, question_.known, question_.confirmations);
    scrutiny_ = std::move(scrutinised.state);

    base::Reading& reading = scrutinised.reading;
    reading.unbroken = IsUnbroken(policy_, question_.answer.index) && scrutinised.restored == 0;
    reading.complete = complete;
    reading.fresh = complete && IsFresh();
    reading.contact = ContactOf(question_.answered, question_.answer.last_contact, now);

    status_.connected = true;
    if (reading.fresh) status_.last_contact = reading.contact;
    status_.undeclared = reading.undeclared;
    status_.undeclared_total = reading.undeclared_total;
    NoteMassDeletion(reading.mass_deletion_held, now);
    if (scrutinised.restored > 0) {
      NoteOddity("an older value was taken, because a consistent read says the same: Consul was restored", now);
    }
    if (scrutinised.mass_deletion) ++status_.mass_deletions_held;
    Count(IndexReset::kRestored, scrutinised.restored);
    listener_.OnReading(reading, now);
    return scrutinised;
  }

  void Finish(std::chrono::nanoseconds cpu_since, Now now) {
    leader_heard_ |= question_.consistency == Consistency::kConsistent;
    const Scrutinised scrutinised = Deliver(now, true);
    status_.failures_in_a_row = 0;
    ++(scrutinised.news ? status_.polls_changed : status_.polls_unchanged);
    GoOn(PollAnswered{.index = question_.answer.index,
                      .news = scrutinised.news,
                      .restored = scrutinised.restored > 0,
                      .confirmed = !question_.confirmations.empty(),
                      .fresh = IsFresh(),
                      .took = question_.answered - question_.asked,
                      .handling = question_.handling + base::ThreadCpuTime() - cpu_since},
         now);
  }

  void Fail(const PollFailure& failure, Now now) {
    const base::WallTime since = status_.failures_in_a_row > 0 ? status_.last_error->since : now.wall;
    status_.connected = false;
    status_.last_error = {.reason = failure.reason, .message = failure.message, .time = now.wall, .since = since};
    ++status_.failures_in_a_row;
    ++status_.polls_failed[static_cast<std::size_t>(failure.reason)];
    listener_.OnFailure({.reason = failure.reason, .message = failure.message}, now);
    GoOn(PollFailed{.reason = failure.reason, .retry_after = failure.retry_after}, now);
  }

  void GoOn(const PollEvent& event, Now now) {
    const PolicyOptions limits{.addresses = options_.addresses.size(), .wait = WaitOf(options_)};
    PolicyStep step = Decide(limits, policy_, event, now.mono);
    policy_ = step.state;
    if (step.reset) {
      Count(*step.reset, 1);
      if (!question_.odd) NoteOddity(MessageOf(*step.reset), now);
    }
    question_ = {};
    timer_.Start(step.delay);
  }

  void NoteMassDeletion(bool held, Now now) {
    status_.mass_deletion_standing = held;
    if (!held) {
      status_.mass_deletion_since.reset();
    } else if (!status_.mass_deletion_since) {
      status_.mass_deletion_since = now.wall;
    }
  }

  void NoteOddity(std::string message, Now now) {
    auto& oddity = status_.last_oddity;
    if (!oddity || now.wall - oddity->time > WatchStatus::kOddityMemory) oddity = {{}, now.wall, now.wall, 0};
    oddity->message = std::move(message);
    oddity->time = now.wall;
    ++oddity->count;
    question_.odd = true;
  }

  void Count(IndexReset reset, std::size_t times) { status_.index_resets[static_cast<std::size_t>(reset)] += times; }

  base::HttpClient& http_;
  const Options& options_;
  const WatchTarget target_;
  WatchListener& listener_;
  PolicyState policy_;
  ScrutinyState scrutiny_;
  WatchStatus status_;
  Question question_;
  bool leader_heard_ = false;  // so that what is older than its answer shows, whatever became of that
  bool ask_leader_ = false;    // the next poll is a consistent read, whatever the options say
  base::Timer timer_;
  std::unique_ptr<base::HttpTransfer> done_transfer_;
  std::unique_ptr<base::HttpTransfer> transfer_;
};

std::string_view ToString(Reason reason) {
  switch (reason) {
    case Reason::kRefused:
      return "refused";
    case Reason::kTimeout:
      return "timeout";
    case Reason::kDns:
      return "dns";
    case Reason::kTls:
      return "tls";
    case Reason::kDenied:
      return "denied";
    case Reason::kThrottled:
      return "throttled";
    case Reason::kServer:
      return "server";
    case Reason::kMalformed:
      break;
  }
  return "malformed";
}

std::string_view ToString(IndexReset reset) {
  switch (reset) {
    case IndexReset::kBackwards:
      return "backwards";
    case IndexReset::kZero:
      return "zero";
    case IndexReset::kRestored:
      break;
  }
  return "restored";
}

Watch::Watch(base::EventLoop& loop, base::HttpClient& http, const Options& options, WatchTarget target,
             WatchListener& listener)
    : poller_(std::make_unique<Poller>(Poller::Parts{loop, http, options, std::move(target), listener})) {}

Watch::~Watch() = default;

void Watch::Start() { poller_->Start(); }
void Watch::TryNow() { poller_->TryNow(); }

const WatchStatus& Watch::status() const { return poller_->status(); }
const WatchTarget& Watch::target() const { return poller_->target(); }

}  // namespace envdial::consul
