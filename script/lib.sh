# SPDX-License-Identifier: Apache-2.0
# What the scripts share; sourced by them, with `set -euo pipefail` in force.
# shellcheck shell=bash

# The checkout's top; every script works from there.
top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$top" || exit

# What the script is doing. To standard error: standard output belongs to what was asked for.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# Prints the calling script's help: the comment at its top.
print_help() { sed -n '3,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"; }

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo here: run as root: $*"
  fi
}

# Where things are kept that are too dear to make anew for every clone.
cache_dir() { printf '%s/envdial\n' "${XDG_CACHE_HOME:-${HOME:?}/.cache}"; }

# Of which the Go client needs nothing newer: Debian 12 has it.
# shellcheck disable=SC2034 # the scripts use it
least_go=1.19

# Prints the path of a Go toolchain of the version $1 or newer; fails if there is none.
find_go() {
  local go version
  for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/bin/go; do
    [[ -x $go ]] || continue
    version=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) || continue
    if [[ $version == go* && $(printf '%s\n%s\n' "$1" "${version#go}" | sort -V | head -1) == "$1" ]]; then
      printf '%s\n' "$go"
      return
    fi
  done
  return 1
}

# Configures and builds the preset $1 into build/$1; further arguments are the targets (default: all).
build_preset() {
  local preset=$1
  shift
  say "building build/$preset"
  cmake --preset "$preset" --log-level=WARNING >/dev/null
  cmake --build --preset "$preset" ${1+--target "$@"} >&2
}
