# ports.bash - find TCP ports of 127.0.0.1, for `make run`, the tests and the benchmarks.
# shellcheck shell=bash

# accepts_tcp PORT - succeed if a process listens there and accepts a connection within 2 s
accepts_tcp() { timeout 2 bash -c ": <\"/dev/tcp/127.0.0.1/$1\"" 2>/dev/null; }

# free_port - print a port that no process listens on, below the kernel's range for outgoing
# connections
free_port() {
  local port
  while port=$((10240 + RANDOM % 22000)); accepts_tcp "$port"; do :; done
  echo "$port"
}
