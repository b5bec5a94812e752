#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test/package/boot.sh ROOT: runs systemd as the first process of the Debian in ROOT, in namespaces of its own but for the network,
# until this process ends. As root. Prints "booted PID" when systemd takes commands (nsenter -t PID …).
#
# This machine stays as it is: /proc/sys and /sys are read-only, /dev has the harmless devices alone, and rights over the
# kernel, its clock and its audit are given up. The control group that it needs is removed at the end.

set -eu
root=$(realpath "${1:?}")

if [ -d /sys/fs/cgroup/systemd ]; then
    hierarchy=/sys/fs/cgroup/systemd # version 1
    mount_groups='mount -t tmpfs none sys/fs/cgroup && mkdir sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd none sys/fs/cgroup/systemd'
else
    hierarchy=/sys/fs/cgroup
    mount_groups='mount -t cgroup2 none sys/fs/cgroup'
fi
group=$hierarchy/tiketi-boot-$$
child=
end() {
    trap '' TERM INT HUP
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        [ -d "$group" ] || break
        sleep 0.2
    done
}
trap end EXIT
trap 'exit 143' TERM INT HUP
mkdir "$group"

# The namespace of control groups begins where its first process is: that enters the group before.
sh -c "echo \$\$ >$group/cgroup.procs && exec \"\$@\"" sh \
    unshare --mount --pid --cgroup --uts --ipc --fork --kill-child=KILL sh -c "
        set -e
        mount --make-rprivate /
        mount --bind '$root' '$root'
        cd '$root'
        mount -t proc proc proc
        mount --bind proc/sys proc/sys
        mount -o remount,bind,ro proc/sys
        mount -t sysfs -o ro sysfs sys
        $mount_groups
        mount -t tmpfs -o mode=755 none run
        mount -t tmpfs -o mode=755 none dev
        mkdir dev/shm dev/pts
        mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none dev/pts
        ln -s pts/ptmx dev/ptmx
        for device in null zero full random urandom tty; do
            touch dev/\$device
            mount --bind /dev/\$device dev/\$device
        done
        pivot_root . mnt
        umount -l /mnt
        exec chroot . /usr/bin/env -i container=tiketi PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv \
            --bounding-set -audit_control,-audit_read,-audit_write,-sys_module,-sys_time,-sys_rawio,-sys_boot,-syslog,-mac_admin,-mac_override,-net_admin \
            /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no
    " &
child=$!
while ! first=$(pgrep -P "$child") || ! nsenter -t "$first" -m -p -r -w systemctl is-active --quiet basic.target 2>/dev/null; do
    kill -0 "$child" 2>/dev/null || exit 1
    sleep 0.1
done
echo "booted $first"
wait "$child"
