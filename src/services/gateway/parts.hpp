// How an answer in parts looks over HTTP: Server-Sent Events, or a line of JSON each. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::services::gateway {

enum class PartsFormat { events, lines };

/// What `Accept` asks for; nullopt: one answer as always.
std::optional<PartsFormat> asked_format(std::string_view accept);
std::string_view content_type(PartsFormat format);

/// `event: part`, `id: n` and the data; or `{"part":n,"data":…}`. JSON stays JSON, other text is text. Fails
/// with `stream.not_text`.
Result<std::string> part_text(PartsFormat format, std::uint64_t number, std::string_view part);
/// The last word: `event: end` with `{"parts":n}`, or `event: error` with the problem; as a line, an object
/// with `end`: `ok` or the error's code.
std::string end_text(PartsFormat format, std::uint64_t parts, const Error* error, std::string_view trace_id);

}  // namespace intra365::services::gateway
