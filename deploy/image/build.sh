#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: deploy/image/build.sh packages|sources|libraries|program|lock
#
# The steps of the first stage of the Dockerfile, each a layer of its own. It runs in there as root, with our sources
# in /envdial: it installs packages and writes to /build, /opt/static and /out.
#
#   packages   installs the compiler and the libraries of deploy/image.lock, in those versions
#   sources    fetches and unpacks the source packages of deploy/image.lock
#   libraries  builds them into /opt/static, with the flags of flags.sh
#   program    builds the preset `image`, and puts the program and its bill of materials into /out
#   lock       prints what image.lock should be today (script/image --update)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
lock=$here/../image.lock
prefix=/opt/static
export LC_ALL=C.UTF-8 TZ=UTC DEBIAN_FRONTEND=noninteractive
# The time that OpenSSL says it was built at: the lock's, so that each build gives the same bytes.
SOURCE_DATE_EPOCH=$(date --date="$(sed -n 's/^date //p' "$lock")" +%s)
export SOURCE_DATE_EPOCH

# shellcheck source=deploy/image/flags.sh
source "$here/flags.sh"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# The lines of the lock of the kind $1 (`package` or `source`), for this architecture.
locked() {
  awk -v kind="$1" -v architecture="$(dpkg --print-architecture)" \
    '$1 == kind && ($2 == architecture || $2 == "source") { print $3, $4, $5 }' "$lock"
}

# The sources of packages, too, from wherever this image takes its packages.
enable_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ ! -s $file ]] || sed -n 's/^deb /deb-src /p' "$file" >>/etc/apt/sources.list.d/image-sources.list
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [[ ! -s $file ]] || sed -i 's/^Types: deb$/Types: deb deb-src/' "$file"
  done
  apt-get update -q
}

packages() {
  local wanted=() name version checksum file
  enable_sources
  while read -r name version checksum; do wanted+=("$name=$version"); done < <(locked package)
  [[ ${#wanted[@]} -gt 0 ]] ||
    die "image.lock names no packages for $(dpkg --print-architecture): script/image --update"
  apt-get install -q -y --no-install-recommends --download-only "${wanted[@]}"
  shopt -s nullglob
  for file in /var/cache/apt/archives/*.deb; do
    checksum=$(sha256sum "$file" | cut -d' ' -f1)
    grep -q " $checksum\$" "$lock" || die "$(basename "$file") is not the one of image.lock: script/image --update"
  done
  apt-get install -q -y --no-install-recommends "${wanted[@]}"
}

sources() {
  local name version checksum file
  mkdir -p /build
  cd /build
  while read -r name version checksum; do
    apt-get source -q --download-only --only-source "$name=$version"
    file=${name}_${version#*:}.dsc
    [[ $(sha256sum "$file" | cut -d' ' -f1) == "$checksum" ]] || die "$file is not the one of image.lock"
    # The checksums of its parts stand in the .dsc.
    dpkg-source --no-check -q -x "$file" "$name"
  done < <(locked source)
}

build_openssl() {
  cd /build/openssl
  ./Configure linux-"$(uname -m)" "${openssl_flags[@]}" --prefix=$prefix --libdir=lib --openssldir=/etc/ssl \
    CFLAGS="${c_flags[*]} ${no_unwind[*]}"
  make -s -j"$(nproc)" build_libs
  make -s install_dev
}

build_curl() {
  cd /build/curl
  ./configure --prefix=$prefix "${curl_flags[@]}" CFLAGS="${c_flags[*]} ${no_unwind[*]}" \
    PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  make -s -j"$(nproc)" -C lib
  make -s -C lib install
  make -s -C include install
  make install-pkgconfigDATA
}

# $1: the library; further arguments are for CMake.
build_by_cmake() {
  local name=$1
  shift
  cmake -S "/build/$name" -B "/build/$name-build" -G Ninja -DCMAKE_BUILD_TYPE=None -DBUILD_SHARED_LIBS=OFF \
    -DCMAKE_C_FLAGS="${c_flags[*]} ${no_unwind[*]}" -DCMAKE_CXX_FLAGS="${c_flags[*]}" \
    -DCMAKE_INSTALL_PREFIX=$prefix -DCMAKE_PREFIX_PATH=$prefix \
    -DCMAKE_INSTALL_LIBDIR=lib "$@"
  cmake --build "/build/$name-build"
  cmake --install "/build/$name-build"
}

libraries() {
  build_openssl
  build_curl
  build_by_cmake libevent "${libevent_flags[@]}"
  build_by_cmake fmtlib "${fmt_flags[@]}"
  build_by_cmake spdlog "${spdlog_flags[@]}"
  build_by_cmake prometheus-cpp "${prometheus_flags[@]}"
}

# The archives that the program has parts of, one a line, from the linker's map.
linked_archives() {
  grep -oE '^/[^ ()]+\.a\(' /envdial/build/image/envdial.map | tr -d '(' | sort -u | xargs -d '\n' realpath | sort -u |
    grep -v '^/envdial/'
}

# Prints `NAME` for each package or source package of which something was linked.
linked_parts() {
  local archive
  while read -r archive; do
    if [[ $archive == "$prefix"/* ]]; then
      awk -v archive="${archive##*/}" \
        '$1 == "source" { for (i = 3; i <= NF; i++) if ($i == archive) { print $2; found = 1 } }
        END { if (!found) print archive }' "$here/parts"
    else
      # Where /lib is a link to /usr/lib, dpkg may know the file by either name.
      { dpkg-query -S "$archive" || dpkg-query -S "${archive#/usr}"; } 2>/dev/null | sed 's/[:,].*//'
    fi
  done < <(linked_archives) | sort -u
}

check_parts() {
  local linked=$1 named
  named=$(awk '$1 == "library" || $1 == "source" { print $2 }' "$here/parts" | sort -u)
  diff <(echo "$named") <(echo "$linked") >&2 || die "what is linked (>) is not what deploy/image/parts names (<)"
}

# The parts with version and checksum, as an SPDX 2.3 document.
bill_of_materials() {
  awk -v version="$(sed -n 's/^project(envdial VERSION \([0-9.]*\) .*/\1/p' /envdial/CMakeLists.txt)" \
    -v program="$(sha256sum /out/envdial | cut -d' ' -f1)" -v architecture="$(dpkg --print-architecture)" '
    function package(id, name, version, licence, checksum, locator) {
      printf "%s    {\n      \"SPDXID\": \"SPDXRef-%s\",\n", (id == "envdial" ? "" : ",\n"), id
      printf "      \"name\": \"%s\",\n", name
      printf "      \"versionInfo\": \"%s\",\n      \"downloadLocation\": \"NOASSERTION\",\n", version
      printf "      \"filesAnalyzed\": false,\n      \"licenseConcluded\": \"%s\",\n", licence
      printf "      \"licenseDeclared\": \"%s\",\n      \"copyrightText\": \"NOASSERTION\",\n", licence
      if (locator != "") {
        printf "      \"externalRefs\": [\n        { \"referenceCategory\": \"PACKAGE-MANAGER\", "
        printf "\"referenceType\": \"purl\", \"referenceLocator\": \"pkg:deb/debian/%s\" }\n      ],\n", locator
      }
      printf "      \"checksums\": [{ \"algorithm\": \"SHA256\", \"checksumValue\": \"%s\" }]\n    }", checksum
    }
    function quoted(text) { gsub(/\+/, "%2B", text); return text }
    FNR == 1 { file++ }
    file == 1 && $1 == "date" { date = $2 }
    file == 1 && ($2 == "source" || $2 == architecture) { versions[$1, $3] = $4; checksums[$1, $3] = $5 }
    file == 2 && ($1 == "library" || $1 == "header" || $1 == "source") {
      names[++count] = $2
      kinds[count] = $1 == "source" ? "source" : "package"
      relations[count] = $1 == "header" ? "CONTAINS" : "STATIC_LINK"
      licence = ""
      for (i = 3; i <= NF && $i !~ /\.a$/; i++) licence = licence (i > 3 ? " " : "") $i
      licences[count] = licence
    }
    END {
      print "{\n  \"spdxVersion\": \"SPDX-2.3\",\n  \"dataLicense\": \"CC0-1.0\",\n  \"SPDXID\": \"SPDXRef-DOCUMENT\","
      printf "  \"name\": \"envdial-%s-%s\",\n", version, architecture
      printf "  \"documentNamespace\": \"urn:envdial:sbom:%s\",\n", program
      printf "  \"creationInfo\": { \"created\": \"%s\", ", date
      print "\"creators\": [\"Tool: envdial deploy/image/build.sh\"] },"
      print "  \"packages\": ["
      package("envdial", "envdial", version, "Apache-2.0", program, "")
      for (n = 1; n <= count; n++) {
        id = names[n]
        gsub(/[^A-Za-z0-9.-]/, "-", id)
        v = versions[kinds[n], names[n]]
        package(id, names[n], v, licences[n], checksums[kinds[n], names[n]], quoted(names[n] "@" v) "?arch=" \
          (kinds[n] == "source" ? "source" : architecture))
      }
      print "\n  ],\n  \"relationships\": ["
      print "    { \"spdxElementId\": \"SPDXRef-DOCUMENT\", \"relationshipType\": \"DESCRIBES\","
      print "      \"relatedSpdxElement\": \"SPDXRef-envdial\" }"
      for (n = 1; n <= count; n++) {
        id = names[n]
        gsub(/[^A-Za-z0-9.-]/, "-", id)
        printf "    ,{ \"spdxElementId\": \"SPDXRef-envdial\", \"relationshipType\": \"%s\", ", relations[n]
        printf "\"relatedSpdxElement\": \"SPDXRef-%s\" }\n", id
      }
      print "  ]\n}"
    }' "$lock" "$here/parts"
}

program() {
  cd /envdial
  cmake --preset image
  cmake --build --preset image
  check_parts "$(linked_parts)"
  install -D build/image/envdial /out/envdial
  install -m 644 build/image/envdial.map /out/envdial.map
  bill_of_materials >/out/envdial.spdx.json
}

# The newest version of the source package $1 that can be fetched, as a line of the lock; a comment for each newer one.
lock_source() {
  local name=$1 version
  while read -r version; do
    if apt-get source -q --download-only --only-source "$name=$version" >&2; then
      printf 'source source %s %s %s\n' "$name" "$version" "$(sha256sum "${name}_${version#*:}.dsc" | cut -d' ' -f1)"
      return
    fi
    echo "# $name $version is listed, but could not be fetched"
  done < <(apt-cache showsrc --only-source "$name" | sed -n 's/^Version: //p' | sort -rVu)
  die "no version of the source package $name can be fetched"
}

lock() {
  local wanted=() name file
  enable_sources >&2
  mapfile -t wanted < <(awk '$1 == "tool" || $1 == "library" || $1 == "header" { print $2 }' "$here/parts")
  # Together with what is there already, so that the lock tells the whole system, whatever the base image has.
  # shellcheck disable=SC2016 # the names are dpkg's
  mapfile -t -O "${#wanted[@]}" wanted < <(dpkg-query -W -f '${Package}\n')
  apt-get install -q -y --no-install-recommends --download-only --reinstall "${wanted[@]}" >&2
  sed '/^[^#]/,$d' "$lock"
  date -u '+date %Y-%m-%dT%H:%M:%SZ'
  for file in /var/cache/apt/archives/*.deb; do
    # shellcheck disable=SC2016 # the names are dpkg's
    printf 'package %s %s %s\n' "$(dpkg --print-architecture)" \
      "$(dpkg-deb -W --showformat='${Package} ${Version}' "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
  done
  apt-get install -q -y --no-install-recommends dpkg-dev >&2
  mkdir -p /build
  cd /build
  while read -r name; do lock_source "$name"; done < <(awk '$1 == "source" { print $2 }' "$here/parts")
}

case "${1:-}" in
  packages | sources | libraries | program) "$1" >&2 ;;
  lock) lock ;;
  -h | --help) sed -n '3,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0" ;;
  *) die "unknown step: ${1:-none} (see $0 --help)" ;;
esac
