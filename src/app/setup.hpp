// `intra365 setup`: fetches nats-server, PostgreSQL and Swagger UI to where `up` looks for them, for machines
// without the source tree. Never done by a running server.
#pragma once

namespace intra365::app {

/// Shows progress on stderr; returns the exit code.
int setup();

}  // namespace intra365::app
