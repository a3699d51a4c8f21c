// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "guard/dials_file.h"
#include "sidecar/view.h"

namespace envdial::sidecar {

// A sidecar's state, made up, for the pages that show it: three dials in one group, one of them secret, one refused.
class PageFixture : public testing::Test {
 protected:
  static constexpr const char* kDials = R"({"prefix": "hunt/", "dials": [
      {"env": "MAX", "key": "max", "type": "int", "default": 500, "max": 2500, "unit": "hunts"},
      {"env": "WAIT", "key": "wait", "type": "duration", "default": "1m30s"},
      {"env": "SECRET", "key": "secret", "type": "string", "default": "x", "secret": true}]})";

  PageFixture() : config_(*guard::ParseDials({{"test.json", kDials}})), ledger_(config_, {}, std::nullopt, now_) {
    channels_.resize(2);
    channels_[0].name = "env_file";
    channels_[1].name = "control";
    watch_.address = "http://127.0.0.1:8500";
    store_.directory = "/state";
  }

  void Answer() {
    base::Reading reading;
    reading.contact = now_.wall;
    reading.keys = {{base::KeyReading::Kind::kValue, "600", 41, false},
                    {base::KeyReading::Kind::kAbsent, "", 0, false},
                    {base::KeyReading::Kind::kValue, "hunter2", 43, false}};
    ledger_.Apply(0, reading, now_);
    reading.unbroken = true;
    reading.keys[0] = {base::KeyReading::Kind::kValue, "9000", 50, false};
    ledger_.Apply(0, reading, now_);
    ledger_.Refresh(now_);
    watch_.connected = true;
  }

  View MakeView() const {
    return {.instance = instance_,
            .config = config_,
            .ledger = ledger_,
            .groups = {{&config_.groups[0], &watch_, ledger_.last_contact(0)}},
            .channels = channels_,
            .store = store_,
            .credential_troubles = credential_troubles_,
            .control_clients = 7,
            .updates_coalesced = 3,
            .consumers = consumers_,
            .started = now_.wall};
  }

  base::Now now_{base::MonoTime(std::chrono::seconds(1000)), base::WallTime(std::chrono::seconds(1'800'000'000))};
  std::string instance_ = "pod-1";
  guard::Config config_;
  fallback::Ledger ledger_;
  std::vector<ChannelRecord> channels_;
  consul::WatchStatus watch_;
  StoreStatus store_;
  std::vector<std::string> credential_troubles_;
  std::vector<inject::Consumer> consumers_{{"hunt-service", 1, now_.wall}};
};

}  // namespace envdial::sidecar
