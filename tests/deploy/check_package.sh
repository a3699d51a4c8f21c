#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `script/package --check` runs in its copy of the root file system: installs /run/envdial.deb, uses it, and lets go
# of it again.
set -euo pipefail

say() { printf 'package: %s\n' "$*"; }
must() { "$@" || { say "failed: $*" && exit 1; }; }
# The files in the system's own folders that have our name.
ours() { { find /etc /usr /var/lib/envdial -xdev -name '*envdial*' 2>/dev/null || true; } | sort; }
must_not() { if "$@"; then say "should have failed: $*" && exit 1; fi; }

dpkg --status envdial &>/dev/null && say "envdial is installed on this machine: remove it first" && exit 1
ours >/run/before

say "dependencies: $(dpkg-deb --field /run/envdial.deb Depends)"
must dpkg --install /run/envdial.deb
must test "$(envdial version)" = "envdial $(dpkg-deb --field /run/envdial.deb Version)"
must id -u envdial >/dev/null
must envdial check /usr/share/doc/envdial/examples/dials.json
must systemd-analyze verify --man=no envdial.service
must test ! -e /etc/systemd/system/multi-user.target.wants/envdial.service

say "it serves as the unit's user, and what it installed for apps works"
install -d -o envdial -g envdial -m 750 /run/envdial
install -d -o envdial -g envdial -m 700 /var/lib/envdial
setpriv --reuid envdial --regid envdial --clear-groups --pdeathsig KILL \
  envdial run --dials /usr/share/doc/envdial/examples/dials.json --consul-addr 127.0.0.1:1 --startup-wait 100ms \
  2>/run/log &
for _ in $(seq 300); do
  ! envdial probe startup 2>/dev/null || break
  sleep 0.1
done
must test "$(envdial get MAX_CONCURRENT)" = 500
must test "$(envdial exec --preload -- printenv MAX_CONCURRENT)" = 500
printf '#include <envdial.h>\n#include <stdio.h>\nint main(void) { envdial_dials *d; if (envdial_open(&d, NULL)) return 1;
printf("%%ld\\n", (long)envdial_int64(envdial_find(d, "MAX_CONCURRENT"))); }\n' >/run/app.c
# shellcheck disable=SC2046 # flags are words
must cc -o /run/app $(pkg-config --cflags envdial) /run/app.c
must test "$(/run/app)" = 500
kill $!
wait $! || say "the sidecar ended with $?"

say "what is configured outlives a removal, and nothing a purge"
echo '# changed' >>/etc/default/envdial
cp /usr/share/doc/envdial/examples/dials.json /etc/envdial/dials.json
must dpkg --remove envdial
must test -e /etc/envdial/dials.json
must grep -q changed /etc/default/envdial
must_not test -e /usr/bin/envdial
must dpkg --purge envdial
must diff /run/before <(ours)
must_not dpkg --status envdial 2>/dev/null
say "installed, used, removed, purged"
