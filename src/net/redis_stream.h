/* SPDX-License-Identifier: MIT */
/* redis_stream: the bytes to and from one server, over TCP, TLS or a Unix socket. Used by redis_link alone. */
#ifndef TIKETI_REDIS_STREAM_H
#define TIKETI_REDIS_STREAM_H

#include "net/redis_tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct redis_stream {
    int fd; /* -1: closed */
    struct redis_tls_session *session;
    int read_waits, write_waits; /* what the last read or write that did nothing waits for */
    const char *problem;         /* of the last call that failed; borrowed until the next call */
};

void redis_stream_init(struct redis_stream *stream); /* it is closed */
/* Begins to connect: to a numeric address, or to the Unix socket at `path` where `address` is NULL. The socket is
 * non-blocking and gets ready for writing when it is connected, or is not. False: see `problem`. */
bool redis_stream_connect(struct redis_stream *stream, const char *address, int port,
                          const char *path);
/* Closes the socket, which nobody may watch any more. */
void redis_stream_close(struct redis_stream *stream);

/* The socket is ready: is it connected? */
bool redis_stream_connected(struct redis_stream *stream);
/* Goes on with the TLS handshake; `host` is whom the certificate must be for. 1: done; 0: wait for read_waits;
 * -1: see `problem`. */
int redis_stream_handshake(struct redis_stream *stream, struct redis_tls *tls, const char *host);

#define REDIS_STREAM_READ 16384 /* bytes: the longest record of TLS */
/* Return the bytes read or written; 0: none now, wait for read_waits or write_waits; -1: see `problem`. `size` is at
 * least REDIS_STREAM_READ: then what is left to read is in the socket, which the loop watches. */
ssize_t redis_stream_read(struct redis_stream *stream, void *out, size_t size);
ssize_t redis_stream_write(struct redis_stream *stream, const void *data, size_t len);

#endif
