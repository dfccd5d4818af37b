// The key-value bucket `mates`: who is registered, for whoever wants to watch it. It follows the tables
// through the change stream, so it is never behind a crash and never ahead of a commit.
//
//   <tenant>.<mate>               {"mateId","name","type","version","status","revision"}
//   <tenant>.<mate>.<capability>  {"mateId","capability"}: watch `<tenant>.*.<capability>` for all who have
//   it
#pragma once
#include "cdc/projection.hpp"

namespace intra365::services::registry {

cdc::ProjectionOptions bucket_options();

/// The entry of a row of `mates` or `mate_capabilities`. Pure.
std::optional<nats::KeyValue::Change> entry_of(const cdc::ProjectedRow& row);

}  // namespace intra365::services::registry
