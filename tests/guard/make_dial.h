// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "guard/dials_file.h"

namespace envdial::guard {

// A dial of `type` with `rules` as they stand in a dials file: MakeDial("int", R"("min": 1, "max": 5)").
inline Dial MakeDial(const std::string& type, const std::string& rules = "") {
  const std::string more = rules.empty() ? "" : ", " + rules;
  const auto config =
      ParseDials({{"test.json", R"({"dials": [{"env": "A", "key": "a", "type": ")" + type + "\"" + more + "}]}"}});
  if (config) return config->dials.front();
  for (const Problem& problem : config.error()) ADD_FAILURE() << problem.ToString();
  return {};
}

}  // namespace envdial::guard
