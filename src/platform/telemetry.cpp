#include "platform/telemetry.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "base/time.hpp"

namespace intra365::platform {
namespace {

/// Seconds; from the cost of an in-memory answer to the longest deadline.
const prometheus::Histogram::BucketBoundaries kDurations{.0001, .00025, .0005, .001, .0025, .005, .01, .025,
                                                         .05,   .1,     .25,   .5,   1,     2.5,  5};

prometheus::Labels labels_of(std::vector<std::pair<std::string, std::string>>& pairs) {
  return {std::make_move_iterator(pairs.begin()), std::make_move_iterator(pairs.end())};
}

std::string prefixed(std::string_view name) {
  return "intra365_" + std::string(name);
}

}  // namespace

struct Log::Impl {
  std::shared_ptr<spdlog::logger> logger;
  LogLevel lowest;
};

Log::Log(const std::string& file, LogLevel lowest) : impl_(std::make_unique<Impl>()) {
  spdlog::sink_ptr sink;
  if (file.empty())
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  else
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
  impl_->logger = std::make_shared<spdlog::logger>("intra365", std::move(sink));
  impl_->logger->set_pattern("%v");
  impl_->logger->flush_on(spdlog::level::info);
  impl_->lowest = lowest;
}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < impl_->lowest) return;
  constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  boost::json::object line{{"time", format_rfc3339(system_clock().now())},
                           {"level", names[static_cast<int>(level)]},
                           {"message", message}};
  for (const auto& [name, value] : fields) line[name] = value;
  impl_->logger->info("{}", boost::json::serialize(line));
}

void OperationMetrics::finished(std::chrono::nanoseconds duration, const Error* error) {
  (error == nullptr ? ok_ : failed_[static_cast<std::size_t>(error->kind)])->Increment();
  duration_->Observe(std::chrono::duration<double>(duration).count());
}

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {}
Metrics::~Metrics() = default;

OperationMetrics Metrics::operation(const OperationSpec& spec) {
  const std::string name(spec.name());
  OperationMetrics metrics;
  metrics.ok_ = &counter("operations_total", "Operations answered, by outcome.",
                         {{"operation", name}, {"outcome", "ok"}});
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::internal); ++kind) {
    metrics.failed_.push_back(
        &counter("operations_total", "Operations answered, by outcome.",
                 {{"operation", name}, {"outcome", std::string(to_string(static_cast<ErrorKind>(kind)))}}));
  }
  metrics.duration_ = &histogram("operation_duration_seconds", "Time from a request's arrival to its answer.",
                                 {{"operation", name}});
  return metrics;
}

prometheus::Counter& Metrics::counter(std::string_view name, std::string_view help,
                                      std::vector<std::pair<std::string, std::string>> labels) {
  return prometheus::BuildCounter()
      .Name(prefixed(name))
      .Help(std::string(help))
      .Register(*registry_)
      .Add(labels_of(labels));
}

prometheus::Gauge& Metrics::gauge(std::string_view name, std::string_view help,
                                  std::vector<std::pair<std::string, std::string>> labels) {
  return prometheus::BuildGauge()
      .Name(prefixed(name))
      .Help(std::string(help))
      .Register(*registry_)
      .Add(labels_of(labels));
}

prometheus::Histogram& Metrics::histogram(std::string_view name, std::string_view help,
                                          std::vector<std::pair<std::string, std::string>> labels) {
  return prometheus::BuildHistogram()
      .Name(prefixed(name))
      .Help(std::string(help))
      .Register(*registry_)
      .Add(labels_of(labels), kDurations);
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

std::vector<std::array<std::string, 3>> Metrics::families() const {
  std::vector<std::array<std::string, 3>> families;
  for (const auto& family : registry_->Collect()) {
    const auto* type = family.type == prometheus::MetricType::Counter ? "counter"
                       : family.type == prometheus::MetricType::Gauge ? "gauge"
                                                                      : "histogram";
    families.push_back({family.name, type, family.help});
  }
  std::ranges::sort(families);
  return families;
}

}  // namespace intra365::platform
