#include "services/audit/service.hpp"

#include <charconv>

#include "contract/errors.hpp"
#include "services/audit/ingest.hpp"
#include "services/audit/model.hpp"
#include "services/audit/set_aside.hpp"
#include "services/audit/store.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> audit();
}

namespace intra365::services::audit {
namespace {

using platform::Caller;

constexpr std::size_t kMaxAppend = 500;
constexpr std::size_t kMaxProblems = 100;
constexpr auto kMaintenanceEvery = std::chrono::minutes(10);
constexpr auto kRefreshTime = std::chrono::minutes(5);
/// A step that takes long (an index of a closed partition) keeps nobody out; it ends with us.
constexpr auto kStepTime = std::chrono::hours(12);
constexpr int kMaxSteps = 10'000;  ///< of one round, so that nothing goes round for ever

Result<Cursor> read_cursor(const std::optional<std::string>& text) {
  if (!text) return Cursor{};
  const auto split = text->find('~');
  const auto at = parse_rfc3339(std::string_view(*text).substr(0, split));
  if (split == std::string::npos || !at || !is_token(std::string_view(*text).substr(split + 1)))
    return fail(errors::bad_value, "cursor: not one that was given out");
  return Cursor{*at, text->substr(split + 1)};
}

/// Owned by one shard; not thread-safe.
class Audit final : public platform::Service {
 public:
  explicit Audit(platform::Environment& environment)
      : environment_(environment),
        store_(environment.database, &environment.reads),
        aside_(environment.database),
        ingest_(environment, store_, aside_) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::append, *this, &Audit::append),
            bind(wire::query, *this, &Audit::query),
            bind(wire::verify, *this, &Audit::verify),
            bind(wire::report, *this, &Audit::report),
            bind(wire::hold_place, *this, &Audit::place_hold),
            bind(wire::hold_release, *this, &Audit::release_hold),
            bind(wire::hold_list, *this, &Audit::list_holds),
            bind(wire::set_aside_list, *this, &Audit::list_set_aside),
            bind(wire::set_aside_retry, *this, &Audit::retry_set_aside)};
  }

  Task<> start() override {
    CO_CHECK(co_await ingest_.start());
    co_return environment_.tasks.spawn(maintain());
  }

 private:
  /// A Mate's own decisions. It speaks for itself only: the source is who its token says.
  Task<wire::AppendReply> append(const Caller& caller, const wire::AppendRequest& request) {
    if (request.entries.size() > kMaxAppend)
      co_return fail(errors::bad_value, "entries: at most 500 at once");
    std::vector<platform::AuditRecord> records;
    for (const auto& entry : request.entries) {
      CO_CHECK(check_entry(entry, caller.id, environment_.clock.now()));
      platform::AuditRecord record{caller.tenant, entry};
      record.entry.source = caller.subject();
      records.push_back(std::move(record));
    }
    CO_TRY(const auto position, environment_.audit.record(std::move(records)));
    CO_CHECK(co_await environment_.audit.durable(position, caller.deadline));
    co_return wire::AppendReply{request.entries.size()};
  }

  Task<wire::QueryReply> query(const Caller& caller, const wire::QueryRequest& request) {
    const int limit = request.limit.value_or(50);
    if (limit < 1 || limit > 200) co_return fail(errors::bad_value, "limit: 1 to 200");
    if (request.text.value_or("").size() > 500) co_return fail(errors::bad_value, "text: at most 500 bytes");
    CO_TRY(auto cursor, read_cursor(request.cursor));
    // Everybody but the operator sees what they did, what was done to them, and what they recorded.
    Reader reader;
    if (!caller.is_operator()) reader.subject = caller.subject();
    if (caller.kind == PrincipalKind::user) reader.user_id = caller.id;
    wire::QueryReply reply;
    CO_TRY(reply.entries, co_await store_.find(caller.tenant, request, std::move(reader), std::move(cursor),
                                               limit, caller.changed_at, caller.deadline));
    if (reply.entries.size() == static_cast<std::size_t>(limit)) {
      reply.next_cursor = format_rfc3339(reply.entries.back().at) + "~" + reply.entries.back().entry_id;
    }
    co_return reply;
  }

  Task<wire::VerifyReply> verify(const Caller& caller, const wire::VerifyRequest& request) {
    const auto from = request.from_block.value_or(1);
    if (from < 1) co_return fail(errors::bad_value, "fromBlock: 1 or more");
    wire::VerifyReply reply;
    const auto problem = [&](std::int64_t block, std::string code, std::string detail) {
      if (reply.problems.size() < kMaxProblems)
        reply.problems.push_back({block, std::move(code), std::move(detail)});
    };
    if (request.head) {
      const auto hash = from_hex(*request.head);
      if (!hash) co_return fail(errors::bad_value, "head: a hash has 64 hexadecimal digits");
      CO_TRY(const bool known, co_await store_.knows_hash(caller.tenant, *hash, caller.deadline));
      if (!known) problem(0, "head_unknown", "The chain does not contain the hash that was noted.");
    }
    // The head is read first: blocks that come meanwhile are looked at next time.
    CO_TRY(const auto head, co_await store_.head(caller.tenant, caller.deadline));
    CO_TRY(const auto blocks, co_await store_.check(caller.tenant, from, caller.deadline));
    const CheckedBlock* at_head = nullptr;
    for (const auto& block : blocks) {
      ++reply.blocks;
      reply.entries += block.entries;
      if (block.retired) ++reply.retired_blocks;
      if (block.problem) problem(block.block, *block.problem, meaning_of(*block.problem));
      if (head && block.block == head->block) at_head = &block;
      reply.head = block.hash;
    }
    const bool ended = !head || blocks.empty() || blocks.back().block >= head->block;
    std::optional<std::int64_t> last;
    if (!ended) last = blocks.back().block;
    CO_TRY(const auto outside, co_await store_.outside_chain(caller.tenant, from, last, caller.deadline));
    if (outside > 0)
      problem(0, "entries_slipped_in", std::to_string(outside) + " entries belong to no block.");
    if (!ended) {
      reply.next_block = *last + 1;
    } else {
      const bool complete = !head || (at_head != nullptr && at_head->hash == head->hash) ||
                            (blocks.empty() && from > head->block);
      if (!complete) problem(head->block, "head_altered", "The chain does not end where its head says.");
      CO_TRY(const auto redactions, co_await store_.unknown_redactions(caller.tenant, caller.deadline));
      if (redactions > 0)
        problem(0, "redaction_unknown",
                "Entries were redacted by " + std::to_string(redactions) +
                    " erasures that the chain does not tell of.");
    }
    reply.intact = reply.problems.empty();
    co_return reply;
  }

  static std::string meaning_of(std::string_view code) {
    if (code == "block_missing") return "The block in front of it is gone.";
    if (code == "block_altered") return "It does not follow from the block in front of it.";
    return "Its entries are not those that were recorded.";
  }

  static std::optional<std::string> from_hex(std::string_view text) {
    std::string bytes;
    if (text.size() != 64) return std::nullopt;
    for (std::size_t at = 0; at < text.size(); at += 2) {
      unsigned value = 0;
      const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + 2, value, 16);
      if (error != std::errc{} || end != text.data() + at + 2) return std::nullopt;
      bytes += static_cast<char>(value);
    }
    return bytes;
  }

  Task<wire::ReportReply> report(const Caller& caller, const wire::ReportRequest& request) {
    for (const auto& day : {request.since, request.until}) {
      if (day && (day->size() != 10 || !parse_rfc3339(*day + "T00:00:00Z")))
        co_return fail(errors::bad_value, "since, until: a day such as 2026-11-01");
    }
    wire::ReportReply reply;
    CO_TRY(reply.days, co_await store_.report(caller.tenant, request.since, request.until, caller.changed_at,
                                              caller.deadline));
    co_return reply;
  }

  Task<wire::HoldReply> place_hold(const Caller& caller, const wire::PlaceHoldRequest& request) {
    if (request.reason.empty() || request.reason.size() > 1000)
      co_return fail(errors::bad_value, "reason: 1 to 1000 bytes");
    if (request.since && request.until && *request.since >= *request.until)
      co_return fail(errors::bad_value, "until: later than since");
    wire::HoldReply reply;
    CO_TRY(reply.hold, co_await store_.place_hold(caller.tenant, request, caller.subject(), caller.deadline));
    co_return reply;
  }

  Task<wire::HoldReply> release_hold(const Caller& caller, const wire::HoldRequest& request) {
    CO_TRY(auto hold,
           co_await store_.release_hold(caller.tenant, request.hold_id, caller.subject(), caller.deadline));
    if (!hold) co_return fail(errors::unknown_hold);
    wire::HoldReply reply;
    reply.hold = *std::move(hold);
    co_return reply;
  }

  Task<wire::HoldsReply> list_holds(const Caller& caller, const Empty&) {
    wire::HoldsReply reply;
    CO_TRY(reply.holds, co_await store_.holds(caller.tenant, caller.deadline));
    co_return reply;
  }

  Task<wire::SetAsideReply> list_set_aside(const Caller& caller, const Empty&) {
    co_return co_await aside_.list(caller.tenant, caller.deadline);
  }

  Task<wire::RetryReply> retry_set_aside(const Caller& caller, const wire::RetryRequest& request) {
    wire::RetryReply reply;
    CO_TRY(const auto waiting, co_await aside_.waiting(caller.tenant, request.set_aside_id, caller.deadline));
    if (request.set_aside_id && waiting.empty()) co_return fail(errors::unknown_set_aside);
    for (const auto& one : waiting) {
      CO_TRY(const bool stored, co_await retry(caller, one));
      if (stored) ++reply.stored;
    }
    CO_TRY(reply.left, co_await aside_.count(caller.tenant, caller.deadline));
    co_return reply;
  }

  /// Into the trail first: what is in both is stored once.
  Task<bool> retry(const Caller& caller, const Waiting& one) {
    auto entry = json::decode<wire::Entry>(one.entry, json::Unknown::ignore);
    Result<void> stored = fail(errors::malformed_json);
    if (entry) {
      make_storable(*entry);
      std::vector<platform::AuditRecord> records{{caller.tenant, *std::move(entry)}};
      stored = co_await store_.append(records, caller.deadline);
      if (!stored && !is_unstorable(stored.error())) co_return fail(stored.error());
    } else {
      stored = fail(entry.error());
    }
    if (stored) {
      CO_CHECK(co_await aside_.remove(caller.tenant, one.set_aside_id, caller.deadline));
      co_return true;
    }
    CO_CHECK(co_await aside_.note_refusal(caller.tenant, one.set_aside_id, stored.error(), caller.deadline));
    co_return false;
  }

  /// Every instance tries; PostgreSQL lets one work.
  Task<> maintain() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      note(co_await maintain_partitions(), "partitions were not maintained");
      note(co_await store_.refresh_reports(std::chrono::steady_clock::now() + kRefreshTime),
           "reports were not refreshed");
      co_await sleep_for(kMaintenanceEvery);
    }
    co_return Result<void>{};
  }

  /// Step by step, so that none undoes another; what is in use is left for the next round.
  Task<> maintain_partitions() {
    std::vector<std::string> busy;
    for (int steps = 0; steps < kMaxSteps; ++steps) {
      CO_TRY(const auto step, co_await store_.maintain(busy, std::chrono::steady_clock::now() + kStepTime));
      if (!step) break;
      if (step->action == "busy") busy.push_back(step->partition_name);
      environment_.telemetry.log.write(platform::LogLevel::info, "partition maintained",
                                       {{"action", step->action}, {"partition", step->partition_name}});
    }
    co_return Result<void>{};
  }

  void note(const Result<void>& done, std::string_view message) {
    if (!done)
      environment_.telemetry.log.write(platform::LogLevel::warning, message,
                                       {{"code", done.error().code}, {"detail", done.error().detail}});
  }

  platform::Environment& environment_;
  Store store_;
  SetAside aside_;
  Ingest ingest_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "audit",
      .description = "Audit trail: every decision, append-only",
      .migrations = migrations::audit(),
      .make = [](platform::Environment& environment) { return std::make_unique<Audit>(environment); },
  };
}

}  // namespace intra365::services::audit
