# SPDX-License-Identifier: Apache-2.0
# How our tests are declared. Labels: `room` for the C++ tests of one room; `e2e` for those of the whole program;
# `clients` for the own tests of the clients in other languages; `house` for those that read the sources and run no
# program of ours; `simulation` for the daemon in a made-up world; `plain` for those that mean nothing in a sanitizer's
# build (script/test --more leaves them out), say because they measure time or memory. Ports are free ones, directories
# are temporary: all of them may run at once.

# The distribution's interpreter, which has the distribution's modules; a python3 earlier on the PATH may not.
find_program(ENVDIAL_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)

# The tests of one room: envdial_tests(base SOURCES x_test.cc LIBRARIES …) makes the binary base_tests, each of whose
# cases is a ctest of its own.
function(envdial_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 tests "" "" "SOURCES;USES;LIBRARIES")
  add_executable(${name}_tests ${tests_SOURCES})
  list(TRANSFORM tests_USES PREPEND envdial_)
  target_link_libraries(${name}_tests PRIVATE envdial_compile_options ${tests_USES} ${tests_LIBRARIES}
                                              GTest::gtest_main GTest::gmock)
  gtest_discover_tests(
    ${name}_tests
    TEST_PREFIX ${name}.
    DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 120 LABELS room)
endfunction()

# A test written in Python: envdial_python_test(house.arrows arrows_test.py LABELS house plain TIMEOUT 60). It finds
# the tree in ENVDIAL_SOURCE_DIR, the build in ENVDIAL_BINARY_DIR, and a real Consul in ENVDIAL_CONSUL, which
# script/test sets.
function(envdial_python_test name file)
  if(NOT ENVDIAL_PYTHON)
    message(FATAL_ERROR "the tests need /usr/bin/python3: run script/setup")
  endif()
  cmake_parse_arguments(PARSE_ARGV 2 test "" "TIMEOUT" "LABELS;ENVIRONMENT;ARGUMENTS")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 120)
  endif()
  cmake_path(ABSOLUTE_PATH file)
  add_test(NAME ${name} COMMAND ${ENVDIAL_PYTHON} -B ${file} ${test_ARGUMENTS})
  set(environment ENVDIAL_SOURCE_DIR=${PROJECT_SOURCE_DIR} ENVDIAL_BINARY_DIR=${PROJECT_BINARY_DIR}
                  ${test_ENVIRONMENT})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT} LABELS "${test_LABELS}" ENVIRONMENT
                                          "${environment}")
endfunction()

# A fuzz target: envdial_fuzzer(dials_file SOURCES dials_file_fuzzer.cc USES guard). In the preset `fuzz` it is the
# program dials_file_fuzzer, by libFuzzer; in all others the program dials_file_replay and the ctest fuzz.dials_file,
# which runs it on every file of corpus/dials_file. The target fuzz_targets makes all of them.
function(envdial_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 fuzzer "" "" "SOURCES;USES;LIBRARIES")
  list(TRANSFORM fuzzer_USES PREPEND envdial_)
  if(ENVDIAL_FUZZ)
    set(program ${name}_fuzzer)
    add_executable(${program} ${fuzzer_SOURCES})
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
  else()
    set(program ${name}_replay)
    add_executable(${program} ${fuzzer_SOURCES} replay_main.cc)
    add_test(NAME fuzz.${name} COMMAND ${program} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS room TIMEOUT 300)
  endif()
  target_link_libraries(${program} PRIVATE envdial_compile_options ${fuzzer_USES} ${fuzzer_LIBRARIES})
  add_dependencies(fuzz_targets ${program})
endfunction()
