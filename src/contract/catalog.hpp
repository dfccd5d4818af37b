// Every operation there is. The only list of them: documents, routes and permissions are made from it.
#pragma once
#include <span>

#include "contract/operation.hpp"

namespace intra365 {

std::span<const OperationInfo> catalog();

/// The operation with this NATS subject, or nullptr.
const OperationInfo* find_operation(std::string_view subject);

}  // namespace intra365
