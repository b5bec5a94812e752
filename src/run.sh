#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Started by `make run`, which installs and builds first: a complete demo, private to this checkout,
# until Ctrl-C.
#
# Owns .run/ (lock, secrets, Redis, logs) and, when run as root, a folder below /tmp, because
# PostgreSQL refuses root and its user may have no access to the checkout. Every run starts with
# empty databases; only the secrets are kept. Every process started here is stopped here, by its
# own id, also when this script fails or is told to stop. If this script is killed, the kernel
# ends them (setpriv --pdeathsig).

set -euo pipefail

# Ends with make, however make ends (the shell of a recipe does not pass signals on).
if [ -n "${MAKELEVEL:-}" ] && [ -z "${TIKETI_GUARDED:-}" ]; then
    TIKETI_GUARDED=1 exec setpriv --pdeathsig TERM "$0" "$@"
fi
unset TIKETI_GUARDED
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
make run [CROWD=N] [SHOP=1] [SETTING=value ...]

Installs what is missing, builds, starts a private Redis, PostgreSQL and payment provider,
opens the event "demo" with a hall of 1,000 seats, and serves until Ctrl-C.

  CROWD=N         also run a rehearsal of N virtual buyers; ends with its report and its
                  exit status
  CROWD_ARGS=...  more options of `tiketi crowd`
  PROVIDER_ARGS=...
                  more options of `tiketi provider`, such as
                  "--late 0.1 --repeat 0.1 --lose 0.05"
  SHOP=1          also run a shop that knows nothing of tiketi, and nginx before it with the
                  configuration of docs/integrate/nginx.md, at SHOP_PORT=8000
  HTTP_PORT=8080  WS_PORT=8081  HTTP_HOST=127.0.0.1
  REDIS_URL=...   DATABASE_URL=...   use these servers instead of private ones
  PAYMENT_URL=... use this payment page, and start no provider
  QUEUE_THRESHOLD=1000 and every other setting listed by `tiketi serve --help`
END
}

bold='' plain=''
if [ -t 2 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
say() { printf '%s\n' "${bold}tiketi:$plain $*" >&2; }
die() {
    say "$@"
    exit 1
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
'') ;;
*) usage >&2 && exit 64 ;;
esac

run=$PWD/.run
drain_ms=5000
bin=${TIKETI_BIN:-$PWD/build/tiketi}
private=             # the folder of the database
serve_pid=''
provider_pid=''
shop_pid=''
nginx_pid=''
redis_pid=''
postgres_pid=''
job_pid=''
as_postgres=()       # what makes setpriv run a command as the database's user

# --- stopping ----------------------------------------------------------------------------

# Asks the list of this shell's children, because the id of a process that has ended may be reused.
alive() {
    local running
    running=$(jobs -rp)
    [ -n "$1" ] && [[ $'\n'$running$'\n' == *$'\n'$1$'\n'* ]]
}

# end PID SIGNAL SECONDS: sends the signal, waits, then sends KILL. A second Ctrl-C ends the waiting.
hurry=
end() {
    alive "$1" || return 0
    kill -s "$2" "$1" 2>/dev/null || return 0
    local tries=$(($3 * 20))
    while alive "$1" && [ "$tries" -gt 0 ] && [ -z "$hurry" ]; do
        sleep 0.05
        tries=$((tries - 1))
    done
    if alive "$1"; then kill -s KILL "$1" 2>/dev/null || true; fi
    wait "$1" 2>/dev/null || true
}

stop_all() {
    local status=$?
    set +e
    trap 'hurry=1' INT TERM HUP
    trap - EXIT
    end "$job_pid" TERM 5
    end "$nginx_pid" TERM 5
    end "$shop_pid" TERM 5
    end "$serve_pid" TERM $((drain_ms / 1000 + 5))
    end "$provider_pid" TERM 5
    hurry=
    end "$redis_pid" TERM 10
    end "$postgres_pid" INT 15
    [ -z "$private" ] || rm -rf "$private"
    rm -rf "$run/redis" "$run/shop" "$run/tmp"
    exit "$status"
}

# job COMMAND...: runs a command to its end; signals are handled meanwhile.
job() {
    "$@" 9>&- &
    job_pid=$!
    local status=0
    wait "$job_pid" || status=$?
    job_pid=
    return "$status"
}

# owned SIGNAL COMMAND...: replaces the subshell it is called in. The command gets a session of its own,
# so that Ctrl-C reaches this script alone, which stops the processes in order.
owned() {
    local signal=$1
    shift
    exec setsid setpriv --pdeathsig "$signal" "$@" 9>&-
}

# --- before anything is started ------------------------------------------------------------

[ -x "$bin" ] || die "$bin is missing: use \`make run\`"
umask 077
mkdir -p "$run"
exec 9>>"$run/lock"
if ! flock -n 9; then
    die "tiketi is already running from this checkout ($(cat "$run/lock")); stop it first"
fi

# From here on .run/ belongs to this run. A run that was killed has left its folder.
if [ -f "$run/tmp" ]; then
    leftover=$(cat "$run/tmp")
    case $leftover in /tmp/tiketi-run.* | "$run"/postgres) rm -rf "$leftover" ;; esac
fi
rm -rf "$run/redis" "$run/shop" "$run/postgres" "$run/tmp"
trap stop_all EXIT
# Being stopped is not an error.
trap 'exit 0' INT TERM HUP

listening() { # PORT
    local hex
    hex=$(printf '%04X' "$1")
    awk -v port=":$hex\$" '$4 == "0A" && $2 ~ port { found = 1 } END { exit !found }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

export HTTP_PORT=${HTTP_PORT:-8080} WS_PORT=${WS_PORT:-8081} HTTP_HOST=${HTTP_HOST:-127.0.0.1}
[ -z "${SHOP:-}" ] || SHOP_PORT=${SHOP_PORT:-8000}
for name in HTTP_PORT WS_PORT ${SHOP:+SHOP_PORT}; do
    port=${!name}
    if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
        die "$name=$port is not a port number"
    fi
    if listening "$port"; then
        die "port $port is used by another program; choose another one: make run $name=$((port + 1000))"
    fi
done
[ "$HTTP_PORT" -ne "$WS_PORT" ] || die "HTTP_PORT and WS_PORT are both $HTTP_PORT; they must differ"
[[ ${CROWD:-0} =~ ^[0-9]{1,7}$ ]] || die "CROWD=$CROWD is not a number of buyers"
case $HTTP_HOST in
127.0.0.1 | 0.0.0.0 | ::) url=http://127.0.0.1:$HTTP_PORT ;;
*:*) url=http://[$HTTP_HOST]:$HTTP_PORT ;;
*) url=http://$HTTP_HOST:$HTTP_PORT ;;
esac
if [ -n "${SHOP:-}" ]; then
    [ "${CROWD:-0}" -eq 0 ] || die "SHOP=1 and CROWD=$CROWD do not go together"
    [ "$HTTP_HOST" = 127.0.0.1 ] || die "SHOP=1 is for HTTP_HOST=127.0.0.1: nginx is what others reach"
    # As docs/integrate/nginx.md has it.
    export PATH_PREFIX=/.tiketi TRUSTED_PROXIES=${TRUSTED_PROXIES:-127.0.0.1} PUBLIC_URL=${PUBLIC_URL:-http://127.0.0.1:$SHOP_PORT}
fi
api=$url${PATH_PREFIX:-} # where our own routes are
printf 'process %s, %s' "$$" "$url" >"$run/lock"

# --- secrets -------------------------------------------------------------------------------

random_hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

secrets=$run/secrets
if [ ! -s "$secrets" ]; then
    printf 'JWT_SECRETS=%s\nTICKET_KEYS=k1:%s\nPAYMENT_WEBHOOK_SECRETS=%s\n' \
        "$(random_hex 32)" "$(random_hex 32)" "$(random_hex 32)" >"$secrets"
fi
grep -q '^VAPID_KEYS=' "$secrets" || printf 'VAPID_KEYS=%s\n' "$("$bin" vapid-key)" >>"$secrets"
export VAPID_SUBJECT=${VAPID_SUBJECT:-mailto:demo@example.com}
# Settings of the caller, a value or a file, take precedence over the stored ones.
while IFS='=' read -r name value; do
    file_name=${name}_FILE
    [ -n "${!name:-}" ] || [ -n "${!file_name:-}" ] || export "$name=$value"
done <"$secrets"

# --- the two servers -------------------------------------------------------------------------

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        listening "$port" || break
    done
    echo "$port"
}

# await SECONDS PID WHAT LOG COMMAND...: waits until the command succeeds; fails when PID ends first.
await() {
    local tries=$(($1 * 20)) pid=$2 what=$3 log=$4
    shift 4
    until "$@" >/dev/null 2>&1; do
        if ! alive "$pid"; then
            [ -z "$log" ] || tail -n 20 "$log" >&2
            die "$what ended during its start${log:+ (see $log)}"
        fi
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "$what was not ready in time${log:+ (see $log)}"
        sleep 0.05
    done
}

start_redis() {
    local port password
    port=$(free_port)
    password=$(random_hex 16)
    mkdir -p "$run/redis"
    # On standard input: a password on the command line is visible to every user.
    (owned TERM redis-server - >"$run/redis.log" 2>&1) <<END &
port $port
bind 127.0.0.1
requirepass $password
dir "$run/redis"
appendonly yes
appendfsync everysec
save ""
maxclients 10000
END
    redis_pid=$!
    export REDIS_URL="redis://:$password@127.0.0.1:$port"
    REDISCLI_AUTH=$password await 20 "$redis_pid" Redis "$run/redis.log" \
        sh -c "redis-cli -p $port ping | grep -q PONG"
}

postgres_program() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/"$1" | sort -V | tail -n 1)
    [ -x "$found" ] || die "PostgreSQL's $1 was not found below /usr/lib/postgresql"
    echo "$found"
}

start_postgres() {
    local port password initdb server
    port=$(free_port)
    password=$(random_hex 16)
    initdb=$(postgres_program initdb)
    server=$(postgres_program postgres)
    if [ "$(id -u)" -eq 0 ]; then
        private=$(mktemp -d /tmp/tiketi-run.XXXXXX)
        as_postgres=(--reuid postgres --regid postgres --clear-groups)
    else
        private=$run/postgres
        mkdir "$private"
    fi
    echo "$private" >"$run/tmp"
    printf '%s\n' "$password" >"$private/password"
    [ "$(id -u)" -ne 0 ] || chown -R postgres:postgres "$private"
    (cd "$private" && setpriv "${as_postgres[@]}" "$initdb" -D "$private/data" -U tiketi -E UTF8 \
        --locale=C.UTF-8 -A scram-sha-256 --pwfile="$private/password" >"$run/postgres.log" 2>&1) || {
        tail -n 20 "$run/postgres.log" >&2
        die "PostgreSQL could not be set up (see $run/postgres.log)"
    }
    (cd "$private" && owned INT "${as_postgres[@]}" "$server" -D "$private/data" -p "$port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=100 \
        >>"$run/postgres.log" 2>&1) &
    postgres_pid=$!
    unset "${!PG@}" # settings for another server
    export DATABASE_URL="postgresql://tiketi:$password@127.0.0.1:$port/postgres"
    # For psql; its command line is visible to every user.
    export PGHOST=127.0.0.1 PGPORT=$port PGUSER=tiketi PGPASSWORD=$password PGDATABASE=postgres
    await 30 "$postgres_pid" PostgreSQL "$run/postgres.log" psql -qtAc 'SELECT 1'
}

[ -n "${REDIS_URL:-}${REDIS_URL_FILE:-}${REDIS_HOST:-}" ] || start_redis
[ -n "${DATABASE_URL:-}${DATABASE_URL_FILE:-}" ] || start_postgres

# --- the shop ----------------------------------------------------------------------------------

# The configuration is the page's own; only the ports may be others.
start_shop() {
    local port user=
    port=$(free_port)
    mkdir -p "$run/shop"
    [ "$(id -u)" -ne 0 ] || user='user root;'
    awk '/^```nginx$/ && !seen++ { on = 1; next } /^```$/ { on = 0 } on' docs/integrate/nginx.md | sed -e "s/listen 8000;/listen $SHOP_PORT;/" \
        -e "s/127\.0\.0\.1:3000/127.0.0.1:$port/" -e "s/127\.0\.0\.1:8080/127.0.0.1:$HTTP_PORT/" \
        -e "s/127\.0\.0\.1:8081/127.0.0.1:$WS_PORT/" >"$run/shop/shop.conf"
    cat >"$run/shop/nginx.conf" <<END
daemon off; $user pid nginx.pid; error_log stderr; events {}
http {
    access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include shop.conf;
}
END
    (owned TERM node docs/integrate/shop/shop.mjs "$port" >"$run/shop.log" 2>&1) &
    shop_pid=$!
    await 20 "$shop_pid" "the demo shop" "$run/shop.log" ask "http://127.0.0.1:$port/healthz"
    (owned TERM nginx -p "$run/shop" -c nginx.conf -e stderr >"$run/nginx.log" 2>&1) &
    nginx_pid=$!
    await 20 "$nginx_pid" nginx "$run/nginx.log" ask "http://127.0.0.1:$SHOP_PORT/healthz"
}

# --- the event -------------------------------------------------------------------------------

job "$bin" migrate || die "the migration failed"
target=()
[ -n "$postgres_pid" ] || target=(-d "${DATABASE_URL:-$(cat "${DATABASE_URL_FILE:-/dev/null}")}")
threshold=${QUEUE_THRESHOLD:-1000}
interval=${QUEUE_PROCESSOR_INTERVAL:-10000}
[[ $threshold$interval =~ ^[0-9]{1,16}$ ]] ||
    die "QUEUE_THRESHOLD=$threshold, QUEUE_PROCESSOR_INTERVAL=$interval: must be numbers"
job psql "${target[@]}" -v ON_ERROR_STOP=1 -qtAc "SELECT demo_event($threshold, $interval)" \
    >/dev/null || die "the demo event could not be created"
# The seats are the shop's own. In a database of the caller's nothing is removed.
if [ -n "${SHOP:-}" ] && [ -n "$postgres_pid" ]; then
    job psql -v ON_ERROR_STOP=1 -qtAc "DELETE FROM seats WHERE event_id = 'demo';
        UPDATE events SET settings = settings || '{\"autoHold\": 0}' WHERE id = 'demo'" || die "the demo event could not be made one without seats"
fi

[[ ${DRAIN_MS:=$drain_ms} =~ ^[0-9]{1,7}$ ]] || die "DRAIN_MS=$DRAIN_MS must be a number of milliseconds"
export DRAIN_MS
drain_ms=$DRAIN_MS
ask() { curl --noproxy '*' -fsS --max-time 2 "$@" 2>/dev/null; }

# The payment provider, which calls the webhook: a port of its own, on the loopback alone.
provider_url=${PAYMENT_URL:-}
provider_url=${provider_url%/pay}
if [ -z "$provider_url" ]; then
    provider_port=$(free_port)
    provider_url=http://127.0.0.1:$provider_port
    export PAYMENT_URL=$provider_url/pay
    # shellcheck disable=SC2086  # options, to be split
    (owned TERM "$bin" provider --port "$provider_port" \
        --webhook-url "$api/api/payments/webhook" ${PROVIDER_ARGS:-} >"$run/provider.log" 2>&1) &
    provider_pid=$!
    await 20 "$provider_pid" "tiketi provider" "$run/provider.log" ask "$provider_url/livez"
fi
serve_log=
if [ "${CROWD:-0}" -gt 0 ]; then
    serve_log=$run/serve.log
    (owned TERM "$bin" serve >"$serve_log" 2>&1) &
else
    (owned TERM "$bin" serve) &
fi
serve_pid=$!
await 30 "$serve_pid" "tiketi serve" "$serve_log" ask "$url/readyz"

[ -z "${SHOP:-}" ] || start_shop

token=$("$bin" token --role organizer --sub demo)
console=$("$bin" console-link --role organizer --name demo --url "${PUBLIC_URL:-$url}${PATH_PREFIX:-}")
# The seats are counted a moment after the start; until then every buyer would have to wait.
for ((tries = 100; tries > 0; tries--)); do
    [ -z "${SHOP:-}" ] || break
    ask -H @- "$api/api/admin/events/demo/stats" <<<"Authorization: Bearer $token" |
        grep -q '"seatsLeft":[1-9]' && break
    alive "$serve_pid" || break
    sleep 0.1
done
ws_url=${url#http}
ws_url=${PUBLIC_WS_URL:-ws${ws_url%:*}:$WS_PORT${PATH_PREFIX:-}/ws}
page=$api/wait/demo
[ -z "${SHOP:-}" ] || page="$PUBLIC_URL/product/1?size=m
                      a shop behind nginx, which has the configuration of docs/integrate/nginx.md: $run/shop/shop.conf"
cat >&2 <<END

  Open this page:     $page
  The console:        $console
                      (once, within ten minutes; another one: (. .run/secrets; TICKET_KEYS=\$TICKET_KEYS build/tiketi console-link --name demo --url $api))

  The event:          $api/api/events/demo
  The seats:          $api/api/seats/demo
  Metrics:            $url/metrics
  WebSocket:          $ws_url
  Payment provider:   $provider_url/charges
  Organizer token:    $token

  Try it:
    curl -c jar -b jar -X POST $api/api/queue/check/demo
    curl -c jar -b jar $api/api/queue/status/demo
    curl -c jar -b jar -H 'Content-Type: application/json' -d '{"eventId":"demo","quantity":2}' $api/api/reservations
    curl -b jar -X POST $api/api/reservations/<its id>/pay | curl -d @- $provider_url/charges
    TOKEN=<the organizer token>
    curl -H "Authorization: Bearer \$TOKEN" $api/api/admin/events/demo/stats

  Ctrl-C stops everything.

END

if [ -n "$serve_log" ]; then
    say "rehearsal with $CROWD virtual buyers; the service logs to $serve_log"
    # shellcheck disable=SC2086  # options, to be split
    (owned TERM "$bin" crowd --users "$CROWD" --event demo --url "$url" \
        --provider "$provider_url" ${CROWD_ARGS:-}) &
    job_pid=$!
fi

# The first process that ends ends the run. (Not `wait -n`: it misses processes that have ended before.)
ended() { [ -n "$1" ] && ! alive "$1"; }
fail() { # PID NAME HINT
    local status=0
    wait "$1" || status=$?
    die "$2 ended with status $status $3"
}
while :; do
    if ended "$job_pid"; then
        status=0
        wait "$job_pid" || status=$?
        job_pid=
        exit "$status"
    fi
    ended "$serve_pid" && fail "$serve_pid" "tiketi serve" "${serve_log:+(see $serve_log)}"
    ended "$shop_pid" && fail "$shop_pid" "the demo shop" "(see $run/shop.log)"
    ended "$nginx_pid" && fail "$nginx_pid" nginx "(see $run/nginx.log)"
    ended "$provider_pid" && fail "$provider_pid" "tiketi provider" "(see $run/provider.log)"
    ended "$redis_pid" && fail "$redis_pid" Redis "(see $run/redis.log)"
    ended "$postgres_pid" && fail "$postgres_pid" PostgreSQL "(see $run/postgres.log)"
    sleep 0.3 9>&- &
    wait $!
done
