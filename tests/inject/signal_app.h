// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace envdial::inject {

// A running signal_app.c, ended and reaped by the destructor.
class SignalApp {
 public:
  using Lines = std::vector<std::string>;

  // Starts `program`, a copy of signal_app, as `user` if given, and waits until it runs.
  explicit SignalApp(const std::string& program, std::optional<uid_t> user = {});
  SignalApp(const SignalApp&) = delete;
  SignalApp& operator=(const SignalApp&) = delete;
  ~SignalApp();

  // Where the program is built.
  static std::string BuiltProgram();

  pid_t pid() const { return pid_; }
  // What it wrote until it had done what `letter` says, without the answer itself: nothing, if nobody signalled it.
  Lines Ask(char letter);
  // Lets it fork a worker; returns that one's number.
  pid_t Fork();
  // What its worker wrote until now.
  Lines AskWorker(pid_t worker);

 private:
  std::string ReadLine();
  Lines ReadUntil(const std::string& start, std::string* last);
  void Write(char letter);

  pid_t pid_ = -1;
  base::UniqueFd to_;
  base::UniqueFd from_;
};

}  // namespace envdial::inject
