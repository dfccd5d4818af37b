// A signed document, as operations hand it out and people keep it.
#pragma once
#include <string>

#include <boost/describe.hpp>
#include <boost/json/value.hpp>

namespace intra365 {

/// Verified by `crypto::verify_attestation` with the keys of `privacy.keys`, without the platform.
struct AttestedDocument {
  boost::json::value document;
  std::string signature;  ///< compact JWS over the digest of the document's canonical form (RFC 8785)
};
BOOST_DESCRIBE_STRUCT(AttestedDocument, (), (document, signature))

}  // namespace intra365
