// The key material that only the STS reads: signing keys, never root seeds.
#pragma once
#include "crypto/envelope.hpp"
#include "crypto/nkey.hpp"
#include "services/sts/sts.hpp"

namespace intra365::services::sts {

struct Sts::Secrets {
  crypto::Nkey operator_key;  ///< a signing key of the operator
  crypto::Nkey auth_account;
  crypto::Xkey callout_xkey;
  crypto::Envelope envelope;
  std::string guest_secret;  ///< guest rooms are derived from it
};

}  // namespace intra365::services::sts
