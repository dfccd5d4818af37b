#include "contract/reply.hpp"

#include <charconv>

#include "json/json.hpp"

namespace intra365 {
namespace {

struct ErrorDetail {
  std::string code, message;
  std::optional<std::string> trace_id;
};
BOOST_DESCRIBE_STRUCT(ErrorDetail, (), (code, message, trace_id))

struct ErrorBody {
  ErrorDetail error;
};
BOOST_DESCRIBE_STRUCT(ErrorBody, (), (error))

}  // namespace

std::string error_body(const Error& error, std::string_view trace_id) {
  ErrorBody body{{error.code, error.detail, std::nullopt}};
  if (!trace_id.empty()) body.error.trace_id = std::string(trace_id);
  return json::encode(body);
}

std::optional<Error> read_error(std::string_view code_header, std::string_view text_header,
                                std::string_view body) {
  if (code_header.empty() && text_header.empty()) return std::nullopt;
  int status = 500;
  std::from_chars(code_header.data(), code_header.data() + code_header.size(), status);
  const auto kind = error_kind(status);
  if (const auto ours = json::decode<ErrorBody>(body, json::Unknown::ignore))
    return Error(kind, ours->error.code, ours->error.message);
  return Error(kind, "service.error", std::string(text_header.substr(0, 256)));
}

}  // namespace intra365
