// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string_view>
#include <vector>

#include "base/http_client.h"
#include "consul/kv_answer.h"
#include "consul/watch.h"

namespace envdial::fuzz {

// What was asked of Consul, by whom, and what they have.
struct Question {
  consul::WatchTarget target;
  consul::Consistency consistency = consul::Consistency::kDefault;
  std::vector<consul::KnownKey> known;
  bool confirm = false;  // each answer confirms what is suspicious in the one before
};

// Requires what consul/kv_body.h promises of `bytes`, as base64 and as a value that is to be written in it.
void CheckBase64(std::string_view bytes);

// Requires that a value of any bytes comes back from the body that Consul would write.
void CheckValueComesBack(const consul::WatchTarget& target, std::string_view value);

// Requires what consul/kv_answer.h promises of one answer, beside what another JSON reader finds in it.
void CheckAnswer(const Question& question, const base::HttpResult& result,
                 const std::expected<consul::KvAnswer, consul::PollFailure>& answer);

// Requires what consul/scrutiny.h promises of a row of answers.
void CheckScrutiny(Question question, const std::vector<consul::KvAnswer>& answers);

}  // namespace envdial::fuzz
