#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Behind `make dist`: the source archive of a release, build/tiketi-<version>.tar.gz, of what is committed. It has the
# built web/ in web_built/, so that building it needs neither esbuild nor npm nor any registry (src/web.sh). The same commit and
# the same esbuild make the same bytes.

set -eu
export LC_ALL=C

cd "$(dirname "$0")/.."

version=$(src/version.sh | cut -d ' ' -f 1)
name=tiketi-$version
mkdir -p build
work=$(mktemp -d build/dist.XXXXXX)
trap 'rm -rf "$work"' EXIT

git archive --prefix="$name/" HEAD | tar -x -C "$work"
src/packages.sh web
ln -s "$PWD/node_modules" "$work/$name/node_modules"
"$work/$name/src/web.sh"
mv "$work/$name/build/web" "$work/$name/web_built"
rmdir "$work/$name/build"
rm "$work/$name/node_modules"
tar -c -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime="@$(git log -1 --format=%ct)" "$name" |
    gzip -9n >"$work/archive"
mv "$work/archive" "build/$name.tar.gz"
echo "build/$name.tar.gz"
