// What arrives: reading, handing out, and the subscriptions it goes to.
#include "nats/impl.hpp"

namespace intra365::nats {
namespace {

using protocol::EventKind;
using protocol::Step;

/// The subject in the server's texts: `Permissions Violation for Publish to "a.b"`, quoted as Go does it.
std::string quoted_part(std::string_view text) {
  const auto open = text.find('"');
  if (open == std::string_view::npos) return {};
  std::string part;
  for (std::size_t i = open + 1; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    part += text[i];
  }
  return part;
}

}  // namespace

void Connection::Impl::read(std::shared_ptr<Link> link) {
  auto completion = [self = shared_from_this(), link](boost::system::error_code error, std::size_t count) {
    self->on_read(link, error, count);
  };
  link->async_read(std::move(completion));
}

void Connection::Impl::on_read(const std::shared_ptr<Link>& link, boost::system::error_code error,
                               std::size_t count) {
  if (link != link_) return;
  if (error) return disconnect(link, Error(errors::disconnected, error.message()));
  link->in.commit(count);
  link->heard = true;
  struct Reading {
    explicit Reading(bool& flag) : flag(flag) { flag = true; }
    ~Reading() { flag = false; }
    bool& flag;
  };
  std::optional<Reading> reading(reading_);
  protocol::Event event;
  std::size_t used = 0;
  auto step = Step::more;
  // A handler may close, drain or destroy the connection: after each one it is asked whether it still is.
  while (link == link_ && (step = link->parser.next(link->in.view(), event, used)) == Step::event) {
    on_event(link, event);
    link->in.consume(used);
  }
  reading.reset();
  if (link != link_) return;
  if (step == Step::failed) return disconnect(link, link->parser.error());
  link->in.rewind();
  flush_now();
  read(link);
}

void Connection::Impl::on_event(const std::shared_ptr<Link>& link, const protocol::Event& event) {
  switch (event.kind) {
    case EventKind::message:
      return on_message(event.message);
    case EventKind::ping:
      return link->pending.append("PONG\r\n");
    case EventKind::pong: {
      if (pongs_.empty()) return;
      const auto waiter = std::move(pongs_.front());
      pongs_.pop_front();
      if (waiter) waiter->complete({});
      return;
    }
    case EventKind::ok:
      return;
    case EventKind::info: {
      const bool was_lame = server_.lame_duck;
      const auto known = server_.connect_urls.size();
      if (auto taken = take_info(event.text); !taken) return disconnect(link, std::move(taken).error());
      if (server_.connect_urls.size() > known)
        report("discovered", std::to_string(server_.connect_urls.size()) + " servers");
      if (server_.lame_duck && !was_lame) {
        // It closes its connections one by one; we stay until then, and come back elsewhere.
        lame_url_ = url_;
        report("lame_duck", server_.server_name);
      }
      return;
    }
    case EventKind::error:
      return on_server_error(event.text);
  }
}

void Connection::Impl::on_message(const MessageView& message) {
  ++statistics_.in_messages;
  statistics_.in_bytes += message.headers.block().size() + message.payload.size();
  try {
    if (message.subscription == kInboxId) return on_reply(message);
    auto* const sub = find(message.subscription);
    if (!sub) return;  // unsubscribed while it was under way
    ++sub->delivered;
    const bool last = sub->max != 0 && sub->delivered >= sub->max;
    running_ = sub;
    struct Running {
      Impl& impl;
      Sub& sub;
      bool last;
      ~Running() {
        impl.running_ = nullptr;
        if (last || sub.id == 0) impl.recycle(sub);
      }
    } running{*this, *sub, last};
    sub->handler(message);
  } catch (const std::exception& exception) {
    // One faulty handler must not end the delivery to all others.
    report("error", std::string("a message handler threw: ") + exception.what());
  }
}

void Connection::Impl::on_server_error(std::string_view text) {
  ++statistics_.server_errors;
  if (text.starts_with("Permissions Violation for Publish")) {
    const auto subject = quoted_part(text);
    auto done = text.starts_with("Permissions Violation for Publish to") ? requests_.take_by_subject(subject)
                                                                         : ReplyHandler{};
    if (subject.size() == inbox_.size() &&
        subject.starts_with(std::string_view(inbox_).substr(0, inbox_prefix_size_))) {
      if (const auto token = RequestTable::read_token(std::string_view(subject).substr(inbox_prefix_size_)))
        done = requests_.take(*token);
    }
    if (done)
      fail_call(std::move(done), Error(errors::permission, "publishing to '" + subject + "' is not allowed"));
  } else if (text.starts_with("Permissions Violation for Subscription")) {
    const auto subject = quoted_part(text);
    const auto own = std::string_view(inbox_).substr(0, inbox_prefix_size_);
    if (subject.size() == own.size() + 1 && subject.starts_with(own)) {
      // No reply can ever arrive: tell at once instead of letting every request run into its deadline.
      inbox_denied_ = true;
      fail_calls(requests_.take_all(),
                 Error(errors::permission, "the server does not allow the inbox for replies"));
    }
  }
  report("error", text);
}

Connection::Impl::Sub* Connection::Impl::find(std::uint64_t id) {
  const auto index = id & kSubIndexMask;
  if (index >= subs_.size() || !subs_[index] || subs_[index]->id != id) return nullptr;
  return subs_[index].get();
}

Result<std::uint64_t> Connection::Impl::add_subscription(std::string_view subject,
                                                         std::string_view queue_group, Handler handler) {
  if (state_ == State::closed || draining_) return fail(errors::closed);
  if (!is_subscribe_subject(subject) || (!queue_group.empty() && !is_publish_subject(queue_group)))
    return fail(errors::bad_subject);
  if (subject.size() + queue_group.size() > kMaxControlLineBytes)
    return fail(errors::bad_subject, "the subject is too long");
  if (free_subs_.empty()) {
    if (subs_.size() > kSubIndexMask)
      return fail(errors::too_many_requests, "too many subscriptions on one connection");
    free_subs_.push_back(static_cast<std::uint32_t>(subs_.size()));
    subs_.push_back(std::make_unique<Sub>());
  }
  const auto index = free_subs_.back();
  free_subs_.pop_back();
  auto& sub = *subs_[index];
  sub.subject = subject;
  sub.queue_group = queue_group;
  sub.handler = std::move(handler);
  sub.id = sub.generation << kSubIndexBits | index;
  sub.slot = index;
  sub.delivered = sub.delivered_before = sub.max = 0;
  sub.leaving = false;
  if (link_) {
    protocol::append_subscribe(link_->pending, sub.subject, sub.queue_group, sub.id);
    schedule_flush();
  }
  return sub.id;
}

void Connection::Impl::remove_subscription(std::uint64_t id) {
  auto* const sub = find(id);
  if (!sub) return;
  if (link_ && !sub->leaving) {
    protocol::append_unsubscribe(link_->pending, id);
    schedule_flush();
  }
  recycle(*sub);
}

void Connection::Impl::limit_subscription(std::uint64_t id, std::uint64_t count) {
  auto* const sub = find(id);
  if (!sub) return;
  if (count <= sub->delivered) return remove_subscription(id);
  sub->max = count;
  if (!link_) return;
  // The server counts what it has sent since it learned of the subscription, which after a reconnect is
  // less than what we have delivered: it gets the rest, see resubscribe().
  protocol::append_unsubscribe(link_->pending, id, count - sub->delivered_before);
  schedule_flush();
}

/// Frees the slot; while the handler runs only marks it, and the end of the delivery frees it.
void Connection::Impl::recycle(Sub& sub) {
  sub.id = 0;
  if (running_ == &sub) return;
  ++sub.generation;
  free_subs_.push_back(sub.slot);
  sub.on_resubscribe = nullptr;
  const auto ending =
      std::exchange(sub.handler, nullptr);  // goes last: it may own handles of this connection
}

void Connection::Impl::resubscribe() {
  for (const auto& sub : subs_) {
    if (!sub || sub->id == 0 || sub->leaving) continue;
    sub->delivered_before = sub->delivered;
    protocol::append_subscribe(link_->pending, sub->subject, sub->queue_group, sub->id);
    if (sub->max != 0) protocol::append_unsubscribe(link_->pending, sub->id, sub->max - sub->delivered);
    if (sub->on_resubscribe) sub->on_resubscribe();
  }
}

}  // namespace intra365::nats
