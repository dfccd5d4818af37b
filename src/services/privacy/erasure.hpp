// Carries erasures out, pass by pass, until nothing names the person any more. Every step is bounded and may
// be repeated, so a crash at any moment is only a pause; of several instances the one that claimed last goes
// on.
#pragma once
#include <set>

#include "platform/attestor.hpp"
#include "services/privacy/store.hpp"

namespace intra365::services::privacy {

/// Owned by one shard; not thread-safe.
class Erasure {
 public:
  Erasure(platform::Environment& environment, Store& store, const platform::Attestor& attestor)
      : environment_(environment),
        store_(store),
        attestor_(attestor),
        services_(environment.nats, "privacy") {}

  /// Durable when it returns; the work goes on in the background. A person who is being erased already stays
  /// with that erasure. `again`: the pseudonym of an earlier one, which the history keeps. Fails with
  /// `privacy.held`.
  Task<Progress> begin(TenantId tenant, UserId user, std::optional<UserId> again, Timestamp due_at,
                       SteadyTime deadline);
  /// Sweeps what is due, for as long as the service lives.
  Task<> run();

 private:
  /// How a turn at an erasure ended: behind a whole pass, by a hold, because others wait, or because another
  /// instance has claimed it.
  enum class Ended { pass, held, turn_over, lost };
  struct Turn {
    Claimed erasure;
    Person person;
    Report report;
    SteadyTime until, reported;
  };
  /// What a piece of a stream has of the person.
  struct Findings {
    std::vector<std::uint64_t> sequences;
    std::set<std::string> keys;  ///< of a bucket
    bool waiting = false;        ///< a message that may not go yet
    std::uint64_t judged = 0;    ///< everything up to here
    bool caught_up = false;
  };

  Result<UserId> user_of(const TenantId& tenant, const std::string& request_id,
                         const postgres::Bytes& sealed) const;
  Task<> take_turn(Claimed erasure);
  Task<Ended> sweep(Turn& turn);
  /// Credentials end, so that nothing new comes; then consents, so that every Mate hears of it.
  Task<> shut_out(const Turn& turn);
  Task<std::optional<Ended>> sweep_tables(Turn& turn);
  /// Records that have a pseudonym now take the places of those with the name.
  Task<> cache_anew(const Turn& turn);
  /// Deletes messages that name the person from every stream and bucket.
  Task<std::optional<Ended>> sweep_streams(Turn& turn);
  Task<std::optional<Ended>> sweep_stream(Turn& turn, std::string stream);
  Task<Findings> judge(const Person& person, std::string stream, std::uint64_t from);
  Task<> remove(std::string stream, const Findings& findings);
  /// An audit message is the only place of its entries until they are in PostgreSQL: those behind stay.
  Task<std::uint64_t> deletable(std::string_view stream);
  /// Reports now and then. Something, where the turn is over.
  Task<std::optional<Ended>> go_on(Turn& turn);

  platform::Environment& environment_;
  Store& store_;
  const platform::Attestor& attestor_;
  platform::ServiceClient services_;
};

}  // namespace intra365::services::privacy
