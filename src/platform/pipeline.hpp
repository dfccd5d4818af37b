// The only place that decodes, authenticates, authorises, sets the deadline, counts, maps errors and writes
// the audit entry. A message goes in, a reply comes out; what lies between is the handler's business.
#pragma once
#include <string>
#include <vector>

#include "guard/token.hpp"
#include "nats/service.hpp"
#include "platform/service.hpp"

namespace intra365::platform {

/// Owned by one shard; not thread-safe.
class Pipeline {
 public:
  Pipeline(Environment& environment, std::vector<BoundOperation> operations);

  /// Answers one request to the operation with this index, whatever happens.
  asio::awaitable<nats::ServiceReply> handle(std::size_t operation, nats::Message message);

  const std::vector<BoundOperation>& operations() const { return operations_; }

 private:
  static constexpr std::size_t kMaxBodyBytes = 768u << 10;
  static constexpr std::size_t kMaxHeaderBytes = 16u << 10;

  Task<std::string> answer(const BoundOperation& operation, const nats::Message& message, Caller& caller);
  Task<> authenticate(const OperationSpec& spec, const nats::Message& message, Caller& caller);
  Task<> write_audit(const OperationSpec& spec, const Caller& caller, const Error* error,
                     std::chrono::nanoseconds took);

  Environment& environment_;
  std::vector<BoundOperation> operations_;
  std::vector<OperationMetrics> metrics_;
};

}  // namespace intra365::platform
