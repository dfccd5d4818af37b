#include "bench/nats_natsc.hpp"

#ifdef INTRA365_HAS_NATSC
#include <nats/nats.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace intra365::bench {
namespace {

void must(natsStatus status, const char* what) {
  if (status == NATS_OK) return;
  std::fprintf(stderr, "nats.c: %s: %s\n", what, natsStatus_GetText(status));
  std::_Exit(1);
}

/// Buffered writes: for a stream of messages the best of its options.
natsConnection* connect(const std::string& url) {
  natsOptions* options = nullptr;
  must(natsOptions_Create(&options), "options");
  must(natsOptions_SetURL(options, url.c_str()), "url");
  must(natsOptions_SetMaxPendingMsgs(options, 10'000'000), "pending");
  natsConnection* connection = nullptr;
  must(natsConnection_Connect(&connection, options), "connect");
  natsOptions_Destroy(options);
  return connection;
}

}  // namespace

void natsc_publish(const std::string& url, const std::string& subject, std::uint64_t count,
                   std::size_t size) {
  auto* connection = connect(url);
  const std::vector<char> payload(size, 'x');
  for (std::uint64_t i = 0; i < count; ++i)
    must(natsConnection_Publish(connection, subject.c_str(), payload.data(), int(size)), "publish");
  must(natsConnection_FlushTimeout(connection, 60'000), "flush");
  natsConnection_Destroy(connection);
}

void natsc_receive(const std::string& url, const std::string& subject, std::uint64_t count, int ready_fd) {
  auto* connection = connect(url);
  std::atomic<std::uint64_t> received{0};
  natsSubscription* subscription = nullptr;
  const auto on_message = [](natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    natsMsg_Destroy(message);
    static_cast<std::atomic<std::uint64_t>*>(closure)->fetch_add(1, std::memory_order_relaxed);
  };
  must(natsConnection_Subscribe(&subscription, connection, subject.c_str(), on_message, &received),
       "subscribe");
  must(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
  must(natsConnection_Flush(connection), "flush");
  if (::write(ready_fd, "r", 1) != 1) std::_Exit(1);
  while (received < count) ::usleep(200);
  natsSubscription_Destroy(subscription);
  natsConnection_Destroy(connection);
}

void natsc_consume(const std::string& url, const std::string& stream, const std::string& consumer,
                   std::uint64_t count) {
  auto* connection = connect(url);
  jsCtx* jetstream = nullptr;
  must(natsConnection_JetStream(&jetstream, connection, nullptr), "jetstream");
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Stream = stream.c_str();
  options.Consumer = consumer.c_str();
  natsSubscription* subscription = nullptr;
  must(js_PullSubscribe(&subscription, jetstream, "", nullptr, nullptr, &options, nullptr), "pull subscribe");
  for (std::uint64_t received = 0; received < count;) {
    natsMsgList list;
    must(natsSubscription_Fetch(&list, subscription, 1000, 5000, nullptr), "fetch");
    received += static_cast<std::uint64_t>(list.Count);
    natsMsgList_Destroy(&list);
  }
  natsSubscription_Destroy(subscription);
  jsCtx_Destroy(jetstream);
  natsConnection_Destroy(connection);
}

}  // namespace intra365::bench
#else
#include <cstdlib>
namespace intra365::bench {
void natsc_publish(const std::string&, const std::string&, std::uint64_t, std::size_t) {
  std::abort();
}
void natsc_receive(const std::string&, const std::string&, std::uint64_t, int) {
  std::abort();
}
void natsc_consume(const std::string&, const std::string&, const std::string&, std::uint64_t) {
  std::abort();
}
}  // namespace intra365::bench
#endif
