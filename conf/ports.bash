# ports.bash - TCP ports of 127.0.0.1, for `make run`, the tests and the bench.
# shellcheck shell=bash

# accepts_tcp PORT - somebody listens there, and takes connections within 2 s
accepts_tcp() { timeout 2 bash -c ": <\"/dev/tcp/127.0.0.1/$1\"" 2>/dev/null; }

# free_port - print one that nobody listens on, below those the kernel gives to clients
free_port() {
  local port
  while port=$((10240 + RANDOM % 22000)); accepts_tcp "$port"; do :; done
  echo "$port"
}
