/* SPDX-License-Identifier: MIT */
/*
 * recv_tap: the recv() of the program, and a table of the descriptors that are tapped.
 *
 * Why this way: neither library lets a caller see or filter the bytes before its parser (decisions/0056). The table is
 * indexed by the descriptor, so a read costs one look-up. Each thread has its own, and needs no lock.
 * Called by: httpd_intake and ws set taps; recv is called by any library. Owns: the table of each thread, freed when
 * its last tap is cleared.
 */
#include "net/recv_tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/memory.h"

struct tap {
    recv_tap_cb cb; /* NULL: the descriptor is not tapped */
    void *arg;
};

static _Thread_local struct {
    struct tap *taps; /* by descriptor */
    unsigned size, used;
} table;

void recv_tap_set(int fd, recv_tap_cb cb, void *arg)
{
    const unsigned at = (unsigned)fd;
    if (at >= table.size) {
        const unsigned size = at < 512 ? 1024 : 2 * at;
        table.taps = xrealloc(table.taps, size * sizeof(struct tap));
        memset(table.taps + table.size, 0, (size - table.size) * sizeof(struct tap));
        table.size = size;
    }
    table.used += table.taps[at].cb ? 0 : 1;
    table.taps[at] = (struct tap){.cb = cb, .arg = arg};
}

void recv_tap_clear(int fd)
{
    if ((unsigned)fd >= table.size || !table.taps[fd].cb)
        return;
    table.taps[fd] = (struct tap){.cb = NULL};
    if (--table.used > 0)
        return;
    free(table.taps);
    table.taps = NULL;
    table.size = 0;
}

void *recv_tap_arg(int fd, recv_tap_cb cb)
{
    return (unsigned)fd < table.size && table.taps[fd].cb == cb ? table.taps[fd].arg : NULL;
}

ssize_t recv(int fd, void *to, size_t cap, int flags)
{
    if ((unsigned)fd < table.size && table.taps[fd].cb && !(flags & MSG_PEEK))
        return table.taps[fd].cb(table.taps[fd].arg, to, cap);
    return recvfrom(fd, to, cap, flags, NULL, NULL);
}
