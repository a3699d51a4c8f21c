# SPDX-License-Identifier: Apache-2.0
# How the libraries of the static program are built: each flag that makes them smaller, and why it costs us nothing.
# Sourced by build.sh.
# shellcheck shell=bash disable=SC2034

# For all of them. Size before speed: what they do is next to nothing per poll. Each function and datum is a section of
# its own, so that the linker can leave out what nobody calls. A static program is not moved, so no -fPIE: relocations
# would be 130 kB of file and 300 kB of memory that is written to. The paths of the build are not in the result.
c_flags=(
  -Os -ffunction-sections -fdata-sections -fno-pie -no-pie -fstack-protector-strong
  -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ffile-prefix-map=/build=.
)

# No exception passes through C code, and nobody there looks at a call stack: the tables for it are 0.3 MB of OpenSSL's.
no_unwind=(-fno-asynchronous-unwind-tables -fno-unwind-tables)

# OpenSSL: TLS 1.2 and 1.3 as a client, X.509, PEM. Kept although it is large: the texts of errors (no-err would make
# `tls` a riddle for the operator) and the assembler (no-asm would leak AES keys by the timing of caches).
openssl_flags=(
  # How it is linked: one archive, nothing loaded at run time, no configuration file, no other program's threads
  no-shared no-pic no-module no-dso no-engine no-legacy no-autoload-config no-async no-tests no-ui-console no-pinshared
  # Protocols older than TLS 1.2, and those that aren't HTTP's TLS
  no-ssl3 no-ssl3-method no-tls1 no-tls1-method no-tls1_1 no-tls1_1-method no-dtls no-srtp no-sctp no-nextprotoneg
  no-srp no-psk no-gost
  # Formats and services of a certificate authority
  no-cms no-ts no-ct no-cmp no-rfc3779 no-ocsp
  # Kernel TLS needs a module; compression within TLS is an attack (CRIME)
  no-ktls no-comp
  # Ciphers and hashes that no cipher suite of ours names: AES-GCM, ChaCha20-Poly1305, SHA-2, RSA, ECDSA and EdDSA stay
  no-aria no-bf no-blake2 no-camellia no-cast no-des no-dsa no-ec2m no-idea no-md2 no-md4 no-mdc2 no-ocb no-rc2 no-rc4
  no-rc5 no-rmd160 no-scrypt no-seed no-siv no-sm2 no-sm3 no-sm4 no-whirlpool no-dh
  # What OpenSSL itself wants to be rid of; libcurl doesn't use it
  no-deprecated
  # Several records at once in CBC ciphers, message codes that TLS doesn't use, UDP; and the names of OpenSSL's own source
  # files in its errors, whose texts stay
  no-multiblock no-cmac no-siphash no-dgram no-filenames
)

# libcurl: HTTP/1.1 over TCP, Unix sockets and TLS. Names reach it as addresses (docs/dependencies.md), so it gets no
# resolver of its own: neither a thread nor a second c-ares, of 75 kB for each transfer.
curl_flags=(
  --disable-shared --enable-static --disable-threaded-resolver --disable-ares --disable-pthreads
  # Every protocol but http and https
  --disable-dict --disable-file --disable-ftp --disable-gopher --disable-imap --disable-ldap --disable-ldaps
  --disable-mqtt --disable-pop3 --disable-rtsp --disable-smb --disable-smtp --disable-telnet --disable-tftp
  --without-libssh --without-libssh2 --without-librtmp --without-nghttp2 --without-nghttp3
  # What Consul's API doesn't need. Proxies of the environment are ignored by promise. Of the ways to send a password
  # only Basic stays, for CONSUL_HTTP_AUTH.
  --disable-proxy --disable-cookies --disable-netrc --disable-hsts --disable-alt-svc --disable-doh --disable-mime
  --disable-form-api --disable-websockets --disable-headers-api --disable-dateparse --disable-progress-meter
  --disable-crypto-auth --disable-ntlm --disable-tls-srp --disable-aws --disable-sspi
  --disable-dnsshuffle --disable-socketpair --disable-libcurl-option --disable-manual --disable-openssl-auto-load-config
  --without-brotli --without-zstd --without-zlib --without-libidn2 --without-libpsl --without-libgsasl
  # The texts of errors stay (--disable-verbose would take them)
  --with-openssl=/opt/static
  --with-ca-bundle=/etc/ssl/certs/ca-certificates.crt --with-ca-path=/etc/ssl/certs
)

# libevent: the loop alone. One thread, so no locks; no self-checks that only its developers read.
libevent_flags=(
  -DEVENT__LIBRARY_TYPE=STATIC -DEVENT__DISABLE_OPENSSL=ON -DEVENT__DISABLE_THREAD_SUPPORT=ON
  -DEVENT__DISABLE_DEBUG_MODE=ON -DEVENT__DISABLE_MM_REPLACEMENT=ON -DEVENT__DISABLE_BENCHMARK=ON
  -DEVENT__DISABLE_TESTS=ON -DEVENT__DISABLE_REGRESS=ON -DEVENT__DISABLE_SAMPLES=ON
)

# The C++ libraries: static, and only the parts that we use.
spdlog_flags=(-DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_EXAMPLE=OFF -DSPDLOG_BUILD_TESTS=OFF)
fmt_flags=(-DFMT_TEST=OFF -DFMT_DOC=OFF)
prometheus_flags=(-DENABLE_PULL=OFF -DENABLE_PUSH=OFF -DENABLE_TESTING=OFF -DENABLE_COMPRESSION=OFF)
