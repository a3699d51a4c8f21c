# SPDX-License-Identifier: Apache-2.0
# How our code is compiled: the language, the warnings, the hardening, the sanitizers. Third parties' headers are SYSTEM
# and exempt.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(ENVDIAL_WERROR "warnings are errors" OFF)
option(ENVDIAL_FUZZ "build for libFuzzer (clang only), and the fuzz targets" OFF)
option(ENVDIAL_STATIC "link the program statically, for the container image (docs/image.md)" OFF)
set(ENVDIAL_SANITIZE "" CACHE STRING "what -fsanitize= gets, say address,undefined; empty for none")

add_library(envdial_compile_options INTERFACE)
target_include_directories(envdial_compile_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(envdial_compile_options INTERFACE _GNU_SOURCE _GLIBCXX_ASSERTIONS
                                                             ENVDIAL_VERSION="${PROJECT_VERSION}")
target_compile_options(
  envdial_compile_options
  INTERFACE -Wall
            -Wextra
            -Wno-missing-field-initializers  # designated initializers leave the rest to its default on purpose
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wimplicit-fallthrough
            $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
            $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
            $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
            $<$<BOOL:${ENVDIAL_WERROR}>:-Werror>
            -fstack-protector-strong)
if(ENVDIAL_SANITIZE)
  target_compile_options(envdial_compile_options INTERFACE -fsanitize=${ENVDIAL_SANITIZE} -fno-omit-frame-pointer
                                                           -fno-sanitize-recover=all)
  target_link_options(envdial_compile_options INTERFACE -fsanitize=${ENVDIAL_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 sees uninitialised bytes in instrumented copies of std::optional; the plain build checks the same code.
    target_compile_options(envdial_compile_options INTERFACE -Wno-maybe-uninitialized)
  endif()
else()
  target_compile_options(envdial_compile_options
                         INTERFACE "$<$<CONFIG:Release>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
endif()
if(ENVDIAL_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "ENVDIAL_FUZZ needs clang (cmake --preset fuzz); this is ${CMAKE_CXX_COMPILER}")
  endif()
  target_compile_options(envdial_compile_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(envdial_compile_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Asserts stay on in release: a programming error ends the process and the supervisor restarts it from the store.
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
add_link_options(-Wl,-z,relro,-z,now)
if(ENVDIAL_STATIC)
  # Not moved, so that no relocation costs memory; in sections, so that what nobody calls is left out; without the paths
  # of the build and without chance in the names that -flto makes up, so that each build gives the same bytes.
  add_compile_options(-fno-pie -ffunction-sections -fdata-sections -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.
                      -frandom-seed=envdial)
  add_link_options(-frandom-seed=envdial)
else()
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  include(CheckPIESupported)
  check_pie_supported()
endif()

find_program(CCACHE ccache)
if(CCACHE)
  foreach(language C CXX)
    if(NOT CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${CCACHE})
    endif()
  endforeach()
endif()

# A room: envdial_room(base SOURCES a.cc b.cc USES guard LIBRARIES PkgConfig::curl) makes the static library
# envdial_base. USES carries the arrows of docs/architecture.md; LIBRARIES are the third parties that live here. Both
# are checked by tests/house/.
function(envdial_room name)
  cmake_parse_arguments(PARSE_ARGV 1 room "" "" "SOURCES;USES;LIBRARIES")
  add_library(envdial_${name} STATIC ${room_SOURCES})
  list(TRANSFORM room_USES PREPEND envdial_)
  target_link_libraries(
    envdial_${name}
    PUBLIC ${room_USES}
    PRIVATE envdial_compile_options ${room_LIBRARIES})
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/testing.cmake)
