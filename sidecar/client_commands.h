// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sidecar/options.h"

namespace envdial::sidecar {

// The short-lived commands that ask the sidecar of a run directory. Each prints its answer on stdout, what went wrong
// on stderr, and returns the exit code of the plan.
int Get(const CommandLine& line);
int Status(const CommandLine& line);
int Probe(const CommandLine& line);
// Prints every value and then each change, and goes on when the sidecar is restarted; ends when it cannot print.
int Watch(const CommandLine& line);

// `envdial check`: needs no sidecar.
int Check(const CommandLine& line);

}  // namespace envdial::sidecar
