// The other engines of the policy benchmark: programs of their own languages, each run on the same file.
#pragma once
#include <optional>
#include <string>

#include "bench/policy_workload.hpp"

namespace intra365::bench {

/// What a peer measured, as it prints it.
struct PeerResult {
  double p50 = 0, p99 = 0;  ///< ns of one decision
  double throughput = 0;    ///< decisions a second
  double compile_ms = 0;    ///< from its own source form to ready
  std::size_t allowed = 0;  ///< of the questions
  bool complete = false;    ///< every question was asked; otherwise a minute was not enough
};
BOOST_DESCRIBE_STRUCT(PeerResult, (), (p50, p99, throughput, compile_ms, allowed, complete))

/// Builds the peers whose toolchains are here; says on stderr which are not.
void build_peers();
/// A workload in a file that goes with the object.
class WorkloadFile {
 public:
  explicit WorkloadFile(const Workload& workload);
  ~WorkloadFile();
  WorkloadFile(const WorkloadFile&) = delete;
  WorkloadFile& operator=(const WorkloadFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};
/// None when the peer is not built, or has failed, which is said on stderr. Peers: cedar, casbin, opa.
std::optional<PeerResult> run_peer(const std::string& name, const WorkloadFile& file, double seconds);
/// The answers of Cedar to every question, '0' or '1'; none where it is not built.
std::optional<std::string> cedar_answers(const WorkloadFile& file);

}  // namespace intra365::bench
