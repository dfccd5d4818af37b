// A Mate in a few lines: say what you can do, give a handler for it, start. Every call that reaches a handler
// has passed the enforcement point: token, policy, consent (scope, purpose, expiry), each in-process.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contract/operations/registry.hpp"
#include "sdk/cpp/client.hpp"
#include "sdk/cpp/use.hpp"
#include "streaming/writer.hpp"

namespace intra365::sdk {

/// A call that was let through.
struct Call {
  std::string payload;
  std::string caller;                   ///< `mate:<id>` or `user:<id>`, proven by its token
  std::optional<UserId> user_id;        ///< whose data, proven by consent
  std::optional<ConsentId> consent_id;  ///< the consent that covers it
  TraceContext trace;
  SteadyTime deadline;
  std::shared_ptr<Use> use;  ///< for handlers that wait; a quick one is done before anything can change

  /// For a job that computes for long without waiting: `CO_CHECK(co_await call.still_permitted());` before
  /// every further use of the data.
  Task<> still_permitted() const;
};

/// What of people's data an action uses: scopes and a purpose, or neither. Without them no consent is asked
/// for, only policy; with one of them alone a Mate does not start.
struct DataUse {
  std::vector<Scope> scopes;
  std::optional<Purpose> purpose;
  bool is_whole() const { return scopes.empty() == !purpose.has_value(); }
};

/// A reply's body, or an error with a stable code. As soon as the call is not permitted any more the handler
/// is cancelled, wherever it waits, and the caller is told why; its reply leaves only if the call is still
/// permitted then.
using ActionHandler = std::function<Task<std::string>(const Call&)>;
/// The same for an action that needs to wait for nothing: it is answered without a coroutine.
using QuickHandler = std::function<Result<std::string>(const Call&)>;
/// For an action that answers in parts: sends each with `co_await answer.send(part)`, and ends by returning.
/// No part leaves once the call is not permitted any more: `send` fails then, and the handler is cancelled.
using StreamHandler = std::function<Task<>(const Call&, streaming::Writer& answer)>;

struct Enforcement {
  std::uint64_t allowed = 0, denied = 0;
  std::uint64_t cut = 0;         ///< uses that were allowed, and stopped on the way
  std::uint64_t unrecorded = 0;  ///< refusals that there was no room to record: the platform took nothing
};

class Mate {
 public:
  /// `description.mate_id` may be left out: it is the identity of the API key. `nats.subjects` is filled in,
  /// and so are the purposes of its actions where `data_access` is left out.
  Mate(asio::any_io_executor executor, ClientOptions options, registry::Mate description);
  ~Mate();

  /// Offers `<capability>.<action>` (and, as a short form, `<action>`). Before `start`.
  void on(Capability capability, std::string action, DataUse use, ActionHandler handler);
  void on(Capability capability, std::string action, DataUse use, QuickHandler handler);
  void on(Capability capability, std::string action, DataUse use, StreamHandler handler);
  /// Connects, fills the enforcement point, registers, answers from then on; heartbeats by itself.
  Task<> start(SteadyTime deadline);
  /// Deregisters, finishes what is in flight, closes.
  Task<> stop(SteadyTime deadline);

  Client& client();
  const Enforcement& enforcement() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::sdk
