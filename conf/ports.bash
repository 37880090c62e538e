# ports.bash - find TCP ports of 127.0.0.1, for `make run`, the tests and the benchmarks.
# shellcheck shell=bash

# accepts_tcp PORT - succeed if a process listens there and accepts a connection within 2 s
accepts_tcp() { timeout 2 bash -c ": <\"/dev/tcp/127.0.0.1/$1\"" 2>/dev/null; }

# free_port - print a port that no process listens on, below the kernel's range for outgoing
# connections.  Of JOBS test suites that run side by side, suite JOB (from 0) chooses among ports of
# its own, because until a server listens on its port another suite would find it free.
free_port() {
  local port jobs=${JOBS:-1}
  while port=$((10240 + RANDOM % (22000 / jobs) * jobs + ${JOB:-0})); accepts_tcp "$port"; do :; done
  echo "$port"
}
