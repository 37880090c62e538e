#!/usr/bin/env bash
# workers.sh N PROGRAM - keep N processes of PROGRAM running on the listening socket that is
# standard input, as passed by spawn-fcgi, and restart those that end.  lighttpd and systemd do this
# themselves; this script is for machines without systemd (conf/systemd/README.md), and for
# `make run`.  SIGTERM stops all of them.  They have the environment of this script: with
# RATELIMIT_SHARED, a file beside the socket, they count together.
#
#   RATELIMIT_SHARED=FILE spawn-fcgi -n -s SOCKET -- workers.sh 2 ratelimit.fcgi
set -uo pipefail
wanted=$1 program=$2

# jobs lists all running processes, including one that was started just before the signal.
# shellcheck disable=SC2046  # one word per process
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 0' HUP INT TERM
exec 3<&0 # because bash replaces the standard input of background processes
while :; do
  while (($(jobs -pr | wc -l) < wanted)); do
    "$program" <&3 3<&- &
  done
  wait -n
  sleep 0.1 # so that a program that ends at once does not use a whole processor
done
