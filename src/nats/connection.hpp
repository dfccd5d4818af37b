// One connection to NATS, for one shard. Asio-native: no threads of its own, no locks; everything happens on
// the executor it was made with. Writes of one loop turn leave together; received messages are handed over
// as views into the read buffer.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.hpp"
#include "nats/errors.hpp"
#include "nats/message.hpp"

namespace intra365::nats {

/// Proof of identity for one connection attempt. Fill what applies.
struct Credentials {
  std::string user, pass;
  std::string token;
  std::string jwt;        ///< user JWT; with `nkey_seed` to sign the server's nonce
  std::string nkey_seed;  ///< alone: nkey authentication
};

struct TlsOptions {
  bool required = false;
  bool first = false;                      ///< handshake before INFO
  std::string ca_file;                     ///< PEM; empty: the system's trust store
  std::string certificate_file, key_file;  ///< mutual TLS
  std::string server_name;                 ///< empty: the host of the URL
};

/// What `publish` does while the connection is being re-established.
enum class WhileDisconnected : std::uint8_t {
  fail,  ///< `nats.disconnected`: the caller knows at once
  hold,  ///< keeps up to `max_held_bytes` and sends them, in order, when connected again; then
         ///< nats.buffer_full
};

struct Options {
  std::vector<std::string> urls = {"nats://127.0.0.1:4222"};  ///< nats:// or tls://, host:port
  /// Tries the servers in random order, so that clients spread over a cluster.
  bool randomize_urls = true;
  /// Tries the servers that the cluster names, too, behind those configured.
  bool use_discovered = true;
  std::string name = "intra365";
  /// Asked before every attempt, so that an expiring credential can be renewed. A failure counts as a
  /// failed attempt and is retried; it never ends the connection.
  std::function<Task<Credentials>()> credentials;
  TlsOptions tls;
  std::string inbox_prefix = "_INBOX";
  /// Of one attempt, login included; longer than a server waits for its auth callout.
  std::chrono::milliseconds connect_timeout{8000};
  std::chrono::milliseconds ping_interval{20000};
  int max_pings_out = 2;
  std::chrono::milliseconds reconnect_wait{50};        ///< first pause; doubles with full jitter …
  std::chrono::milliseconds reconnect_wait_max{2000};  ///< … up to this
  bool reconnect = true;
  WhileDisconnected while_disconnected = WhileDisconnected::fail;
  std::size_t max_held_bytes = 8u << 20;
  std::size_t max_pending_bytes = 8u << 20;   ///< written but not yet taken by the socket
  std::size_t max_line_bytes = 64u << 10;     ///< longest control line (INFO)
  std::size_t max_message_bytes = 64u << 20;  ///< largest HMSG/MSG accepted whatever the server says
  std::size_t max_requests_in_flight = 65536;
  bool no_echo = false;
  /// What happened: connected, disconnected, reconnected, failed, lame_duck, discovered, slow_consumer, lost,
  /// closed, error (a text of the server's). For logs and metrics.
  std::function<void(std::string_view event, std::string_view detail)> on_event;
};

struct Statistics {
  std::uint64_t in_messages = 0, in_bytes = 0, out_messages = 0, out_bytes = 0, reconnects = 0, dropped = 0;
  std::uint64_t connect_attempts = 0, server_errors = 0;
};

/// What the server said of itself in INFO.
struct ServerInfo {
  std::string server_id, server_name, version, nonce;
  std::size_t max_payload = 1 << 20;
  bool headers = false, tls_required = false, tls_available = false, auth_required = false, jetstream = false,
       lame_duck = false;
  std::uint64_t client_id = 0;
  std::vector<std::string> connect_urls;
};

class Connection;

/// A subscription ends when this handle goes. Movable.
class Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();
  /// Stops at once.
  void unsubscribe();
  /// Tells the server to stop, waits until what was under way has been delivered, then ends.
  Task<> drain();
  /// The server ends it after `count` messages in all.
  void unsubscribe_after(std::uint64_t count);
  /// False for an empty handle: never subscribed, moved from, or unsubscribed through it.
  explicit operator bool() const { return id_ != 0; }
  std::uint64_t id() const { return id_; }
  /// Messages handed over so far.
  std::uint64_t delivered() const;

 private:
  friend class Connection;
  std::weak_ptr<void> impl_;
  std::uint64_t id_ = 0;
};

using Handler = std::move_only_function<void(const MessageView&)>;

/// A bounded queue between a subscription and one coroutine that takes messages in order.
class MessageQueue;

class Connection {
 public:
  Connection(asio::any_io_executor executor, Options options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Connects and keeps connected from then on. Fails when the first connection cannot be made by `deadline`,
  /// at once when the server refuses the credentials, when they or a URL are malformed, and when TLS does not
  /// hold; it may be called again then. While the connection is being re-established, waits for that.
  Task<> connect(SteadyTime deadline);

  /// Queues a message; it leaves with this loop turn. Payload and headers are copied once, into the write
  /// buffer. Fails with closed, disconnected, too_large, bad_subject or buffer_full.
  Result<void> publish(std::string_view subject, std::string_view payload,
                       const HeaderBlock& headers = no_headers, std::string_view reply = {});

  /// What `publish` would fail with now, without sending anything.
  Result<void> can_publish(std::string_view subject, std::string_view payload,
                           const HeaderBlock& headers = no_headers) const;

  /// Waits until less than half of `max_pending_bytes` waits to be sent: what a publisher does that was told
  /// nats.buffer_full. Fails like `flush`, but costs no round trip.
  Task<> writable(SteadyTime deadline);

  /// `handler` runs on the executor for every message, in order; the view is valid during the call only.
  /// Subscriptions come back by themselves after a reconnect.
  Result<Subscription> subscribe(std::string_view subject, Handler handler,
                                 std::string_view queue_group = {});

  /// One reply or an error. Requests share one wildcard inbox. A 503 becomes `nats.no_responders`; other
  /// errors are those of `publish`, timeout, permission, too_many_requests and cancelled. The request is
  /// sent when the task is awaited or spawned: until then the texts and headers must live.
  Task<Message> request(std::string_view subject, std::string_view payload, const HeaderBlock& headers,
                        SteadyTime deadline);
  /// The same without a coroutine frame, for the hot path: `done` is called exactly once.
  using ReplyHandler = std::move_only_function<void(Result<MessageView>)>;
  void async_request(std::string_view subject, std::string_view payload, const HeaderBlock& headers,
                     SteadyTime deadline, ReplyHandler done);
  /// Gathers replies until `max` came, none came for `stall`, or `deadline` passed. No responders: empty.
  Task<std::vector<Message>> request_many(std::string_view subject, std::string_view payload,
                                          const HeaderBlock& headers, SteadyTime deadline, std::size_t max,
                                          std::chrono::milliseconds stall);

  /// Everything published before is at the server when this returns (PING/PONG round trip).
  Task<> flush(SteadyTime deadline);
  /// How long a PING takes to come back as PONG, behind everything that is waiting to be sent.
  Task<std::chrono::nanoseconds> round_trip(SteadyTime deadline);
  /// Unsubscribes everything, delivers what is under way, flushes, closes.
  Task<> drain(SteadyTime deadline);
  void close();

  bool connected() const;
  /// Of the server we are connected to, or were last.
  const std::string& url() const;
  /// What is waiting to be sent, held while disconnected or not yet taken by the socket.
  std::size_t pending_bytes() const;
  const ServerInfo& server() const;
  const Statistics& statistics() const;
  /// A subject of our inbox that nobody else can guess.
  std::string new_inbox();
  asio::any_io_executor executor() const;

 private:
  friend class Subscription;
  friend class MessageQueue;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// True when `text` is a literal subject that may be published to.
bool is_publish_subject(std::string_view text);
/// True when `text` may be subscribed to: wildcards `*` as whole tokens and `>` as the last.
bool is_subscribe_subject(std::string_view text);
/// True when the subscription subject `pattern` covers the literal `subject`.
bool matches(std::string_view pattern, std::string_view subject);

}  // namespace intra365::nats
