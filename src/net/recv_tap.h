/* SPDX-License-Identifier: MIT */
/*
 * recv_tap: reads a socket in place of a library. libmicrohttpd and libwebsockets read with recv(), a symbol that a
 * program may define itself; recv_tap defines it. For a tapped descriptor the library gets what the tap's owner returns,
 * for every other one what the system returns. So the owner sees each byte before the library does, and decides.
 *
 * A tap belongs to the thread that set it: a descriptor is read by the loop that owns it.
 */
#ifndef TIKETI_RECV_TAP_H
#define TIKETI_RECV_TAP_H

#include <stddef.h>
#include <sys/types.h>

/* Like recv without flags: writes up to `cap` bytes to `to` and returns how many, 0 at the end of the stream, or -1 with
 * errno. It reads the descriptor with recvfrom. */
typedef ssize_t (*recv_tap_cb)(void *arg, void *to, size_t cap);

/* From now on, `cb` answers every recv of this thread on `fd`. */
void recv_tap_set(int fd, recv_tap_cb cb, void *arg);
/* Before `fd` is closed. */
void recv_tap_clear(int fd);
/* The `arg` of the tap on `fd` if its callback is `cb`, otherwise NULL. Borrowed. */
void *recv_tap_arg(int fd, recv_tap_cb cb);

#endif
