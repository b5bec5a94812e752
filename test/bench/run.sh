#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Behind `make bench`: builds what tiketi is measured beside and runs bench.mjs, which writes docs/performance.md.
# QUICK=1 takes two minutes and leaves that page alone. BENCH="joins polls" runs these sections only; `run.sh check`
# only looks at these names.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BENCH_SECTIONS='joins profile express polls gate cookie lists redis tls shards growth pods sockets push socketio holds overload own hostile hundred million stripes'
for name in $(tr , " " <<<"${BENCH-}"); do
    case " $BENCH_SECTIONS " in
    *" $name "*) ;;
    *)
        echo "BENCH: there is no section '$name'; there are: $BENCH_SECTIONS" >&2
        exit 64
        ;;
    esac
done
[ "${1-}" != check ] || exit 0
mkdir -p build/bench
# Links the allocator that the service uses.
# shellcheck disable=SC2046 # the flags are words
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/hello test/bench/hello.c $(pkg-config --cflags --libs libmicrohttpd libuv) -Wl,--no-as-needed -ljemalloc
# shellcheck disable=SC2046
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/held test/bench/held.c $(pkg-config --cflags --libs libmicrohttpd libuv hiredis) -Wl,--no-as-needed -ljemalloc
export BENCH_HELD=$PWD/build/bench/held
# position.c computes what a pod would show for given places. It and cookie.c link the service's own library with $LIBS.
lib=build/$(basename "${CC:-gcc}")/libtiketi.a
# shellcheck disable=SC2086 # the libraries are words
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/position test/bench/position.c "$lib" $LIBS
export BENCH_POSITION=$PWD/build/bench/position
# cookie.c measures what a request pays for the guest's cookie.
# shellcheck disable=SC2086
"${CC:-gcc}" -O2 -D_GNU_SOURCE -iquote include -iquote src -o build/bench/cookie test/bench/cookie.c "$lib" $LIBS
export BENCH_COOKIE=$PWD/build/bench/cookie
# shellcheck disable=SC2046
"${CC:-gcc}" -O2 -D_GNU_SOURCE -o build/bench/echo test/bench/echo.c $(pkg-config --cflags --libs libwebsockets libuv) -Wl,--no-as-needed -ljemalloc
"${CC:-gcc}" -O2 -D_GNU_SOURCE -o build/bench/clients test/bench/clients.c
"${CC:-gcc}" -O2 -D_GNU_SOURCE -o build/bench/pace test/bench/pace.c
BENCH_HELLO=$PWD/build/bench/hello exec node --test --test-force-exit --test-reporter=spec test/bench/bench.mjs
