// What a service is: one literal that names its operations, its tables and what it does besides answering.
// Reading `services/<name>/service.cpp` is reading the service.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "platform/environment.hpp"
#include "postgres/migrator.hpp"

namespace intra365::platform {

/// An operation with its handler, types erased: JSON in, JSON out.
struct BoundOperation {
  const OperationSpec* spec;
  std::function<Task<std::string>(const Caller&, std::string body)> invoke;
  /// Answers that nothing needs to be waited for; none: `invoke` has to be asked. May be empty.
  std::function<std::optional<Result<std::string>>(const Caller&, std::string_view body)> invoke_now = {};
};

/// `handler` is `Task<Reply>(const Caller&, const Request&)`; both references hold until it has ended.
template <class Request, class Reply, class Handler>
BoundOperation bind(const Operation<Request, Reply>& operation, Handler handler) {
  return {&operation.spec, [handler](const Caller& caller, std::string body) -> Task<std::string> {
            // Where every field may be absent, an empty body means "no fields".
            CO_TRY(const auto request, json::decode<Request>(body.empty() ? "{}" : body));
            CO_TRY(const auto reply, co_await handler(caller, request));
            co_return json::encode(reply);
          }};
}

/// A handler that is a member function: `bind(consent::verify, *this, &Consents::verify)`.
template <class Request, class Reply, class Object>
BoundOperation bind(const Operation<Request, Reply>& operation, Object& object,
                    Task<Reply> (Object::*handler)(const Caller&, const Request&)) {
  return bind(operation, [&object, handler](const Caller& caller, const Request& request) {
    return (object.*handler)(caller, request);
  });
}

/// With a way to answer at once, where it can: `handler_now` returns none where it cannot.
template <class Request, class Reply, class Object>
BoundOperation bind(const Operation<Request, Reply>& operation, Object& object,
                    Task<Reply> (Object::*handler)(const Caller&, const Request&),
                    std::optional<Result<Reply>> (Object::*handler_now)(const Caller&, const Request&)) {
  auto bound = bind(operation, object, handler);
  bound.invoke_now = [&object, handler_now](const Caller& caller,
                                            std::string_view body) -> std::optional<Result<std::string>> {
    const auto request = json::decode<Request>(body.empty() ? "{}" : body);
    if (!request) return fail(request.error());
    auto reply = (object.*handler_now)(caller, *request);
    if (!reply) return std::nullopt;
    if (!*reply) return fail(std::move(*reply).error());
    return json::encode(**reply);
  };
  return bound;
}

/// A service at work on one shard.
class Service {
 public:
  virtual ~Service() = default;
  virtual std::vector<BoundOperation> operations() = 0;
  /// Before the first request: caches, streams, background tasks (spawned on the environment's task group).
  virtual Task<> start() { co_return Result<void>{}; }
  /// After the last request was answered.
  virtual Task<> stop() { co_return Result<void>{}; }
};

/// What the list in `app/` holds.
struct ServiceModule {
  std::string name;         ///< `consent`
  std::string description;  ///< shown by the NATS tools
  std::vector<postgres::Migration> migrations;
  std::function<std::unique_ptr<Service>(Environment&)> make;
};

}  // namespace intra365::platform
