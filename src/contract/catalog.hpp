// Every operation there is. The only list of them: documents, routes and permissions are made from it.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "contract/operation.hpp"

namespace intra365 {

std::span<const OperationInfo> catalog();

/// The operation with this NATS subject, or nullptr.
const OperationInfo* find_operation(std::string_view subject);

/// The services that have operations, each once: `registry` of `intra365.registry.discover`. A tenant's
/// account imports `intra365.<service>.>` of each.
std::vector<std::string_view> service_names();

}  // namespace intra365
