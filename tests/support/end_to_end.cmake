# SPDX-License-Identifier: Apache-2.0
# The tests that run the real binary beside a real Consul, in Python's standard library. Where it is they are told by
# ENVDIAL_CONSUL, and by ENVDIAL_OLD_CONSUL where an old one is (script/test sets both; else script/setup's are taken).

# The misbehaving parts of a machine, preloaded into the sidecar.
foreach(part slow_sync keep_capabilities shift_clock short_write)
  add_library(${part} MODULE ${CMAKE_CURRENT_LIST_DIR}/${part}.c)
  target_compile_options(${part} PRIVATE -Wall -Wextra -Wshadow -Wconversion $<$<BOOL:${ENVDIAL_WERROR}>:-Werror>)
  target_compile_definitions(${part} PRIVATE _GNU_SOURCE)
  target_link_libraries(${part} PRIVATE ${CMAKE_DL_LIBS})
endforeach()

# envdial_end_to_end_tests(promises nothing_lost … [PLAIN many_faults …] [ALONE lying_networks …]) makes one ctest of
# each test_….py beside it. PLAIN: those that say something about the plain build only (label `plain`), such as how much
# memory it takes. ALONE: those that keep all processors busy, named a second time; nothing else runs beside them.
function(envdial_end_to_end_tests folder)
  cmake_parse_arguments(tests "" "" "PLAIN;ALONE" ${ARGN})
  foreach(name ${tests_UNPARSED_ARGUMENTS} ${tests_PLAIN})
    add_test(NAME ${folder}.${name} COMMAND /usr/bin/python3 -B ${PROJECT_SOURCE_DIR}/tests/support/runner.py
                                            ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.py)
    set_tests_properties(
      ${folder}.${name}
      PROPERTIES
        LABELS "e2e$<$<IN_LIST:${name},${tests_PLAIN}>:;plain>"
        TIMEOUT 600
        ENVIRONMENT
        "ENVDIAL_BINARY=$<TARGET_FILE:envdial>;ENVDIAL_SLOW_SYNC=$<TARGET_FILE:slow_sync>;ENVDIAL_KEEP_CAPABILITIES=$<TARGET_FILE:keep_capabilities>;ENVDIAL_SHIFT_CLOCK=$<TARGET_FILE:shift_clock>;ENVDIAL_SHORT_WRITE=$<TARGET_FILE:short_write>;ENVDIAL_GETENV_LIBRARY=$<TARGET_FILE:envdial_getenv>;ENVDIAL_GETENV_APP=$<TARGET_FILE:getenv_app>"
    )
    if(name IN_LIST tests_ALONE)
      set_tests_properties(${folder}.${name} PROPERTIES RUN_SERIAL TRUE)
    endif()
  endforeach()
endfunction()
