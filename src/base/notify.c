/* SPDX-License-Identifier: MIT */
/*
 * notify: tells the service manager how this process is.
 *
 * Why this way: the protocol is one datagram, and sd_notify(3) promises that it stays as it is. libsystemd, which sends it too,
 * would bring four more libraries into the process (compression and cryptography that nothing here calls).
 * Called by: watch, on main's thread. Owns: the socket. Manager gone: what is sent is lost, and the service goes on.
 */
#include "base/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MESSAGE_MAX 500

/* The value of an environment variable, which is taken away; "" when it is unset. */
static void take_env(const char *name, char *out, size_t size)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    const char *value = getenv(name);
    (void)snprintf(out, size, "%s", value ? value : "");
    (void)unsetenv(name);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

static uint64_t to_number(const char *text)
{
    char *end;
    const uint64_t number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' ? number : 0;
}

/* "/path", or "@name" of the abstract namespace. False: it is neither, or too long. */
static bool read_address(const char *text, struct notify *notify)
{
    struct sockaddr_un *to = &notify->to;
    const size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof(to->sun_path))
        return false;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, text, len);
    if (text[0] == '@')
        to->sun_path[0] = '\0';
    notify->to_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/' ? 1 : 0));
    return true;
}

void notify_open(struct notify *notify)
{
    const struct timeval second = {.tv_sec = 1};
    char address[256], watchdog[32], pid[32];
    take_env("NOTIFY_SOCKET", address, sizeof(address));
    take_env("WATCHDOG_USEC", watchdog, sizeof(watchdog));
    take_env("WATCHDOG_PID", pid, sizeof(pid));
    *notify = (struct notify){.fd = -1};
    if (!read_address(address, notify))
        return;
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0)
        return;
    (void)setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
    if (pid[0] == '\0' || to_number(pid) == (uint64_t)getpid())
        notify->watchdog_ms = to_number(watchdog) / 1000;
}

void notify_send(const struct notify *notify, const char *format, ...)
{
    char message[MESSAGE_MAX + 1];
    va_list args;
    if (notify->fd < 0)
        return;
    va_start(args, format);
    const int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (len > 0)
        (void)sendto(notify->fd, message, (size_t)(len < MESSAGE_MAX ? len : MESSAGE_MAX),
                     MSG_NOSIGNAL, (const struct sockaddr *)&notify->to, notify->to_len);
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        (void)close(notify->fd);
    notify->fd = -1;
}
