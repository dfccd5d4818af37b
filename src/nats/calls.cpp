// Requests: one inbox for all, one timer for all deadlines.
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include "nats/impl.hpp"

namespace intra365::nats {

std::optional<RequestTable::Token> Connection::Impl::call(std::string_view subject, std::string_view payload,
                                                          std::string_view headers, SteadyTime deadline,
                                                          ReplyHandler done) {
  const auto refuse = [&](Error error) {
    fail_call(std::move(done), std::move(error));
    return std::nullopt;
  };
  if (auto ready = check_publish(subject, {}, headers, payload); !ready)
    return refuse(std::move(ready).error());
  if (inbox_denied_)
    return refuse(Error(errors::permission, "the server does not allow the inbox for replies"));
  if (deadline <= std::chrono::steady_clock::now())
    return refuse(Error(errors::timeout, "the deadline had passed before the request was sent"));
  if (!inbox_subscribed_) {
    inbox_[inbox_prefix_size_] = '*';
    protocol::append_subscribe(link_->pending, std::string_view(inbox_).substr(0, inbox_prefix_size_ + 1), {},
                               kInboxId);
    inbox_subscribed_ = true;
  }
  const auto token = requests_.add(subject, deadline, done);
  if (!token) return refuse(Error(errors::too_many_requests));
  RequestTable::write_token(*token, inbox_.data() + inbox_prefix_size_);
  protocol::append_publish(link_->pending, subject, inbox_, headers, payload);
  ++statistics_.out_messages;
  statistics_.out_bytes += headers.size() + payload.size();
  if (deadline != SteadyTime::max()) arm_deadlines(requests_.due_time(deadline));
  schedule_flush();
  return token;
}

void Connection::Impl::on_reply(const MessageView& message) {
  if (message.subject.size() != inbox_.size()) return;
  const auto token = RequestTable::read_token(message.subject.substr(inbox_prefix_size_));
  if (!token) return;
  auto done = requests_.take(*token);
  if (!done) return;  // too late, or a second reply
  if (message.payload.empty() && message.headers.status() == 503) return done(fail(errors::no_responders));
  done(message);
}

void Connection::Impl::cancel_call(RequestTable::Token token) {
  if (auto done = requests_.take(token)) fail_call(std::move(done), Error(intra365::errors::cancelled));
}

void Connection::Impl::arm_deadlines(SteadyTime due) {
  if (due >= deadline_armed_) return;
  deadline_armed_ = due;
  deadline_timer_.expires_at(due);
  deadline_timer_.async_wait([weak = weak_from_this(), due](boost::system::error_code) {
    // An earlier deadline may have taken the timer meanwhile; then this call is an old one.
    if (const auto self = weak.lock(); self && self->deadline_armed_ == due) self->on_deadlines();
  });
}

void Connection::Impl::on_deadlines() {
  deadline_armed_ = SteadyTime::max();
  if (state_ == State::closed) return;
  auto expired = requests_.take_expired(std::chrono::steady_clock::now());
  if (const auto due = requests_.next_due()) arm_deadlines(*due);
  fail_calls(std::move(expired), Error(errors::timeout));
}

/// Always from the loop, never from inside the caller: who asked is not surprised by an answer on its stack.
void Connection::Impl::fail_call(ReplyHandler done, Error error) {
  asio::post(executor_,
             [done = std::move(done), error = std::move(error)]() mutable { done(fail(std::move(error))); });
}

void Connection::Impl::fail_calls(std::vector<ReplyHandler> calls, const Error& error) {
  for (auto& done : calls) fail_call(std::move(done), error);
}

void Connection::async_request(std::string_view subject, std::string_view payload, const HeaderBlock& headers,
                               SteadyTime deadline, ReplyHandler done) {
  impl_->call(subject, payload, headers.text(), deadline, std::move(done));
}

namespace {

/// Turns the hot path's view into the owned message that a coroutine gets.
template <class Handler>
struct Completion {
  Handler handler;
  asio::any_io_executor executor;

  void operator()(Result<MessageView> reply) {
    if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected()) slot.clear();
    Result<Message> owned =
        reply ? Result<Message>(Message(*reply)) : Result<Message>(fail(std::move(reply).error()));
    const auto target = asio::get_associated_executor(handler, executor);
    if (target == executor) return std::move(handler)(std::move(owned));
    asio::dispatch(target, [handler = std::move(handler), owned = std::move(owned)]() mutable {
      std::move(handler)(std::move(owned));
    });
  }
};

}  // namespace

Task<Message> Connection::request(std::string_view subject, std::string_view payload,
                                  const HeaderBlock& headers, SteadyTime deadline) {
  const auto initiate = [](auto handler, std::shared_ptr<Impl> impl, std::string_view subject,
                           std::string_view payload, std::string_view headers, SteadyTime deadline) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    const auto token = impl->call(subject, payload, headers, deadline,
                                  Completion<decltype(handler)>{std::move(handler), impl->executor_});
    if (!token || !slot.is_connected()) return;
    slot.assign([weak = std::weak_ptr(impl), token = *token](asio::cancellation_type) {
      if (const auto impl = weak.lock()) impl->cancel_call(token);
    });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result<Message>)>(
      initiate, asio::use_awaitable, impl_, subject, payload, headers.text(), deadline);
}

Task<std::vector<Message>> Connection::request_many(std::string_view subject, std::string_view payload,
                                                    const HeaderBlock& headers, SteadyTime deadline,
                                                    std::size_t max, std::chrono::milliseconds stall) {
  return Impl::gather(impl_, new_inbox(), std::string(subject), std::string(payload), headers,
                      {deadline, max, stall});
}

Task<std::vector<Message>> Connection::Impl::gather(std::shared_ptr<Impl> self, std::string inbox,
                                                    std::string subject, std::string payload,
                                                    HeaderBlock headers, GatherLimits limits) {
  struct Gathering {
    explicit Gathering(const asio::any_io_executor& executor) : timer(executor) {}
    asio::steady_timer timer;
    std::vector<Message> replies;
    bool complete = false;
  };
  const auto gathering = std::make_shared<Gathering>(self->executor_);
  auto handler = [gathering, max = limits.max](const MessageView& message) {
    if (gathering->complete) return;
    if (message.payload.empty() && message.headers.status() == 503) {
      gathering->complete = true;
    } else {
      gathering->replies.emplace_back(message);
      gathering->complete = gathering->replies.size() >= max;
    }
    gathering->timer.cancel();
  };
  CO_TRY(const auto id, self->add_subscription(inbox, {}, std::move(handler)));
  struct Unsubscribe {
    Impl& impl;
    std::uint64_t id;
    ~Unsubscribe() { impl.remove_subscription(id); }
  } const at_end{*self, id};
  CO_CHECK(self->publish(subject, inbox, headers.text(), payload));
  while (!gathering->complete) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= limits.deadline) break;
    // The stall counts from the last reply; before the first one only the deadline does.
    const auto had = gathering->replies.size();
    const bool stalls = had != 0 && limits.stall.count() > 0 && limits.deadline - now > limits.stall;
    gathering->timer.expires_at(stalls ? now + limits.stall : limits.deadline);
    boost::system::error_code error;
    co_await gathering->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (self->state_ == State::closed) co_return fail(errors::closed);
    if (gathering->replies.size() != had || gathering->complete) continue;
    if (error) co_return fail(intra365::errors::cancelled);
    break;
  }
  co_return std::move(gathering->replies);
}

}  // namespace intra365::nats
