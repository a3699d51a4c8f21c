// SPDX-License-Identifier: Apache-2.0
#include "sidecar/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace envdial::sidecar {
namespace {

constexpr std::chrono::minutes kRepeatAfter{1};  // the plan: equal lines at most once a minute
constexpr std::size_t kMaxRemembered = 256;      // lines whose repetition is watched; there are some dozens of kinds

const char* Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  std::unreachable();
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  std::unreachable();
}

// Control characters come from values and keys of others: they must not make a line look like two, or colour it.
std::string Escaped(const std::string& line) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 0xf]};
    }
  }
  return text;
}

std::string ToText(LogLevel level, base::WallTime time, const std::string& line) {
  std::string name = Name(level);
  name.resize(5, ' ');  // the longest of them
  return base::FormatRfc3339(time) + " " + name + " " + Escaped(line);
}

std::string ToJson(LogLevel level, base::WallTime time, const std::string& line) {
  nlohmann::ordered_json json;
  json["time"] = base::FormatRfc3339(time);
  json["level"] = Name(level);
  json["msg"] = line;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

base::Result<LogFormat> ParseLogFormat(const std::string& text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return base::Fail(base::ErrorKind::kInvalid, "found \"" + text + "\", expected text or json");
}

base::Result<LogLevel> ParseLogLevel(const std::string& text) {
  for (const LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    if (text == Name(level)) return level;
  }
  return base::Fail(base::ErrorKind::kInvalid, "found \"" + text + "\", expected debug, info, warn or error");
}

Log::Log(LogFormat format, LogLevel level) : format_(format), level_(level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
  logger_ = std::make_unique<spdlog::logger>("envdial", std::move(sink));
  logger_->set_level(ToSpdlog(level));
  logger_->flush_on(spdlog::level::debug);
  logger_->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
}

Log::~Log() = default;

void Log::Write(LogLevel level, const std::string& line) {
  if (level < level_) return;
  const auto [now, wall] = base::ReadClock();
  const auto found = written_.find(line);
  std::string text = line;
  if (found != written_.end()) {
    if (now - found->second.time < kRepeatAfter) {
      ++found->second.left_out;
      return;
    }
    if (found->second.left_out > 0)
      text += " (" + std::to_string(found->second.left_out) + " more such lines left out)";
    found->second = {now};
  } else {
    Forget(now);
    written_.emplace(line, Written{now});
  }
  logger_->log(ToSpdlog(level), format_ == LogFormat::kJson ? ToJson(level, wall, text) : ToText(level, wall, text));
}

void Log::Forget(base::MonoTime now) {
  if (written_.size() < kMaxRemembered) return;
  std::erase_if(written_, [now](const auto& entry) { return now - entry.second.time >= kRepeatAfter; });
  if (written_.size() >= kMaxRemembered) written_.clear();
}

}  // namespace envdial::sidecar
