#include "nats/pull_status.hpp"

namespace intra365::nats {

PullVerdict judge_pull(int status, std::string_view description) {
  const auto failed = [&](const ErrorCode& code) {
    auto detail = std::string(description.substr(0, 128)) + " (" + std::to_string(status) + ")";
    return PullVerdict{PullNext::fail, Error(code, std::move(detail))};
  };
  switch (status) {
    case 100:
      return {};
    case 404:
    case 408:
      return {PullNext::end, {}};
    case 409:
      if (description.starts_with("Consumer Deleted")) return failed(errors::not_found);
      if (description.starts_with("Batch Completed") || description.starts_with("Message Size"))
        return {PullNext::end, {}};
      if (description.starts_with("Exceeded") || description.starts_with("Consumer is push"))
        return failed(errors::jetstream);
      return failed(errors::jetstream_unavailable);  // leadership change, server shutdown
    case 423:
      return failed(errors::not_pinned);
    case 503:
      return failed(errors::no_responders);
    default:
      return failed(errors::jetstream);
  }
}

}  // namespace intra365::nats
