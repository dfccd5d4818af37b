// Names of the headers that travel with every message. The SDKs set and check them.
#pragma once
#include <string_view>

namespace intra365::headers {

inline constexpr std::string_view authorization = "Authorization";  ///< `Bearer <access token>`
inline constexpr std::string_view traceparent = "traceparent";      ///< W3C Trace Context
inline constexpr std::string_view tracestate = "tracestate";
inline constexpr std::string_view deadline_ms = "Intra365-Deadline-Ms";  ///< milliseconds left
inline constexpr std::string_view user_id = "X-User-Id";                 ///< whose data
inline constexpr std::string_view consent_id = "X-Consent-Id";           ///< by which consent
/// Purposes that the data must not be used for, whatever was consented to: the browser or device that asks
/// has opted out (consent/opt_out.hpp).
inline constexpr std::string_view opt_out = "Intra365-Opt-Out";

// An answer in parts (docs/adr/0006).
inline constexpr std::string_view stream = "Intra365-Stream";  ///< asked for: parts under way, 1 to 64
inline constexpr std::string_view stream_part = "Intra365-Stream-Part";  ///< from 1; 0: none yet, still there
inline constexpr std::string_view stream_end = "Intra365-Stream-End";    ///< `ok` or the error's code
inline constexpr std::string_view stream_taken = "Intra365-Stream-Taken";    ///< from the reader: so many
inline constexpr std::string_view stream_cancel = "Intra365-Stream-Cancel";  ///< from the reader: no more

inline constexpr std::string_view error_code = "Nats-Service-Error-Code";
inline constexpr std::string_view error_text = "Nats-Service-Error";
inline constexpr std::string_view nats_request_info = "Nats-Request-Info";

}  // namespace intra365::headers
