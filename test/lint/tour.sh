#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The source tour: README.md names every src/*.c, and none that is not there.

cd "$(dirname "$0")/../.." || exit 1
if [ ! -e README.md ]; then
    echo "README.md is not there: no source tour"
    exit 1
fi
status=0
for file in src/*.c src/*/*.c; do
    name=$(basename "$file")
    if ! grep -qw -- "$name" README.md; then
        echo "README.md: the source tour does not name $name"
        status=1
    fi
done
for name in $(grep -oE '\b[a-z][a-z0-9_]*\.c\b' README.md | sort -u); do
    if [ -z "$(find src -name "$name")" ]; then
        echo "README.md names $name, which is not in src/"
        status=1
    fi
done
exit "$status"
