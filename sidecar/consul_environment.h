// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "consul/options.h"

namespace envdial::sidecar {

// Fills `options` from the variables that Consul's own command line reads: CONSUL_HTTP_ADDR (only where no address
// was given by flag), CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_NAMESPACE, CONSUL_PARTITION. A variable that
// asks for what this version can't do (CONSUL_HTTP_SSL, CONSUL_HTTP_AUTH) is kInvalid rather than ignored: a
// connection must never be less protected than was asked for.
base::Result<void> ApplyConsulEnvironment(consul::Options& options);

}  // namespace envdial::sidecar
