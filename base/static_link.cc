// SPDX-License-Identifier: Apache-2.0
// What takes the place of a library's own function in the static program (CMake option ENVDIAL_STATIC).
#include <netdb.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string_view>

extern "C" {
// The names are the linker's (ld --wrap), the parameters the functions' own.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming,readability-function-size)

// libcurl initialises OpenSSL when it starts, which costs 0.7 MB of memory also where no address is https. It does so
// without kLoadSslStrings; OpenSSL itself calls it with that when the first context is made, which is early enough for
// us: libcurl's options concern engines and the configuration file, neither of which is compiled in.
constexpr std::uint64_t kLoadSslStrings = 0x00200000;  // OPENSSL_INIT_LOAD_SSL_STRINGS
int __real_OPENSSL_init_ssl(std::uint64_t options, const void* settings);
int __wrap_OPENSSL_init_ssl(std::uint64_t options, const void* settings) {
  return (options & kLoadSslStrings) != 0 ? __real_OPENSSL_init_ssl(options, settings) : 1;
}

// The C library's name services are 120 kB, and would load plug-ins of the host's C library at run time. We resolve
// names by c-ares and write ports as numbers; the libraries, too, are given addresses only.
int __wrap_getaddrinfo(const char* /*node*/, const char* /*service*/, const addrinfo* /*hints*/, addrinfo** /*found*/) {
  return EAI_NONAME;
}
void __wrap_freeaddrinfo(addrinfo* /*address*/) {}
int __wrap_getnameinfo(const sockaddr* /*address*/, socklen_t /*size*/, char* /*node*/, socklen_t /*node_size*/,
                       char* /*service*/, socklen_t /*service_size*/, int /*flags*/) {
  return EAI_NONAME;
}
protoent* __wrap_getprotobynumber(int /*number*/) { return nullptr; }
servent* __wrap_getservbyname(const char* /*name*/, const char* /*protocol*/) { return nullptr; }
int __wrap_getservbyport_r(int /*port*/, const char* /*protocol*/, servent* /*service*/, char* /*buffer*/,
                           std::size_t /*size*/, servent** found) {
  *found = nullptr;
  return ENOENT;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming,readability-function-size)
}

namespace {

// libstdc++'s own handler also tells the type of what was thrown, for which it needs 50 kB to demangle its name.
[[noreturn]] void TellAndAbort() {
  std::string_view what = "nothing was thrown";
  try {
    if (std::current_exception() != nullptr) std::rethrow_exception(std::current_exception());
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {
    what = "something was thrown that is no std::exception";
  }
  for (const std::string_view part : {std::string_view("terminate called: "), what, std::string_view("\n")}) {
    if (::write(STDERR_FILENO, part.data(), part.size()) < 0) break;
  }
  std::abort();
}

}  // namespace

// In place of libstdc++'s variable of that name, so that its handler is not linked.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
namespace __cxxabiv1 {
extern std::terminate_handler __terminate_handler;
std::terminate_handler __terminate_handler = TellAndAbort;
}  // namespace __cxxabiv1
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
