#include "contract/catalog.hpp"

#include <algorithm>
#include <array>

#include "contract/operations/audit.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/cdc.hpp"
#include "contract/operations/consent.hpp"
#include "contract/operations/consent_upkeep.hpp"
#include "contract/operations/decisions.hpp"
#include "contract/operations/households.hpp"
#include "contract/operations/opt_outs.hpp"
#include "contract/operations/policy.hpp"
#include "contract/operations/privacy.hpp"
#include "contract/operations/registry.hpp"

namespace intra365 {

std::span<const OperationInfo> catalog() {
  // One a line, so that a new one is one line of a diff.
  // clang-format off
  static constexpr std::array operations{
      info(auth::token_request),
      info(auth::token_validate),
      info(auth::token_refresh),
      info(auth::token_revoke),
      info(auth::sync),
      info(auth::user_create),
      info(auth::user_list),
      info(auth::mate_create),
      info(auth::key_create),
      info(auth::key_list),
      info(auth::key_revoke),
      info(auth::tenant_create),
      info(auth::tenant_list),
      info(auth::delegate_token),
      info(auth::lock_out),
      info(registry::register_),
      info(registry::deregister),
      info(registry::discover),
      info(registry::get),
      info(registry::heartbeat),
      info(consent::grant),
      info(consent::revoke),
      info(consent::verify),
      info(consent::query),
      info(consent::audit),
      info(consent::sync),
      info(consent::cache),
      info(consent::reconcile),
      info(consent::propagation),
      info(consent::renewals),
      info(consent::ask_renewal),
      info(consent::reminders),
      info(consent::set_reminders),
      info(consent::refuse),
      info(consent::narrow),
      info(consent::renew),
      info(consent::suspend),
      info(consent::resume),
      info(consent::delegate),
      info(consent::as_of),
      info(consent::catalogue),
      info(consent::set_catalogue),
      info(consent::define_purpose),
      info(consent::define_scope),
      info(consent::object),
      info(consent::receipt),
      info(consent::evidence),
      info(consent::found_household),
      info(consent::households),
      info(consent::invite_to_household),
      info(consent::join_household),
      info(consent::leave_household),
      info(consent::grant_inherited),
      info(consent::refuse_inherited),
      info(consent::opt_out),
      info(policy::create),
      info(policy::update),
      info(policy::delete_),
      info(policy::list),
      info(policy::get),
      info(policy::versions),
      info(policy::rollback),
      info(policy::evaluate),
      info(policy::explain),
      info(policy::evaluate_batch),
      info(policy::search),
      info(policy::filter),
      info(policy::replay),
      info(policy::watch),
      info(policy::record),
      info(policy::sync),
      info(privacy::keys),
      info(privacy::export_),
      info(privacy::erase),
      info(privacy::status),
      info(privacy::submit),
      info(privacy::list),
      info(privacy::resolve),
      info(privacy::correct),
      info(privacy::access),
      info(privacy::sealing),
      info(privacy::rotate_key),
      info(audit::append),
      info(audit::query),
      info(audit::verify),
      info(audit::report),
      info(audit::hold_place),
      info(audit::hold_release),
      info(audit::hold_list),
      info(audit::set_aside_list),
      info(audit::set_aside_retry),
      info(cdc::status),
      info(cdc::changes),
  };
  // clang-format on
  return operations;
}

const OperationInfo* find_operation(std::string_view subject) {
  const auto found =
      std::ranges::find(catalog(), subject, [](const OperationInfo& info) { return info.spec->subject; });
  return found == catalog().end() ? nullptr : &*found;
}

std::vector<std::string_view> service_names() {
  std::vector<std::string_view> names;
  for (const auto& operation : catalog()) {
    auto name = operation.spec->subject;
    name.remove_prefix(name.find('.') + 1);
    name = name.substr(0, name.find('.'));
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace intra365
