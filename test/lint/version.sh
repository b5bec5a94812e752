#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The version is in the file VERSION. What others read has to say the same: the first release of CHANGELOG.md, the
# package's changelog, docs/openapi.json, package.json, package-lock.json, and the images of k8s/ and compose.yaml. And the Debian package is built from the
# libraries of src/deps.sh.

set -u
cd "$(dirname "$0")/../.." || exit 1
version=$(cat VERSION)
failed=0

# same WHERE FOUND
same() {
    [ "$2" = "$version" ] && return
    echo "$1 says ${2:-no version}, VERSION says $version"
    failed=1
}

case $version in
[0-9]*.[0-9]*.[0-9]*) ;;
*)
    echo "VERSION: must be a version such as 0.1.0, not '$version'"
    failed=1
    ;;
esac
same CHANGELOG.md "$(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -n 1)"
same debian/changelog "$(sed -n '1 s/^tiketi (\([0-9.]*\)-[0-9]*) .*/\1/p' debian/changelog)"
same docs/openapi.json "$(sed -n '1,/"version"/ s/^ *"version": "\(.*\)",/\1/p' docs/openapi.json)"
same package.json "$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)"
same package-lock.json "$(sed -n 's/^  "version": "\(.*\)",/\1/p' package-lock.json)"
same 'package-lock.json, of the package itself,' "$(sed -n '/^    "": {/,/^    }/ s/^      "version": "\(.*\)",/\1/p' package-lock.json)"
for file in $(grep -l 'name: tiketi$' k8s/base/kustomization.yaml k8s/overlays/*/kustomization.yaml); do
    same "$file" "$(sed -n '/name: tiketi$/,/newTag/ s/^ *newTag: //p' "$file")"
done
same compose.yaml "$(sed -n 's/.*TIKETI_IMAGE:-tiketi:\([0-9.]*\)}.*/\1/p' compose.yaml | sort -u)"
same k8s/command.yaml "$(sed -n 's/^ *image: .*tiketi://p' k8s/command.yaml)"

libraries() { grep -oE '\blib[a-z0-9+-]*-dev\b' | grep -v '^libc6-dev$' | sort -u; }
ours=$(sed -n "/^build=/,/'$/p" src/deps.sh | libraries)
theirs=$(sed -n '/^Build-Depends:/,/^[^ ]*: /p' debian/control | libraries)
if [ "$ours" != "$theirs" ]; then
    echo 'Build-Depends of debian/control are not the libraries of src/deps.sh:'
    printf '%s\n%s\n' "$ours" "$theirs" | sort | uniq -u
    failed=1
fi
exit "$failed"
