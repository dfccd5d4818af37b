#include "tests/nats/cluster.hpp"

namespace intra365::testing {

NatsCluster::NatsCluster() {
  for (std::size_t from = 0; from < kNodes; ++from) {
    for (std::size_t to = 0; to < kNodes; ++to) {
      if (from != to) routes_[from][to] = std::make_unique<TcpProxy>(route_ports_[to].number());
    }
  }
  for (std::size_t i = 0; i < kNodes; ++i) {
    nodes_[i] = std::make_unique<NatsServer>(config(i));
    fronts_[i] = std::make_unique<TcpProxy>(nodes_[i]->port());
  }
}

std::string NatsCluster::config(std::size_t index) const {
  const auto name = "n" + std::to_string(index);
  std::string routes;
  for (std::size_t to = 0; to < kNodes; ++to) {
    if (to != index)
      routes += "\"nats-route://127.0.0.1:" + std::to_string(routes_[index][to]->port()) + "\", ";
  }
  // Nodes advertise an address where nobody is, so that every route goes through a proxy.
  return "server_name: " + name +
         "\njetstream { store_dir: $STORE_DIR }\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: "
         "\"10ms\"\n" +
         "cluster { name: faults, listen: \"127.0.0.1:" + route_ports_[index].text() +
         "\", advertise: \"127.0.0.1:1\", no_advertise: true, routes: [" + routes + "] }\n";
}

std::vector<std::string> NatsCluster::urls() const {
  std::vector<std::string> urls;
  for (const auto& front : fronts_) urls.push_back(front->url());
  return urls;
}

template <class Visit>
void NatsCluster::around(std::size_t index, Visit visit) {
  visit(*fronts_[index]);
  for (std::size_t other = 0; other < kNodes; ++other) {
    if (other == index) continue;
    visit(*routes_[index][other]);
    visit(*routes_[other][index]);
  }
}

void NatsCluster::isolate(std::size_t index) {
  around(index, [](TcpProxy& proxy) { proxy.block(); });
}
void NatsCluster::rejoin(std::size_t index) {
  around(index, [](TcpProxy& proxy) { proxy.unblock(); });
}

}  // namespace intra365::testing
