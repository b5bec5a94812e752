#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/run.sh SUITE...: runs suites (unit, corpus, wire, lua, integration, property, chaos, browser, k8s, recipes, night, package, image). One line
# for each suite; before it each failure of that suite, once and in full. The last line
# is: N passed, N failed, N skipped.
#
# Exit 1 when anything failed, when a suite ran no test at all, or when a program stopped
# before it had reported every test it had announced (a crash is never a pass).
#
# Called by the Makefile, which builds first and sets TIKETI_BIN, TIKETI_OUT and TIKETI_SAN.
# The suite wire attacks the program that TIKETI_WIRE_BIN names: one with the address and undefined sanitizers.
# TESTS="file …" runs only these files of the node suites. TIKETI_REDIS=tls, sentinel or cluster runs them on such a Redis
# (test/fixtures/redis.mjs), with a folder of its own in that of the logs. The folder $TIKETI_OUT/log gets the whole
# output of every suite (TAP), and the seconds that each test file took (SUITE.times).
#
# TIKETI_AGAIN=1 runs the files that failed once more, alone, when they are six at most (but of the suite wire, whose seeds
# count): a crowded machine breaks a deadline now and then. What passes then counts as passed, and a line UNSTABLE names
# it: it is still a fault, of the test or of the program. A sanitizer's report always fails.

set -u
# However make ends, this ends with it.
if [ -n "${MAKELEVEL:-}" ] && [ -z "${TIKETI_GUARDED:-}" ]; then
    TIKETI_GUARDED=1 exec setpriv --pdeathsig TERM "$0" "$@"
fi
cd "$(dirname "$0")/.." || exit 1
: "${TIKETI_BIN:=$PWD/build/tiketi}" "${TIKETI_OUT:=build/gcc}" "${TIKETI_SAN:=}" "${TESTS:=}"
export TIKETI_BIN TIKETI_OUT TIKETI_SAN

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

# Integration files at a time: they wait more than they work, but not under a sanitizer, nor with several Redis servers each.
integration=5
[ -z "$TIKETI_SAN" ] || integration=4
case ${TIKETI_REDIS:-single} in sentinel | cluster) integration=3 ;; esac

logs=$TIKETI_OUT/log${TIKETI_REDIS:+/$TIKETI_REDIS}
mkdir -p "$logs"
total_passed=0
total_failed=0
total_skipped=0

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

# attend COMMAND...: runs the command; returns its status.
attend() {
    "$@" </dev/null &
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

# complain TEXT: a failure of the suite itself.
complain() {
    printf 'FAILED %s: %s\n' "$suite" "$1"
    add 0 1 0
}

# run_programs NAME...: TAP programs side by side, counted and told in the order of their names.
# More of them than there are cores, for the long ones wait for servers and timers; the caller names the
# longest first.
run_programs() {
    for name in "$@"; do rm -f "$logs/$name.log" "$logs/$name.status"; done
    printf '%s\n' "$@" >"$logs/$suite.list"
    attend xargs -a "$logs/$suite.list" -P "$(($(nproc) * 2))" -n 1 \
        setpriv --pdeathsig TERM -- test/program.sh "$logs" "$suite"
    # shellcheck disable=SC2013  # names without spaces
    for name in $(sort "$logs/$suite.list"); do
        status=$(cat "$logs/$name.status" 2>/dev/null || echo 127)
        # shellcheck disable=SC2046  # three numbers, to be split
        set -- $(count_tap "$logs/$name.log" "$status")
        add "$@"
        if [ "$2" -gt 0 ]; then
            printf 'FAILED %s: exit status %s\n' "$name" "$status"
            grep -v '^ok ' "$logs/$name.log" | sed 's/^/    /'
            printf '%s\n' "$name" >>"$logs/$suite.failed"
        fi
    done
    if [ "$suite" = unit ]; then again run_program; fi
}

# run_program NAME...: each of them once, alone; false when one failed.
run_program() {
    for name in "$@"; do
        attend setpriv --pdeathsig TERM -- test/program.sh "$logs" "$suite" "$name"
        [ "$(cat "$logs/$name.status")" -eq 0 ] || return 1
    done
}

# again COMMAND: runs COMMAND with what the suite's list of failures names, if TIKETI_AGAIN asks for it.
again() {
    [ -n "${TIKETI_AGAIN:-}" ] && [ -s "$logs/$suite.failed" ] || return 0
    # shellcheck disable=SC2046  # a list of names
    set -- "$1" $(sort -u "$logs/$suite.failed")
    [ $# -le 7 ] || return 0
    if grep -sqE "(ERROR|WARNING): (Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error: " "$logs/$suite.log" "$logs"/test_*.log; then return 0; fi
    printf 'again, alone: %s\n' "$(shift && echo "$@")"
    "$@" || return 0
    shift
    printf 'UNSTABLE, passed the second time: %s\n' "$@"
    add "$suite_failed" "-$suite_failed" 0
}

suite_unit() {
    # The largest sources first: they take the longest.
    # shellcheck disable=SC2046  # a list of names
    set -- $(find test/unit -name 'test_*.c' -printf '%s %f\n' | sort -rn | sed 's/.* //; s/\.c$//')
    [ $# -gt 0 ] || return
    twice=$(printf '%s\n' "$@" | sort | uniq -d)
    if [ -n "$twice" ]; then
        complain "two programs are called $twice"
        return
    fi
    run_programs "$@"
}

suite_corpus() {
    names=
    for source in test/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        name=${name#fuzz_}
        if [ -z "$(ls "test/fuzz/corpus/$name" 2>/dev/null)" ]; then
            complain "$source has no corpus in test/fuzz/corpus/$name"
        else
            names="$names replay_$name"
        fi
    done
    # shellcheck disable=SC2086  # a list of names
    run_programs $names
}

# names_its_redis FILE: the file starts the kind of Redis that it is about, whatever TIKETI_REDIS says.
names_its_redis() {
    case $TIKETI_REDIS:$1 in
    tls:*/redis_health.*) return 1 ;;
    *:*/redis_tls.* | *:*/redis_sentinel.* | *:*/redis_cluster.* | *:*/redis_health.* | *:*/redis_risk.*)
        printf 'skipped on %s, it has a Redis of its own kind: %s\n' "$TIKETI_REDIS" "$1"
        add 0 0 1
        ;;
    *) return 1 ;;
    esac
}

# suite_node CONCURRENCY SECONDS: a file that takes longer than SECONDS hangs; it is ended and counted as failed.
suite_node() {
    concurrency=$1
    most=
    # Node.js 18 knows no such limit.
    if node --help | grep -q -e --test-timeout; then most=--test-timeout=${2}000; fi
    if [ -n "$TESTS" ]; then
        # shellcheck disable=SC2086  # a list of files
        set -- $TESTS
    else
        set -- "test/$suite"/*.test.mjs
    fi
    for file in "$@"; do
        shift
        if [ -z "$TESTS" ] && [ -n "${TIKETI_REDIS:-}" ] && names_its_redis "$file"; then continue; fi
        set -- "$@" "$file"
        [ -e "$file" ] && continue
        complain "there is no $file"
        return
    done
    if ! attend src/packages.sh >"$logs/npm.log" 2>&1; then
        complain "npm: $(cat "$logs/npm.log")"
        return
    fi
    log=$logs/$suite.log
    TIKETI_TIMES=$logs/$suite.times TIKETI_FAILED=$logs/$suite.failed attend node --test --test-concurrency="$concurrency" ${most:+"$most"} \
        --test-reporter=tap --test-reporter-destination="$log" \
        --test-reporter=./test/reporter.mjs --test-reporter-destination=stdout "$@"
    status=$?
    # shellcheck disable=SC2046  # three numbers, to be split
    set -- $(count_node "$log" "$status")
    add "$@"
    [ "$suite" = wire ] || again run_files
}

# run_files FILE...: node test files, one after the other; false when one failed.
run_files() {
    attend node --test --test-concurrency=1 ${most:+"$most"} \
        --test-reporter=tap --test-reporter-destination="$logs/$suite.again.log" \
        --test-reporter=./test/reporter.mjs --test-reporter-destination=stdout "$@"
}

# The fixtures find another program, and wait for it as for every sanitizer's.
suite_wire() {
    program=$TIKETI_BIN sanitizers=$TIKETI_SAN
    TIKETI_BIN=${TIKETI_WIRE_BIN:?} TIKETI_SAN=address,undefined
    suite_node 1 "$((${WIRE_SECONDS:-30} * 2 + 300))"
    TIKETI_BIN=$program TIKETI_SAN=$sanitizers
    sed -n 's/^# \(seed .*\)/\1/p' "$logs/wire.log"
}

# Its programs come out of Debian 13's packages: where no mirror has them, the suite is skipped, and says why.
suite_k8s() {
    for program in kustomize docker-compose; do
        attend test/k8s/tool.sh "$program" >"$logs/k8s.tool" 2>&1 && continue
        printf 'skipped: there is no %s here: %s\n' "$program" "$(tail -n 1 "$logs/k8s.tool")"
        add 0 0 1
        return
    done
    suite_node 2 300
}

for suite in "$@"; do
    suite_passed=0
    suite_failed=0
    suite_skipped=0
    rm -f "$logs/$suite.failed"
    began=$(date +%s)
    case $suite in
    unit) suite_unit ;;
    corpus) suite_corpus ;;
    wire) suite_wire ;;
    lua) suite_node 3 300 ;;
    integration) suite_node "$integration" 600 ;;
    property) suite_node 1 7200 ;;
    chaos) suite_node 1 600 ;;
    browser) suite_node 3 600 ;;
    k8s) suite_k8s ;;
    recipes) suite_node 2 300 ;;
    night) suite_node 1 1800 ;;
    package) suite_node 1 900 ;;
    image) suite_node 1 1800 ;;
    *)
        echo "no such suite: $suite" >&2
        exit 64
        ;;
    esac
    [ "$((suite_passed + suite_failed + suite_skipped))" -gt 0 ] || complain 'it ran no test'
    printf '%-12s %4d passed, %d failed, %d skipped, %4d s\n' "$suite${TIKETI_REDIS:+ $TIKETI_REDIS}" "$suite_passed" \
        "$suite_failed" "$suite_skipped" "$(($(date +%s) - began))"
    total_passed=$((total_passed + suite_passed))
    total_failed=$((total_failed + suite_failed))
    total_skipped=$((total_skipped + suite_skipped))
done

printf 'full output: %s/\n' "$logs"
printf '%s passed, %s failed, %s skipped\n' "$total_passed" "$total_failed" "$total_skipped"
[ "$total_failed" -eq 0 ]
