// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace envdial::inject {

// A socket that listens at the path `path`, with exactly `rights` whatever the umask is. It is made under another name
// in the same directory and renamed, so that the name never shows a socket with other rights or one that refuses, and a
// stale one needs no removing. kInvalid if the path is empty or longer than a socket's name may be, kDenied, kNotFound,
// kIo.
base::Result<base::UniqueFd> ListenOnPath(const std::string& path, const base::FileRights& rights);

// A socket that listens on "ADDR:PORT" with a literal address: "127.0.0.1:9102", "[::1]:9102", ":9102" (IPv4 and IPv6).
// Port 0 takes a free one. kInvalid, kDenied, kIo.
base::Result<base::UniqueFd> ListenOnAddress(const std::string& address);

}  // namespace envdial::inject
