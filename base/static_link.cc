// SPDX-License-Identifier: Apache-2.0
// What takes the place of a library's own function in the static program (CMake option ENVDIAL_STATIC).
#include <cstdint>

extern "C" {

// libcurl initialises OpenSSL when it starts, which costs 0.7 MB of memory also where no address is https. It does so
// without kLoadSslStrings; OpenSSL itself calls it with that when the first context is made, which is early enough for
// us: libcurl's options concern engines and the configuration file, neither of which is compiled in.
constexpr std::uint64_t kLoadSslStrings = 0x00200000;  // OPENSSL_INIT_LOAD_SSL_STRINGS
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names (ld --wrap)
int __real_OPENSSL_init_ssl(std::uint64_t options, const void* settings);
int __wrap_OPENSSL_init_ssl(std::uint64_t options, const void* settings) {
  return (options & kLoadSslStrings) != 0 ? __real_OPENSSL_init_ssl(options, settings) : 1;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
}
