#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a test may not do: sleep or set a timer (it waits for a condition, proves an absence or says why it
# pauses: test/fixtures/wait.mjs, test/unit/base/block.h), and draw from a generator that has no seed
# (test/fixtures/random.mjs). test/bench measures, and is free to.

cd "$(dirname "$0")/../.." || exit 1
node=$(test/lint/files.sh 'test/lua/*.mjs' 'test/integration/*.mjs' 'test/property/*.mjs' 'test/browser/*.mjs' 'test/night/*.mjs' 'test/wire/*.mjs' 'test/chaos/*.mjs' 'test/chaos/faults/*.mjs' 'test/k8s/*.mjs' 'test/recipes/*.mjs' 'test/recipes/*/*.mjs' 'test/image/*.mjs') || exit 1
c=$(test/lint/files.sh 'test/unit/*/*.[ch]') || exit 1
status=0

# refuse WHAT PATTERN FILE...
refuse() {
    what=$1
    pattern=$2
    shift 2
    found=$(grep -nP "$pattern" "$@") || return
    printf '%s\n' "$found"
    echo "^ $what"
    status=1
}

# shellcheck disable=SC2046,SC2086  # lists of files
{
    refuse 'use waitUntil, staysTrueFor or pause of test/fixtures/wait.mjs' '(?<![.\w])(setTimeout|setInterval|setImmediate|sleep)\b(?!\w)(?=\s*\()|timers/promises|waitForTimeout' $node
    refuse 'use dice and seedOf of test/fixtures/random.mjs' 'Math\.random|randomInt\((?!2 \*\* 32\))' $node
    refuse 'use block_ms of test/unit/base/block.h, or turn the loop until it is there' '(?<!\w)(u|nano)?sleep\s*\(' $(printf '%s\n' "$c" | grep -v '/block\.h$')
    refuse 'a test is the same each time it runs' '(?<!\w)s?rand(om)?\s*\(|drand48' $c
}
exit "$status"
