/* SPDX-License-Identifier: MIT */
/*
 * tcp_progress: how far the peer of a connection has got with what was sent to it. In a file of its own, because the
 * kernel's struct tcp_info and the C library's cannot be included together, and the latter ends before bytes_acked.
 * Called by: httpd_intake, httpd_pace, httpd_listen. Owns nothing.
 */
#include "net/tcp_progress.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Bytes that wait for the peer's window, above which the socket takes no more; it is writable again below half of it. What
 * is on its way does not count, so a fast peer far away is not slowed down. */
#define UNSENT_MAX 32768

unsigned tcp_unread(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (unsigned)bytes : 0;
}

bool tcp_acknowledged(int fd, uint64_t *ret_bytes)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return false;
    *ret_bytes = info.tcpi_bytes_acked;
    return true;
}

void tcp_bound_unsent(int fd)
{
    const int most = UNSENT_MAX;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof(most));
}
