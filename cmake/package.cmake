# SPDX-License-Identifier: Apache-2.0
# The Debian package: script/package makes it, docs/systemd.md tells what is in it.
include(GNUInstallDirs)
set(debian ${PROJECT_SOURCE_DIR}/deploy/debian)

install(TARGETS envdial RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
# Not for `cmake --install`: what is in /etc has its place whatever the prefix.
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/envdial.service DESTINATION lib/systemd/system COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${debian}/envdial.default DESTINATION /etc/default RENAME envdial COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${debian}/copyright DESTINATION share/doc/envdial COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${debian}/dials.json ${PROJECT_SOURCE_DIR}/deploy/systemd/hunt.service
        DESTINATION share/doc/envdial/examples COMPONENT package EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_COMPONENTS_ALL program package preload clients)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME envdial)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the envdial authors <envdial@example.invalid>")
set(CPACK_PACKAGE_HOMEPAGE_URL https://github.com/envdial/envdial)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "sidecar that delivers Consul values to a running app")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "envdial long-polls Consul, checks each value, keeps the last good ones through
outages and restarts, and delivers changes as an env file, a memory-mapped
snapshot, a control socket and a signal. With the sidecar come the headers for
C and C++, the library that makes getenv live, and a systemd unit.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
file(WRITE ${PROJECT_BINARY_DIR}/debian/conffiles "/etc/default/envdial\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${debian}/postinst ${debian}/prerm ${debian}/postrm
                                       ${PROJECT_BINARY_DIR}/debian/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
