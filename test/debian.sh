#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Behind `make test-trixie` and `make test-bookworm`: test/debian.sh RELEASE SUITE... runs suites (unit, corpus, lua, integration)
# on a bare Debian with its own Node.js, in a folder that mmdebstrap fills and that stays for the next time: build/RELEASE,
# or DEBIAN_ROOT. The tree is taken as it is, with changes that are not committed. TESTS are files of the suite integration. The last line counts.
#
# Needs root: the folder's processes have their own mounts and process numbers, and end with this script.

set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || {
    echo 'test/debian.sh: needs root, to mount and to change the root folder' >&2
    exit 1
}
release=$1
shift
root=$(realpath -m "${DEBIAN_ROOT:-build/$release}")

if [ ! -e "$root/.made" ]; then
    rm -rf "$root"
    mkdir -p "$(dirname "$root")"
    DEBIAN_RELEASE=$release test/image/base.sh "$root" git,util-linux
    # A package that is installed there starts nothing.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    touch "$root/.made"
fi

# The tree with its history, for the tests of upgrades, and with what was built there before.
tree=$root/src/tiketi
mkdir -p "$tree"
if [ -e "$tree/build" ]; then mv "$tree/build" "$root/src/build"; fi
rm -rf "$tree"
git clone -q --no-checkout "file://$(git rev-parse --path-format=absolute --git-common-dir)" "$tree"
git -C "$tree" update-ref --no-deref HEAD "$(git rev-parse HEAD)"
git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' file; do
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
done | tar -c --null -T - | tar -x -C "$tree"
git -C "$tree" reset -q
if [ -e "$root/src/build" ]; then mv "$root/src/build" "$tree/build"; fi
if cmp -s package.json node_modules/.tiketi-package.json; then cp -a node_modules "$tree/"; fi

for file in resolv.conf hosts; do cat "/etc/$file" >"$root/etc/$file"; done
registry=$(npm config get registry 2>/dev/null || true)

log=$root/suites.log
# shellcheck disable=SC2016  # read by the shell inside
unshare --mount --propagation private --pid --fork --kill-child -- bash -c '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env "$@"' bash "$root" -i \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    ${registry:+"npm_config_registry=$registry"} ${TESTS:+"TESTS=$TESTS"} ${TIKETI_AGAIN:+"TIKETI_AGAIN=$TIKETI_AGAIN"} \
    ${REDIS_SERVER:+"TIKETI_REDIS_SERVER=$REDIS_SERVER"} ${REDIS:+"TIKETI_REDIS=$REDIS"} \
    bash -c '
        cd /src/tiketi || exit 1
        src/deps.sh build run test || exit 1
        server=${TIKETI_REDIS_SERVER:-redis-server}
        command -v "$server" >/dev/null || apt-get install -y -q "$server" >/dev/null || exit 1
        status=0
        for package in libmicrohttpd-dev libwebsockets-dev libhiredis-dev libpq-dev libcurl4-openssl-dev gcc "$server" postgresql nodejs; do
            dpkg-query -W -f "\${Package} \${Version}\n" "$package"
        done
        files=${TESTS:-}
        for suite in "$@"; do
            TESTS=
            [ "$suite" != integration ] || TESTS=$files
            TESTS=$TESTS make "test-$suite" || status=1
        done
        exit "$status"' bash "$@" </dev/null 2>&1 | tee "$log" || status=$?

awk -v status="${status:-0}" '
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $1; failed += $3; skipped += $5 }
    END {
        if (status != 0 && failed == 0) failed = 1
        if (passed + failed + skipped == 0) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0
    }' "$log"
