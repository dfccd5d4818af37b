#include "services/privacy/erasure.hpp"

#include <set>

#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "crypto/encoding.hpp"
#include "nats/jetstream_ordered.hpp"
#include "nats/key_value.hpp"

namespace intra365::services::privacy {
namespace {

constexpr auto kPause = std::chrono::milliseconds(500);
constexpr auto kStepTime = std::chrono::seconds(60);
/// What was on its way when the erasure began has arrived after this: audit entries that Mates gather,
/// changes that capture has yet to read. An erasure ends with the first sweep after it that finds nothing.
constexpr auto kSettleTime = std::chrono::seconds(5);

SteadyTime in(std::chrono::nanoseconds time) {
  return std::chrono::steady_clock::now() + time;
}

std::string context_of(const TenantId& tenant, const std::string& request_id) {
  return "privacy_requests/" + tenant.str() + "/" + request_id;
}

}  // namespace

Task<Progress> Erasure::begin(TenantId tenant, UserId user, Timestamp due_at, SteadyTime deadline) {
  Progress progress;
  progress.request_id = new_uuid();
  progress.pseudonym = UserId::trusted("erased-" + crypto::hex(random_bytes(16)));
  const postgres::Bytes sealed{
      attestor_.envelope().seal(user.str(), context_of(tenant, progress.request_id))};
  CO_CHECK(co_await store_.begin_erasure(tenant, progress.request_id, sealed, progress.pseudonym, due_at,
                                         deadline));
  co_return progress;
}

Task<> Erasure::run() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    const auto claimed = co_await store_.claim(in(std::chrono::seconds(5)));
    if (claimed) {
      for (const auto& erasure : *claimed) {
        const auto swept = co_await contain(sweep(erasure));
        if (!swept) {
          environment_.telemetry.log.write(platform::LogLevel::warning,
                                           "an erasure waits for its next attempt",
                                           {{"requestId", erasure.request_id}, {"code", swept.error().code}});
        }
      }
    }
    if (!claimed || claimed->empty()) co_await sleep_for(kPause);
  }
  co_return Result<void>{};
}

Task<> Erasure::sweep(Claimed erasure) {
  CO_TRY(const auto name, attestor_.envelope().open(erasure.sealed_user.value,
                                                    context_of(erasure.tenant_id, erasure.request_id)));
  CO_TRY(const auto user, UserId::parse(name));
  const auto deadline = in(kStepTime);
  const bool settled = environment_.clock.now() - erasure.received_at > kSettleTime;
  if (!erasure.shut_out) CO_CHECK(co_await shut_out(erasure, user, deadline));
  CO_TRY(const auto rows, co_await store_.erase(erasure, user, deadline));
  Person person;
  person.tenant = erasure.tenant_id;
  person.user = user;
  CO_TRY(person.account, co_await environment_.tenants.account_of(erasure.tenant_id, deadline));
  CO_TRY(const auto messages, co_await sweep_streams(person));
  const bool done = settled && rows == 0 && messages == 0;
  co_return co_await store_.swept(erasure, rows, messages, done, in(std::chrono::seconds(5)));
}

Task<> Erasure::shut_out(const Claimed& erasure, UserId user, SteadyTime deadline) {
  consent::RevokeRequest revoke;
  revoke.user_id = user;
  const TraceContext trace = TraceContext::create();
  CO_CHECK(co_await services_.call(consent::revoke, erasure.tenant_id, std::move(revoke), trace, deadline));
  auth::LockOutRequest lock_out;
  lock_out.user_id = std::move(user);
  CO_CHECK(co_await services_.call(auth::lock_out, erasure.tenant_id, std::move(lock_out), trace, deadline));
  co_return co_await store_.note_shut_out(erasure, deadline);
}

Task<std::int64_t> Erasure::sweep_streams(const Person& person) {
  CO_TRY(const auto streams, co_await environment_.jetstream.stream_names());
  std::int64_t deleted = 0;
  for (const auto& stream : streams) {
    CO_TRY(const auto of_stream, co_await sweep_stream(person, stream));
    deleted += of_stream;
  }
  co_return deleted;
}

Task<std::int64_t> Erasure::sweep_stream(const Person& person, std::string stream) {
  // An audit message is the only place of its entries until they are in PostgreSQL.
  auto up_to = std::numeric_limits<std::uint64_t>::max();
  std::int64_t waiting = 0;
  if (stream == platform::audit_stream) {
    CO_TRY(const auto consumers, co_await environment_.jetstream.consumers(stream));
    for (const auto& consumer : consumers) up_to = std::min(up_to, consumer.ack_floor.stream_seq);
  }
  nats::OrderedConsumer reader(environment_.jetstream, stream);
  std::vector<std::uint64_t> found;
  const auto bucket = stream.starts_with("KV_") ? stream.substr(3) : std::string();
  const auto keys_begin = std::string("$KV.").size() + bucket.size() + 1;
  std::set<std::string> keys;
  while (true) {
    CO_TRY(const auto message, co_await reader.next(in(std::chrono::seconds(10))));
    if (!message) break;
    if (!names(person, message->message.subject(), message->message.payload())) continue;
    if (!bucket.empty())
      keys.insert(std::string(message->message.subject().substr(keys_begin)));
    else if (message->stream_sequence > up_to)
      ++waiting;
    else
      found.push_back(message->stream_sequence);
  }
  reader.stop();
  for (const auto sequence : found)
    CO_CHECK(co_await environment_.jetstream.delete_message(stream, sequence, nats::Erase::yes));
  // Buckets refuse to lose single messages: their keys are purged, with a marker for those who watch.
  nats::KeyValue values(environment_.jetstream, bucket);
  for (const auto& key : keys) CO_CHECK(co_await values.purge(key));
  co_return static_cast<std::int64_t>(found.size() + keys.size()) + waiting;
}

}  // namespace intra365::services::privacy
