// SPDX-License-Identifier: Apache-2.0
#include <envdial.hpp>

extern "C" int wait_in_cpp(envdial_dials* dials);

int wait_in_cpp(envdial_dials* dials) { return envdial_wait(dials, envdial_version(dials), 0); }
