/* SPDX-License-Identifier: MIT */
/*
 * notify: tells the service manager that has started this process how it is: systemd's notification protocol, sd_notify(3).
 */
#ifndef TIKETI_NOTIFY_H
#define TIKETI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    int fd;                /* -1: nobody wants to be told */
    struct sockaddr_un to; /* whom */
    socklen_t to_len;
    uint64_t
        watchdog_ms; /* the manager ends a process that says WATCHDOG=1 less often than this; 0: it does not */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment, so that no child speaks for this
 * process. Before any thread starts. Where they are not set, or name nothing that can be used, nobody is told. */
void notify_open(struct notify *notify);
/* Lines NAME=VALUE, without a newline at the end; at most 500 bytes. Any thread but a loop's: it may wait, for a second at
 * most, while the manager is busy. What the manager does not take then is lost. No effect when nobody wants to be told. */
void notify_send(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void notify_close(struct notify *notify);

#endif
