#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small service that is never restarted. It prints its MAX_CONCURRENT whenever that changes.
#   examples/hunt.sh /run/envdial/env
env_file=${1:?usage: hunt.sh ENV_FILE}
shown=

echo "started as pid $$"
while :; do
  if [ -r "$env_file" ]; then
    # The file is replaced as a whole: what is read here is the old or the new one, never half.
    # shellcheck disable=SC1090
    . "$env_file"
    if [ "$MAX_CONCURRENT" != "$shown" ]; then
      shown=$MAX_CONCURRENT
      echo "MAX_CONCURRENT is now $shown"
    fi
  fi
  sleep 0.02
done
