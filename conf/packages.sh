#!/bin/sh
# packages.sh build|run [SERVER]|test|lint|bench|fuzz - install what `make` (`make run`, `make test` ...) needs
# and this machine lacks.  SERVER is lighttpd, nginx, apache or caddy, as in `make run SERVER=nginx`.
# Says nothing and asks nobody when all is there.
#
# POSIX sh: where bash is missing, this is the script that says so.
# Services that come with a package (redis-server, lighttpd) are neither started nor enabled: people
# who try a program out did not ask for a web server on port 80.  Those that were there stay as they are.
set -eu

POLICY=/usr/sbin/policy-rc.d
MARK='# made by conf/packages.sh of ratelimit.fcgi for the time of an installation; else remove it'

# xxd embeds files in the program.  lighttpd-modules-lua has mod_magnet.  curl, ps, ip, strace, lua5.1, node and wrk are for the
# tests alone, as are the web servers but lighttpd.
build="gcc make libc6-dev pkg-config libfcgi-dev libhiredis-dev libev-dev libyaml-dev nettle-dev uthash-dev xxd"
run="$build bash lighttpd redis-server"
test="$run spawn-fcgi libcmocka-dev bats lua5.1 curl procps iproute2 strace nodejs wrk nginx-light apache2 caddy lighttpd-modules-lua systemd"
lint="$build bash libcmocka-dev clang-format clang-tidy shellcheck lua-check mandoc"
bench="$run wrk spawn-fcgi nginx-light libnginx-mod-http-lua lua-nginx-redis"
fuzz="$build bash clang libclang-rt-dev"

case ${1-} in
  run)
    case ${2-} in
      '') wanted=$run ;;
      lighttpd) wanted="$run lighttpd-modules-lua" ;;
      nginx) wanted="$run spawn-fcgi nginx-light" ;;
      apache) wanted="$run spawn-fcgi apache2" ;;
      caddy) wanted="$run spawn-fcgi caddy" ;;
      *)
        echo "make run: SERVER is lighttpd, nginx, apache or caddy, not '$2'" >&2
        exit 2
        ;;
    esac
    ;;
  build) wanted=$build ;;
  test) wanted=$test ;;
  lint) wanted=$lint ;;
  bench) wanted=$bench ;;
  fuzz) wanted=$fuzz ;;
  *)
    echo "usage: $0 build|run|test|lint|bench|fuzz; or run lighttpd|nginx|apache|caddy" >&2
    exit 2
    ;;
esac

say() {
  echo "make $goal: $*" >&2
}
goal=$1

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The packages of $wanted that dpkg does not know as installed.
missing_packages() {
  # shellcheck disable=SC2086  # a list of words; dpkg-query fails where one is unknown
  installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' $wanted 2>/dev/null || true)"
  for package in $wanted; do
    case $installed in
      *" $package=installed "*) ;;
      *) has_otherwise "$package" || printf '%s ' "$package" ;;
    esac
  done
}

# Node often comes from elsewhere, and any will do.
has_otherwise() { [ "$1" = nodejs ] && command -v node >/dev/null; }

# On other systems: the packages whose commands, libraries or headers are not there, by Debian's names.
missing_elsewhere() {
  PATH=$PATH:/usr/sbin:/sbin
  for package in $wanted; do
    case $package in
      gcc) command -v cc ;;
      libc6-dev) has_header stdio.h ;;
      libfcgi-dev) has_header fcgiapp.h ;;
      libev-dev) has_header ev.h ;;
      libhiredis-dev) pkg-config --exists hiredis ;;
      libyaml-dev) pkg-config --exists yaml-0.1 ;;
      nettle-dev) pkg-config --exists nettle ;;
      uthash-dev) has_header uthash.h ;;
      libclang-rt-dev) has_fuzzer ;;
      libcmocka-dev) pkg-config --exists cmocka ;;
      lua-check) command -v luacheck ;;
      nodejs) command -v node ;;
      procps) command -v ps ;;
      iproute2) command -v ip ;;
      lighttpd-modules-lua) ls /usr/lib*/lighttpd/mod_magnet.so ;;
      nginx-light) command -v nginx ;;
      systemd) command -v systemd-analyze ;;
      *) command -v "$package" ;;
    esac >/dev/null 2>&1 || printf '%s ' "$package"
  done
}

has_header() {
  echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1
}

has_fuzzer() {
  echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -fsanitize=fuzzer,address,undefined -o /dev/null -x c - >/dev/null 2>&1
}

# While invoke-rc.d and deb-systemd-invoke find a policy-rc.d that exits 101, they start nothing.
# An administrator's own policy is left in place, and in force.
forbid_starts() {
  if [ -e "$POLICY" ] && ! grep -qF "$MARK" "$POLICY"; then
    return
  fi
  trap 'as_root rm -f "$POLICY"; rm -f "$log"' EXIT
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

# Packages enable their services for the next boot; undo that for the ones just installed.
disable_new_services() {
  [ -d /run/systemd/system ] || return 0
  for service in redis-server lighttpd nginx apache2 caddy; do
    case " $missing" in
      *" $service "* | *" $service-light "*) as_root systemctl disable --now --quiet "$service" ;;
    esac
  done
}

# Quiet unless it fails.  NEEDRESTART_SUSPEND: Ubuntu would restart services that run already.
apt() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 </dev/null && return
  cat "$log" >&2
  say "apt-get $1 failed (above)"
  return 1
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  missing=$(missing_packages)
  [ -n "$missing" ] || exit 0
else
  missing=$(missing_elsewhere)
  [ -n "$missing" ] || exit 0
  say "needs what Debian packages as: ${missing% }"
  say "no apt-get here: install them by this system's own means, then try again"
  exit 1
fi

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
  say "needs packages, and neither root nor sudo is here; as root:" \
    "apt-get install --no-install-recommends ${missing% }"
  exit 1
fi

say "installing ${missing% }"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
forbid_starts
apt update || say "trying all the same"   # one broken source is no reason to give up on the rest
# shellcheck disable=SC2086  # a list of words
apt install --no-install-recommends $missing
disable_new_services
