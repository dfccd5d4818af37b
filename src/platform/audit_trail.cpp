#include "platform/audit_trail.hpp"

namespace intra365::platform {
namespace {

/// Long enough to gather what a busy moment brings, short against the fsync it shares.
constexpr auto kGather = std::chrono::milliseconds(1);
constexpr auto kRetry = std::chrono::milliseconds(100);
/// A message stays well below the server's limit of 1 MiB.
constexpr std::size_t kMaxMessageBytes = 512u << 10;

asio::awaitable<void> wait(asio::steady_timer& timer, SteadyTime until) {
  boost::system::error_code ignored;
  timer.expires_at(until);
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

AuditTrail::AuditTrail(nats::JetStream& jetstream, TaskGroup& tasks)
    : jetstream_(jetstream),
      tasks_(tasks),
      changed_(jetstream.connection().executor()),
      written_(jetstream.connection().executor()) {
  changed_.expires_at(SteadyTime::max());
  written_.expires_at(SteadyTime::max());
}

Task<> AuditTrail::start() {
  nats::StreamConfig stream;
  stream.name = audit_stream;
  stream.subjects = {std::string(audit_subject)};
  stream.description = "Audit entries on their way to PostgreSQL";
  stream.max_age = std::chrono::hours(24 * 7);
  CO_CHECK(co_await jetstream_.ensure_stream(stream));
  CO_CHECK(tasks_.spawn(write_batches()));
  writing_ = true;
  co_return Result<void>{};
}

Result<std::uint64_t> AuditTrail::record(std::vector<AuditRecord> records) {
  if (stopping_ || queue_.size() + records.size() > kMaxQueued) return fail(errors::audit_full);
  recorded_ += records.size();
  for (auto& record : records) queue_.push_back(std::move(record));
  changed_.cancel();
  return recorded_;
}

Result<void> AuditTrail::record_alike(AuditRecord record) {
  const auto& entry = record.entry;
  std::string likeness = record.tenant.str();
  for (const auto* part : {&entry.actor, &entry.action, &entry.resource, &entry.outcome})
    likeness.append("\n").append(*part);
  likeness.append("\n").append(entry.code.value_or(""));
  likeness.append("\n").append(entry.user_id ? entry.user_id->str() : "");
  likeness.append("\n").append(entry.consent_id ? entry.consent_id->str() : "");
  likeness.append("\n").append(entry.purpose ? entry.purpose->str() : "");
  for (const auto& scope : entry.scopes) likeness.append("\n").append(scope.str());
  const auto [known, is_new] = alike_.try_emplace(std::move(likeness), recorded_);
  if (!is_new) {
    ++queue_[known->second - durable_].entry.count;
    return {};
  }
  record.entry.entry_id = new_uuid();
  std::vector<AuditRecord> records;
  records.push_back(std::move(record));
  const auto recorded = this->record(std::move(records));
  if (!recorded) {
    alike_.erase(known);
    return fail(recorded.error());
  }
  return {};
}

Task<> AuditTrail::durable(std::uint64_t position, SteadyTime deadline) {
  while (durable_ < position) {
    if (now() >= deadline) co_return fail(errors::audit_unavailable);
    // One timer serves every waiter: each batch wakes them all, and none may move its expiry, so a
    // deadline is looked at on every wake and at least every 10 ms.
    asio::steady_timer pause(written_.get_executor(),
                             std::min(deadline, now() + std::chrono::milliseconds(10)));
    using namespace asio::experimental::awaitable_operators;
    boost::system::error_code first, second;
    co_await (pause.async_wait(asio::redirect_error(asio::use_awaitable, first)) ||
              written_.async_wait(asio::redirect_error(asio::use_awaitable, second)));
  }
  co_return Result<void>{};
}

Task<> AuditTrail::write_batches() {
  while (true) {
    if (queue_.empty()) {
      if (stopping_) break;
      co_await wait(changed_, SteadyTime::max());
      continue;
    }
    if (queue_.size() < kMaxPerMessage && !stopping_) co_await sleep_for(kGather);

    alike_.clear();  // what is under way must not grow any more
    std::string message("[");
    std::size_t taken = 0;
    while (taken < queue_.size() && taken < kMaxPerMessage && message.size() < kMaxMessageBytes) {
      if (taken > 0) message += ',';
      json::append(message, queue_[taken++]);
    }
    message += ']';
    nats::HeaderBlock headers;
    // A repeated attempt is stored once. Never an entry's own id: a Mate chooses that, and a message that
    // looks like an earlier one would be dropped with everybody's entries in it.
    headers.add("Nats-Msg-Id", new_uuid());
    while (true) {
      const auto acknowledged = co_await jetstream_.publish(audit_subject, message, headers);
      if (acknowledged) break;
      co_await sleep_for(kRetry);  // entries wait; the queue's limit turns a long outage into refusals
    }
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
    durable_ += taken;
    written_.cancel();
  }
  writing_ = false;
  written_.cancel();
  co_return Result<void>{};
}

Task<> AuditTrail::stop(SteadyTime deadline) {
  stopping_ = true;
  changed_.cancel();
  co_return co_await durable(recorded_, deadline);
}

}  // namespace intra365::platform
