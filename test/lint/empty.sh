#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The lint of the lints: in a tree without files each of them must fail, for a check that looks at
# nothing would pass whatever is in the tree.

cd "$(dirname "$0")" || exit 1
empty=$(mktemp -d) || exit 1
trap 'rm -rf "$empty"' EXIT
mkdir "$empty/test"
cp -R . "$empty/test/lint"
rm "$empty/test/lint/empty.sh"
status=0
for lint in "$empty"/test/lint/*.sh "$empty"/test/lint/*.mjs; do
    name=$(basename "$lint")
    case $name in
    files.sh) set -- 'src/*.c' ;;
    *) set -- ;;
    esac
    case $name in *.mjs) set -- node "$lint" ;; *) set -- "$lint" "$@" ;; esac
    if C_FILES='' MAKE=false "$@" >/dev/null 2>&1; then
        echo "test/lint/$name passes in a tree without files"
        status=1
    fi
done
exit "$status"
