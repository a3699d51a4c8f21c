// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "consul/options.h"

namespace envdial::consul {

// The token that a variable or a file holds, without the white space around it; may be empty. kInvalid if it can't
// stand in a header.
base::Result<std::string> ParseToken(std::string_view text);

// Keeps Options::token and Options::tls equal to the files that Options::files names. A file that can't be used is no
// reason to do without what it held before, and none to end: it may be there, or whole, a moment later. Rule 9 of "How
// Consul's answers are read".
class Credentials {
 public:
  // `options` is borrowed. Nothing is read yet.
  explicit Credentials(Options& options);

  // Reads every file and puts what is new into the options. What is no regular file (a pipe) is read the first time
  // only. Returns the files that brought something new, of which each next request makes use.
  std::vector<std::string> Refresh();

  // What is wrong with the files as they stand, and what is in force instead, a sentence each.
  const std::vector<std::string>& troubles() const { return troubles_; }

 private:
  enum Kind { kToken, kCa, kCertificate, kKey, kKindCount };
  struct Source {
    std::string variable;  // Consul's name for it
    std::string path;      // empty: not used
    std::string text;      // as it was read last; empty: never
    std::string trouble;   // of the last time when it could not be used
    bool tried = false;
  };

  base::Result<std::string> Read(Kind kind) const;
  bool Take(Kind kind);
  void Apply();

  Options& options_;
  const std::string token_;  // of the environment, while the file has none
  std::array<Source, kKindCount> sources_;
  std::vector<std::string> troubles_;
};

}  // namespace envdial::consul
