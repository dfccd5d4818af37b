#include "services/consent/catalogues.hpp"

namespace intra365::services::consent {

namespace wire = intra365::consent;
using platform::Caller;

Task<std::shared_ptr<const wire::Catalogue>> Catalogues::of(const Caller& caller) {
  const auto now = environment_.clock.steady_now();
  if (const auto known = known_.find(caller.tenant);
      known != known_.end() && now - known->second.read_at < kAge)
    co_return known->second.catalogue;
  CO_TRY(const auto own, co_await store_.catalogue(caller.tenant, caller.deadline));
  auto catalogue = std::make_shared<const wire::Catalogue>(own);
  if (known_.size() >= kMost) known_.clear();
  known_.insert_or_assign(caller.tenant, Known{now, catalogue});
  co_return catalogue;
}

Task<wire::CatalogueReply> Catalogues::list(const Caller& caller, const Empty&) {
  CO_TRY(const auto known, co_await of(caller));
  co_return known->list();
}

Task<wire::CatalogueReply> Catalogues::close(const Caller& caller, const wire::CatalogueRequest& request) {
  CO_CHECK(co_await store_.close_catalogue(caller.tenant, request.closed, caller.deadline));
  known_.erase(caller.tenant);
  CO_TRY(const auto known, co_await of(caller));
  co_return known->list();
}

Task<wire::PurposeEntry> Catalogues::define_purpose(const Caller& caller, const wire::PurposeEntry& request) {
  CO_CHECK(wire::check_entry(request));
  CO_CHECK(co_await store_.put(caller.tenant, request, caller.deadline));
  known_.erase(caller.tenant);
  co_return request;
}

Task<wire::ScopeEntry> Catalogues::define_scope(const Caller& caller, const wire::ScopeEntry& request) {
  CO_CHECK(wire::check_entry(request));
  CO_CHECK(co_await store_.put(caller.tenant, request, caller.deadline));
  known_.erase(caller.tenant);
  co_return request;
}

}  // namespace intra365::services::consent
