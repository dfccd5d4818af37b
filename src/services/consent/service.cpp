#include "services/consent/service.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "consent/lifecycle.hpp"
#include "contract/errors.hpp"
#include "platform/vault.hpp"
#include "services/consent/cache_repair.hpp"
#include "services/consent/catalogues.hpp"
#include "services/consent/households.hpp"
#include "services/consent/proof.hpp"
#include "services/consent/verification.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> consent();
}

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using platform::Caller;

constexpr int kSyncPage = 500;
constexpr std::uint64_t kMaxEpoch = std::numeric_limits<std::int64_t>::max();  // what the database counts to
/// Of one subject, looked at at once when something is taken back.
constexpr int kMostHeld = 10'000;
/// Records that one transaction changes, with what hangs on them: what a request takes back is done in steps,
/// so that whatever its deadline leaves undone is less the next time.
constexpr std::size_t kMostRows = 1'000, kMostBelow = 256;

Result<Page> read_page(std::optional<int> limit, const std::optional<std::string>& cursor) {
  if (limit && (*limit < 1 || *limit > 200)) return fail(intra365::errors::bad_value, "limit: 1 to 200");
  if (cursor && !is_token(*cursor))
    return fail(intra365::errors::bad_value, "cursor: not one that was given out");
  return Page{limit.value_or(50), cursor.value_or("")};
}

/// Owned by one shard; not thread-safe.
class Consents final : public platform::Service {
 public:
  explicit Consents(platform::Environment& environment)
      : environment_(environment),
        store_(environment),
        copies_(environment, store_),
        cache_(environment),
        proof_(environment),
        propagation_(environment),
        renewals_(environment),
        spread_(environment, store_, copies_, cache_, propagation_, renewals_),
        appender_(environment, store_, spread_),
        repair_(environment, store_, cache_),
        households_(environment, store_, appender_, spread_),
        catalogues_(environment, store_),
        verification_(environment, store_, copies_, households_) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::grant, *this, &Consents::grant),
            bind(wire::revoke, *this, &Consents::revoke),
            bind(wire::verify, verification_, &Verification::verify, &Verification::verify_now),
            bind(wire::query, *this, &Consents::query),
            bind(wire::audit, *this, &Consents::audit),
            bind(wire::sync, *this, &Consents::sync),
            bind(wire::reconcile, repair_, &CacheRepair::reconcile),
            bind(wire::cache, repair_, &CacheRepair::cache),
            bind(wire::propagation, propagation_, &Propagation::state),
            bind(wire::renewals, renewals_, &Renewals::list),
            bind(wire::ask_renewal, renewals_, &Renewals::ask),
            bind(wire::reminders, renewals_, &Renewals::reminders),
            bind(wire::set_reminders, renewals_, &Renewals::set_reminders),
            bind(wire::refuse, *this, &Consents::refuse),
            bind(wire::narrow, *this, &Consents::narrow),
            bind(wire::renew, *this, &Consents::renew),
            bind(wire::suspend, *this, &Consents::suspend),
            bind(wire::resume, *this, &Consents::resume),
            bind(wire::delegate, *this, &Consents::delegate),
            bind(wire::as_of, verification_, &Verification::as_of),
            bind(wire::catalogue, catalogues_, &Catalogues::list),
            bind(wire::set_catalogue, catalogues_, &Catalogues::close),
            bind(wire::define_purpose, catalogues_, &Catalogues::define_purpose),
            bind(wire::define_scope, catalogues_, &Catalogues::define_scope),
            bind(wire::object, *this, &Consents::object),
            bind(wire::receipt, *this, &Consents::receipt),
            bind(wire::evidence, proof_, &Proof::evidence),
            bind(wire::found_household, households_, &Households::found),
            bind(wire::households, households_, &Households::list),
            bind(wire::invite_to_household, households_, &Households::invite),
            bind(wire::join_household, households_, &Households::join),
            bind(wire::leave_household, households_, &Households::leave),
            bind(wire::grant_inherited, *this, &Consents::grant_inherited),
            bind(wire::refuse_inherited, *this, &Consents::refuse_inherited),
            bind(wire::opt_out, *this, &Consents::opt_out)};
  }

  Task<> start() override {
    CO_CHECK(co_await proof_.start());
    vault_.emplace(environment_.database, proof_.envelope());
    CO_CHECK(co_await cache_.start());
    CO_CHECK(copies_.start());
    CO_CHECK(propagation_.start());
    CO_CHECK(co_await renewals_.start());
    co_return repair_.start();
  }

 private:
  Task<wire::Consent> grant(const Caller& caller, const wire::GrantRequest& request) {
    note_use(caller, request.user_id, request.scopes, request.mate_id);
    CO_CHECK(check_person(caller, request.user_id));
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    const auto at = moment(caller);
    const auto id = ConsentId::trusted(new_uuid());
    std::vector<Change> changes;
    CO_TRY(auto granted, wire::decide_grant(id, request, *catalogue, at));
    if (request.proof) {
      CO_TRY(granted.evidence, co_await proof_.keep(caller, request.user_id, *request.proof));
    }
    CO_CHECK(co_await seal_evidence(caller, granted));
    add(changes, {}, std::move(granted));
    auto& metadata = changes.back().record.metadata;
    metadata = request.metadata;
    CO_CHECK(co_await vault_->seal(caller.tenant, platform::sealed::consent_metadata, id.str(), metadata,
                                   caller.deadline));
    if (request.supersedes) {
      CO_TRY(auto old, co_await load(caller, request.user_id, *request.supersedes));
      CO_TRY(auto superseded, wire::decide_supersede(old, id, at));
      add(changes, std::move(old), std::move(superseded));
    }
    CO_TRY(const auto stored, co_await save(caller, std::move(changes)));
    for (const auto& record : stored) {
      if (record.consent_id == id) co_return record;
    }
    co_return fail(postgres::errors::bad_row, "consent_append returned another record");
  }

  Task<wire::Consent> refuse(const Caller& caller, const wire::RefuseRequest& request) {
    note_use(caller, request.user_id, request.scopes, request.mate_id);
    CO_CHECK(check_person(caller, request.user_id));
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    CO_TRY(auto refused,
           wire::decide_refuse(ConsentId::trusted(new_uuid()), request, *catalogue, moment(caller)));
    if (request.proof) {
      CO_TRY(refused.evidence, co_await proof_.keep(caller, request.user_id, *request.proof));
    }
    CO_CHECK(co_await seal_evidence(caller, refused));
    co_return co_await say_no(caller, std::move(refused));
  }

  Task<wire::Consent> grant_inherited(const Caller& caller, const wire::InheritedRequest& request) {
    return say_for_group(caller, request, wire::decide_group_grant);
  }

  Task<wire::Consent> refuse_inherited(const Caller& caller, const wire::InheritedRequest& request) {
    return say_for_group(caller, request, wire::decide_group_refuse);
  }

  Task<wire::Consent> say_for_group(const Caller& caller, const wire::InheritedRequest& request,
                                    decltype(&wire::decide_group_grant) decide) {
    caller.note->scopes = request.scopes;
    caller.note->resource = "mate:" + request.mate_id.str();
    CO_TRY(const auto group, co_await households_.group_for(caller, request.household_id));
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    CO_TRY(auto said, decide(ConsentId::trusted(new_uuid()), group, request, *catalogue, moment(caller)));
    CO_CHECK(co_await seal_evidence(caller, said));
    if (said.event == wire::EventKind::refused) co_return co_await say_no(caller, std::move(said));
    std::vector<Change> changes;
    add(changes, {}, std::move(said));
    CO_TRY(auto stored, co_await save(caller, std::move(changes)));
    co_return std::move(stored.front());
  }

  using Find = std::function<Task<Records>()>;
  using End = std::function<Result<std::optional<wire::HistoryEntry>>(const wire::Consent&)>;

  /// A no counts from now on, whatever was said before: what it is about is taken from older consents of the
  /// same subject and Mate, with it or, where somebody changes them at the same time, right after it.
  Task<wire::Consent> say_no(const Caller& caller, wire::HistoryEntry refusal) {
    caller.note->consent_id = refusal.consent_id;
    wire::Moment at;
    at.actor = refusal.actor;
    at.now = refusal.valid_from;
    const End end = [at, purposes = refusal.purposes, scopes = refusal.scopes](const wire::Consent& record) {
      return wire::decide_give_way(record, purposes, scopes, at);
    };
    Told told;
    while (told.stored.empty()) {
      if (wire::group_of(refusal.user_id.str()))
        CO_CHECK(co_await households_.check_speaks(caller, refusal.user_id));
      std::vector<Change> changes;
      add(changes, {}, refusal);
      CO_TRY(auto held, co_await revocable(caller, refusal.user_id, refusal.mate_id));
      CO_CHECK(add_ends(changes, std::move(held), end));
      CO_TRY(told, co_await append(caller, std::move(changes)));
    }
    const auto said = std::ranges::find(told.stored, refusal.consent_id, &wire::Consent::consent_id);
    if (said == told.stored.end()) co_return fail(postgres::errors::bad_row, "the refusal is not there");
    const Find find = [this, &caller, subject = refusal.user_id, mate = refusal.mate_id,
                       before = said->epoch]() { return older(caller, subject, mate, before); };
    CO_CHECK(co_await take_back(caller, find, end));
    CO_CHECK(co_await open(caller, *said));
    co_return std::move(*said);
  }

  Task<Records> older(const Caller& caller, wire::SubjectId subject, std::optional<MateId> mate,
                      std::uint64_t before) {
    CO_TRY(auto held, co_await revocable(caller, std::move(subject), std::move(mate)));
    std::erase_if(held, [before](const auto& record) { return record.epoch > before; });
    co_return held;
  }

  Task<Records> revocable(const Caller& caller, wire::SubjectId subject, std::optional<MateId> mate) {
    return store_.revocable(caller.tenant, std::move(subject), std::move(mate), kMostHeld, caller.deadline);
  }

  Task<wire::Consent> narrow(const Caller& caller, const wire::NarrowRequest& request) {
    return change(caller, request.consent_id,
                  [request](const wire::Consent& current, const wire::Moment& at) {
                    return wire::decide_narrow(current, request, at);
                  });
  }

  Task<wire::Consent> renew(const Caller& caller, const wire::RenewRequest& request) {
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    Decide decide = [request, catalogue](const wire::Consent& current,
                                         const wire::Moment& at) -> Result<wire::HistoryEntry> {
      CHECK(wire::check_still_inheritable(current, *catalogue));
      return wire::decide_renew(current, request, *catalogue, at);
    };
    co_return co_await change(caller, request.consent_id, std::move(decide));
  }

  Task<wire::Consent> suspend(const Caller& caller, const wire::HoldRequest& request) {
    return change(caller, request.consent_id,
                  [request](const wire::Consent& current, const wire::Moment& at) {
                    return wire::decide_suspend(current, request, at);
                  });
  }

  Task<wire::Consent> resume(const Caller& caller, const wire::HoldRequest& request) {
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    Decide decide = [request, catalogue](const wire::Consent& current,
                                         const wire::Moment& at) -> Result<wire::HistoryEntry> {
      CHECK(wire::check_still_inheritable(current, *catalogue));
      return wire::decide_resume(current, request, at);
    };
    co_return co_await change(caller, request.consent_id, std::move(decide));
  }

  Task<wire::Consent> delegate(const Caller& caller, const wire::DelegateRequest& request) {
    caller.note->consent_id = request.consent_id;
    caller.note->resource = "mate:" + request.mate_id.str();
    std::optional<UserId> of_anybody;
    CO_TRY(auto current, co_await store_.get(caller.tenant, of_anybody, request.consent_id, caller.deadline));
    if (!current || !caller.is_mate(current->mate_id)) co_return fail(errors::unknown_consent);
    caller.note->user_id = person_of(current->user_id);
    std::vector<ConsentId> ids{request.consent_id};
    CO_TRY(auto chains, co_await store_.above(caller.tenant, std::move(ids), caller.deadline));
    const auto& above = chains[request.consent_id].records;
    const auto holds = wire::effective(*current, above);
    CO_TRY(auto delegated,
           wire::decide_delegate(ConsentId::trusted(new_uuid()), holds, above, request, moment(caller)));
    if (const auto user = person_of(current->user_id)) {
      CO_TRY(const auto own, co_await store_.find(caller.tenant, *user, delegated.mate_id, caller.deadline));
      CO_CHECK(wire::check_not_refused(delegated, own.records));
    }
    std::vector<Change> changes;
    add(changes, {}, std::move(delegated));
    CO_TRY(auto stored, co_await save(caller, std::move(changes)));
    co_return std::move(stored.front());
  }

  /// A revocation that names no revision wins over whoever changes the consent at the same time: it decides
  /// again.
  Task<wire::RevokeReply> revoke(const Caller& caller, const wire::RevokeRequest& request) {
    caller.note->consent_id = request.consent_id;
    CO_TRY(const auto user, check_revoke(caller, request));
    if (caller.kind != PrincipalKind::mate) caller.note->user_id = user;
    if (caller.is_service()) CO_CHECK(co_await households_.leave_all(caller, user));
    Find find = [this, &caller, &request, user]() -> Task<std::vector<wire::Consent>> {
      if (!request.consent_id) co_return co_await revocable(caller, wire::subject_of(user), request.mate_id);
      std::vector<wire::Consent> held;
      CO_TRY(auto found, co_await load_own(caller, *request.consent_id));
      if (!request.mate_id || found.mate_id == *request.mate_id) held.push_back(std::move(found));
      co_return held;
    };
    End end = [this, &caller,
               &request](const wire::Consent& record) -> Result<std::optional<wire::HistoryEntry>> {
      TRY(auto revoked, wire::decide_revoke(record, request.revision, request.effective_at, moment(caller)));
      return std::optional(std::move(revoked));
    };
    CO_TRY(auto reply, co_await take_back(caller, find, end));
    if (reply.consents.empty() && !caller.is_service()) co_return fail(errors::unknown_consent);
    co_return reply;
  }

  Task<wire::RevokeReply> object(const Caller& caller, const wire::ObjectRequest& request) {
    caller.note->user_id = request.user_id;
    CO_CHECK(check_person(caller, request.user_id));
    if (request.purposes.empty() || request.purposes.size() > wire::kMostObjected)
      co_return fail(intra365::errors::bad_value, "purposes: 1 to 50 are needed");
    // What a group allows must not come to light once the person's own consents are narrowed.
    CO_TRY(auto refused, co_await households_.object(caller, request.user_id, request.purposes));
    const Find find = [this, &caller, &request] {
      return revocable(caller, wire::subject_of(request.user_id), std::nullopt);
    };
    const End end = [this, &caller, &request](const wire::Consent& record) {
      return wire::decide_object(record, request.purposes, moment(caller));
    };
    CO_TRY(auto reply, co_await take_back(caller, find, end));
    for (auto& record : refused) {
      reply.epoch = std::max(reply.epoch, record.epoch);
      reply.consents.push_back(std::move(record));
    }
    co_return reply;
  }

  /// An objection to each such purpose that the person has not opted out of before. It is written down after
  /// it has taken effect: what comes in between makes it twice, never not at all.
  Task<wire::OptOutReply> opt_out(const Caller& caller, const wire::OptOutRequest& request) {
    caller.note->user_id = request.user_id;
    CO_CHECK(check_person(caller, request.user_id));
    CO_TRY(const auto catalogue, co_await catalogues_.of(caller));
    wire::OptOutReply reply;
    CO_TRY(reply.purposes, co_await store_.opted_out(caller.tenant, request.user_id, caller.deadline));
    std::vector<Purpose> fresh;
    for (auto& purpose : catalogue->opt_outs()) {
      if (std::ranges::find(reply.purposes, purpose) == reply.purposes.end()) fresh.push_back(purpose);
    }
    for (std::span<const Purpose> left = fresh; !left.empty();) {
      const auto some = left.first(std::min(left.size(), wire::kMostObjected));
      left = left.subspan(some.size());
      wire::ObjectRequest objection;
      objection.user_id = request.user_id;
      objection.purposes.assign(some.begin(), some.end());
      CO_TRY(auto objected, co_await object(caller, objection));
      reply.consents.insert(reply.consents.end(), std::make_move_iterator(objected.consents.begin()),
                            std::make_move_iterator(objected.consents.end()));
      reply.purposes.insert(reply.purposes.end(), some.begin(), some.end());
      CO_CHECK(co_await store_.note_opt_out(caller.tenant, request.user_id, reply.purposes, request.method,
                                            caller.deadline));
    }
    co_return reply;
  }

  /// Adds the ends of as many of these records as go into one transaction.
  static Result<void> add_ends(std::vector<Change>& changes, Records held, const End& end) {
    std::size_t rows = 0;
    for (auto& record : held) {
      if (rows >= kMostRows) break;
      if (record.status != wire::Status::active && record.status != wire::Status::suspended) continue;
      TRY(auto ended, end(record));
      if (!ended) continue;
      rows += record.delegation_depth > 0 ? 1 + kMostBelow : 1;
      add(changes, std::move(record), *std::move(ended));
    }
    return {};
  }

  /// Ends what `find` gives as `end` decides, again and again until `end` finds nothing more to do: whoever
  /// changes a consent at the same time does not save it.
  Task<wire::RevokeReply> take_back(const Caller& caller, const Find& find, const End& end) {
    wire::RevokeReply reply;
    bool published = true;
    std::uint64_t cached = 0;
    while (true) {
      CO_TRY(auto held, co_await find());
      std::vector<Change> changes;
      CO_CHECK(add_ends(changes, std::move(held), end));
      if (changes.empty()) break;
      CO_TRY(auto told, co_await append(caller, std::move(changes)));
      if (told.stored.empty()) continue;
      published = published && told.published;
      cached = told.cached;
      for (auto& record : told.holding) {
        reply.epoch = std::max(reply.epoch, record.epoch);
        reply.consents.push_back(std::move(record));
      }
    }
    CO_TRY(reply.propagation, co_await spread_.reached(published, cached));
    for (auto& record : reply.consents) CO_CHECK(co_await open(caller, record));
    co_return reply;
  }

  /// Consents of a group are stored while nobody of it comes, goes or objects.
  Task<Told> append(const Caller& caller, std::vector<Change> changes) {
    auto subject = changes.front().change.user_id;
    if (wire::group_of(subject.str()))
      return households_.append(caller, std::move(subject), std::move(changes));
    return appender_.append(caller.tenant, std::move(changes), std::string(caller.trace.trace_id()),
                            caller.deadline);
  }

  Task<AttestedDocument> receipt(const Caller& caller, const wire::ProofRequest& request) {
    CO_TRY(auto catalogue, co_await catalogues_.of(caller));
    CO_TRY(const bool of_group, co_await speaks_for(caller, request.consent_id));
    const auto speaks = of_group ? Proof::Speaks::for_the_group : Proof::Speaks::for_themselves;
    co_return co_await proof_.receipt(caller, request, std::move(catalogue), speaks);
  }

  /// A consent of a group that the caller speaks for.
  Task<bool> speaks_for(const Caller& caller, ConsentId id) {
    std::optional<UserId> of_anybody;
    CO_TRY(const auto found, co_await store_.get(caller.tenant, of_anybody, std::move(id), caller.deadline));
    if (!found || !wire::group_of(found->user_id.str())) co_return false;
    const auto checked = co_await households_.check_speaks(caller, found->user_id);
    if (!checked && checked.error().kind != ErrorKind::denied) co_return fail(checked.error());
    co_return checked.has_value();
  }

  Task<wire::QueryReply> query(const Caller& caller, const wire::QueryRequest& request) {
    caller.note->user_id = request.user_id;
    CO_TRY(const auto page, read_page(request.limit, request.cursor));
    CO_TRY(const auto view, view_of(caller, request.user_id, request.mate_id));
    std::vector<wire::Consent> consents;
    if (request.inherited.value_or(false)) {
      CO_CHECK(check_inherits(caller, request));
      CO_TRY(consents, co_await households_.query(caller, request.mate_id, request.active, page));
    } else {
      CO_TRY(consents, co_await store_.query(caller.tenant, view, request.active, page, caller.deadline));
      CO_CHECK(co_await store_.make_effective(caller.tenant, consents, caller.deadline));
    }
    for (auto& consent : consents) {
      CO_CHECK(co_await open(caller, consent));
      if (!sees_evidence(caller, consent.user_id))
        consent.metadata = without_evidence(std::move(consent.metadata));
    }
    std::optional<std::string> cursor;
    if (consents.size() == static_cast<std::size_t>(page.limit)) cursor = consents.back().consent_id.str();
    co_return wire::QueryReply{std::move(consents), std::move(cursor)};
  }

  Task<wire::AuditReply> audit(const Caller& caller, const wire::AuditRequest& request) {
    caller.note->user_id = request.user_id;
    CO_TRY(const auto page, read_page(request.limit, request.cursor));
    if (page.after.find_first_not_of("0123456789") != std::string::npos || page.after.size() > 18)
      co_return fail(intra365::errors::bad_value, "cursor: not one that was given out");
    CO_TRY(const auto view, view_of(caller, request.user_id, request.mate_id));
    CO_TRY(auto entries, co_await store_.history(caller.tenant, view, request.consent_id, page,
                                                 caller.changed_at, caller.deadline));
    std::vector<platform::Vault::Cell> cells;
    for (auto& entry : entries) {
      // A reference to what lies sealed elsewhere tells nothing; what was written down here does.
      const bool tells = entry.evidence && !entry.evidence->starts_with("evidence:");
      if (tells && !sees_evidence(caller, entry.user_id)) entry.evidence.reset();
      if (entry.evidence)
        cells.emplace_back(platform::sealed::consent_evidence, entry.consent_id.str(), *entry.evidence);
    }
    CO_CHECK(co_await vault_->open(caller.tenant, std::move(cells), caller.deadline));
    std::optional<std::string> cursor;
    if (entries.size() == static_cast<std::size_t>(page.limit))
      cursor = std::to_string(entries.back().sequence);
    co_return wire::AuditReply{std::move(entries), std::move(cursor)};
  }

  Task<wire::SyncReply> sync(const Caller& caller, const wire::SyncRequest& request) {
    if (!caller.is_mate(request.mate_id) && !caller.is_service()) co_return fail(intra365::errors::not_yours);
    if (request.mate_epoch > kMaxEpoch)
      co_return fail(intra365::errors::bad_value, "mateEpoch: not one that was given out");
    wire::SyncReply reply;
    std::vector<std::string> names(1, request.mate_id.str());
    CO_TRY(const auto epochs, co_await store_.mate_epochs(caller.tenant, names, caller.deadline));
    reply.mate_epoch = epochs.by_mate.at(request.mate_id.str());
    reply.server_time = epochs.at;
    if (request.mate_epoch <= reply.mate_epoch) propagation_.reached(caller.tenant, request);
    if (reply.mate_epoch != request.mate_epoch) {
      const auto holding =
          request.whole.value_or(false) ? guard::Holding::everything : guard::Holding::what_holds;
      CO_TRY(auto changed, co_await store_.changed_since(caller.tenant, request.mate_id, request.mate_epoch,
                                                         kSyncPage, holding, caller.deadline));
      reply.mate_epoch = changed.mate_epoch;
      reply.server_time = changed.at;
      reply.consents = std::move(changed.records);
      CO_TRY(reply.inherited,
             co_await households_.is_inherited(caller.tenant, request.mate_id, caller.deadline));
      reply.more = reply.consents.size() == kSyncPage;
      for (auto& record : reply.consents)
        record.metadata = nullptr;  // evidence is not for enforcement points
    }
    co_return reply;
  }

  using Decide = std::function<Result<wire::HistoryEntry>(const wire::Consent&, const wire::Moment&)>;

  /// One change of one record: load, decide, save.
  Task<wire::Consent> change(const Caller& caller, ConsentId id, Decide decide) {
    caller.note->consent_id = id;
    CO_TRY(auto current, co_await load_own(caller, id));
    CO_TRY(auto decided, decide(current, moment(caller)));
    std::vector<Change> changes;
    add(changes, std::move(current), std::move(decided));
    CO_TRY(auto stored, co_await save(caller, std::move(changes)));
    co_return std::move(stored.front());
  }

  Task<wire::Consent> load_any(const Caller& caller, ConsentId id) {
    std::optional<UserId> of_anybody;
    CO_TRY(auto found, co_await store_.get(caller.tenant, of_anybody, std::move(id), caller.deadline));
    if (!found) co_return fail(errors::unknown_consent);
    co_return *std::move(found);
  }

  Task<wire::Consent> load(const Caller& caller, UserId user, ConsentId id) {
    CO_TRY(auto found, co_await store_.get(caller.tenant, std::move(user), std::move(id), caller.deadline));
    if (!found) co_return fail(errors::unknown_consent);
    co_return *std::move(found);
  }

  /// A consent that the caller may change: their own, or one of a group that they speak for.
  Task<wire::Consent> load_own(const Caller& caller, ConsentId id) {
    std::optional<UserId> of_anybody;
    CO_TRY(auto found, co_await store_.get(caller.tenant, of_anybody, std::move(id), caller.deadline));
    const bool is_group = found && wire::group_of(found->user_id.str()).has_value();
    if (!is_group) {
      CO_TRY(const auto user, person(caller));
      caller.note->user_id = user;
      if (!found || found->user_id != wire::subject_of(user)) co_return fail(errors::unknown_consent);
    } else {
      CO_CHECK(co_await households_.check_speaks(caller, found->user_id));
    }
    co_return *std::move(found);
  }

  static void add(std::vector<Change>& changes, wire::Consent record, wire::HistoryEntry change) {
    wire::apply(record, change);
    changes.emplace_back();
    changes.back().record = std::move(record);
    changes.back().change = std::move(change);
  }

  /// Stores the changes and spreads the records. Of two writers the second gets `consent.conflict` with the
  /// revision that the first has left.
  Task<std::vector<wire::Consent>> save(const Caller& caller, std::vector<Change> changes) {
    const auto& last = changes.back().change;
    const auto subject = last.user_id;
    const auto id = last.consent_id;
    const bool delegates = last.parent_id && last.revision == 1;
    caller.note->consent_id = changes.front().change.consent_id;
    CO_TRY(auto told, co_await append(caller, std::move(changes)));
    if (told.stored.empty()) {
      if (delegates) co_return fail(errors::too_many_delegated);
      if (caller.kind == PrincipalKind::user && wire::group_of(subject.str()))
        CO_CHECK(co_await households_.check_speaks(caller, subject));
      CO_TRY(const auto now, co_await load_any(caller, id));
      co_return fail(wire::errors::conflict, "the current revision is " + std::to_string(now.revision));
    }
    for (auto& record : told.stored) CO_CHECK(co_await open(caller, record));
    co_return std::move(told.stored);
  }

  /// A reference that was given; one to what lies sealed already stays readable.
  Task<> seal_evidence(const Caller& caller, wire::HistoryEntry& entry) {
    if (!entry.evidence || entry.evidence->starts_with("evidence:")) co_return Result<void>{};
    std::vector<platform::Vault::Cell> cells;
    cells.emplace_back(platform::sealed::consent_evidence, entry.consent_id.str(), *entry.evidence);
    co_return co_await vault_->seal(caller.tenant, std::move(cells), caller.deadline);
  }

  /// Metadata of a record that leaves the service; inside it stays sealed.
  Task<> open(const Caller& caller, wire::Consent& record) {
    return vault_->open(caller.tenant, platform::sealed::consent_metadata, record.consent_id.str(),
                        record.metadata, caller.deadline);
  }

  wire::Moment moment(const Caller& caller) const {
    wire::Moment at;
    at.actor = caller.subject();
    at.now = environment_.clock.now();
    return at;
  }

  platform::Environment& environment_;
  Store store_;
  Copies copies_;
  Cache cache_;
  Proof proof_;
  std::optional<platform::Vault> vault_;  ///< after `start`
  Propagation propagation_;
  Renewals renewals_;
  Spread spread_;
  Appender appender_;
  CacheRepair repair_;
  Households households_;
  Catalogues catalogues_;
  Verification verification_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "consent",
      .description = "Consent management: what people allow whom, for what, until when",
      .migrations = migrations::consent(),
      .make = [](platform::Environment& environment) { return std::make_unique<Consents>(environment); },
  };
}

}  // namespace intra365::services::consent
