/* SPDX-License-Identifier: MIT */
/*
 * redis_stream: the bytes to and from one server.
 *
 * Why this way: one set of calls for a plain socket and for TLS, so that redis_link is the same for both; a plain one
 * costs one system call and one comparison. TLS may have to write in order to read, and the other way round, so each
 * call says what it waits for.
 * Called by: redis_link. Owns: the socket and the TLS session on it.
 * When the server is gone: a call returns -1, and `problem` is a sentence.
 * The process must ignore SIGPIPE: OpenSSL writes with write(2).
 */
#include "net/redis_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop.h"

void redis_stream_init(struct redis_stream *stream)
{
    *stream = (struct redis_stream){.fd = -1};
}

static bool connect_to(struct redis_stream *stream, int family, const struct sockaddr *address,
                       socklen_t len)
{
    const int on = 1;
    stream->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd >= 0 && family != AF_UNIX)
        (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (stream->fd >= 0 && (connect(stream->fd, address, len) == 0 || errno == EINPROGRESS))
        return true;
    stream->problem = strerrordesc_np(errno);
    return false;
}

bool redis_stream_connect(struct redis_stream *stream, const char *address, int port,
                          const char *path)
{
    if (!address) {
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
        return connect_to(stream, AF_UNIX, (const struct sockaddr *)&local, sizeof(local));
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[16];
    (void)snprintf(service, sizeof(service), "%d", port);
    const int failed = getaddrinfo(address, service, &hints, &found);
    if (failed) {
        stream->problem = gai_strerror(failed);
        return false;
    }
    const bool begun = connect_to(stream, found->ai_family, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return begun;
}

void redis_stream_close(struct redis_stream *stream)
{
    redis_tls_session_free(stream->session);
    if (stream->fd >= 0)
        (void)close(stream->fd);
    redis_stream_init(stream);
}

bool redis_stream_connected(struct redis_stream *stream)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error)
        stream->problem = strerrordesc_np(error);
    return error == 0;
}

int redis_stream_handshake(struct redis_stream *stream, struct redis_tls *tls, const char *host)
{
    if (!stream->session)
        stream->session = redis_tls_session_new(tls, stream->fd, host);
    if (!stream->session) {
        stream->problem = "TLS: a session cannot be made";
        return -1;
    }
    const int done = redis_tls_handshake(stream->session, &stream->read_waits);
    if (done < 0)
        stream->problem = redis_tls_problem(stream->session);
    return done;
}

/* What a system call on the plain socket has led to. */
static ssize_t judge(struct redis_stream *stream, ssize_t result, int waits, int *ret_waits)
{
    if (result > 0)
        return result;
    if (result < 0 && (errno == EAGAIN || errno == EINTR)) {
        *ret_waits = waits;
        return 0;
    }
    stream->problem = result == 0 ? "Server closed the connection" : strerrordesc_np(errno);
    return -1;
}

ssize_t redis_stream_read(struct redis_stream *stream, void *out, size_t size)
{
    if (!stream->session)
        return judge(stream, read(stream->fd, out, size), LOOP_READ, &stream->read_waits);
    const ssize_t got = redis_tls_read(stream->session, out, size, &stream->read_waits);
    if (got < 0)
        stream->problem = redis_tls_problem(stream->session);
    return got;
}

ssize_t redis_stream_write(struct redis_stream *stream, const void *data, size_t len)
{
    if (!stream->session)
        return judge(stream, send(stream->fd, data, len, MSG_NOSIGNAL), LOOP_WRITE,
                     &stream->write_waits);
    const ssize_t done = redis_tls_write(stream->session, data, len, &stream->write_waits);
    if (done < 0)
        stream->problem = redis_tls_problem(stream->session);
    return done;
}
