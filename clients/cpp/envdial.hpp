// SPDX-License-Identifier: Apache-2.0
//
// envdial's values in C++17 or newer: typed handles over envdial.h, which has all else.
//
//     envdial::Dials dials;                                   // $ENVDIAL_RUN_DIR, else /run/envdial
//     const envdial::Int max = dials.Int("MAX_CONCURRENT");   // once
//     while (running) if (hunts < max.Load()) …               // the newest value, in a nanosecond
//
// Handles are small and may be copied; they live as long as their Dials. Any number of threads may read.
#ifndef ENVDIAL_HPP
#define ENVDIAL_HPP

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "envdial.h"

namespace envdial {

/// What the sidecar says of the values; kStale also while it is gone.
enum class State : std::uint32_t { kNotReady = ENVDIAL_NOT_READY, kStale = ENVDIAL_STALE, kReady = ENVDIAL_READY };

/// Where a value came from when it was chosen. Other numbers may come.
enum class Origin : std::uint32_t {
  kUnknown = 0,
  kConsul = ENVDIAL_CONSUL,
  kLastKnownGood = ENVDIAL_LAST_KNOWN_GOOD,
  kDefault = ENVDIAL_DEFAULT,
  kStaleValue = ENVDIAL_STALE_VALUE
};

/// What all handles have.
class Dial {
 public:
  std::string_view name() const noexcept { return dial_->name; }
  envdial::Origin origin() const noexcept { return static_cast<envdial::Origin>(envdial_origin(dial_)); }

  /// The present value as it stands in the environment. Throws std::system_error (EAGAIN) where no whole value could be
  /// read, which takes a writer that died twice within one store.
  std::string text() const {
    std::string text(63, '\0');
    for (;;) {
      const std::int64_t bytes = envdial_text(dial_, text.data(), text.size() + 1);
      if (bytes < 0) throw std::system_error(static_cast<int>(-bytes), std::generic_category(), dial_->name);
      const bool whole = static_cast<std::size_t>(bytes) <= text.size();
      text.resize(static_cast<std::size_t>(bytes));
      if (whole) return text;
    }
  }

 protected:
  explicit Dial(const envdial_dial* dial) noexcept : dial_(dial) {}
  const envdial_dial* dial_;
};

class Int : public Dial {
 public:
  std::int64_t Load() const noexcept { return envdial_int64(dial_); }

 private:
  friend class Dials;
  using Dial::Dial;
};

class Float : public Dial {
 public:
  double Load() const noexcept { return envdial_double(dial_); }

 private:
  friend class Dials;
  using Dial::Dial;
};

class Bool : public Dial {
 public:
  bool Load() const noexcept { return envdial_bool(dial_); }

 private:
  friend class Dials;
  using Dial::Dial;
};

class Duration : public Dial {
 public:
  std::chrono::nanoseconds Load() const noexcept { return std::chrono::nanoseconds(envdial_int64(dial_)); }

 private:
  friend class Dials;
  using Dial::Dial;
};

/// Of a dial of any type.
class Text : public Dial {
 public:
  std::string Load() const { return text(); }

 private:
  friend class Dials;
  using Dial::Dial;
};

/// The snapshot of one sidecar. It may be moved: handles stay what they are.
class Dials {
 public:
  /// Throws std::system_error: std::errc::no_such_file_or_directory until a sidecar has published, protocol_error for a
  /// file that is damaged or of another layout.
  explicit Dials(const char* run_dir = nullptr) {
    envdial_dials* dials = nullptr;
    const int failed = envdial_open(&dials, run_dir);
    if (failed != 0) throw std::system_error(-failed, std::generic_category(), "open the snapshot of envdial");
    dials_.reset(dials);
  }

  /// Throw std::out_of_range where there is no dial of that name, std::invalid_argument where it is of another type.
  envdial::Int Int(const char* name) { return envdial::Int(Find(name, ENVDIAL_INT)); }
  envdial::Float Float(const char* name) { return envdial::Float(Find(name, ENVDIAL_FLOAT)); }
  envdial::Bool Bool(const char* name) { return envdial::Bool(Find(name, ENVDIAL_BOOL)); }
  envdial::Duration Duration(const char* name) { return envdial::Duration(Find(name, ENVDIAL_DURATION)); }
  envdial::Text Text(const char* name) { return envdial::Text(Find(name)); }

  /// By name, for those who can't keep a handle: ten times its cost. `otherwise` where there is no dial of that name
  /// and type.
  std::int64_t IntOf(std::string_view name, std::int64_t otherwise) noexcept {
    std::uint64_t word = 0;
    return WordOf(name, 1 << ENVDIAL_INT, word) ? static_cast<std::int64_t>(word) : otherwise;
  }
  double FloatOf(std::string_view name, double otherwise) noexcept {
    std::uint64_t word = 0;
    if (WordOf(name, 1 << ENVDIAL_FLOAT, word)) std::memcpy(&otherwise, &word, sizeof otherwise);
    return otherwise;
  }
  bool BoolOf(std::string_view name, bool otherwise) noexcept {
    std::uint64_t word = 0;
    return WordOf(name, 1 << ENVDIAL_BOOL, word) ? word != 0 : otherwise;
  }
  std::chrono::nanoseconds DurationOf(std::string_view name, std::chrono::nanoseconds otherwise) noexcept {
    std::uint64_t word = 0;
    const bool found = WordOf(name, 1 << ENVDIAL_DURATION, word);
    return found ? std::chrono::nanoseconds(static_cast<std::int64_t>(word)) : otherwise;
  }

  std::uint64_t version() { return envdial_version(dials_.get()); }
  envdial::State state() { return static_cast<envdial::State>(envdial_state(dials_.get())); }

  /// Since the source last confirmed the values, or the longest waiting of several; nothing if it never did.
  std::optional<std::chrono::nanoseconds> age() {
    const std::int64_t age = envdial_age(dials_.get());
    return age < 0 ? std::nullopt : std::optional(std::chrono::nanoseconds(age));
  }

  /// Sleeps until the version is another than `version`, and returns the new one.
  std::uint64_t Wait(std::uint64_t version) {
    envdial_wait(dials_.get(), version, -1);
    return this->version();
  }

  /// The same, but at most so long, and not at all where that is negative; false if nothing changed.
  bool Wait(std::uint64_t version, std::chrono::milliseconds timeout) {
    const auto wanted = std::clamp(timeout, std::chrono::milliseconds(0), std::chrono::milliseconds(INT_MAX));
    return envdial_wait(dials_.get(), version, static_cast<int>(wanted.count())) != 0;
  }

  /// Tells the sidecar that `consumer` (1 to 40 of a-z, 0-9 and -) runs with `version`, so that its operators see that.
  /// Throws std::system_error as envdial_applied() fails.
  void Applied(const char* consumer, std::uint64_t version) {
    const int failed = envdial_applied(dials_.get(), consumer, version);
    if (failed != 0) throw std::system_error(-failed, std::generic_category(), "tell the sidecar what is applied");
  }

  /// For the functions of envdial.h.
  envdial_dials* get() noexcept { return dials_.get(); }

 private:
  struct Close {
    void operator()(envdial_dials* dials) const noexcept { envdial_close(dials); }
  };

  const envdial_dial* Find(const char* name) {
    const envdial_dial* dial = envdial_find(dials_.get(), name);
    if (dial == nullptr && errno == ENOMEM) throw std::bad_alloc();
    if (dial == nullptr) throw std::out_of_range(std::string("the snapshot has no dial ") + name);
    return dial;
  }

  const envdial_dial* Find(const char* name, envdial_type type) {
    const envdial_dial* dial = Find(name);
    if (dial->type != type) {
      throw std::invalid_argument(std::string(name) + " is of type " + TypeName(dial->type) + ", not " +
                                  TypeName(type));
    }
    return dial;
  }

  bool WordOf(std::string_view name, std::uint32_t types, std::uint64_t& word) noexcept {
    return envdial_word_of_(dials_.get(), {name.data(), name.size()}, types, &word);
  }

  static const char* TypeName(envdial_type type) noexcept {
    switch (type) {
      case ENVDIAL_INT:
        return "int";
      case ENVDIAL_FLOAT:
        return "float";
      case ENVDIAL_BOOL:
        return "bool";
      case ENVDIAL_DURATION:
        return "duration";
      case ENVDIAL_STRING:
        return "string";
      case ENVDIAL_JSON:
        return "json";
    }
    return "unknown";
  }

  std::unique_ptr<envdial_dials, Close> dials_;
};

}  // namespace envdial

#endif
