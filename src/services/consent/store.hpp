// The consent service's tables.
#pragma once
#include <unordered_map>

#include "contract/operations/consent.hpp"
#include "platform/environment.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {

/// Whose change it is, and in which trace.
struct Author {
  std::string actor, trace_id;
};

struct Expired {
  TenantId tenant_id;
  ConsentId consent_id;
  UserId user_id;
  MateId mate_id;
  std::uint64_t epoch = 0;
};
BOOST_DESCRIBE_STRUCT(Expired, (), (tenant_id, consent_id, user_id, mate_id, epoch))

struct Page {
  int limit = 50;
  std::string after;
};

class Store {
 public:
  explicit Store(platform::Environment& environment) : database_(environment.database) {}

  /// Row, history row and both epochs in one transaction; durable when it returns.
  Task<intra365::consent::Consent> grant(TenantId tenant, ConsentId id,
                                         intra365::consent::GrantRequest request, Author author,
                                         SteadyTime deadline);
  /// The records that were revoked; empty when none held.
  Task<std::vector<intra365::consent::Consent>> revoke(TenantId tenant, UserId user,
                                                       intra365::consent::RevokeRequest request,
                                                       Author author, SteadyTime deadline);
  /// What a user has granted a Mate, dead records included, with the user's epoch at that time.
  struct Pair {
    std::vector<intra365::consent::Consent> records;
    std::uint64_t epoch = 0;
  };
  Task<Pair> find(TenantId tenant, UserId user, MateId mate, SteadyTime deadline);
  Task<std::vector<intra365::consent::Consent>> query(TenantId tenant, View view, std::optional<bool> active,
                                                      Page page, SteadyTime deadline);
  Task<std::vector<intra365::consent::HistoryEntry>> history(TenantId tenant, View view,
                                                             std::optional<ConsentId> consent, Page page,
                                                             SteadyTime deadline);
  Task<std::uint64_t> mate_epoch(TenantId tenant, MateId mate, SteadyTime deadline);
  Task<std::vector<intra365::consent::Consent>> changed_since(TenantId tenant, MateId mate,
                                                              std::uint64_t mate_epoch, int limit,
                                                              SteadyTime deadline);
  /// The same with those that no longer hold, and without evidence: for copies in memory.
  Task<std::vector<intra365::consent::Consent>> all_changed_since(TenantId tenant, MateId mate,
                                                                  std::uint64_t mate_epoch, int limit,
                                                                  SteadyTime deadline);
  /// Epochs of Mates; one that nobody has granted anything is not among them.
  Task<std::unordered_map<std::string, std::uint64_t>> mate_epochs(TenantId tenant,
                                                                   std::vector<std::string> mates,
                                                                   SteadyTime deadline);
  Task<std::vector<Expired>> tell_expired(int limit, SteadyTime deadline);

 private:
  postgres::Pool& database_;
};

}  // namespace intra365::services::consent
