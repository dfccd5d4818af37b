// The purposes and scopes that each tenant knows: the platform's own entries and the tenant's.
#pragma once
#include <unordered_map>

#include "consent/catalogue.hpp"
#include "platform/caller.hpp"
#include "services/consent/store.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Catalogues {
 public:
  Catalogues(platform::Environment& environment, Store& store) : environment_(environment), store_(store) {}

  /// The catalogue of the caller's tenant, at most `kAge` old: what was defined elsewhere counts here that
  /// much later.
  Task<std::shared_ptr<const intra365::consent::Catalogue>> of(const platform::Caller& caller);

  Task<intra365::consent::CatalogueReply> list(const platform::Caller& caller, const Empty&);
  Task<intra365::consent::CatalogueReply> close(const platform::Caller& caller,
                                                const intra365::consent::CatalogueRequest& request);
  Task<intra365::consent::PurposeEntry> define_purpose(const platform::Caller& caller,
                                                       const intra365::consent::PurposeEntry& request);
  Task<intra365::consent::ScopeEntry> define_scope(const platform::Caller& caller,
                                                   const intra365::consent::ScopeEntry& request);

 private:
  static constexpr std::size_t kMost = 1000;
  static constexpr auto kAge = std::chrono::seconds(1);
  struct Known {
    SteadyTime read_at;
    std::shared_ptr<const intra365::consent::Catalogue> catalogue;
  };

  platform::Environment& environment_;
  Store& store_;
  std::unordered_map<TenantId, Known> known_;
};

}  // namespace intra365::services::consent
