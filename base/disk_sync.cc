// SPDX-License-Identifier: Apache-2.0
#include <libaio.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "base/file_system.h"

namespace envdial::base {
namespace {

// A save syncs a file, at times its directory, and a new save waits for the one before: this leaves room to spare, and
// takes little of the machine's /proc/sys/fs/aio-max-nr (65,536 by default).
constexpr int kMaxSyncsUnderWay = 16;

class AioDiskSync final : public DiskSync {
 public:
  explicit AioDiskSync(EventLoop& loop) : loop_(loop), deliver_(loop, [this](Now now) { DeliverOne(now); }) {}

  ~AioDiskSync() override {
    // io_destroy would wait here for syncs that are under way. The kernel ends them by itself, at the latest before the
    // end of the process is seen by its parent (exit_aio waits for them), so the context is left to it then.
    if (context_ != nullptr && under_way_.empty()) ::io_destroy(context_);
  }

  void Start(UniqueFd fd, std::function<void(Result<void>, Now)> on_done) override {
    if (auto ready = Prepare(); !ready) return Finish(std::move(on_done), std::unexpected(std::move(ready.error())));

    const std::uint64_t id = next_id_++;
    auto sync = std::make_unique<Sync>(Sync{.control = {}, .fd = std::move(fd), .on_done = std::move(on_done)});
    ::io_prep_fsync(&sync->control, sync->fd.get());
    ::io_set_eventfd(&sync->control, completed_.get());
    // The number, not an address, comes back with the completion: an unknown one can be told.
    sync->control.data = reinterpret_cast<void*>(id);  // NOLINT(performance-no-int-to-ptr)
    std::array<iocb*, 1> submitted = {&sync->control};
    const int accepted = ::io_submit(context_, 1, submitted.data());
    if (accepted == 1) {
      under_way_.emplace(id, std::move(sync));
      return;
    }
    Finish(std::move(sync->on_done), std::unexpected(SubmitError(accepted)));
  }

 private:
  struct Sync {
    iocb control;
    UniqueFd fd;
    std::function<void(Result<void>, Now)> on_done;
  };
  struct Finished {
    std::function<void(Result<void>, Now)> on_done;
    Result<void> result;
  };

  // Makes the AIO context when a sync is first asked for, and tries again at the next one if that failed.
  Result<void> Prepare() {
    if (context_ != nullptr) return {};
    if (!completed_) completed_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!completed_) return std::unexpected(Unavailable("eventfd", errno));
    if (const int code = ::io_setup(kMaxSyncsUnderWay, &context_); code < 0) {
      context_ = nullptr;
      return std::unexpected(Unavailable("io_setup", -code));
    }
    watcher_.emplace(loop_, completed_.get(), FdWatcher::kRead, [this](FdWatcher::Interest, Now) { Collect(); });
    return {};
  }

  static Error Unavailable(std::string_view operation, int code) {
    Error error = ErrnoError(code, std::string("sync off the loop: ").append(operation));
    error.kind = ErrorKind::kUnavailable;
    return error;
  }

  static Error SubmitError(int accepted) {
    if (accepted == -EINVAL) {
      return {ErrorKind::kInvalid, "sync: this kind of file, or its file system, has nothing that can be synced"};
    }
    // Nothing accepted without an error: the context is full.
    const int code = accepted < 0 ? -accepted : EAGAIN;
    return code == EAGAIN || code == ENOSYS ? Unavailable("io_submit", code) : ErrnoError(code, "sync");
  }

  void Collect() {
    eventfd_t count = 0;
    std::ignore = ::eventfd_read(completed_.get(), &count);
    std::array<io_event, kMaxSyncsUnderWay> events{};
    int size = 0;
    do {
      timespec no_wait{};
      size = ::io_getevents(context_, 0, kMaxSyncsUnderWay, events.data(), &no_wait);
      for (int i = 0; i < size; ++i) Complete(events[static_cast<std::size_t>(i)]);
    } while (size == kMaxSyncsUnderWay);  // the kernel may have given us room for more
  }

  void Complete(const io_event& event) {
    const auto found = under_way_.extract(reinterpret_cast<std::uint64_t>(event.data));
    if (found.empty()) return;
    // libaio declares the result as unsigned; the kernel's is a negative errno or 0.
    const auto code = static_cast<std::int64_t>(event.res);
    Result<void> result;
    if (code < 0) result = std::unexpected(ErrnoError(static_cast<int>(-code), "sync"));
    Finish(std::move(found.mapped()->on_done), std::move(result));
  }

  void Finish(std::function<void(Result<void>, Now)> on_done, Result<void> result) {
    finished_.push_back({std::move(on_done), std::move(result)});
    if (!deliver_.running()) deliver_.Start(std::chrono::nanoseconds::zero());
  }

  void DeliverOne(Now now) {
    Finished finished = std::move(finished_.front());
    finished_.pop_front();
    if (!finished_.empty()) deliver_.Start(std::chrono::nanoseconds::zero());
    finished.on_done(std::move(finished.result), now);  // may destroy this object
  }

  EventLoop& loop_;
  io_context_t context_ = nullptr;
  UniqueFd completed_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, std::unique_ptr<Sync>> under_way_;
  std::deque<Finished> finished_;
  std::optional<FdWatcher> watcher_;
  Timer deliver_;
};

}  // namespace

std::unique_ptr<DiskSync> MakeDiskSync(EventLoop& loop) { return std::make_unique<AioDiskSync>(loop); }

}  // namespace envdial::base
