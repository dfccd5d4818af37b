// A principal (Mate, person or operator) connected to intra365: logs in, keeps its token fresh, survives
// reconnects, and calls operations with every header in place.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/task.hpp"
#include "base/ids.hpp"
#include "contract/operation.hpp"
#include "contract/trace.hpp"
#include "nats/connection.hpp"
#include "streaming/reader.hpp"

namespace intra365::sdk {

struct ClientOptions {
  std::string nats_url = "nats://127.0.0.1:4222";
  std::string ca_file;  ///< for tls:// with the platform's own CA
  std::string api_key;  ///< read it from a file or the environment, never from argv
  std::string name = "intra365-sdk";
  /// What happened to the connection, for logs.
  std::function<void(std::string_view event, std::string_view detail)> on_event;
};

/// What travels beside a request.
struct CallOptions {
  /// Not an aggregate: g++ 12 destroys aggregate temporaries of a co_await expression twice.
  CallOptions() {}
  std::chrono::milliseconds timeout{5000};
  TraceContext trace = TraceContext::create();
  std::optional<UserId> user_id;        ///< whose data is used
  std::optional<ConsentId> consent_id;  ///< by which consent
};

/// How an answer in parts is read. `CallOptions::timeout` is for the whole of it.
struct StreamOptions {
  /// Not an aggregate, as CallOptions.
  StreamOptions() {}
  int window = 16;                            ///< parts under way at most, 1 to 64
  std::chrono::milliseconds part_timeout{0};  ///< between two parts; 0: as long as the Mate says it is there
};

/// Owned by one thread's executor; not thread-safe.
class Client {
 public:
  Client(asio::any_io_executor executor, ClientOptions options);
  ~Client();

  /// Gets a token as a guest, then connects as who the token says. Kept connected from then on.
  Task<> connect(SteadyTime deadline);

  /// Calls a platform operation: `co_await client.call(registry::discover, request)`.
  template <class Request, class Reply>
  Task<Reply> call(const Operation<Request, Reply>& operation, Request request, CallOptions options = {}) {
    CO_TRY(const auto body, co_await request_json(std::string(operation.spec.subject), json::encode(request),
                                                  std::move(options)));
    co_return json::decode<Reply>(body, json::Unknown::ignore);
  }
  /// Calls another Mate: `intra365.mate.<mate>.<capability>.<action>`. The payload is the Mate's business.
  Task<std::string> call_mate(MateId mate, std::string capability, std::string action, std::string payload,
                              CallOptions options = {});
  /// Calls an action that answers in parts, which the reader gives one by one; it also reads plain answers.
  Result<streaming::Reader> stream_mate(const MateId& mate, const std::string& capability,
                                        const std::string& action, std::string_view payload,
                                        const CallOptions& options, const StreamOptions& stream = {});
  /// JSON (or bytes) in, reply out, errors as our Error. The primitive under the two above.
  Task<std::string> request_json(std::string subject, std::string payload, CallOptions options);

  /// Headers of a request of ours: token, trace, deadline, user, consent.
  nats::HeaderBlock headers(const CallOptions& options) const;

  const std::string& id() const;  ///< Mate or user id
  bool is_user() const;
  const TenantId& tenant() const;
  const std::string& access_token() const;
  nats::Connection& connection();
  Task<> drain(SteadyTime deadline);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::sdk
