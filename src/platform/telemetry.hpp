// What the platform says about itself: JSON lines with correlation ids, and Prometheus metrics.
#pragma once
#include <array>
#include <boost/json/value.hpp>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contract/operation.hpp"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace intra365::platform {

enum class LogLevel { debug, info, warning, error };

/// A name and a value of any kind JSON has.
struct LogField {
  std::string_view name;
  boost::json::value value;

  template <class T>
  LogField(std::string_view name, const T& content) : name(name) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>)
      value = std::string_view(content);
    else
      value = content;
  }
};

/// One JSON line: time, level, message, then the fields. Thread-safe. Never give it secrets or payloads.
class Log {
 public:
  /// `file` empty: standard error.
  explicit Log(const std::string& file = {}, LogLevel lowest = LogLevel::info);
  ~Log();
  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Metrics of one operation, looked up once.
class OperationMetrics {
 public:
  void finished(std::chrono::nanoseconds duration, const Error* error);

 private:
  friend class Metrics;
  prometheus::Counter* ok_ = nullptr;
  std::vector<prometheus::Counter*> failed_;  ///< by ErrorKind
  prometheus::Histogram* duration_ = nullptr;
};

/// The process's metrics. Names begin with `intra365_`; labels are templates and classes, never ids.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  OperationMetrics operation(const OperationSpec& spec);
  /// `name` without the prefix. Keep the reference: a look-up costs more than the increment.
  prometheus::Counter& counter(std::string_view name, std::string_view help,
                               std::vector<std::pair<std::string, std::string>> labels = {});
  prometheus::Gauge& gauge(std::string_view name, std::string_view help,
                           std::vector<std::pair<std::string, std::string>> labels = {});
  prometheus::Histogram& histogram(std::string_view name, std::string_view help,
                                   std::vector<std::pair<std::string, std::string>> labels = {});
  /// Prometheus text format 0.0.4.
  std::string text() const;
  /// Name, type and help of every family, sorted: docs/generated/metrics.md.
  std::vector<std::array<std::string, 3>> families() const;

 private:
  std::shared_ptr<prometheus::Registry> registry_;
};

struct Telemetry {
  Log& log;
  Metrics& metrics;
};

}  // namespace intra365::platform
