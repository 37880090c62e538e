# sentinels.bash - a master, replicas and Sentinels, each a process of its own on 127.0.0.1.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # the variables set here are read by the tests, and the other way round

# start_server_at PORT [OPTION...] - a redis-server that keeps nothing, in FLEET/PORT; its pid is in FLEET/PORT/pid
start_server_at() {
  local port=$1 folder=$FLEET/$1
  shift
  mkdir -p "$folder"
  "${REDIS_SERVER:-redis-server}" --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' --appendonly no "$@" \
    >>"$folder/log" 3>&- &
  echo $! >"$folder/pid"
  FLEET_PIDS+=" $!"
  eventually answers_at "$port"
}

# at PORT COMMAND... - redis-cli, with the password of the fleet if it has one
at() {
  local port=$1
  shift
  redis-cli --no-auth-warning ${FLEET_PASSWORD:+-a "$FLEET_PASSWORD"} -p "$port" "$@" 2>&1
}
answers_at() { [[ $(at "$1" PING) == PONG ]]; }
role_at() { at "$1" INFO replication | tr -d '\r' | sed -n 's/^role://p'; }
pid_at() { cat "$FLEET/$1/pid"; }

# start_sentinel_at PORT - a Sentinel of MASTER, which takes it for dead after DOWN_MS
start_sentinel_at() {
  local folder=$FLEET/$1
  mkdir -p "$folder"
  cat >"$folder/sentinel.conf" <<EOT
port $1
bind 127.0.0.1
dir $folder
sentinel resolve-hostnames yes
sentinel monitor mymaster 127.0.0.1 $MASTER 2
sentinel down-after-milliseconds mymaster ${DOWN_MS:-1000}
sentinel failover-timeout mymaster 3000
${FLEET_PASSWORD:+sentinel auth-pass mymaster $FLEET_PASSWORD}
${SENTINEL_PASSWORD:+requirepass $SENTINEL_PASSWORD}
EOT
  "${REDIS_SERVER:-redis-server}" "$folder/sentinel.conf" --sentinel >>"$folder/log" 3>&- &
  echo $! >"$folder/pid"
  FLEET_PIDS+=" $!"
}

# sentinel_at PORT WORD... - a command to a Sentinel
sentinel_at() {
  local port=$1
  shift
  redis-cli --no-auth-warning ${SENTINEL_PASSWORD:+-a "$SENTINEL_PASSWORD"} -p "$port" "$@" 2>&1
}
named_by() { sentinel_at "$1" SENTINEL GET-MASTER-ADDR-BY-NAME mymaster | tail -1; }

# knows_all PORT - the Sentinel knows both replicas and both other Sentinels
knows_all() {
  local state
  state=$(sentinel_at "$1" SENTINEL MASTER mymaster | paste - - | awk '{ print $1 "=" $2 }')
  [[ $state == *num-slaves=2* && $state == *num-other-sentinels=2* && $state == *flags=master$'\n'* ]]
}

# start_fleet - a MASTER, two REPLICAS and three SENTINELS, which know each other
start_fleet() {
  FLEET=$(mktemp -d "$(tmpdir)/fleet.XXXXXX")
  local auth=() port
  [[ -z ${FLEET_PASSWORD:-} ]] || auth=(--requirepass "$FLEET_PASSWORD" --masterauth "$FLEET_PASSWORD")
  MASTER=$(free_port)
  start_server_at "$MASTER" "${auth[@]}"
  REPLICAS=()
  for _ in 1 2; do
    port=$(free_port)
    start_server_at "$port" --replicaof 127.0.0.1 "$MASTER" --repl-diskless-sync-delay 0 "${auth[@]}"
    REPLICAS+=("$port")
  done
  SENTINELS=()
  for _ in 1 2 3; do
    port=$(free_port)
    start_sentinel_at "$port"
    SENTINELS+=("$port")
  done
  for port in "${SENTINELS[@]}"; do eventually knows_all "$port"; done
}

# of_fleet PID - it is a process of the fleet.  A test may have killed it, and its pid may be that of another process now.
of_fleet() { [[ $(readlink "/proc/$1/cwd") == "$FLEET"/* ]]; }
left_fleet() { gone "$1" || ! of_fleet "$1"; }

# stop_fleet - all processes of it, at once
stop_fleet() {
  local pid
  for pid in $FLEET_PIDS; do
    ! of_fleet "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
  for pid in $FLEET_PIDS; do eventually left_fleet "$pid"; done
  FLEET_PIDS=''
}
