#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/lint/files.sh PATTERN...: the files that match, one a line. Fails when a pattern matches nothing: a
# check that looks at no file would pass whatever the tree holds.

for pattern in "$@"; do
    # shellcheck disable=SC2086  # a pattern, to be expanded
    set -- $pattern
    if [ ! -e "$1" ]; then
        echo "no file matches $pattern" >&2
        exit 1
    fi
    printf '%s\n' "$@"
done
