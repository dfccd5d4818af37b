// What every whole-system benchmark prints: a table for people, or one JSON object as the last line.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "json/json.hpp"

namespace intra365::bench {

struct Row {
  std::string id, unit;
  std::string better;  ///< `higher` or `lower`
  double ours = 0;
  std::map<std::string, double> peers;
  std::optional<double> aim;
  std::optional<bool> meets;
};
BOOST_DESCRIBE_STRUCT(Row, (), (id, unit, better, ours, peers, aim, meets))

struct Report {
  std::string bench, machine;
  std::vector<Row> rows;
  void add(Row row);
  void print(bool as_json) const;
};
BOOST_DESCRIBE_STRUCT(Report, (), (bench, machine, rows))

/// Cores and processor of this machine.
std::string machine();

/// User and system time a process has used so far, in microseconds; 0 when it is gone.
double cpu_us(int pid);

/// Processes started by `pid`, by name.
std::map<std::string, int> children(int pid);

}  // namespace intra365::bench
