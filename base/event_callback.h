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
    bool gone = false;
    gone_ = &gone;
    // What runs must outlive this object.
    std::function<void(Args...)> function = std::move(function_);
    function(args...);
    if (gone) return;
    function_ = std::move(function);
    gone_ = nullptr;
  }

 private:
  std::function<void(Args...)> function_;
  bool* gone_ = nullptr;  // while it runs
};

}  // namespace envdial::base
