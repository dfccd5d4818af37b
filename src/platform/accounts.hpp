// The NATS accounts of the platform as claims: what the platform's own account offers, and what the accounts
// of tenants and guests take from it. Pure data; keys and signatures are the caller's business.
//
// Inside a tenant a service is `intra365.<service>.>`; inside the platform it is
// `acct.<tenant's account key>.intra365.<service>.>`. The server puts the key there, from the import that the
// operator signed, so a tenant can neither leave it out nor name another's.
#pragma once
#include <string>

#include "crypto/nats_jwt.hpp"

namespace intra365::platform {

/// The account of all services: exports every service and feed of `subjects`, each tenant its own part only.
/// Has JetStream. Keys are public keys of accounts in text form, here and below.
crypto::AccountClaims platform_account(const std::string& public_key, const std::string& signing_key);

/// One tenant: imports every service (as `intra365.<service>.>`) and every feed (as `intra365.<feed>.>`).
/// Has JetStream, because the server keeps MQTT sessions in the account of the device.
crypto::AccountClaims tenant_account(const std::string& name, const std::string& public_key,
                                     const std::string& signing_key, const std::string& platform_key);

/// What the `default` tenant takes besides: ADR-32 discovery of the platform's own services, so that the
/// standard NATS tools of the platform's operator list and measure them. Not for other tenants: the
/// statistics are of everybody.
crypto::Import discovery_import(const std::string& platform_key);

/// Where connections without credentials live: imports `intra365.auth.token.request` and nothing else.
crypto::AccountClaims guest_account(const std::string& name, const std::string& public_key,
                                    const std::string& signing_key, const std::string& platform_key);

}  // namespace intra365::platform
