// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"
#include "consul/options.h"

namespace envdial::sidecar {

// Fills `options` from the variables that Consul's own command line reads: CONSUL_HTTP_ADDR (only where no address
// was given by flag), CONSUL_HTTP_SSL (addresses without TLS are then asked over it), CONSUL_HTTP_SSL_VERIFY,
// CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME, CONSUL_HTTP_TOKEN,
// CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_AUTH, CONSUL_NAMESPACE, CONSUL_PARTITION. No file is read yet. kInvalid, with
// what was expected, for what can't be meant: a connection must never be less protected than was asked for.
base::Result<void> ApplyConsulEnvironment(consul::Options& options);

}  // namespace envdial::sidecar
