/* SPDX-License-Identifier: MIT */
/* redis_tls: TLS on the connections to Redis: what is trusted, and one session on each socket. */
#ifndef TIKETI_REDIS_TLS_H
#define TIKETI_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* PEM files; NULL: the system's authorities, no certificate of our own. */
struct redis_tls_opts {
    const char *ca, *cert, *key;
    bool
        any_name; /* the server's certificate may be for another host; its authority is judged all the same */
};

struct redis_tls;

/* Reads the files, which blocks. Returns new, with one reference; copies the texts. NULL: `problem` is
 * "SETTING: sentence". */
struct redis_tls *redis_tls_new(const struct redis_tls_opts *opts, char *problem, size_t size);
/* Count one user more, one less. NULL is fine. For one thread. */
struct redis_tls *redis_tls_ref(struct redis_tls *tls);
void redis_tls_unref(struct redis_tls *tls);

struct redis_tls_session;

/* Returns new: a session on the connected, non-blocking socket, which is borrowed. `name` is the name or numeric
 * address that the server's certificate must be for; the last dot of a name is not part of it. Files that were replaced
 * since are read again; when they cannot be used, what was read before stays in force, which is logged. NULL: memory is
 * out. */
struct redis_tls_session *redis_tls_session_new(struct redis_tls *tls, int fd, const char *name);
void redis_tls_session_free(struct redis_tls_session *session); /* NULL is fine */

/* These do as much as they can without waiting. 0: nothing now; *ret_events (LOOP_READ or LOOP_WRITE) is what to wait
 * for. -1: the session is over, redis_tls_problem says why. Only the handshake may be called first, until it has
 * returned 1; read and write return the number of bytes. A write that returned 0 is repeated with the same data. */
int redis_tls_handshake(struct redis_tls_session *session, int *ret_events);
ssize_t redis_tls_read(struct redis_tls_session *session, void *out, size_t size, int *ret_events);
ssize_t redis_tls_write(struct redis_tls_session *session, const void *data, size_t len,
                        int *ret_events);
/* A sentence; borrowed from the session. */
const char *redis_tls_problem(const struct redis_tls_session *session);

#endif
