# SPDX-License-Identifier: Apache-2.0
# Cross-building for arm64 by Debian's g++-aarch64-linux-gnu. The libraries are Debian's for arm64, unpacked into the
# folder that ENVDIAL_ARM64 names, beside the emulator that runs what is built: `script/drill arm64` makes it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

if(NOT IS_DIRECTORY "$ENV{ENVDIAL_ARM64}/sysroot")
  message(FATAL_ERROR "ENVDIAL_ARM64=$ENV{ENVDIAL_ARM64}: there is no sysroot in it; script/drill arm64 makes one")
endif()
set(CMAKE_SYSROOT $ENV{ENVDIAL_ARM64}/sysroot)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR $ENV{ENVDIAL_ARM64}/qemu-aarch64-static -L ${CMAKE_SYSROOT})
