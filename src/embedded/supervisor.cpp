#include "embedded/supervisor.hpp"

#include "embedded/file.hpp"

namespace intra365::embedded {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// Longest wait for a server that is started again; recovery after a crash reads its whole log.
constexpr auto kRestartLimit = std::chrono::seconds(60);
/// Who ran this long has recovered: its next death begins with the shortest pause again.
constexpr auto kStableAfter = std::chrono::seconds(10);

}  // namespace

Supervisor::Supervisor(asio::any_io_executor executor, ProcessSpec spec, Hooks hooks)
    : executor_(executor),
      spec_(std::move(spec)),
      hooks_(std::move(hooks)),
      pause_(executor),
      tasks_(executor, "supervisor", 1) {}

Supervisor::~Supervisor() = default;

void Supervisor::set_state(ServerState state, std::string_view reason) {
  if (state_ == state) return;
  state_ = state;
  if (hooks_.on_state) hooks_.on_state(state, reason);
}

Task<> Supervisor::start(SteadyTime deadline) {
  stopping_ = false;
  CO_CHECK(co_await launch(deadline));
  co_return tasks_.spawn(watch());
}

Task<> Supervisor::launch(SteadyTime deadline) {
  using namespace asio::experimental::awaitable_operators;
  rotate_log(spec_.log_file, log_limit_bytes);
  const LastWords last_words(spec_);
  CO_TRY(auto process, ChildProcess::spawn(executor_, spec_));
  process_ = std::make_unique<ChildProcess>(std::move(process));
  auto first = co_await (contain(hooks_.ready(deadline)) || contain(process_->wait()));
  std::string reason = "it did not answer in time";
  if (first.index() == 0) {
    const auto& ready = std::get<0>(first);
    if (ready) {
      set_state(ServerState::up, "");
      co_return Result<void>{};
    }
    if (!ready.error().is(intra365::errors::deadline)) {
      process_.reset();
      co_return ready;
    }
  } else if (const auto& ended = std::get<1>(first)) {
    reason = ended->text();
  }
  process_.reset();
  co_return fail(errors::server_failed, spec_.name + " did not start (" + reason + "): " + last_words.text());
}

Task<> Supervisor::watch() {
  auto next_pause = first_pause;
  while (!stopping_) {
    const auto since = SteadyClock::now();
    const auto ended = co_await process_->wait();
    if (!ended) co_return fail(ended.error());
    process_.reset();
    if (stopping_) break;  // `stop` tells of it
    set_state(ServerState::down, ended->text());
    if (SteadyClock::now() - since > kStableAfter) next_pause = first_pause;
    while (!stopping_ && !process_) {
      co_await pause(next_pause);
      next_pause = std::min(next_pause * 2, last_pause);
      if (stopping_) break;
      ++restarts_;
      // A failed start has said why in its log; the next one follows after a longer pause.
      static_cast<void>(co_await launch(SteadyClock::now() + kRestartLimit));
    }
  }
  co_return Result<void>{};
}

asio::awaitable<void> Supervisor::pause(std::chrono::milliseconds duration) {
  pause_.expires_after(duration);
  boost::system::error_code ignored;
  co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<> Supervisor::stop(SteadyTime deadline) {
  stopping_ = true;
  pause_.cancel();
  if (process_) process_->signal(spec_.stop_signal);
  static_cast<void>(co_await tasks_.join(deadline));
  process_.reset();  // kills what is still there
  set_state(ServerState::down, "stopped");
  co_return Result<void>{};
}

}  // namespace intra365::embedded
