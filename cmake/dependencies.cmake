# SPDX-License-Identifier: Apache-2.0
# Every third party, found once. Which room is the home of each: docs/dependencies.md.
find_package(PkgConfig REQUIRED)
if(ENVDIAL_STATIC)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  set(PKG_CONFIG_ARGN --static)  # also names what the libraries need in turn
endif()
pkg_check_modules(libevent REQUIRED IMPORTED_TARGET libevent_core)
pkg_check_modules(libcurl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(libcares REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(libcap REQUIRED IMPORTED_TARGET libcap)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
find_library(LIBAIO aio REQUIRED)
find_path(BOOST_BEAST boost/beast/http/parser.hpp REQUIRED)
find_path(NLOHMANN_JSON nlohmann/json.hpp REQUIRED)
find_path(CLI11 CLI/CLI.hpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
