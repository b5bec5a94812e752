#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Behind `make lint`, which names the C files in C_FILES and offers the target tidy. Runs every
# check, also after one failed, and ends with one line that counts them.

set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0
failed=0

check() {
    name=$1
    shift
    if "$@"; then
        printf 'lint: %-10s ok\n' "$name"
        passed=$((passed + 1))
    else
        printf 'lint: %-10s FAILED\n' "$name"
        failed=$((failed + 1))
    fi
}

formatted() {
    status=0
    if [ -z "$C_FILES" ]; then
        echo 'there are no C files'
        status=1
    fi
    for file in $C_FILES; do
        if ! clang-format "$file" | cmp -s - "$file"; then
            echo "$file: not as .clang-format has it (make format)"
            status=1
        fi
    done
    return "$status"
}

openapi() {
    src/packages.sh && node test/lint/openapi.mjs
}

scripts() {
    src/packages.sh && node_modules/.bin/eslint .
}

styles() {
    src/packages.sh && node_modules/.bin/stylelint 'web/*.css'
}

check format formatted
check layers test/lint/layers.sh
check sql src/sql_generation.sh
check migrations node test/lint/migrations.mjs
check banned test/lint/banned.sh
check tests test/lint/tests.sh
check paths node test/lint/paths.mjs
check version test/lint/version.sh
check k8s node k8s/components/monitoring/generate.mjs --check
check openapi openapi
check scripts scripts
check styles styles
check shell shellcheck --severity=warning .ci/run src/*.sh test/*.sh test/*/*.sh k8s/*/*/*.sh
# Two at a time; each file's findings in one piece; what passed is not checked again until it
# or a header changes.
check tidy "${MAKE:-make}" --no-print-directory -k -j2 -Otarget tidy
check empty test/lint/empty.sh
check size test/lint/size.sh
printf '%s passed, %s failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
