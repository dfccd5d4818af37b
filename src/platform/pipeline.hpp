// The only place that decodes, authenticates, authorises, sets the deadline, counts, maps errors and writes
// the audit entry. A message goes in, a reply comes out; what lies between is the handler's business.
#pragma once
#include <string>
#include <vector>

#include "nats/service.hpp"
#include "platform/service.hpp"

namespace intra365::platform {

/// Owned by one shard; not thread-safe.
class Pipeline {
 public:
  Pipeline(Environment& environment, std::vector<BoundOperation> operations);

  /// Answers one request to the operation with this index, whatever happens.
  nats::ServiceAnswer handle(std::size_t operation, const nats::MessageView& message);

  const std::vector<BoundOperation>& operations() const { return operations_; }

 private:
  static constexpr std::size_t kMaxBodyBytes = 768u << 10;
  static constexpr std::size_t kMaxHeaderBytes = 16u << 10;

  /// One request on its way through.
  struct Passage {
    Passage(const OperationSpec& spec, const nats::MessageView& message);
    SteadyTime began;
    AuditNote note;
    Caller caller;
  };
  /// None where something has to be waited for.
  std::optional<nats::ServiceReply> handle_now(std::size_t operation, const nats::MessageView& message);
  asio::awaitable<nats::ServiceReply> handle_later(std::size_t operation, nats::Message message);
  Task<std::string> answer(const BoundOperation& operation, const nats::MessageView& message, Caller& caller);
  static Result<void> check_sizes(const nats::MessageView& message);
  static Result<void> check_role(const OperationSpec& spec, const Caller& caller);
  /// False where the caller's account is not known yet.
  Result<bool> authenticate_now(const OperationSpec& spec, const nats::MessageView& message, Caller& caller);
  Task<> authenticate(const OperationSpec& spec, const nats::MessageView& message, Caller& caller);
  /// Queues the entry; its position where the answer must wait for it.
  Result<std::optional<std::uint64_t>> write_audit(const OperationSpec& spec, const Caller& caller,
                                                   const Error* error, std::chrono::nanoseconds took);
  nats::ServiceReply reply_of(std::size_t operation, const Passage& passage, Result<std::string> outcome,
                              std::chrono::nanoseconds took);

  Environment& environment_;
  std::vector<BoundOperation> operations_;
  std::vector<OperationMetrics> metrics_;
};

}  // namespace intra365::platform
