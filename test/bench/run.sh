#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Behind `make bench`: builds what tiketi is measured beside and runs bench.mjs, which writes docs/performance.md.
# QUICK=1 takes two minutes and leaves that page alone. BENCH="joins polls" runs these sections only; `run.sh check`
# only looks at these names.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BENCH_SECTIONS='joins profile express polls redis growth pods sockets push holds hundred'
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
# With the allocator the service has.
# shellcheck disable=SC2046 # the flags are words
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/hello test/bench/hello.c $(pkg-config --cflags --libs libmicrohttpd libuv) -Wl,--no-as-needed -ljemalloc
# shellcheck disable=SC2046
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/held test/bench/held.c $(pkg-config --cflags --libs libmicrohttpd libuv hiredis) -Wl,--no-as-needed -ljemalloc
export BENCH_HELD=$PWD/build/bench/held
# What a pod computes from the rank index, for places that come one to a line.
lib=build/$(basename "${CC:-gcc}")/libtiketi.a
"${CC:-gcc}" -O2 -iquote include -iquote src -o build/bench/position test/bench/position.c "$lib" -ljansson -lcrypto -lm
export BENCH_POSITION=$PWD/build/bench/position
# shellcheck disable=SC2046
"${CC:-gcc}" -O2 -D_GNU_SOURCE -o build/bench/echo test/bench/echo.c $(pkg-config --cflags --libs libwebsockets libuv) -Wl,--no-as-needed -ljemalloc
"${CC:-gcc}" -O2 -D_GNU_SOURCE -o build/bench/clients test/bench/clients.c
BENCH_HELLO=$PWD/build/bench/hello exec node --test --test-force-exit --test-reporter=spec test/bench/bench.mjs
