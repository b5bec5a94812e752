#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/image/enter.sh ROOT COMMAND...: runs a command in the root of an image as a strict cluster does: as user 10001
# without a single capability, with a file system that cannot be written to. Sees this machine's network and the caller's
# environment. What is mounted vanishes with the process; it keeps its number, and ends when the caller ends. Needs root.

set -eu

root=$1
shift
if [ "${TIKETI_INSIDE:-}" != 1 ]; then
    TIKETI_INSIDE=1 exec unshare --mount --propagation private -- "$0" "$root" "$@"
fi
unset TIKETI_INSIDE
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
chroot=$(command -v chroot)
PATH=/usr/local/bin:/usr/bin:/bin exec "$chroot" "$root" \
    setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all --pdeathsig KILL -- "$@"
