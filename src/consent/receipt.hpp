// Receipts of a consent: what was agreed and every change of it, as one document that proves itself. Shaped
// after ISO/IEC TS 27560, with the chain of changes beside it. Pure; signing is crypto/attestation's
// business.
#pragma once
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "consent/catalogue.hpp"
#include "contract/operations/consent.hpp"

namespace intra365::consent {

namespace errors {
inline constexpr ErrorCode bad_receipt{ErrorKind::invalid, "consent.bad_receipt",
                                       "The receipt does not prove what it says; the message names where."};
}  // namespace errors

/// A change as it was chained when it was made.
struct ChainedChange {
  std::string statement;  ///< the change as JSON text, byte by byte as it was hashed
  std::string hash;       ///< hex; sha256 of the hash before it and the statement
};
BOOST_DESCRIBE_STRUCT(ChainedChange, (), (statement, hash))

/// The person a chain is about.
struct ChainSubject {
  SubjectId user_id;
  std::optional<std::string> salt;  ///< hex; absent once the person's data was erased
};
BOOST_DESCRIBE_STRUCT(ChainSubject, (), (user_id, salt))

/// `changes` are all changes of the consent from its first on.
Result<boost::json::value> make_receipt(const TenantId& tenant, const ConsentId& id,
                                        const ChainSubject& subject,
                                        const std::vector<ChainedChange>& changes, const Catalogue& catalogue,
                                        Timestamp issued_at);

/// What a receipt proves.
struct ReceiptSummary {
  ConsentId consent_id;
  std::optional<SubjectId> user_id;  ///< absent: the receipt does not say whose it is
  MateId mate_id;
  Status status = Status::active;  ///< after the last change; expiry is for the clock of whoever asks
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
  std::uint64_t changes = 0;
  std::string head;  ///< hash of the last change, hex
};
BOOST_DESCRIBE_STRUCT(ReceiptSummary, (),
                      (consent_id, user_id, mate_id, status, purposes, scopes, expires_at, changes, head))

/// Computes the chain anew and compares everything the document says with it. Fails with
/// `consent.bad_receipt`.
Result<ReceiptSummary> check_receipt(const boost::json::value& document);
/// An earlier receipt of the same consent is the beginning of a later one: nothing was rewritten in between.
Result<void> check_continues(const boost::json::value& later, const boost::json::value& earlier);

}  // namespace intra365::consent
