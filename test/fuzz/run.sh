#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/fuzz/run.sh FOLDER SECONDS: runs each fuzzer of FOLDER for SECONDS. New inputs that reach
# new code are kept below FOLDER. Commit an input to test/fuzz/corpus/ only if it is worth
# replaying in every run, above all one that crashed once.

set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$1
seconds=$2
failed=0
ran=0

for source in test/fuzz/fuzz_*.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    ran=$((ran + 1))
    mkdir -p "$folder/corpus/$name" "$folder/crashes"
    printf '== fuzz %s: %s s\n' "$name" "$seconds"
    set -- "$folder/corpus/$name"
    [ -d "test/fuzz/corpus/$name" ] && set -- "$@" "test/fuzz/corpus/$name"
    if ! "$folder/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=70000 \
        -print_final_stats=1 -artifact_prefix="$folder/crashes/$name-" "$@" </dev/null \
        >"$folder/$name.log" 2>&1; then
        failed=$((failed + 1))
        tail -n 60 "$folder/$name.log"
    else
        grep -E '^stat::(number_of_executed_units|average_exec)|^Done' "$folder/$name.log"
    fi
done
printf '%s passed, %s failed, 0 skipped\n' "$((ran - failed))" "$failed"
[ "$failed" -eq 0 ] && [ "$ran" -gt 0 ]
