#!/bin/sh
# SPDX-License-Identifier: MIT
#
# src/packages.sh [web]: the npm packages of package.json, installed when it asks for others than are there. With "web"
# only its dependencies, which the build bundles into the pages; without, also what the tests and the lint use. The
# program itself needs no Node.js.

set -eu
cd "$(dirname "$0")/.."
mark=node_modules/.tiketi-package.json # what everything was installed from; missing: only the dependencies were

# Are the dependencies there, in their versions?
has_dependencies() {
    sed -n '/"dependencies"/,/}/s/^    "\([^"]*\)": "\([^"]*\)".*/\1 \2/p' package.json | while read -r name version; do
        grep -qF "\"version\": \"$version\"" "node_modules/$name/package.json" 2>/dev/null || exit 1
    done
}

omit=
if [ "${1-}" = web ]; then
    if has_dependencies; then exit; fi
    [ -e "$mark" ] || omit=--omit=dev
elif cmp -s package.json "$mark"; then
    exit
fi
# shellcheck disable=SC2086 # one word or none
npm ci $omit --no-audit --no-fund --loglevel=error >&2
[ -n "$omit" ] || cp package.json "$mark"
