#!/bin/sh
# packages.sh build|run [SERVER]|test|browser|lint|bench|fuzz - install the packages that `make` (`make
# run`, `make test` ...) needs and this machine lacks.  SERVER is lighttpd, nginx, apache or caddy,
# as in `make run SERVER=nginx`.  If all are installed, it prints nothing and asks nothing.
#
# This is POSIX sh, because it must also run if bash is missing.
# Services that come with a package (redis-server, lighttpd) are neither started nor enabled,
# because trying a program out should not start a web server on port 80.  Services that were
# installed before are left as they are.
set -eu

POLICY=/usr/sbin/policy-rc.d
MARK='# made by conf/packages.sh of ratelimit.fcgi for the time of an installation; else remove it'

# xxd embeds files in the program.  lighttpd-modules-lua contains mod_magnet, and prometheus
# promtool.  curl, ps, ip, strace, lua5.1, node, wrk and promtool are for the tests only, and so are
# all web servers except lighttpd.  The browser, 130 MB, is not among the packages of `make test`:
# without it tests/live.bats is skipped.  Debian has Valkey since 13.
has_valkey() {
  # shellcheck source=/dev/null
  ID='' VERSION_ID='' && . /etc/os-release 2>/dev/null && [ "$ID" = debian ] && [ "${VERSION_ID%%.*}" -ge 13 ] 2>/dev/null
}

build="gcc make libc6-dev pkg-config libfcgi-dev libhiredis-dev libssl-dev libev-dev libyaml-dev nettle-dev uthash-dev xxd"
run="$build bash lighttpd redis-server"
test="$run spawn-fcgi libcmocka-dev bats lua5.1 curl procps iproute2 strace nodejs wrk nginx-light apache2 caddy haproxy lighttpd-modules-lua systemd prometheus openssl stunnel4"
! has_valkey || test="$test valkey-server"
browser="chromium chromium-driver"
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
  browser) wanted=$browser ;;
  lint) wanted=$lint ;;
  bench) wanted=$bench ;;
  fuzz) wanted=$fuzz ;;
  *)
    echo "usage: $0 build|run|test|browser|lint|bench|fuzz; or run lighttpd|nginx|apache|caddy" >&2
    exit 2
    ;;
esac

say() {
  echo "$goal: $*" >&2
}
goal="make $1"
[ "$1" != browser ] || goal=tests/live.bats

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Print the packages of $wanted that dpkg does not list as installed.
missing_packages() {
  # shellcheck disable=SC2086  # a list of words; dpkg-query fails if one is unknown
  installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' $wanted 2>/dev/null || true)"
  for package in $wanted; do
    case $installed in
      *" $package=installed "*) ;;
      *) has_otherwise "$package" || printf '%s ' "$package" ;;
    esac
  done
}

# Node is often installed without the package, and any version is sufficient.
has_otherwise() { [ "$1" = nodejs ] && command -v node >/dev/null; }

# For other systems: print the packages, by Debian's names, whose commands, libraries or headers are
# missing.
missing_elsewhere() {
  PATH=$PATH:/usr/sbin:/sbin
  for package in $wanted; do
    case $package in
      gcc) command -v cc ;;
      libc6-dev) has_header stdio.h ;;
      libfcgi-dev) has_header fcgiapp.h ;;
      libev-dev) has_header ev.h ;;
      libhiredis-dev) pkg-config --exists hiredis ;;
      libssl-dev) pkg-config --exists openssl ;;
      libyaml-dev) pkg-config --exists yaml-0.1 ;;
      nettle-dev) pkg-config --exists nettle ;;
      uthash-dev) has_header uthash.h ;;
      libclang-rt-dev) has_fuzzer ;;
      libcmocka-dev) pkg-config --exists cmocka ;;
      chromium-driver) command -v chromedriver ;;
      lua-check) command -v luacheck ;;
      nodejs) command -v node ;;
      procps) command -v ps ;;
      iproute2) command -v ip ;;
      lighttpd-modules-lua) ls /usr/lib*/lighttpd/mod_magnet.so ;;
      nginx-light) command -v nginx ;;
      stunnel4) command -v stunnel ;;
      prometheus) command -v promtool ;;
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

# invoke-rc.d and deb-systemd-invoke start nothing while a policy-rc.d exits with 101.  If the
# administrator has a policy-rc.d already, it is left in place.
forbid_starts() {
  if [ -e "$POLICY" ] && ! grep -qF "$MARK" "$POLICY"; then
    return
  fi
  trap 'as_root rm -f "$POLICY"; rm -f "$log"' EXIT
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

# Packages enable their services for the next boot.  Undo that for those just installed.
disable_new_services() {
  [ -d /run/systemd/system ] || return 0
  for service in redis-server valkey-server lighttpd nginx apache2 caddy haproxy prometheus stunnel4; do
    case " $missing" in
      *" $service "* | *" $service-light "*) as_root systemctl disable --now --quiet "$service" ;;
    esac
  done
}

# Print the output only if it fails.  NEEDRESTART_SUSPEND prevents Ubuntu from restarting running
# services.
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
apt update || say "trying all the same"   # because the other sources may be sufficient
# shellcheck disable=SC2086  # a list of words
apt install --no-install-recommends $missing
disable_new_services
