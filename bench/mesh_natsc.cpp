#include "bench/mesh_natsc.hpp"

#ifdef INTRA365_HAS_NATSC
#include <nats/nats.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace intra365::bench {
namespace {

using Clock = std::chrono::steady_clock;

void must(natsStatus status, const char* what) {
  if (status == NATS_OK) return;
  std::fprintf(stderr, "nats.c: %s: %s\n", what, natsStatus_GetText(status));
  std::_Exit(1);
}

natsConnection* connect(const NatscLogin& login) {
  natsOptions* options = nullptr;
  must(natsOptions_Create(&options), "options");
  must(natsOptions_SetURL(options, login.url.c_str()), "url");
  must(natsOptions_SetUserInfo(options, login.user.c_str(), login.pass.c_str()), "user");
  must(natsOptions_SetSendAsap(options, true),
       "send asap");  // without it every reply waits 1 ms for the flusher
  natsConnection* connection = nullptr;
  must(natsConnection_Connect(&connection, options), "connect");
  natsOptions_Destroy(options);
  return connection;
}

struct Load {
  natsConnection* connection = nullptr;
  std::string subject, payload, inbox;
  std::vector<Clock::time_point> sent;
  std::vector<float> latencies;
  std::atomic<bool> running{true};
  std::atomic<int> under_way{0};

  void send(std::size_t slot) {
    sent[slot] = Clock::now();
    const auto reply = inbox + "." + std::to_string(slot);
    natsConnection_PublishRequest(connection, subject.c_str(), reply.c_str(), payload.data(),
                                  int(payload.size()));
  }
};

void on_reply(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  auto& load = *static_cast<Load*>(closure);
  const auto slot = std::size_t(std::atoi(natsMsg_GetSubject(message) + load.inbox.size() + 1));
  natsMsg_Destroy(message);
  load.latencies.push_back(std::chrono::duration<float, std::micro>(Clock::now() - load.sent[slot]).count());
  if (load.running)
    load.send(slot);
  else
    --load.under_way;
}

void on_request(natsConnection* connection, natsSubscription*, natsMsg* message, void*) {
  natsConnection_Publish(connection, natsMsg_GetReply(message), natsMsg_GetData(message),
                         natsMsg_GetDataLength(message));
  natsMsg_Destroy(message);
}

}  // namespace

bool has_natsc() {
  return true;
}

void natsc_respond(const NatscLogin& login, const std::string& subject) {
  auto* connection = connect(login);
  natsSubscription* subscription = nullptr;
  must(natsConnection_Subscribe(&subscription, connection, subject.c_str(), on_request, nullptr),
       "subscribe");
  must(natsConnection_Flush(connection), "flush");
  for (;;) ::pause();
}

std::vector<float> natsc_request(const NatscLogin& login, const std::string& subject, int in_flight,
                                 double seconds, const std::string& payload) {
  Load load;
  load.connection = connect(login);
  load.subject = subject;
  load.payload = payload;
  load.inbox = login.inbox_prefix + ".bench";
  load.sent.resize(std::size_t(in_flight));
  load.latencies.reserve(4'000'000);
  load.under_way = in_flight;
  natsSubscription* subscription = nullptr;
  must(natsConnection_Subscribe(&subscription, load.connection, (load.inbox + ".*").c_str(), on_reply, &load),
       "subscribe");
  must(natsConnection_Flush(load.connection), "flush");
  for (int slot = 0; slot < in_flight; ++slot) load.send(std::size_t(slot));
  nats_Sleep(std::int64_t(seconds * 1000));
  load.running = false;
  for (int i = 0; i < 1000 && load.under_way > 0; ++i) nats_Sleep(1);
  natsSubscription_Destroy(subscription);
  natsConnection_Destroy(load.connection);
  return load.latencies;
}

}  // namespace intra365::bench
#else
#include <cstdlib>
namespace intra365::bench {
bool has_natsc() {
  return false;
}
void natsc_respond(const NatscLogin&, const std::string&) {
  std::abort();
}
std::vector<float> natsc_request(const NatscLogin&, const std::string&, int, double, const std::string&) {
  std::abort();
}
}  // namespace intra365::bench
#endif
