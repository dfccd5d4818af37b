// The inside of a connection. One object, its methods spread by role over connection.cpp (public surface),
// session.cpp (connecting and staying connected), delivery.cpp (what arrives), writer.cpp (what leaves) and
// calls.cpp (requests and their deadlines). Kept alive by every operation that runs on it.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/cancellation_signal.hpp>

#include "nats/connection.hpp"
#include "nats/link.hpp"
#include "nats/requests.hpp"

namespace intra365::nats {

/// Somebody who waits for one event, at most until a deadline.
struct Waiter {
  explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  std::optional<Result<void>> outcome;

  void complete(Result<void> result) {
    if (outcome) return;
    outcome = std::move(result);
    timer.cancel();
  }
  /// The outcome, `nats.timeout` after `deadline`, `cancelled` when the waiting coroutine is stopped.
  static Task<> wait(std::shared_ptr<Waiter> waiter, SteadyTime deadline);
};

struct Connection::Impl : std::enable_shared_from_this<Connection::Impl> {
  enum class State : std::uint8_t { idle, connecting, connected, reconnecting, closed };

  struct Sub {
    std::string subject, queue_group;
    Handler handler;
    std::function<void()> on_resubscribe;  ///< after a reconnect; must do no more than wake somebody
    std::uint64_t id = 0;                  ///< 0: free, or to be freed once its handler has returned
    std::uint64_t generation = 0;
    std::uint64_t delivered = 0, max = 0;
    std::uint64_t delivered_before = 0;  ///< by earlier connections; the server counts from there
    std::uint32_t slot = 0;
    bool leaving = false;  ///< unsubscribed at the server, still delivering
  };

  Impl(asio::any_io_executor executor, Options options);

  // connection.cpp
  static Task<> connect(std::shared_ptr<Impl> self, SteadyTime deadline);
  static Task<> flush(std::shared_ptr<Impl> self, SteadyTime deadline);
  static Task<> drain(std::shared_ptr<Impl> self, SteadyTime deadline);
  static Task<> drain_subscription(std::shared_ptr<Impl> self, std::uint64_t id);
  void close();
  Error not_connected() const;
  void report(std::string_view event, std::string_view detail);

  // session.cpp
  void start();
  void abandon();
  static asio::awaitable<void> run(std::shared_ptr<Impl> self,
                                   std::shared_ptr<asio::cancellation_signal> stop);
  struct Candidate {
    std::string url;
    bool discovered = false;  ///< named by a server, by its address
  };
  static Task<std::shared_ptr<Link>> attempt(std::shared_ptr<Impl> self, Candidate candidate);
  static Task<> log_in(std::shared_ptr<Impl> self, std::shared_ptr<Link> link, Endpoint endpoint,
                       Credentials credentials);
  std::vector<Candidate> candidates() const;
  void activate(std::shared_ptr<Link> link);
  void disconnect(const std::shared_ptr<Link>& link, Error reason);
  Result<void> take_info(std::string_view json);
  void schedule_ping();

  // delivery.cpp
  void read(std::shared_ptr<Link> link);
  void on_read(const std::shared_ptr<Link>& link, boost::system::error_code error, std::size_t count);
  void on_event(const std::shared_ptr<Link>& link, const protocol::Event& event);
  void on_message(const MessageView& message);
  void on_server_error(std::string_view text);
  Sub* find(std::uint64_t id);
  Result<std::uint64_t> add_subscription(std::string_view subject, std::string_view queue_group,
                                         Handler handler);
  void remove_subscription(std::uint64_t id);
  void limit_subscription(std::uint64_t id, std::uint64_t count);
  void recycle(Sub& sub);
  void resubscribe();

  // writer.cpp
  Result<void> check_message(std::string_view subject, std::string_view reply, std::string_view headers,
                             std::string_view payload) const;
  Result<void> hold(std::string_view subject, std::string_view reply, std::string_view headers,
                    std::string_view payload);
  bool holds() const {
    return state_ == State::reconnecting && options_.while_disconnected == WhileDisconnected::hold;
  }
  Result<void> check_room(std::size_t bytes) const;
  Result<void> publish(std::string_view subject, std::string_view reply, std::string_view headers,
                       std::string_view payload);
  Result<void> check_publish(std::string_view subject, std::string_view reply, std::string_view headers,
                             std::string_view payload) const;
  void schedule_flush();
  void flush_now();
  void on_written(const std::shared_ptr<Link>& link, boost::system::error_code error, std::size_t count);
  void ping(std::shared_ptr<Waiter> waiter);
  static Task<> writable(std::shared_ptr<Impl> self, SteadyTime deadline);
  bool has_room() const {
    return link_ && link_->pending.size() + link_->out.size() <= options_.max_pending_bytes / 2;
  }
  void tell_writable(const std::shared_ptr<Link>& link);

  // calls.cpp
  std::optional<RequestTable::Token> call(std::string_view subject, std::string_view payload,
                                          std::string_view headers, SteadyTime deadline, ReplyHandler done);
  struct GatherLimits {
    SteadyTime deadline;
    std::size_t max;
    std::chrono::milliseconds stall;
  };
  static Task<std::vector<Message>> gather(std::shared_ptr<Impl> self, std::string inbox, std::string subject,
                                           std::string payload, HeaderBlock headers, GatherLimits limits);
  void cancel_call(RequestTable::Token token);
  void on_reply(const MessageView& message);
  void arm_deadlines(SteadyTime due);
  void on_deadlines();
  void fail_calls(std::vector<ReplyHandler> calls, const Error& error);
  void fail_call(ReplyHandler done, Error error);

  asio::any_io_executor executor_;
  Options options_;
  State state_ = State::idle;
  ServerInfo server_;
  Statistics statistics_;
  std::shared_ptr<Link> link_;  ///< set while connected, and only then
  std::optional<Error> last_error_;
  std::string url_;       ///< of the server we are, or were last, connected to
  std::string lame_url_;  ///< of a server that is about to stop: tried last
  Buffer held_;           ///< published while there was no connection

  std::shared_ptr<asio::cancellation_signal> stop_;  ///< ends the running session coroutine
  asio::steady_timer down_;                          ///< cancelled when the link is lost
  std::vector<std::shared_ptr<Waiter>> connecting_;
  bool was_connected_ = false;
  bool draining_ = false;

  /// By slot; the id of a subscription is its slot number and the slot's generation. Slot 0 stays empty and
  /// slot 1 belongs to the replies.
  std::vector<std::unique_ptr<Sub>> subs_;
  std::vector<std::uint32_t> free_subs_;
  Sub* running_ = nullptr;  ///< whose handler is being called
  bool reading_ = false;    ///< events are being handed out: what is written meanwhile leaves at their end

  bool flush_posted_ = false;
  std::vector<std::shared_ptr<Waiter>> writable_;  ///< who waits for room in the write buffer
  std::deque<std::shared_ptr<Waiter>> pongs_;      ///< in the order of the PINGs; empty: nobody waits
  asio::steady_timer ping_timer_;
  int pings_out_ = 0;

  RequestTable requests_;
  asio::steady_timer deadline_timer_;
  SteadyTime deadline_armed_ = SteadyTime::max();
  std::string inbox_;  ///< `<prefix>.<random>.` and room for one token
  std::size_t inbox_prefix_size_ = 0;
  bool inbox_subscribed_ = false, inbox_denied_ = false;

  static constexpr std::uint64_t kInboxId = 1;
  static constexpr std::uint64_t kSubIndexBits = 20;
  static constexpr std::uint64_t kSubIndexMask = (1u << kSubIndexBits) - 1;
  static constexpr std::size_t kMaxDiscoveredUrls = 32;
  /// nats-server ends a connection that sends a longer control line than this.
  static constexpr std::size_t kMaxControlLineBytes = 4096 - protocol::kCommandOverheadBytes;
};

}  // namespace intra365::nats
