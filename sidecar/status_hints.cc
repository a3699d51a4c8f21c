// SPDX-License-Identifier: Apache-2.0
#include "sidecar/status_hints.h"

#include <algorithm>

namespace envdial::sidecar {
namespace {

struct Hint {
  std::string_view word;
  std::string_view text;  // '%' stands for the subject
};

// Each says the likeliest cause first. More of it: docs/troubleshooting.md.
constexpr Hint kHints[] = {
    // Why a poll failed.
    {"refused", "does a Consul agent run and listen at that address? its process and log, --consul-addr"},
    {"timeout",
     "firewall or network policy on the way; Consul without a leader, or overloaded: consul members, its log"},
    {"dns", "the host name in --consul-addr; does the name server answer? getent hosts, /etc/resolv.conf"},
    {"tls", "CONSUL_CACERT, the name and dates in Consul's certificate, CONSUL_CLIENT_CERT, the clock"},
    {"denied",
     "the token (CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE): its policy needs key_prefix \"%\" { policy = \"read\" }"},
    {"throttled", "the agent's limits (http_max_conns_per_client, request_limits); who else asks from this address?"},
    {"server", "Consul itself: its log, consul operator raft list-peers (no leader?), the disk of its servers"},
    {"malformed", "something that is no Consul answers there, a proxy or portal? try it: curl -i with that address"},
    // What is strange, and yet no failure.
    {"odd", "a proxy or cache before Consul that replays answers; a Consul that was restored or rebuilt"},
    {"mass_deletion",
     "was % deleted, or is it hidden from the token? consul kv get -recurse %; meant: put one back, delete one by one"},
    {"last-known-good", "it is from the disk: Consul did not answer for it since this start"},
    // Why a value was refused.
    {"type", "put a plain value of the dial's type, as in docs/dials.md"},
    {"min", "put one within the bounds; or lower min in the dials file, and restart"},
    {"max", "put one within the bounds; or raise max in the dials file, and restart"},
    {"max_step", "go there in smaller steps; or raise max_step in the dials file, and restart"},
    {"one_of", "put one of the choices; or add it to one_of in the dials file, and restart"},
    {"too_long", "put a shorter one; or raise max_bytes in the dials file, and restart"},
    {"empty", "put a value; to go back to the default, delete the key (on_delete); a string may have allow_empty"},
    {"encoding", "put UTF-8 text without NUL: was a binary file put by mistake?"},
    {"quote", "take out single quotes, CRs and control characters (in json: \\u0027); the env file cannot carry them"},
    {"clamped", "its bound is in force instead; put a value within the bounds"},
    // What of ours is wrong.
    {"not_ready", "put the keys of the dials without a value, give those dials a default, or mend what fails below"},
    {"stale", "what fails below; when_stale in the dials file says what such a dial does"},
    {"channel", "space, rights and mount of the run directory"},
    {"store", "space, rights and mount of %"},
};

}  // namespace

std::string HintFor(std::string_view word, std::string_view subject) {
  const auto* const hint = std::ranges::find(kHints, word, &Hint::word);
  std::string text(hint == std::end(kHints) ? std::string_view() : hint->text);
  for (std::size_t at = text.find('%'); at != std::string::npos; at = text.find('%', at + subject.size())) {
    text.replace(at, 1, subject);
  }
  return text;
}

}  // namespace envdial::sidecar
