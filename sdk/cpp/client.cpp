#include "sdk/cpp/client.hpp"

#include "async/task_group.hpp"
#include "contract/headers.hpp"
#include "contract/operations/auth.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"
#include "sdk/cpp/errors.hpp"

namespace intra365::sdk {
namespace {

/// A token is renewed when a fifth of its life is left, or a minute, whichever is less.
constexpr auto kRenewBefore = std::chrono::seconds(60);
constexpr auto kRetryPause = std::chrono::seconds(2);
constexpr auto kLoginTime = std::chrono::seconds(10);
constexpr std::size_t kGuestSuffix = 22;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  Impl(asio::any_io_executor executor_, ClientOptions options_)
      : executor(executor_), options(std::move(options_)), tasks(executor, "sdk", 16) {}

  nats::Options nats_options() const {
    nats::Options result;
    result.urls = {options.nats_url};
    result.name = options.name;
    result.tls.ca_file = options.ca_file;
    result.on_event = options.on_event;
    return result;
  }

  bool token_is_fresh() const { return !token.token.empty() && now() < renew_at; }

  void take(auth::TokenReply reply) {
    token = std::move(reply);
    const auto life = std::chrono::seconds(token.expires_in);
    renew_at = now() + std::max(life - std::min<std::chrono::seconds>(kRenewBefore, life / 5),
                                std::chrono::seconds(1));
    bearer = "Bearer " + token.token;
    id = token.user_id ? token.user_id->str() : token.mate_id ? token.mate_id->str() : std::string();
  }

  /// As a guest: connect without credentials, ask, leave. The inbox has a suffix nobody can guess.
  Task<> log_in(SteadyTime deadline) {
    auto guest_options = nats_options();
    guest_options.name += " (login)";
    guest_options.inbox_prefix = "_INBOX_guest." + random_token(kGuestSuffix);
    guest_options.reconnect = false;
    guest_options.on_event = {};
    nats::Connection guest(executor, std::move(guest_options));
    CO_CHECK(co_await guest.connect(deadline));
    auth::TokenRequest request;
    request.provider = "api-key";
    request.credentials.api_key = options.api_key;
    const nats::HeaderBlock no_headers;
    auto answer =
        co_await guest.request(auth::token_request.spec.subject, json::encode(request), no_headers, deadline);
    guest.close();
    if (!answer) co_return fail(std::move(answer).error());
    co_return take_reply(*answer);
  }

  Result<void> take_reply(const nats::Message& answer) {
    if (auto error = read_error(answer.headers().get(headers::error_code),
                                answer.headers().get(headers::error_text), answer.payload()))
      return fail(*std::move(error));
    TRY(auto reply, json::decode<auth::TokenReply>(answer.payload(), json::Unknown::ignore));
    take(std::move(reply));
    return {};
  }

  Task<> renew(SteadyTime deadline) {
    if (connection && connection->connected()) {
      auth::TokenRequest request;
      request.provider = "api-key";
      request.credentials.api_key = options.api_key;
      const nats::HeaderBlock no_headers;
      CO_TRY(const auto answer, co_await connection->request(auth::token_request.spec.subject,
                                                             json::encode(request), no_headers, deadline));
      co_return take_reply(answer);
    }
    co_return co_await log_in(deadline);
  }

  Task<> keep_token_fresh() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      asio::steady_timer timer(executor, std::max(renew_at, now() + std::chrono::milliseconds(100)));
      co_await timer.async_wait(asio::use_awaitable);
      if (token_is_fresh()) continue;
      if (!co_await renew(now() + kLoginTime)) co_await sleep_for(kRetryPause);
    }
    co_return Result<void>{};
  }

  /// Asked before every connection attempt.
  Task<nats::Credentials> credentials() {
    if (!token_is_fresh()) CO_CHECK(co_await log_in(now() + kLoginTime));
    nats::Credentials result;
    result.user = "token";
    result.pass = token.token;
    co_return result;
  }

  asio::any_io_executor executor;
  ClientOptions options;
  TaskGroup tasks;
  std::optional<nats::Connection> connection;
  auth::TokenReply token;
  SteadyTime renew_at{};
  std::string bearer, id;
};

Client::Client(asio::any_io_executor executor, ClientOptions options)
    : impl_(std::make_shared<Impl>(executor, std::move(options))) {}
Client::~Client() = default;

Task<> Client::connect(SteadyTime deadline) {
  const auto impl = impl_;
  CO_CHECK(co_await impl->log_in(deadline));
  auto options = impl->nats_options();
  options.inbox_prefix = "_INBOX_" + impl->id;
  options.credentials = [weak = std::weak_ptr(impl)]() -> Task<nats::Credentials> {
    const auto alive = weak.lock();
    if (!alive) co_return fail(errors::not_connected);
    co_return co_await alive->credentials();
  };
  impl->connection.emplace(impl->executor, std::move(options));
  CO_CHECK(co_await impl->connection->connect(deadline));
  co_return impl->tasks.spawn(impl->keep_token_fresh());
}

nats::HeaderBlock Client::headers(const CallOptions& options) const {
  nats::HeaderBlock block;
  block.add(intra365::headers::authorization, impl_->bearer);
  block.add(intra365::headers::traceparent, options.trace.traceparent());
  block.add(intra365::headers::deadline_ms, std::to_string(options.timeout.count()));
  if (options.user_id) block.add(intra365::headers::user_id, options.user_id->str());
  if (options.consent_id) block.add(intra365::headers::consent_id, options.consent_id->str());
  return block;
}

Task<std::string> Client::request_json(std::string subject, std::string payload, CallOptions options) {
  const auto impl = impl_;
  if (!impl->connection) co_return fail(errors::not_connected);
  const auto block = headers(options);
  CO_TRY(const auto reply,
         co_await impl->connection->request(subject, payload, block, now() + options.timeout));
  if (auto error = read_error(reply.headers().get(headers::error_code),
                              reply.headers().get(headers::error_text), reply.payload()))
    co_return fail(*std::move(error));
  co_return std::string(reply.payload());
}

Task<std::string> Client::call_mate(MateId mate, std::string capability, std::string action,
                                    std::string payload, CallOptions options) {
  co_return co_await request_json(subjects::mate(mate, capability + "." + action), std::move(payload),
                                  std::move(options));
}

Result<streaming::Reader> Client::stream_mate(const MateId& mate, const std::string& capability,
                                              const std::string& action, std::string_view payload,
                                              const CallOptions& options, const StreamOptions& stream) {
  if (!impl_->connection) return fail(errors::not_connected);
  streaming::ReaderOptions reading;
  reading.window = stream.window;
  reading.part_timeout = stream.part_timeout;
  reading.deadline = now() + options.timeout;
  return streaming::Reader::open(*impl_->connection, mate, subjects::mate(mate, capability + "." + action),
                                 payload, headers(options), reading);
}

const std::string& Client::id() const {
  return impl_->id;
}
bool Client::is_user() const {
  return impl_->token.user_id.has_value();
}
const TenantId& Client::tenant() const {
  return impl_->token.tenant;
}
const std::string& Client::access_token() const {
  return impl_->token.token;
}
nats::Connection& Client::connection() {
  return *impl_->connection;
}

Task<> Client::drain(SteadyTime deadline) {
  const auto impl = impl_;
  impl->tasks.cancel();
  co_await impl->tasks.join(deadline);
  if (impl->connection) co_return co_await impl->connection->drain(deadline);
  co_return Result<void>{};
}

}  // namespace intra365::sdk
