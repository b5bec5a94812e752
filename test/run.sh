#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/run.sh SUITE...: runs suites (unit, corpus, lua, integration, property, browser, night), shows what each counted,
# and ends with one line: N passed, N failed, N skipped. All suites speak TAP to it.
#
# Exit 1 when anything failed, when a suite ran no test at all, or when a program stopped
# before it had reported every test it had announced (a crash is never a pass).
#
# Called by the Makefile, which builds first and sets TIKETI_BIN, TIKETI_OUT and TIKETI_SAN.
# TESTS="file …" runs only these files of the node suites.

set -u
# However make ends, this ends with it.
if [ -n "${MAKELEVEL:-}" ] && [ -z "${TIKETI_GUARDED:-}" ]; then
    TIKETI_GUARDED=1 exec setpriv --pdeathsig TERM "$0" "$@"
fi
cd "$(dirname "$0")/.." || exit 1
: "${TIKETI_BIN:=$PWD/build/tiketi}" "${TIKETI_OUT:=build/gcc}" "${TIKETI_SAN:=}" "${TESTS:=}"
export TIKETI_BIN TIKETI_SAN

# The thread sanitizer needs its own address layout; some kernels randomise too much for it.
if [ "${TIKETI_SAN#*thread}" != "$TIKETI_SAN" ] && [ -z "${TIKETI_FIXED_LAYOUT:-}" ] &&
    setarch -R true 2>/dev/null; then
    export TIKETI_FIXED_LAYOUT=1
    exec setarch -R "$0" "$@"
fi
export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export LSAN_OPTIONS="suppressions=$PWD/test/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="suppressions=$PWD/test/tsan.supp:halt_on_error=0:second_deadlock_stack=1"

logs=$TIKETI_OUT/log
mkdir -p "$logs"
total_passed=0
total_failed=0
total_skipped=0
summary=

# Children run in the background, so that a signal is passed on at once instead of when
# they are through. Node's fixtures stop the servers they started when they get it.
child=
stop() {
    trap '' INT TERM HUP
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
    echo 'interrupted' >&2
    exit 130
}
trap stop INT TERM HUP

# attend LOG COMMAND...: runs the command, its output into LOG; returns its status.
attend() {
    log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    child=$!
    wait "$child"
    status=$?
    child=
    return "$status"
}

# count_tap LOG STATUS: "passed failed skipped" of one TAP stream without subtests.
# Older cmocka writes a skipped test as "not ok N # SKIP".
count_tap() {
    awk -v status="$2" '
        /^1\.\.[0-9]+/ { planned += substr($1, 4) }
        /^(not )?ok / && /# SKIP/ { skipped++; next }
        /^ok / { passed++ }
        /^not ok / { failed++ }
        END {
            missing = planned - passed - failed - skipped
            if (missing > 0) failed += missing
            if (status != 0 && failed == 0) failed = 1
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

# count_node LOG STATUS: the same from the totals at the end of node's TAP.
count_node() {
    awk -v status="$2" '
        /^# pass [0-9]+$/ { passed += $3 }
        /^# (fail|cancelled) [0-9]+$/ { failed += $3 }
        /^# (skipped|todo) [0-9]+$/ { skipped += $3 }
        END {
            if (status != 0 && failed == 0) failed = 1
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

add() {
    suite_passed=$((suite_passed + $1))
    suite_failed=$((suite_failed + $2))
    suite_skipped=$((suite_skipped + $3))
}

# programs SUITE PROGRAM...: TAP programs, one after the other.
run_program() {
    name=$1
    shift
    attend "$logs/$name.log" "$@"
    status=$?
    # shellcheck disable=SC2046  # three numbers, to be split
    set -- $(count_tap "$logs/$name.log" "$status")
    add "$@"
    if [ "$2" -gt 0 ]; then
        printf '%s: exit status %s\n' "$name" "$status"
        grep -v '^ok ' "$logs/$name.log"
    fi
}

suite_unit() {
    export CMOCKA_MESSAGE_OUTPUT=tap
    for source in test/unit/*/test_*.c; do
        [ -e "$source" ] || continue
        name=${source#test/unit/}
        run_program "$(basename "$source" .c)" "$TIKETI_OUT/unit/${name%.c}"
    done
}

suite_corpus() {
    for source in test/fuzz/fuzz_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        name=${name#fuzz_}
        set -- "test/fuzz/corpus/$name"/*
        [ -e "$1" ] || continue
        run_program "replay_$name" "$TIKETI_OUT/replay/$name" "$@"
    done
}

# suite_node SUITE CONCURRENCY SECONDS: a file that takes longer hangs; it is ended and counted as failed.
suite_node() {
    if [ -n "$TESTS" ]; then
        # shellcheck disable=SC2086  # a list of files
        set -- "$1" "$2" "$3" $TESTS
    else
        set -- "$1" "$2" "$3" "test/$1"/*.test.mjs
    fi
    [ -e "$4" ] || return 0
    attend "$logs/npm.log" test/packages.sh || {
        cat "$logs/npm.log"
        add 0 1 0
        return
    }
    log=$logs/$1.log
    concurrency=$2
    limit=$3
    shift 3
    attend "$log" node --test --test-reporter=tap --test-concurrency="$concurrency" \
        --test-timeout="${limit}000" "$@"
    status=$?
    # shellcheck disable=SC2046  # three numbers, to be split
    set -- $(count_node "$log" "$status")
    add "$@"
    [ "$2" -eq 0 ] || test/failures.awk "$log"
}

for suite in "$@"; do
    suite_passed=0
    suite_failed=0
    suite_skipped=0
    began=$(date +%s)
    printf '== %s\n' "$suite"
    case $suite in
    unit) suite_unit ;;
    corpus) suite_corpus ;;
    lua) suite_node lua 2 300 ;;
    integration) suite_node integration 2 600 ;; # they wait more than they work
    property) suite_node property 1 7200 ;;
    browser) suite_node browser 2 600 ;;
    night) suite_node night 1 1800 ;;
    *)
        echo "no such suite: $suite" >&2
        exit 64
        ;;
    esac
    note=
    if [ "$((suite_passed + suite_failed + suite_skipped))" -eq 0 ]; then
        note=' (ran no test: that is a failure)'
        suite_failed=1
    fi
    line=$(printf '%-12s %s passed, %s failed, %s skipped, %s s%s' "$suite:" "$suite_passed" \
        "$suite_failed" "$suite_skipped" "$(($(date +%s) - began))" "$note")
    printf '%s\n' "$line"
    summary="$summary$line
"
    total_passed=$((total_passed + suite_passed))
    total_failed=$((total_failed + suite_failed))
    total_skipped=$((total_skipped + suite_skipped))
done

printf '\n%sfull output: %s/\n' "$summary" "$logs"
printf '%s passed, %s failed, %s skipped\n' "$total_passed" "$total_failed" "$total_skipped"
[ "$total_failed" -eq 0 ]
