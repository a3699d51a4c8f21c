// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"

namespace spdlog {
class logger;
}

namespace envdial::sidecar {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarn, kError };

base::Result<LogFormat> ParseLogFormat(const std::string& text);  // text, json
base::Result<LogLevel> ParseLogLevel(const std::string& text);    // debug, info, warn, error

// The log on stderr: lines for people, or JSON objects with `time`, `level` and `msg`. error: the operator must act;
// warn: degraded but serving, and the line says what is served instead; info: a change. Lines must hold no secret and
// no token. Equal lines are written at most once a minute; the next one then tells how many were left out. Never waits
// for who reads the log: lines that nobody takes are lost, and a line says how many, once somebody reads again.
class Log {
 public:
  Log(LogFormat format, LogLevel level);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void Debug(const std::string& line) { Write(LogLevel::kDebug, line); }
  void Info(const std::string& line) { Write(LogLevel::kInfo, line); }
  void Warn(const std::string& line) { Write(LogLevel::kWarn, line); }
  void Error(const std::string& line) { Write(LogLevel::kError, line); }

 private:
  class Sink;
  struct Written {
    base::MonoTime time;
    std::uint64_t left_out = 0;
  };

  void Write(LogLevel level, const std::string& line);
  void TellWhatWasLost(base::WallTime time);
  void Put(LogLevel level, base::WallTime time, const std::string& line);
  void Forget(base::MonoTime now);

  LogFormat format_;
  LogLevel level_;
  std::unique_ptr<spdlog::logger> logger_;
  Sink* sink_;  // the logger's
  std::unordered_map<std::string, Written> written_;
};

}  // namespace envdial::sidecar
