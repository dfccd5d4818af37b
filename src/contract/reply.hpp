// How an error looks on NATS: the ADR-32 headers beside a JSON body with the stable code.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365 {

/// `{"error":{"code","message","details"?,"traceId"?}}`
std::string error_body(const Error& error, std::string_view trace_id = {});

/// The error a reply carries, nullopt for a success. Tolerant: a foreign service may send the code without a
/// body, or a body that is not ours.
std::optional<Error> read_error(std::string_view code_header, std::string_view text_header,
                                std::string_view body);

}  // namespace intra365
