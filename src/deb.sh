#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Behind `make deb`: the Debian package of what is committed, from the source archive (src/dist.sh), in a folder of its own:
# build/deb/tiketi_<version>_<architecture>.deb, the symbols for debuggers beside it. Fails when lintian has an error or a warning;
# what it may not say is in debian/*.lintian-overrides, with the reason.

set -eu
cd "$(dirname "$0")/.."

archive=$(src/dist.sh)
rm -rf build/deb
mkdir -p build/deb
tar -xzf "$archive" -C build/deb
source=$(echo build/deb/tiketi-*/)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# The caller's make and its variables are not those of the package.
if ! (cd "$source" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CC -u SAN dpkg-buildpackage -us -uc -b) >build/deb/build.log 2>&1; then
    tail -n 40 build/deb/build.log
    exit 1
fi
rm -rf "$source"
as_root=
[ "$(id -u)" -ne 0 ] || as_root=--allow-root
lintian $as_root --fail-on error,warning --info build/deb/*.changes
ls build/deb/*.deb
