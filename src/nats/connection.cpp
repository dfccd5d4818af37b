// The public surface of a connection and of its subscriptions.
#include "nats/connection.hpp"

#include <algorithm>
#include <random>

#include "base/ids.hpp"
#include "nats/impl.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kInboxRandomChars = 22;

}  // namespace

Task<> Waiter::wait(std::shared_ptr<Waiter> waiter, SteadyTime deadline) {
  boost::system::error_code error;
  if (!waiter->outcome) {
    waiter->timer.expires_at(deadline);
    co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  if (waiter->outcome) co_return *waiter->outcome;
  if (error) co_return fail(intra365::errors::cancelled);
  co_return fail(errors::timeout, "the NATS server did not answer in time");
}

Connection::Impl::Impl(asio::any_io_executor executor, Options options)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      down_(executor_),
      ping_timer_(executor_),
      requests_(options_.max_requests_in_flight, std::chrono::steady_clock::now()),
      deadline_timer_(executor_) {
  subs_.resize(2);
  if (options_.randomize_urls) {
    std::minstd_rand random(std::random_device{}());
    std::shuffle(options_.urls.begin(), options_.urls.end(), random);
  }
  inbox_ = options_.inbox_prefix + "." + random_token(kInboxRandomChars) + ".";
  inbox_prefix_size_ = inbox_.size();
  inbox_.resize(inbox_prefix_size_ + RequestTable::kTokenChars);
}

Error Connection::Impl::not_connected() const {
  if (state_ == State::closed) return Error(errors::closed);
  return Error(errors::disconnected);
}

void Connection::Impl::report(std::string_view event, std::string_view detail) {
  if (options_.on_event) options_.on_event(event, detail);
}

Task<> Connection::Impl::connect(std::shared_ptr<Impl> self, SteadyTime deadline) {
  if (self->state_ == State::closed) co_return fail(errors::closed);
  if (self->state_ == State::connected) co_return Result<void>{};
  if (self->state_ == State::idle) self->start();
  auto waiter = std::make_shared<Waiter>(self->executor_);
  self->connecting_.push_back(waiter);
  auto outcome = co_await Waiter::wait(waiter, deadline);
  if (outcome) co_return outcome;
  std::erase(self->connecting_, waiter);
  // Nobody waits for the first connection any more: the attempts end with the last who did.
  if (self->state_ == State::connecting && self->connecting_.empty()) self->abandon();
  if (outcome.error().is(errors::timeout) && self->last_error_) co_return fail(*self->last_error_);
  co_return outcome;
}

Task<> Connection::Impl::flush(std::shared_ptr<Impl> self, SteadyTime deadline) {
  if (!self->link_) co_return fail(self->not_connected());
  auto waiter = std::make_shared<Waiter>(self->executor_);
  self->ping(waiter);
  co_return co_await Waiter::wait(waiter, deadline);
}

Task<> Connection::Impl::drain(std::shared_ptr<Impl> self, SteadyTime deadline) {
  if (self->state_ == State::closed || self->draining_) co_return fail(errors::closed);
  self->draining_ = true;
  if (self->link_) {
    for (const auto& sub : self->subs_) {
      if (!sub || sub->id == 0) continue;
      sub->leaving = true;
      protocol::append_unsubscribe(self->link_->pending, sub->id);
    }
  }
  // The first round trip ends deliveries, the second takes along what the handlers still published.
  auto outcome = co_await flush(self, deadline);
  if (outcome) outcome = co_await flush(self, deadline);
  self->close();
  co_return outcome;
}

Task<> Connection::Impl::drain_subscription(std::shared_ptr<Impl> self, std::uint64_t id) {
  auto* const sub = self->find(id);
  if (!sub) co_return Result<void>{};
  sub->leaving = true;
  if (self->link_) {
    protocol::append_unsubscribe(self->link_->pending, id);
    const auto flushed =
        co_await flush(self, std::chrono::steady_clock::now() + self->options_.connect_timeout);
    self->remove_subscription(id);
    co_return flushed;
  }
  self->remove_subscription(id);
  co_return Result<void>{};
}

void Connection::Impl::close() {
  if (state_ == State::closed) return;
  const auto self = shared_from_this();  // handlers that go now may hold the last reference
  if (link_) flush_now();
  abandon();
  state_ = State::closed;
  if (const auto link = std::exchange(link_, nullptr)) link->shut();
  if (!held_.empty()) report("lost", std::to_string(held_.size()) + " bytes that were held");
  held_.clear();
  ping_timer_.cancel();
  deadline_timer_.cancel();
  const Error reason(errors::closed);
  for (const auto& waiter : std::exchange(pongs_, {})) {
    if (waiter) waiter->complete(fail(reason));
  }
  for (const auto& waiter : std::exchange(writable_, {})) waiter->complete(fail(reason));
  for (const auto& waiter : std::exchange(connecting_, {})) waiter->complete(fail(reason));
  fail_calls(requests_.take_all(), reason);
  for (std::size_t index = 0; index < subs_.size(); ++index) {
    if (subs_[index] && subs_[index]->id != 0) recycle(*subs_[index]);
  }
  report("closed", {});
}

Connection::Connection(asio::any_io_executor executor, Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {}
Connection::~Connection() {
  impl_->close();
}

Task<> Connection::connect(SteadyTime deadline) {
  return Impl::connect(impl_, deadline);
}
Task<> Connection::flush(SteadyTime deadline) {
  return Impl::flush(impl_, deadline);
}
Task<> Connection::drain(SteadyTime deadline) {
  return Impl::drain(impl_, deadline);
}
void Connection::close() {
  impl_->close();
}

Result<void> Connection::publish(std::string_view subject, std::string_view payload,
                                 const HeaderBlock& headers, std::string_view reply) {
  return impl_->publish(subject, reply, headers.text(), payload);
}

Result<void> Connection::can_publish(std::string_view subject, std::string_view payload,
                                     const HeaderBlock& headers) const {
  CHECK(impl_->check_message(subject, {}, headers.text(), payload));
  return impl_->check_room(headers.text().size() + payload.size());
}

Task<> Connection::writable(SteadyTime deadline) {
  return Impl::writable(impl_, deadline);
}

Result<Subscription> Connection::subscribe(std::string_view subject, Handler handler,
                                           std::string_view queue_group) {
  TRY(const auto id, impl_->add_subscription(subject, queue_group, std::move(handler)));
  Subscription subscription;
  subscription.impl_ = impl_;
  subscription.id_ = id;
  return subscription;
}

Task<std::chrono::nanoseconds> Connection::round_trip(SteadyTime deadline) {
  return [](std::shared_ptr<Impl> impl, SteadyTime deadline) -> Task<std::chrono::nanoseconds> {
    const auto sent = std::chrono::steady_clock::now();
    CO_CHECK(co_await Impl::flush(impl, deadline));
    co_return std::chrono::steady_clock::now() - sent;
  }(impl_, deadline);
}

const std::string& Connection::url() const {
  return impl_->url_;
}
std::size_t Connection::pending_bytes() const {
  const auto& link = impl_->link_;
  return impl_->held_.size() + (link ? link->pending.size() + link->out.size() : 0);
}
bool Connection::connected() const {
  return impl_->link_ != nullptr;
}
const ServerInfo& Connection::server() const {
  return impl_->server_;
}
const Statistics& Connection::statistics() const {
  return impl_->statistics_;
}
std::string Connection::new_inbox() {
  return impl_->options_.inbox_prefix + "." + random_token(kInboxRandomChars);
}
asio::any_io_executor Connection::executor() const {
  return impl_->executor_;
}

Subscription::Subscription(Subscription&& other) noexcept
    : impl_(std::move(other.impl_)), id_(std::exchange(other.id_, 0)) {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this == &other) return *this;
  unsubscribe();
  impl_ = std::move(other.impl_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

Subscription::~Subscription() {
  unsubscribe();
}

void Subscription::unsubscribe() {
  const auto id = std::exchange(id_, 0);
  if (id == 0) return;
  if (const auto impl = std::static_pointer_cast<Connection::Impl>(impl_.lock()))
    impl->remove_subscription(id);
}

Task<> Subscription::drain() {
  const auto id = std::exchange(id_, 0);
  const auto impl = std::static_pointer_cast<Connection::Impl>(impl_.lock());
  if (id == 0 || !impl) return [](Result<void> done) -> Task<> { co_return done; }(Result<void>{});
  return Connection::Impl::drain_subscription(impl, id);
}

std::uint64_t Subscription::delivered() const {
  const auto impl = std::static_pointer_cast<Connection::Impl>(impl_.lock());
  const auto* const sub = impl && id_ != 0 ? impl->find(id_) : nullptr;
  return sub ? sub->delivered : 0;
}

void Subscription::unsubscribe_after(std::uint64_t count) {
  const auto impl = std::static_pointer_cast<Connection::Impl>(impl_.lock());
  if (impl && id_ != 0) impl->limit_subscription(id_, count);
}

}  // namespace intra365::nats
