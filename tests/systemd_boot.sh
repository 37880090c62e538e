#!/usr/bin/env bash
# systemd_boot.sh ROOT - systemd as it is, as process 1 of namespaces of its own, with nothing to run but the
# units below ROOT/usr/local and what is in ROOT/etc: laid over the machine's, which nothing is written to.
# The machine itself may run any other process 1.  Says on standard output what pid it has out here, and
# stays until that one, or this one, is killed.  Needs root.
#
# Own: processes, mounts, host name, IPC and the cgroup tree.  Shared: the network.
#   nsenter -t PID -m -p -C -i -u systemctl ...      what to do in there
#   /proc/PID/root/run/ratelimit/sock                its files, seen from out here
set -euo pipefail

# inside ROOT: in the namespaces, before systemd.
inside() {
  local root=$1
  mount -t tmpfs tmpfs /run
  mkdir /run/etc /run/work /run/units
  # The last one wins: the cgroup tree has this folder as its root.
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t overlay overlay -o "lowerdir=$root/etc:/etc,upperdir=/run/etc,workdir=/run/work" /etc
  mount -t overlay overlay -o "lowerdir=$root/usr/local:/usr/local" /usr/local
  # What the machine has enabled is not for us.
  mount -t tmpfs tmpfs /etc/systemd/system

  local target
  for target in sysinit basic sockets shutdown network nss-lookup multi-user; do
    echo '[Unit]' >"/run/units/$target.target"
  done
  echo 'Requires=basic.target' >>/run/units/multi-user.target

  # "container" keeps it from setting up the machine.
  exec env -i PATH="$PATH" container=test \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units:/usr/local/lib/systemd/system \
    SYSTEMD_GENERATOR_PATH=/nonexistent SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nonexistent \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
}

# can_boot ROOT: whether this machine lets us.
can_boot() {
  # shellcheck disable=SC2016  # the inner shell's $1
  unshare --mount --pid --fork --cgroup --ipc --uts --mount-proc --propagation private bash -c '
    mount -t tmpfs tmpfs /run && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir /run/etc /run/work &&
      mount -t overlay overlay -o "lowerdir=$1/etc:/etc,upperdir=/run/etc,workdir=/run/work" /etc' _ "$1"
}

group='' init=''
clean_up() {
  trap '' HUP INT TERM
  # shellcheck disable=SC2086  # a pid and a space
  [[ -z $init ]] || kill -KILL $init 2>/dev/null || true # and with it, all in there
  # Fails until the last process is reaped.
  for _ in {1..100}; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.05
  done
}

case $1 in
  --inside) inside "$2" ;;
  --can) can_boot "$2" ;;
  *)
    # A folder of the tree to itself, or systemd would take its root for its own.
    tree=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    group=$tree/ratelimit-test-$$
    mkdir "$group"
    trap clean_up EXIT
    (
      echo "$BASHPID" >"$group/cgroup.procs"
      exec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts --mount-proc --propagation private \
        "$0" --inside "$1" >&2 </dev/null
    ) &
    until init=$(cat "/proc/$!/task/$!/children") && [[ -n $init ]]; do
      kill -0 $! || exit 1
      sleep 0.02
    done
    echo "${init% }"
    wait
    ;;
esac
