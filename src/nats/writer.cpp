// What leaves: everything written in one loop turn goes out with one write.
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "nats/impl.hpp"

namespace intra365::nats {

namespace {

/// A publisher that never leaves its loop turn is written out whenever this much has gathered, so that the
/// server works meanwhile and the bytes are still in the processor's cache.
constexpr std::size_t kEagerWriteBytes = 64u << 10;

}  // namespace

Result<void> Connection::Impl::check_message(std::string_view subject, std::string_view reply,
                                             std::string_view headers, std::string_view payload) const {
  if (!is_publish_subject(subject) || (!reply.empty() && !is_publish_subject(reply)))
    return fail(errors::bad_subject);
  if (subject.size() + reply.size() > kMaxControlLineBytes)
    return fail(errors::bad_subject, "the subject is too long");
  const std::size_t size = headers.size() + payload.size();
  if (size > server_.max_payload) {
    return fail(errors::too_large,
                std::to_string(size) + " bytes; the server takes " + std::to_string(server_.max_payload));
  }
  if (!headers.empty() && !server_.headers) return fail(errors::protocol, "the server does not know headers");
  return {};
}

/// One message always fits, so that a limit below the server's payload limit cannot block for ever.
Result<void> Connection::Impl::check_room(std::size_t bytes) const {
  if (!link_ && !holds()) return fail(not_connected());
  const auto limit = link_ ? options_.max_pending_bytes : options_.max_held_bytes;
  const auto waiting = link_ ? link_->pending.size() + link_->out.size() : held_.size();
  if (waiting != 0 && waiting + bytes > limit) return fail(errors::buffer_full);
  return {};
}

Result<void> Connection::Impl::check_publish(std::string_view subject, std::string_view reply,
                                             std::string_view headers, std::string_view payload) const {
  if (!link_) return fail(not_connected());
  CHECK(check_message(subject, reply, headers, payload));
  return check_room(headers.size() + payload.size());
}

Result<void> Connection::Impl::hold(std::string_view subject, std::string_view reply,
                                    std::string_view headers, std::string_view payload) {
  CHECK(check_message(subject, reply, headers, payload));
  CHECK(check_room(headers.size() + payload.size()));
  protocol::append_publish(held_, subject, reply, headers, payload);
  return {};
}

Result<void> Connection::Impl::publish(std::string_view subject, std::string_view reply,
                                       std::string_view headers, std::string_view payload) {
  if (!link_ && holds()) {
    CHECK(hold(subject, reply, headers, payload));
  } else {
    CHECK(check_publish(subject, reply, headers, payload));
    protocol::append_publish(link_->pending, subject, reply, headers, payload);
  }
  ++statistics_.out_messages;
  statistics_.out_bytes += headers.size() + payload.size();
  schedule_flush();
  return {};
}

void Connection::Impl::schedule_flush() {
  if (!link_ || link_->writing) return;  // the end of a write under way flushes
  if (link_->pending.size() >= kEagerWriteBytes) return flush_now();
  if (flush_posted_ || reading_) return;  // so does the end of handing out events
  flush_posted_ = true;
  asio::post(executor_, [self = shared_from_this()] {
    self->flush_posted_ = false;
    self->flush_now();
  });
}

void Connection::Impl::flush_now() {
  const auto link = link_;
  if (!link || link->writing || link->pending.empty()) return;
  link->pending.swap(link->out);
  if (!link->tls) {
    // The socket nearly always takes everything at once; then no operation has to go through the reactor.
    boost::system::error_code error;
    const auto bytes = link->out.view();
    const auto count = link->socket.write_some(asio::buffer(bytes), error);
    if (!error) link->out.consume(count);
    if (error && error != asio::error::would_block && error != asio::error::try_again) {
      link->writing = true;
      // Not reported from here, because the caller may be in the middle of something.
      asio::post(executor_, [self = shared_from_this(), link, error] { self->on_written(link, error, 0); });
      return;
    }
    if (link->out.empty()) {
      link->out.clear();
      return tell_writable(link);
    }
  }
  link->writing = true;
  auto completion = [self = shared_from_this(), link](boost::system::error_code error, std::size_t count) {
    self->on_written(link, error, count);
  };
  const auto bytes = asio::buffer(link->out.view());
  if (link->tls) {
    asio::async_write(*link->tls, bytes, std::move(completion));
  } else {
    asio::async_write(link->socket, bytes, std::move(completion));
  }
}

void Connection::Impl::on_written(const std::shared_ptr<Link>& link, boost::system::error_code error,
                                  std::size_t count) {
  link->writing = false;
  if (link != link_) return;
  if (error) return disconnect(link, Error(errors::disconnected, "while writing: " + error.message()));
  link->out.consume(count);
  link->out.rewind();
  tell_writable(link);
  flush_now();
}

void Connection::Impl::tell_writable(const std::shared_ptr<Link>& link) {
  if (writable_.empty() || link != link_ || !has_room()) return;
  for (const auto& waiter : std::exchange(writable_, {})) waiter->complete({});
}

Task<> Connection::Impl::writable(std::shared_ptr<Impl> self, SteadyTime deadline) {
  if (!self->link_) co_return fail(self->not_connected());
  // What was published in this turn of the loop has not been tried to be written yet.
  if (!self->link_->writing) self->flush_now();
  if (self->has_room()) co_return Result<void>{};
  auto waiter = std::make_shared<Waiter>(self->executor_);
  self->writable_.push_back(waiter);
  auto outcome = co_await Waiter::wait(waiter, deadline);
  if (!outcome) std::erase(self->writable_, waiter);
  co_return outcome;
}

void Connection::Impl::ping(std::shared_ptr<Waiter> waiter) {
  pongs_.push_back(std::move(waiter));
  link_->pending.append("PING\r\n");
  schedule_flush();
}

}  // namespace intra365::nats
