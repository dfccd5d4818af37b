// A JetStream cluster of three nodes on loopback, with a proxy in front of every node for clients, and one
// between every two nodes.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/nats/proxy.hpp"
#include "tests/support/servers.hpp"

namespace intra365::testing {

class NatsCluster {
 public:
  static constexpr std::size_t kNodes = 3;

  NatsCluster();
  NatsServer& node(std::size_t index) { return *nodes_[index]; }
  TcpProxy& front(std::size_t index) { return *fronts_[index]; }
  /// The clients' way to the cluster.
  std::vector<std::string> urls() const;
  /// Cuts a node off from the others and from the clients, without either side being told.
  void isolate(std::size_t index);
  void rejoin(std::size_t index);

 private:
  std::string config(std::size_t index) const;
  template <class Visit>
  void around(std::size_t index, Visit visit);

  std::array<Port, kNodes> route_ports_;
  /// [from][to]: what node `from` uses as the address of node `to`.
  std::array<std::array<std::unique_ptr<TcpProxy>, kNodes>, kNodes> routes_;
  std::array<std::unique_ptr<NatsServer>, kNodes> nodes_;
  std::array<std::unique_ptr<TcpProxy>, kNodes> fronts_;
};

}  // namespace intra365::testing
