// Proof of consent: evidence of what the person was shown, sealed apart from the consents, and signed
// receipts.
#pragma once
#include "consent/receipt.hpp"
#include "platform/attestor.hpp"
#include "platform/service.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe.
class Proof {
 public:
  explicit Proof(platform::Environment& environment) : environment_(environment), attestor_(environment) {}

  Task<> start() { return attestor_.start(); }
  /// Under the key-encryption key; only after `start`.
  const crypto::Envelope& envelope() const { return attestor_.envelope(); }
  /// Stores evidence of a person, durable when it returns; returns what a change refers to it by.
  Task<std::string> keep(const platform::Caller& caller, UserId user, intra365::consent::Evidence evidence);
  Task<intra365::consent::EvidenceReply> evidence(const platform::Caller& caller,
                                                  const intra365::consent::ProofRequest& request);
  /// Whom a caller speaks for: at most themselves, or the group whose consent it is as well.
  enum class Speaks : std::uint8_t { for_themselves, for_the_group };
  Task<AttestedDocument> receipt(const platform::Caller& caller, intra365::consent::ProofRequest request,
                                 std::shared_ptr<const intra365::consent::Catalogue> catalogue,
                                 Speaks speaks);

 private:
  /// The key of a person's evidence; made when it is first needed.
  Task<crypto::Envelope> key_of(TenantId tenant, UserId user, SteadyTime deadline);

  platform::Environment& environment_;
  platform::Attestor attestor_;
};

}  // namespace intra365::services::consent
