/* SPDX-License-Identifier: MIT */
/* tcp_progress: how far the peer of a connection has got with what was sent to it. */
#ifndef TIKETI_TCP_PROGRESS_H
#define TIKETI_TCP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that the kernel has, and that the peer has not acknowledged; 0 also when it cannot tell. One system call. */
unsigned tcp_unread(int fd);
/* Bytes that the peer has acknowledged since the connection began. False: the kernel cannot tell. One system call. */
bool tcp_acknowledged(int fd, uint64_t *ret_bytes);
/* Of what the peer has no room for, the kernel keeps little from now on, at a listening socket also for the connections
 * that it accepts. Without it, a peer that does not read makes the kernel keep half a megabyte of a large answer. */
void tcp_bound_unsent(int fd);

#endif
