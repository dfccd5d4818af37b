#include "services/privacy/service.hpp"

#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"
#include "crypto/attestation.hpp"
#include "crypto/encoding.hpp"
#include "platform/vault.hpp"
#include "services/privacy/deadlines.hpp"
#include "services/privacy/erasure.hpp"
#include "services/privacy/sealing.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> privacy();
}

namespace intra365::services::privacy {
namespace {

using platform::Caller;

constexpr std::size_t kMaxText = 4000;
/// Of the rows of one page: a reply has to fit into a NATS message of 1 MiB.
constexpr std::size_t kPageBytes = 500'000;
constexpr std::size_t kMaxCursor = 8000;
constexpr auto kLookingTime = std::chrono::seconds(10);  ///< for somebody whom no index finds
constexpr std::size_t kFewRows = 10, kManyRows = 1000;   ///< asked for at once

Result<void> check_text(const std::string& text, std::string_view field) {
  if (text.empty() || text.size() > kMaxText)
    return fail(intra365::errors::bad_value, std::string(field).append(": 1 to 4,000 bytes"));
  return {};
}

/// Where a page of an export begins. On the wire it is sealed for this person: whoever could write one could
/// leave pages out, and the export would still look whole.
struct Position {
  std::string table;
  std::optional<boost::json::value> key;  ///< of the last row; none: before the first
  std::string consent;                    ///< whose evidence came last
  bool is_evidence = false;               ///< the tables are through
  int page = 1;
  std::string previous;  ///< signature of the page before
};
BOOST_DESCRIBE_STRUCT(Position, (), (table, key, consent, is_evidence, page, previous))

std::string cursor_context(const Caller& caller, const UserId& user) {
  return "privacy_export/" + caller.tenant.str() + "/" + user.str();
}

/// Owned by one shard; not thread-safe.
class Privacy final : public platform::Service {
 public:
  explicit Privacy(platform::Environment& environment)
      : environment_(environment),
        store_(environment),
        attestor_(environment),
        erasure_(environment, store_, attestor_),
        sealing_(environment),
        deadlines_(environment),
        services_(environment.nats, "privacy") {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::keys, *this, &Privacy::keys),
            bind(wire::export_, *this, &Privacy::export_),
            bind(wire::erase, *this, &Privacy::erase),
            bind(wire::status, *this, &Privacy::status),
            bind(wire::submit, *this, &Privacy::submit),
            bind(wire::list, *this, &Privacy::list),
            bind(wire::resolve, *this, &Privacy::resolve),
            bind(wire::correct, *this, &Privacy::correct),
            bind(wire::access, *this, &Privacy::access),
            bind(wire::sealing, *this, &Privacy::sealing),
            bind(wire::rotate_key, *this, &Privacy::rotate_key)};
  }

  Task<> start() override {
    CO_CHECK(co_await attestor_.start());
    vault_.emplace(environment_.database, attestor_.envelope());
    store_.use(*vault_);
    CO_CHECK(environment_.tasks.spawn(sealing_.run(*vault_)));
    CO_CHECK(environment_.tasks.spawn(deadlines_.watch()));
    co_return environment_.tasks.spawn(erasure_.run());
  }

 private:
  Task<wire::KeysReply> keys(const Caller&, const Empty&) { co_return wire::KeysReply{attestor_.jwks()}; }

  Task<wire::ExportReply> export_(const Caller& caller, const wire::ExportRequest& request) {
    caller.note->user_id = request.user_id;
    CO_CHECK(check_rights(caller, request.user_id));
    Position position;
    if (request.cursor) {
      CO_TRY(position, open_cursor(caller, request));
    } else {
      CO_CHECK(co_await note_access(caller, request.user_id));
    }
    boost::json::array rows;
    auto next = position;
    CO_TRY(const bool last, co_await gather(caller, request.user_id, next, rows));

    wire::ExportReply reply;
    reply.document = boost::json::object{{"format", "intra365-export/1"},
                                         {"tenant", caller.tenant.str()},
                                         {"userId", request.user_id.str()},
                                         {"exportedAt", format_rfc3339(environment_.clock.now())},
                                         {"page", position.page},
                                         {"previous", position.previous},
                                         {"last", last},
                                         {"rows", std::move(rows)}};
    auto attested = attestor_.attest(crypto::attested::personal_data, std::move(reply.document));
    reply.document = std::move(attested.document);
    reply.signature = std::move(attested.signature);
    if (!last) {
      ++next.page;
      next.previous = reply.signature;
      reply.next_cursor = crypto::base64url(
          attestor_.envelope().seal(json::encode(next), cursor_context(caller, request.user_id)));
    }
    co_return reply;
  }

  Result<Position> open_cursor(const Caller& caller, const wire::ExportRequest& request) const {
    const auto sealed = request.cursor->size() <= kMaxCursor ? crypto::decode_base64url(*request.cursor)
                                                             : std::optional<std::string>();
    auto opened = sealed ? attestor_.envelope().open(*sealed, cursor_context(caller, request.user_id))
                         : Result<std::string>(fail(intra365::errors::bad_envelope));
    if (!opened) return fail(intra365::errors::bad_value, "cursor: not one that was given out");
    return json::decode<Position>(*opened);
  }

  /// Fills a page with a person's rows, table by table, and moves `position` behind it. True: the last one.
  Task<bool> gather(const Caller& caller, UserId user, Position& position, boost::json::array& rows) {
    std::size_t bytes = 0;
    if (!position.is_evidence) {
      CO_TRY(const auto tables, co_await store_.personal_tables(caller.tenant, caller.deadline));
      for (auto table = std::ranges::lower_bound(tables, position.table); table != tables.end(); ++table) {
        if (*table != position.table) position.key.reset();
        position.table = *table;
        CO_TRY(const bool fits, co_await gather_table(caller, user, position, rows, bytes));
        if (!fits) co_return false;
      }
      position.is_evidence = true;
    }
    co_return co_await gather_evidence(caller, std::move(user), position, rows, bytes);
  }

  /// False: the page is full.
  Task<bool> gather_table(const Caller& caller, UserId user, Position& position, boost::json::array& rows,
                          std::size_t& bytes) {
    // A row may be as large as a request: a few first, then as many as fit by what they have weighed.
    std::size_t at_once = kFewRows, weight = 0;
    for (bool more = true; more;) {
      CO_TRY(auto found, co_await store_.rows_of(caller.tenant, user, position.table, position.key,
                                                 static_cast<int>(at_once), caller.deadline));
      more = found.size() == at_once;
      for (auto& one : found) {
        const auto size = position.table.size() + json::encode(one.content).size() + 30;
        bytes += size;
        weight = std::max(weight, size);
        if (bytes > kPageBytes && !rows.empty()) co_return false;
        rows.push_back(boost::json::object{{"table", position.table}, {"row", std::move(one.content)}});
        position.key = std::move(one.key);
      }
      if (more)
        at_once = std::clamp((kPageBytes - std::min(bytes, kPageBytes)) / weight, kFewRows, kManyRows);
    }
    co_return true;
  }

  /// Last what lies sealed: the consent service opens it. False: the page is full.
  Task<bool> gather_evidence(const Caller& caller, UserId user, Position& position, boost::json::array& rows,
                             std::size_t& bytes) {
    while (true) {
      CO_TRY(const auto consents,
             co_await store_.with_evidence(caller.tenant, user, position.consent, caller.deadline));
      if (consents.empty()) co_return true;
      for (const auto& consent : consents) {
        if (bytes > kPageBytes) co_return false;
        consent::ProofRequest question;
        question.consent_id = consent;
        CO_TRY(const auto evidence,
               co_await services_.call(consent::evidence, caller.tenant, std::move(question), caller.trace,
                                       caller.deadline));
        for (const auto& entry : evidence.entries) {
          auto row = json::to_value(entry);
          bytes += json::encode(row).size() + 50;
          rows.push_back(boost::json::object{{"table", "consent_evidence"}, {"row", std::move(row)}});
        }
        position.consent = consent.str();
      }
    }
  }

  /// A request for access that is answered at once is a request all the same.
  Task<> note_access(const Caller& caller, UserId user) {
    wire::PersonRequest request;
    request.request_id = new_uuid();
    request.kind = wire::RequestKind::access;
    request.state = wire::RequestState::done;
    request.user_id = std::move(user);
    request.received_at = environment_.clock.now();
    request.due_at = due_at(request.kind, request.received_at);
    request.resolved_at = request.received_at;
    request.resolution = "Exported.";
    CO_CHECK(co_await store_.add(caller.tenant, std::move(request), caller.deadline));
    co_return Result<void>{};
  }

  /// The answer and the trail's entry name the pseudonym only.
  Task<wire::EraseReply> erase(const Caller& caller, const wire::EraseRequest& request) {
    CO_CHECK(check_rights(caller, request.user_id));
    if (request.confirm != request.user_id) co_return fail(errors::unconfirmed);
    CO_TRY(const auto known, co_await is_known(caller, request.user_id));
    if (!known) co_return fail(errors::unknown_person);
    std::optional<UserId> again;
    if (request.again) {
      if (!caller.is_privacy_officer()) co_return fail(intra365::errors::not_yours);
      CO_TRY(const auto earlier, co_await store_.progress(caller.tenant, *request.again, caller.deadline));
      if (!earlier) co_return fail(errors::unknown_request);
      again = earlier->pseudonym;
    }
    const auto due = due_at(wire::RequestKind::erasure, environment_.clock.now());
    CO_TRY(auto begun,
           co_await erasure_.begin(caller.tenant, request.user_id, std::move(again), due, caller.deadline));
    caller.note->resource = "erasure:" + begun.request_id;
    co_return reply_of(std::move(begun));
  }

  /// A person without an account may still be named: by what came late, or out of a backup. Where that takes
  /// too long to find out it is taken for granted, since to erase nobody does no harm.
  Task<bool> is_known(const Caller& caller, UserId user) {
    CO_TRY(const auto exists, co_await store_.exists(caller.tenant, user, caller.deadline));
    if (exists || !caller.is_privacy_officer()) co_return exists;
    CO_TRY(const auto named,
           co_await store_.is_named(caller.tenant, user, Store::Places::indexed, caller.deadline));
    if (named) co_return true;
    const auto now = std::chrono::steady_clock::now();
    const auto deadline = now + std::min<SteadyTime::duration>(kLookingTime, (caller.deadline - now) / 2);
    const auto anywhere = co_await store_.is_named(caller.tenant, user, Store::Places::others, deadline);
    if (!anywhere && !anywhere.error().is(postgres::errors::timeout)) co_return fail(anywhere.error());
    co_return !anywhere || *anywhere;
  }

  Task<wire::EraseReply> status(const Caller& caller, const wire::StatusRequest& request) {
    CO_TRY(auto progress, co_await store_.progress(caller.tenant, request.request_id, caller.deadline));
    if (!progress) co_return fail(errors::unknown_request);
    caller.note->resource = "erasure:" + request.request_id;
    co_return reply_of(*std::move(progress));
  }

  static wire::EraseReply reply_of(Progress progress) {
    wire::EraseReply reply;
    reply.request_id = std::move(progress.request_id);
    reply.state = progress.state;
    reply.pseudonym = std::move(progress.pseudonym);
    reply.rows = progress.rows;
    reply.messages = progress.messages;
    reply.held = progress.held;
    return reply;
  }

  Task<wire::PersonRequest> submit(const Caller& caller, const wire::SubmitRequest& request) {
    caller.note->user_id = request.user_id;
    CO_CHECK(check_rights(caller, request.user_id));
    CO_CHECK(check_text(request.text, "text"));
    if (request.kind == wire::RequestKind::erasure || request.kind == wire::RequestKind::access)
      co_return fail(intra365::errors::bad_value,
                     "kind: an erasure begins with privacy.erase, a copy with privacy.export");
    wire::PersonRequest added;
    added.request_id = new_uuid();
    added.kind = request.kind;
    added.user_id = request.user_id;
    added.text = request.text;
    added.received_at = environment_.clock.now();
    added.due_at = due_at(added.kind, added.received_at);
    co_return co_await store_.add(caller.tenant, std::move(added), caller.deadline);
  }

  Task<wire::ListReply> list(const Caller& caller, const wire::ListRequest& request) {
    auto user = request.user_id;
    if (!caller.is_privacy_officer()) {
      if (caller.kind != PrincipalKind::user || (user && !caller.is_user(*user)))
        co_return fail(intra365::errors::not_yours);
      CO_TRY(user, UserId::parse(caller.id));
    }
    caller.note->user_id = user;
    wire::ListReply reply;
    CO_TRY(reply.requests, co_await store_.requests(caller.tenant, user, request.open, caller.deadline));
    CO_TRY(reply.overdue, co_await store_.overdue(caller.tenant, std::move(user), caller.deadline));
    co_return reply;
  }

  Task<wire::PersonRequest> resolve(const Caller& caller, const wire::ResolveRequest& request) {
    caller.note->resource = "request:" + request.request_id;
    if (!caller.is_privacy_officer()) co_return fail(intra365::errors::not_yours);
    CO_CHECK(check_text(request.resolution, "resolution"));
    if (request.state != wire::RequestState::done && request.state != wire::RequestState::refused)
      co_return fail(intra365::errors::bad_value, "state: done or refused");
    CO_TRY(auto resolved, co_await store_.resolve(caller.tenant, request, caller.deadline));
    if (!resolved) {
      CO_TRY(const auto exists,
             co_await store_.has_request(caller.tenant, request.request_id, caller.deadline));
      co_return fail(exists ? errors::not_open : errors::unknown_request);
    }
    caller.note->user_id = resolved->user_id;
    co_return *std::move(resolved);
  }

  Task<wire::CorrectReply> correct(const Caller& caller, const wire::CorrectRequest& request) {
    caller.note->user_id = request.user_id;
    CO_CHECK(check_rights(caller, request.user_id));
    if (request.display_name && request.display_name->size() > 200)
      co_return fail(intra365::errors::bad_value, "displayName: at most 200 bytes");
    const auto is_letter = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (request.country && !request.country->empty() &&
        (request.country->size() != 2 || !std::ranges::all_of(*request.country, is_letter)))
      co_return fail(intra365::errors::bad_value, "country: two letters, ISO 3166-1");
    CO_TRY(auto corrected, co_await store_.correct(caller.tenant, request, caller.deadline));
    if (!corrected) co_return fail(errors::unknown_person);
    co_return *std::move(corrected);
  }

  Task<wire::AccessReply> access(const Caller& caller, const wire::AccessRequest& request) {
    auto user = request.user_id;
    if (!caller.is_privacy_officer()) {
      if (caller.kind != PrincipalKind::user || (user && !caller.is_user(*user)))
        co_return fail(intra365::errors::not_yours);
      CO_TRY(user, UserId::parse(caller.id));
    }
    caller.note->user_id = user;
    const int limit = request.limit.value_or(50);
    if (limit < 1 || limit > 200) co_return fail(intra365::errors::bad_value, "limit: 1 to 200");
    CO_TRY(const auto position, access_position(request, environment_.clock.now()));
    wire::AccessReply reply;
    CO_TRY(reply.entries, co_await store_.accesses(caller.tenant, std::move(user), request.mate_id, position,
                                                   limit, caller.deadline));
    if (reply.entries.size() == static_cast<std::size_t>(limit))
      reply.next_cursor = access_cursor(position, reply.entries.back());
    co_return reply;
  }

  Task<wire::SealingReply> sealing(const Caller& caller, const Empty&) {
    co_return co_await sealing_.state(*vault_, caller.tenant, caller.deadline);
  }

  Task<wire::SealingReply> rotate_key(const Caller& caller, const Empty&) {
    CO_TRY(const auto number, co_await vault_->rotate(caller.tenant, caller.deadline));
    caller.note->resource = "data-key:" + std::to_string(number);
    co_return co_await sealing_.state(*vault_, caller.tenant, caller.deadline);
  }

  platform::Environment& environment_;
  Store store_;
  platform::Attestor attestor_;
  Erasure erasure_;
  std::optional<platform::Vault> vault_;
  Sealing sealing_;
  Deadlines deadlines_;
  platform::ServiceClient services_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "privacy",
      .description =
          "People's rights: export, erasure, correction, requests with deadlines, who used whose data",
      .migrations = migrations::privacy(),
      .make = [](platform::Environment& environment) { return std::make_unique<Privacy>(environment); },
  };
}

}  // namespace intra365::services::privacy
