#include "bench/report.hpp"

#include <unistd.h>

#include <boost/json/serialize.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

namespace intra365::bench {
namespace {

/// The fields of /proc/<pid>/stat behind the name in parentheses.
std::vector<std::string> stat_fields(const std::string& pid, std::string& name) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  std::getline(file, line);
  const auto open = line.find('('), close = line.rfind(')');
  if (close == std::string::npos) return {};
  name = line.substr(open + 1, close - open - 1);
  std::istringstream rest(line.substr(close + 2));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

void Report::add(Row row) {
  if (row.aim) row.meets = row.better == "higher" ? row.ours >= *row.aim : row.ours <= *row.aim;
  rows.push_back(std::move(row));
}

void Report::print(bool as_json) const {
  if (as_json) {
    auto document = json::to_value(*this);
    for (auto& row : document.at("rows").as_array()) {
      for (const auto* always : {"aim", "meets"}) row.as_object().emplace(always, nullptr);
    }
    std::cout << boost::json::serialize(document) << std::endl;
    return;
  }
  std::printf("%s on %s\n%-28s %14s %-9s  %s\n", bench.c_str(), machine.c_str(), "", "ours", "unit",
              "peers, aim");
  for (const auto& row : rows) {
    std::printf("%-28s %14.1f %-9s", row.id.c_str(), row.ours, row.unit.c_str());
    for (const auto& [name, value] : row.peers)
      std::printf("  %s %.1f (%.2fx)", name.c_str(), value, row.ours / value);
    if (row.aim)
      std::printf("  aim %s %.1f: %s", row.better == "higher" ? ">=" : "<=", *row.aim,
                  row.meets.value_or(false) ? "met" : "missed");
    std::printf("\n");
  }
}

std::string machine() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name"))
      return std::to_string(std::thread::hardware_concurrency()) + " x " + line.substr(line.find(':') + 2);
  }
  return std::to_string(std::thread::hardware_concurrency()) + " cores";
}

double cpu_us(int pid) {
  std::string name;
  const auto fields = stat_fields(std::to_string(pid), name);
  if (fields.size() < 13) return 0;
  return (std::stod(fields[11]) + std::stod(fields[12])) * 1e6 / double(::sysconf(_SC_CLK_TCK));
}

std::map<std::string, int> children(int parent) {
  std::map<std::string, int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string name;
    const auto fields = stat_fields(pid, name);
    if (fields.size() > 1 && fields[1] == std::to_string(parent)) found[name] = std::stoi(pid);
  }
  return found;
}

}  // namespace intra365::bench
