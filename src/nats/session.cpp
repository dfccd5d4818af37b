// Connecting and staying connected: one coroutine that tries, logs in, waits for the loss and tries again.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <random>

#include "crypto/encoding.hpp"
#include "crypto/nkey.hpp"
#include "nats/impl.hpp"

namespace intra365::nats {
namespace {

namespace bj = boost::json;
using protocol::EventKind;
using std::chrono::milliseconds;

/// Full jitter: anything between nothing and the doubled pause, so that clients that lost the same server do
/// not come back together.
milliseconds back_off(const Options& options, unsigned failures) {
  thread_local std::minstd_rand random(std::random_device{}());
  const auto ceiling = std::min<std::int64_t>(options.reconnect_wait_max.count(),
                                              options.reconnect_wait.count() << std::min(failures, 16u));
  return milliseconds(
      std::uniform_int_distribution<std::int64_t>(0, std::max<std::int64_t>(ceiling, 0))(random));
}

/// A refusal of the credentials, as far as the server's text tells.
bool is_refusal(std::string_view text) {
  return text.starts_with("Authorization Violation") || text.find("Authentication") != std::string_view::npos;
}

/// Failures of a first connection that trying again soon would not mend: the credentials, a URL or the
/// certificates are wrong.
bool is_final(const Error& error) {
  return error.is(errors::refused) || error.is(errors::tls) || error.kind == ErrorKind::invalid;
}

Result<std::string> connect_command(const Options& options, const ServerInfo& server,
                                    const Credentials& credentials, bool over_tls) {
  bj::object connect{{"verbose", false},     {"pedantic", false},        {"tls_required", over_tls},
                     {"name", options.name}, {"lang", "cpp-intra365"},   {"version", "1"},
                     {"protocol", 1},        {"echo", !options.no_echo}, {"headers", true},
                     {"no_responders", true}};
  if (!credentials.user.empty()) connect["user"] = credentials.user;
  if (!credentials.pass.empty()) connect["pass"] = credentials.pass;
  if (!credentials.token.empty()) connect["auth_token"] = credentials.token;
  if (!credentials.jwt.empty()) connect["jwt"] = credentials.jwt;
  if (!credentials.nkey_seed.empty() && !server.nonce.empty()) {
    TRY(const auto key, crypto::Nkey::from_seed(credentials.nkey_seed));
    if (credentials.jwt.empty()) connect["nkey"] = key.public_key();
    connect["sig"] = crypto::base64url(key.sign(server.nonce));
  }
  return "CONNECT " + bj::serialize(connect) + "\r\nPING\r\n";
}

}  // namespace

void Connection::Impl::start() {
  state_ = State::connecting;
  last_error_.reset();
  stop_ = std::make_shared<asio::cancellation_signal>();
  asio::co_spawn(executor_, run(shared_from_this(), stop_),
                 asio::bind_cancellation_slot(
                     stop_->slot(), [self = shared_from_this(), stop = stop_](std::exception_ptr thrown) {
                       // Only a defect ends the session while it is wanted; then nobody may wait for it in
                       // vain.
                       if (thrown && self->stop_ == stop) self->close();
                     }));
}

void Connection::Impl::abandon() {
  state_ = State::idle;
  down_.cancel();
  // From inside the loop only, and with its own hold on the signal: emitted from outside, Asio would pass on
  // a bare pointer to it, which the end of the coroutine may overtake.
  if (auto stop = std::exchange(stop_, nullptr))
    asio::dispatch(executor_, [stop = std::move(stop)] { stop->emit(asio::cancellation_type::terminal); });
}

std::vector<Connection::Impl::Candidate> Connection::Impl::candidates() const {
  std::vector<Candidate> all;
  const auto add = [&](std::string url, bool discovered) {
    const auto same = [&](const Candidate& one) { return one.url == url; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back({std::move(url), discovered});
  };
  for (const auto& url : options_.urls) add(url, false);
  // What the server told of its cluster comes behind what was configured, and never loses TLS.
  const bool tls = options_.tls.required || (!all.empty() && all.front().url.starts_with("tls://"));
  if (options_.use_discovered) {
    for (const auto& address : server_.connect_urls) add((tls ? "tls://" : "nats://") + address, true);
  }
  std::stable_partition(all.begin(), all.end(), [&](const Candidate& one) { return one.url != lame_url_; });
  return all;
}

asio::awaitable<void> Connection::Impl::run(std::shared_ptr<Impl> self,
                                            std::shared_ptr<asio::cancellation_signal> stop) {
  const auto stopped = [&] { return self->stop_ != stop; };
  unsigned failures = 0;
  for (std::size_t turn = 0; !stopped(); ++turn) {
    const auto servers = self->candidates();
    const auto candidate = servers.empty() ? Candidate() : servers[turn % servers.size()];
    ++self->statistics_.connect_attempts;
    auto deadline = std::chrono::steady_clock::now() + self->options_.connect_timeout;
    auto outcome = co_await with_deadline(deadline, attempt(self, candidate));
    if (stopped()) {
      if (outcome) (*outcome)->shut();
      co_return;
    }
    if (outcome) {
      failures = 0;
      self->url_ = candidate.url;
      if (self->url_ != self->lame_url_) self->lame_url_.clear();
      const auto link = *outcome;
      self->activate(link);
      while (self->link_ == link) {
        boost::system::error_code ignored;
        self->down_.expires_at(SteadyTime::max());
        co_await self->down_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      }
      if (stopped()) co_return;
      if (!self->options_.reconnect) {
        self->close();
        co_return;
      }
      turn = ~std::size_t{0};  // what is configured comes first again
    } else {
      self->last_error_ = outcome.error();
      self->report("failed", outcome.error().detail);
      if (stopped()) co_return;
      // Before the first connection a refusal is an answer; later it may be an identity service that is
      // itself starting, so it is only another reason to try again.
      if (!self->was_connected_ && is_final(outcome.error())) {
        self->state_ = State::idle;
        self->stop_.reset();
        for (const auto& waiter : std::exchange(self->connecting_, {}))
          waiter->complete(fail(outcome.error()));
        co_return;
      }
      ++failures;
    }
    if (failures % std::max<std::size_t>(servers.size(), 1) == 0)
      co_await sleep_for(back_off(self->options_, failures));
  }
}

Task<std::shared_ptr<Link>> Connection::Impl::attempt(std::shared_ptr<Impl> self, Candidate candidate) {
  CO_TRY(auto endpoint, Endpoint::parse(candidate.url));
  // A cluster names its servers by address; their certificates name the host that was configured.
  if (candidate.discovered && is_address(endpoint.host) && !self->options_.urls.empty()) {
    CO_TRY(const auto configured, Endpoint::parse(self->options_.urls.front()));
    endpoint.tls_name = configured.host;
  }
  // Asked before the socket is opened: the server gives a client little time between INFO and CONNECT.
  Credentials credentials;
  if (self->options_.credentials) {
    auto asked = co_await self->options_.credentials();
    if (!asked) co_return fail(std::move(asked).error());
    credentials = std::move(*asked);
  }
  const auto link = std::make_shared<Link>(
      self->executor_, protocol::Limits{self->options_.max_line_bytes, self->options_.max_message_bytes});
  auto logged_in = co_await log_in(self, link, std::move(endpoint), std::move(credentials));
  if (!logged_in) {
    link->shut();
    co_return fail(std::move(logged_in).error());
  }
  co_return link;
}

Task<> Connection::Impl::log_in(std::shared_ptr<Impl> self, std::shared_ptr<Link> link, Endpoint endpoint,
                                Credentials credentials) {
  const auto& tls = self->options_.tls;
  CO_CHECK(co_await link->open(endpoint));
  if (tls.first) CO_CHECK(co_await link->upgrade(tls, endpoint.verified_name()));
  CO_TRY(const auto greeting, co_await link->next_line());
  if (greeting.kind != EventKind::info)
    co_return fail(errors::protocol, "the server did not begin with INFO");
  CO_CHECK(self->take_info(greeting.text));
  if (!link->tls && (tls.required || endpoint.tls || self->server_.tls_required)) {
    if (!self->server_.tls_required && !self->server_.tls_available)
      co_return fail(errors::tls, "the server offers no TLS");
    CO_CHECK(co_await link->upgrade(tls, endpoint.verified_name()));
  }
  CO_TRY(const auto command,
         connect_command(self->options_, self->server_, credentials, link->tls.has_value()));
  CO_CHECK(co_await link->send(command));
  for (;;) {
    CO_TRY(const auto line, co_await link->next_line());
    if (line.kind == EventKind::pong) co_return Result<void>{};
    if (line.kind == EventKind::info) CO_CHECK(self->take_info(line.text));
    if (line.kind == EventKind::ping) CO_CHECK(co_await link->send("PONG\r\n"));
    if (line.kind == EventKind::error)
      co_return fail(is_refusal(line.text) ? errors::refused : errors::disconnected, line.text);
    if (line.kind == EventKind::message)
      co_return fail(errors::protocol, "a message came before the login was answered");
  }
}

Result<void> Connection::Impl::take_info(std::string_view json) {
  boost::system::error_code error;
  const auto value = bj::parse(json, error);
  const auto* const info = error ? nullptr : value.if_object();
  if (!info) return fail(errors::protocol, "INFO is not a JSON object");
  const auto text = [&](std::string_view name) {
    const auto* const member = info->if_contains(name);
    const auto* const string = member ? member->if_string() : nullptr;
    return string ? std::string(*string) : std::string();
  };
  const auto flag = [&](std::string_view name) {
    const auto* const member = info->if_contains(name);
    return member && member->is_bool() && member->get_bool();
  };
  const auto number = [&](std::string_view name, std::uint64_t otherwise) {
    const auto* const member = info->if_contains(name);
    if (member && member->is_int64() && member->get_int64() >= 0)
      return static_cast<std::uint64_t>(member->get_int64());
    return otherwise;
  };
  ServerInfo server;
  server.server_id = text("server_id");
  server.server_name = text("server_name");
  server.version = text("version");
  server.nonce = text("nonce");
  server.max_payload =
      std::min<std::uint64_t>(number("max_payload", server.max_payload), options_.max_message_bytes);
  server.headers = flag("headers");
  server.tls_required = flag("tls_required");
  server.tls_available = flag("tls_available");
  server.auth_required = flag("auth_required");
  server.jetstream = flag("jetstream");
  server.lame_duck = flag("ldm");
  server.client_id = number("client_id", 0);
  if (const auto* const urls = info->if_contains("connect_urls"); urls && urls->is_array()) {
    for (const auto& url : urls->get_array()) {
      if (server.connect_urls.size() >= kMaxDiscoveredUrls) break;
      if (url.is_string()) server.connect_urls.emplace_back(url.get_string());
    }
  }
  server_ = std::move(server);
  return {};
}

void Connection::Impl::activate(std::shared_ptr<Link> link) {
  link_ = link;
  state_ = State::connected;
  inbox_subscribed_ = inbox_denied_ = false;
  pings_out_ = 0;
  const bool again = std::exchange(was_connected_, true);
  if (again) ++statistics_.reconnects;
  resubscribe();
  if (!held_.empty()) link_->pending.append(held_.view());
  held_.clear();
  flush_now();
  schedule_ping();
  // What arrived together with the last answer of the login is handed out before the first read.
  asio::post(executor_, [self = shared_from_this(), link] { self->on_read(link, {}, 0); });
  for (const auto& waiter : std::exchange(connecting_, {})) waiter->complete({});
  report(again ? "reconnected" : "connected", server_.server_name);
}

void Connection::Impl::disconnect(const std::shared_ptr<Link>& link, Error reason) {
  link->shut();
  if (link != link_) return;
  link_.reset();
  state_ = State::reconnecting;
  last_error_ = reason;
  ping_timer_.cancel();
  down_.cancel();
  const Error lost(errors::disconnected, reason.detail);
  for (const auto& waiter : std::exchange(pongs_, {})) {
    if (waiter) waiter->complete(fail(lost));
  }
  for (const auto& waiter : std::exchange(writable_, {})) waiter->complete(fail(lost));
  fail_calls(requests_.take_all(), lost);
  report("disconnected", reason.detail);
}

void Connection::Impl::schedule_ping() {
  ping_timer_.expires_after(options_.ping_interval);
  ping_timer_.async_wait([weak = weak_from_this(),
                          link = std::weak_ptr(link_)](boost::system::error_code error) {
    const auto self = weak.lock();
    const auto current = link.lock();
    if (error || !self || !current || self->link_ != current) return;
    // Any byte is a sign of life; only silence is asked about.
    if (std::exchange(current->heard, false)) {
      self->pings_out_ = 0;
    } else if (self->pings_out_ >= self->options_.max_pings_out) {
      return self->disconnect(current, Error(errors::disconnected, "the server does not answer any more"));
    } else {
      ++self->pings_out_;
      self->ping(nullptr);
    }
    self->schedule_ping();
  });
}

}  // namespace intra365::nats
