#include "nats/service.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/ids.hpp"

namespace intra365::nats {
namespace {

namespace bj = boost::json;
using std::chrono::nanoseconds;

constexpr std::size_t kIdChars = 22;

bool is_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

/// MAJOR.MINOR.PATCH, with an optional pre-release and build part (semver.org, version 2).
bool is_semantic_version(std::string_view text) {
  const auto rest = text.find_first_not_of("0123456789.");
  const auto core = text.substr(0, rest);
  if (std::count(core.begin(), core.end(), '.') != 2 || core.front() == '.' || core.back() == '.' ||
      core.find("..") != std::string_view::npos)
    return false;
  if (rest == std::string_view::npos) return true;
  const auto suffix = text.substr(rest);
  return suffix.size() > 1 && (suffix[0] == '-' || suffix[0] == '+') &&
         std::all_of(suffix.begin() + 1, suffix.end(), [](char c) {
           return is_name({&c, 1}) || c == '.' || c == '+';
         });
}

bj::object strings(const std::map<std::string, std::string>& map) {
  bj::object object;
  for (const auto& [name, value] : map) object[name] = value;
  return object;
}

/// The text of an error header; what cannot stand in a header becomes a blank.
std::string header_text(std::string_view text) {
  std::string clean(text.substr(0, 512));
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; },
      ' ');
  return clean;
}

ServiceReply failure(const ErrorCode& code) {
  const bj::object body{{"error", {{"code", code.code}, {"message", code.meaning}}}};
  return {bj::serialize(body), http_status(code.kind), std::string(code.meaning)};
}

}  // namespace

struct Service::Impl : std::enable_shared_from_this<Service::Impl> {
  Impl(Connection& connection, ServiceConfig config, Handle handle)
      : connection(connection),
        config(std::move(config)),
        handle(std::move(handle)),
        id(random_token(kIdChars)),
        started(system_clock().now()),
        statistics(this->config.endpoints.size()),
        idle(connection.executor()) {}

  Result<void> check() const {
    if (!is_name(config.name))
      return fail(errors::bad_service, "the service's name must match [A-Za-z0-9_-]+");
    if (config.version.empty() || !is_semantic_version(config.version))
      return fail(errors::bad_service, "the version must be a semantic version");
    for (const auto& endpoint : config.endpoints) {
      if (!is_name(endpoint.name))
        return fail(errors::bad_service, "an endpoint's name must match [A-Za-z0-9_-]+");
    }
    return {};
  }

  bj::object identity(std::string_view type) const {
    return {{"type", "io.nats.micro.v1." + std::string(type) + "_response"},
            {"name", config.name},
            {"id", id},
            {"version", config.version},
            {"metadata", strings(config.metadata)}};
  }

  std::string info() const {
    auto document = identity("info");
    document["description"] = config.description;
    bj::array endpoints;
    for (const auto& endpoint : config.endpoints) {
      endpoints.push_back(bj::object{{"name", endpoint.name},
                                     {"subject", endpoint.subject},
                                     {"queue_group", endpoint.queue_group},
                                     {"metadata", strings(endpoint.metadata)}});
    }
    document["endpoints"] = std::move(endpoints);
    return bj::serialize(document);
  }

  std::string stats() const {
    auto document = identity("stats");
    document["started"] = format_rfc3339(started);
    bj::array endpoints;
    for (std::size_t i = 0; i < config.endpoints.size(); ++i) {
      const auto& counted = statistics[i];
      const auto total = counted.processing_time.count();
      const auto requests = static_cast<std::int64_t>(counted.requests);
      bj::object endpoint{{"name", config.endpoints[i].name},
                          {"subject", config.endpoints[i].subject},
                          {"queue_group", config.endpoints[i].queue_group},
                          {"num_requests", counted.requests},
                          {"num_errors", counted.errors},
                          {"processing_time", total},
                          {"average_processing_time", requests == 0 ? 0 : total / requests}};
      if (!counted.last_error.empty()) endpoint["last_error"] = counted.last_error;
      endpoints.push_back(std::move(endpoint));
    }
    document["endpoints"] = std::move(endpoints);
    return bj::serialize(document);
  }

  /// Subscribes one verb in its three forms: for all services, for this name, for this instance.
  Result<void> answer_discovery(std::string_view verb, std::function<std::string()> document) {
    const auto all = "$SRV." + std::string(verb);
    for (const auto& subject : {all, all + "." + config.name, all + "." + config.name + "." + id}) {
      TRY(auto subscription, connection.subscribe(subject, [this, document](const MessageView& message) {
        if (!message.reply.empty()) (void)connection.publish(message.reply, document());
      }));
      discovery.push_back(std::move(subscription));
    }
    return {};
  }

  Result<void> start() {
    CHECK(check());
    for (std::size_t i = 0; i < config.endpoints.size(); ++i) {
      const auto& endpoint = config.endpoints[i];
      TRY(auto subscription,
          connection.subscribe(
              endpoint.subject, [this, i](const MessageView& message) { on_request(message, i); },
              endpoint.queue_group));
      endpoints.push_back(std::move(subscription));
    }
    CHECK(answer_discovery("PING", [document = bj::serialize(identity("ping"))] { return document; }));
    CHECK(answer_discovery("INFO", [document = info()] { return document; }));
    return answer_discovery("STATS", [this] { return stats(); });
  }

  void on_request(const MessageView& message, std::size_t endpoint) {
    const auto begin = std::chrono::steady_clock::now();
    if (in_flight >= config.max_in_flight)
      return finish(message.reply, endpoint, failure(errors::busy), begin);
    try {
      auto answer = handle(message, endpoint);
      if (auto* const known = std::get_if<ServiceReply>(&answer))
        return finish(message.reply, endpoint, *known, begin);
      spawn(message.reply, endpoint, std::get<asio::awaitable<ServiceReply>>(std::move(answer)), begin);
    } catch (const std::exception&) {
      finish(message.reply, endpoint, failure(intra365::errors::internal), begin);
    }
  }

  void spawn(std::string_view reply_to, std::size_t endpoint, asio::awaitable<ServiceReply> work,
             SteadyTime begin) {
    if (free_signals.empty()) {
      signals.push_back(std::make_unique<asio::cancellation_signal>());
      free_signals.push_back(signals.size() - 1);
    }
    const auto signal = free_signals.back();
    free_signals.pop_back();
    ++in_flight;
    asio::co_spawn(connection.executor(),
                   wait_for(shared_from_this(), std::string(reply_to), endpoint, std::move(work), begin),
                   asio::bind_cancellation_slot(signals[signal]->slot(),
                                                [self = shared_from_this(), signal](std::exception_ptr) {
                                                  self->free_signals.push_back(signal);
                                                  if (--self->in_flight == 0) self->idle.cancel();
                                                }));
  }

  static asio::awaitable<void> wait_for(std::shared_ptr<Impl> self, std::string reply_to,
                                        std::size_t endpoint, asio::awaitable<ServiceReply> work,
                                        SteadyTime begin) {
    ServiceReply reply;
    try {
      reply = co_await std::move(work);
    } catch (const std::exception&) {
      // The text of an unforeseen exception may hold anything; the caller learns only that it is our fault.
      reply = failure(intra365::errors::internal);
    }
    self->finish(reply_to, endpoint, reply, begin);
  }

  void finish(std::string_view reply_to, std::size_t endpoint, const ServiceReply& reply, SteadyTime begin) {
    count(endpoint, reply, std::chrono::steady_clock::now() - begin);
    if (!stopped && !reply.sent) send(reply_to, reply);
  }

  void count(std::size_t endpoint, const ServiceReply& reply, nanoseconds time) {
    auto& counted = statistics[endpoint];
    ++counted.requests;
    counted.processing_time += time;
    if (reply.error_code == 0) return;
    ++counted.errors;
    counted.last_error = std::to_string(reply.error_code) + ":" + header_text(reply.error_text);
  }

  void send(std::string_view to, const ServiceReply& reply) {
    if (to.empty()) return;
    if (reply.error_code == 0) {
      const auto sent = connection.publish(to, reply.payload);
      if (!sent && sent.error().is(errors::too_large)) send(to, failure(errors::too_large));
      return;
    }
    HeaderBlock headers;
    headers.add("Nats-Service-Error-Code", std::to_string(reply.error_code));
    headers.add("Nats-Service-Error", header_text(reply.error_text));
    (void)connection.publish(to, reply.payload, headers);
  }

  /// From inside the loop only, see the same in session.cpp.
  void cancel() {
    asio::dispatch(connection.executor(), [self = shared_from_this()] {
      for (const auto& signal : self->signals) signal->emit(asio::cancellation_type::terminal);
    });
  }

  Task<> wait_idle(SteadyTime deadline) {
    while (in_flight != 0) {
      boost::system::error_code error;
      idle.expires_at(deadline);
      co_await idle.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (!error && in_flight != 0)
        co_return fail(errors::timeout, std::to_string(in_flight) + " requests were not finished in time");
    }
    co_return Result<void>{};
  }

  static Task<> drain(std::shared_ptr<Impl> self, SteadyTime deadline) {
    auto endpoints = std::move(self->endpoints);
    self->endpoints.clear();
    Result<void> outcome;
    for (auto& endpoint : endpoints) {
      auto left = co_await endpoint.drain();
      if (!left) outcome = std::move(left);
    }
    auto idle = co_await self->wait_idle(deadline);
    if (!idle) {
      outcome = std::move(idle);
      self->cancel();
      (void)co_await self->wait_idle(SteadyTime::max());
    }
    self->discovery.clear();
    if (outcome) outcome = co_await self->flush(deadline);
    co_return outcome;
  }

  Task<> flush(SteadyTime deadline) { return connection.flush(deadline); }

  Connection& connection;
  ServiceConfig config;
  Handle handle;
  std::string id;
  Timestamp started;
  std::vector<EndpointStatistics> statistics;
  std::vector<Subscription> endpoints, discovery;
  std::size_t in_flight = 0;
  std::vector<std::unique_ptr<asio::cancellation_signal>> signals;
  std::vector<std::size_t> free_signals;
  asio::steady_timer idle;  ///< cancelled when nothing is in flight any more
  bool stopped = false;
};

Service::Service(Connection& connection, ServiceConfig config, Handle handle)
    : impl_(std::make_shared<Impl>(connection, std::move(config), std::move(handle))) {}

Service::~Service() {
  impl_->stopped = true;
  impl_->endpoints.clear();
  impl_->discovery.clear();
  impl_->cancel();
}

Result<void> Service::start() {
  auto started = impl_->start();
  if (!started) {
    impl_->endpoints.clear();
    impl_->discovery.clear();
  }
  return started;
}

Task<> Service::drain(SteadyTime deadline) {
  return Impl::drain(impl_, deadline);
}
const std::string& Service::id() const {
  return impl_->id;
}
std::size_t Service::in_flight() const {
  return impl_->in_flight;
}
const EndpointStatistics& Service::statistics(std::size_t endpoint) const {
  return impl_->statistics.at(endpoint);
}

}  // namespace intra365::nats
