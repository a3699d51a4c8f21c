// SPDX-License-Identifier: Apache-2.0
#include "sidecar/log.h"

#include <poll.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
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

// What can be written at once if poll() says that something can: a pipe takes so much whole (pipe(7)).
constexpr std::size_t kPiece = PIPE_BUF;

bool CanWrite() {
  pollfd log{STDERR_FILENO, POLLOUT, 0};
  return ::poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) != 0;
}

// How much of it was written without waiting. The descriptor stays as it is: it is shared with other processes, which
// would not expect it to become non-blocking.
std::size_t WriteAtOnce(std::string_view text) {
  std::size_t done = 0;
  while (done < text.size() && CanWrite()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data() + done, std::min(text.size() - done, kPiece));
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  return done;
}

}  // namespace

// Standard error, as far as somebody takes it: a full pipe or a stopped terminal must hold up no delivery.
class Log::Sink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  std::uint64_t lost = 0;  // lines
  bool torn = false;       // the newest line that was begun has no end

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const std::size_t written = WriteAtOnce({line.data(), line.size()});
    if (written == line.size()) return;
    ++lost;
    torn = torn || written > 0;
  }
  void flush_() override {}
};

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
  auto sink = std::make_shared<Sink>();
  sink_ = sink.get();
  logger_ = std::make_unique<spdlog::logger>("envdial", std::move(sink));
  logger_->set_level(ToSpdlog(level));
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
  if (sink_->lost > 0 && CanWrite()) TellWhatWasLost(wall);
  Put(level, wall, text);
}

void Log::TellWhatWasLost(base::WallTime time) {
  if (std::exchange(sink_->torn, false)) logger_->log(spdlog::level::warn, "");
  const std::uint64_t lost = std::exchange(sink_->lost, 0);
  Put(LogLevel::kWarn, time, "the log was not read in time, and is short of some lines here: " + std::to_string(lost));
  if (sink_->lost > 0) sink_->lost = lost;  // to be told later
}

void Log::Put(LogLevel level, base::WallTime time, const std::string& line) {
  logger_->log(ToSpdlog(level), format_ == LogFormat::kJson ? ToJson(level, time, line) : ToText(level, time, line));
}

void Log::Forget(base::MonoTime now) {
  if (written_.size() < kMaxRemembered) return;
  std::erase_if(written_, [now](const auto& entry) { return now - entry.second.time >= kRepeatAfter; });
  if (written_.size() >= kMaxRemembered) written_.clear();
}

}  // namespace envdial::sidecar
