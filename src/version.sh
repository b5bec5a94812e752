#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Prints what is being built: `src/version.sh` the version and the commit, `src/version.sh c` the C file of
# include/base/build.h. The version is that of the file VERSION (test/lint/version.sh: what else has to say the same). `git archive` writes the commit into
# the line below (.gitattributes); elsewhere git is asked, and "-changed" means that tracked files differ from it.

set -eu
cd "$(dirname "$0")/.."

archived='$Format:%H$'

version=$(cat VERSION)
case $version in
'' | *[!0-9.]*)
    echo "src/version.sh: VERSION must be a version such as 0.1.0, not '$version'" >&2
    exit 1
    ;;
esac

case $archived in
*Format*)
    commit=unknown
    # Unpacked inside another repository, its commit would not be ours.
    if [ -e .git ] && found=$(git rev-parse HEAD 2>/dev/null); then
        commit=$(printf '%.12s' "$found")
        git diff-index --quiet HEAD -- 2>/dev/null || commit=$commit-changed
    fi
    ;;
*) commit=$(printf '%.12s' "$archived") ;;
esac

if [ "${1-}" = c ]; then
    printf '/* Made by src/version.sh. Do not edit. */\n\n#include "base/build.h"\n\n'
    printf 'const char build_version[] = "%s";\nconst char build_commit[] = "%s";\n' "$version" "$commit"
else
    echo "$version $commit"
fi
