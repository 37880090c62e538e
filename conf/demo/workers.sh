#!/usr/bin/env bash
# workers.sh N PROGRAM - keep N processes of PROGRAM on the listening socket that is standard input, as spawn-fcgi
# hands it over, and start again those that end.  lighttpd and systemd do that themselves; this is for the
# demonstrations behind web servers that start no programs.  A SIGTERM stops them all.
#
#   spawn-fcgi -n -s SOCKET -- workers.sh 2 ratelimit.fcgi
set -uo pipefail
wanted=$1 program=$2

# jobs names all that run, also the one that was started just before the signal.
# shellcheck disable=SC2046  # a word for each process
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 0' HUP INT TERM
exec 3<&0 # bash gives the standard input of a background process away
while :; do
  while (($(jobs -pr | wc -l) < wanted)); do
    "$program" <&3 3<&- &
  done
  wait -n
  sleep 0.1 # a program that ends at once shall not take a processor
done
