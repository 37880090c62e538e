#!/usr/bin/env bats
# express.bats - a real Express application behind nginx: every spelling of a path that Express routes to a limited route is
# limited.  The tests ask Express directly which spellings those are.

load helper

setup_file() {
  export APP APP_PID NGINX_PID PROGRAM_PID URL UNABLE='' FOLDER=$BATS_FILE_TMPDIR
  if ! timeout 120 npm install --prefix "$FOLDER" --no-audit --no-fund --silent express@4 >"$FOLDER/npm.log" 2>&1; then
    UNABLE='npm brings no Express: its routes are NOT tried'
    return
  fi
  APP=127.0.0.1:$(free_port)
  NODE_PATH=$FOLDER/node_modules node - "${APP#*:}" 2>"$FOLDER/app.log" 3>&- <<'JS' &
const app = require('express')();
const says = (route) => (request, response) => response.set('X-Route', route).send(request.method);
app.all('/login', says('login'));
app.all('/api/search/:query', says('search'));
app.all('/api/orders*', says('orders'));
const admin = require('express').Router();
admin.all('/users/:id', says('admin'));
app.use('/admin', admin);
app.use((request, response) => response.status(404).set('X-Route', 'none').send('none'));
app.listen(process.argv[2], '127.0.0.1');
JS
  APP_PID=$!
  start_redis
  cat >"$FOLDER/limits.yaml" <<'YAML'
redis: { timeout: 5s }
limits:
  - { name: login, match: { path: /login, ignore_case: true }, key: global, capacity: 1, refill: 1/day }
  - { name: search, match: { path: "/api/search/*", ignore_case: true }, key: global, capacity: 1, refill: 1/day }
  - { name: orders, match: { path: "/api/orders**", ignore_case: true }, key: global, capacity: 1, refill: 1/day }
  - { name: admin, match: { path: "/admin/**", ignore_case: true, methods: [GET] }, key: global, capacity: 1, refill: 1/day }
YAML
  REDIS_ADDR=unix:$REDIS_SOCK "$PROGRAM" --limits "$FOLDER/limits.yaml" --listen "unix:$FOLDER/limiter" \
    2>"$FOLDER/limiter.log" 3>&- &
  PROGRAM_PID=$!
  start_nginx
}

start_nginx() {
  local listen
  listen=127.0.0.1:$(free_port)
  URL=http://$listen
  LISTEN=$listen LIMITER=$FOLDER/limiter adapt_nginx "$FOLDER"
  cat >"$FOLDER/nginx.conf" <<NGINX
error_log stderr;
pid nginx.pid;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  include ratelimit.conf;
  server {
    listen $listen;
    include ratelimit-server.conf;
    location / { proxy_pass http://$APP; }
  }
}
NGINX
  eventually accepts_tcp "${APP#*:}"
  run_nginx "$FOLDER" "${listen#*:}"
}

teardown_file() {
  local pid
  for pid in $NGINX_PID $PROGRAM_PID $APP_PID; do stop "$pid"; done
  [[ -n $UNABLE ]] || stop_all
}

setup() { [[ -z $UNABLE ]] || skip "$UNABLE"; }

# route TARGET [OPTION...] - the route of Express for this request target
route() { URL=http://$APP request / --request-target "$1" "${@:2}" && header X-Route; }

# assert_limited ROUTE PLAIN SPELLING... - after PLAIN has emptied the bucket of the limit, PLAIN and every spelling that
# Express routes to ROUTE are refused; prints how many those were
assert_limited() {
  local route=$1 plain=$2 spelling count=0
  shift 2
  redis_cli FLUSHALL >/dev/null
  request / --request-target "$plain"
  assert_equal "$(header Status) $(header X-Route)" "200 OK $route"
  for spelling in "$plain" "$@"; do
    [[ $(route "$spelling") == "$route" ]] || continue
    count=$((count + 1))
    request / --request-target "$spelling"
    [[ $(header Status) =~ ^4(00|29|03)\  ]] || fail "$spelling: $(header Status), route $(header X-Route)" 'is not' 'refused' || return 1
  done
  echo "# $count spellings of $plain are the route $route" >&3
  ((count >= 3))
}

# spellings PATH - PATH with other case, slashes, dots, escapes and endings
spellings() {
  local path=$1 first=${1:1:1} rest=${1:2} end
  printf '%s\n' "${path^^}" "/${first^}$rest" "/$path" "$path/" "$path//" "$path/." "$path/.." "/.$path" "/x/..$path" \
    "$path%2f" "%2f${path#/}" "/%$(printf %02x "'$first")$rest" "$path?" "$path?x=/y" "$path;x" "$path;x=1/" "$path%3bx" \
    "$path%20" "$path%09" "$path." "$path%2e" "$path/%2e" "$path/%2e%2e" "$path\\" "$path%5c" "$path%23" "$path%3f" \
    "http://any.example$path" "http://any.example$path/" "$path%C2%A0" "${path//i/%69}" "${path//i/%49}" "${path//\//\/.\/}" \
    "${path//\//\/\/}" "${path}%2f..%2fx" "${path}/x%2f.."
}

@test "a route of one segment is limited in every spelling of it" {
  mapfile -t all < <(spellings /login)
  assert_limited login /login "${all[@]}"
}

@test "a route with a parameter is limited whatever the parameter is, encoded slashes and dots included" {
  mapfile -t all < <(spellings /api/search/x)
  assert_limited search /api/search/x "${all[@]}" /api/search/foo%2fbar /api/search/foo%2Fbar%2Fbaz /api/search/x%2f..%2f..%2f.. \
    /api/search/%2e%2e /api/search/.. /api/search/%2e%2e%2f%2e%2e /api/search/a%3fb /api/search/a%23b /api/search/%00 \
    /API/search/x /api/SEARCH/x/ /api/search/%20 /api/search/a%5cb 'http://any.example/api/search/x%2fy'
}

@test "a route with a wildcard is limited in every spelling of it" {
  mapfile -t all < <(spellings /api/orders)
  assert_limited orders /api/orders "${all[@]}" /api/orders/1 /api/orders/1/2/3 /api/ordersX /api/orders/%2e%2e/%2e%2e/login /api/Orders/..%2f..
}

@test "a router below a path is limited in every spelling of it, and HEAD counts as GET" {
  mapfile -t all < <(spellings /admin/users/7)
  assert_limited admin /admin/users/7 "${all[@]}" /ADMIN/users/7 /admin//users/7 /admin/users/7%2f8 /admin/users/..
  assert_equal "$(status /admin/users/7 --head)" 429
}
