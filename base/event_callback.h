// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

namespace envdial::base {

// A callback that may destroy its owner, and with it this object, while it runs. It does not run within itself.
template <typename... Args>
class EventCallback {
 public:
  explicit EventCallback(std::function<void(Args...)> function) : function_(std::move(function)) {}
  EventCallback(const EventCallback&) = delete;
  EventCallback& operator=(const EventCallback&) = delete;
  ~EventCallback() {
    if (gone_ != nullptr) *gone_ = true;
  }

  void Run(Args... args) {
    Running running(*this);
    running.function(args...);
  }

 private:
  // What runs must outlive this object, and must be forgotten however it ends.
  struct Running {
    explicit Running(EventCallback& callback) : owner(callback), function(std::move(callback.function_)) {
      owner.gone_ = &gone;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
      if (gone) return;
      owner.function_ = std::move(function);
      owner.gone_ = nullptr;
    }

    EventCallback& owner;
    bool gone = false;
    std::function<void(Args...)> function;
  };

  std::function<void(Args...)> function_;
  bool* gone_ = nullptr;  // while it runs
};

}  // namespace envdial::base
