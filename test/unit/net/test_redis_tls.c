/* SPDX-License-Identifier: MIT */
/*
 * redis_tls: which name is sent, and which one the certificate must be for: against OpenSSL at the other end of a pair of
 * sockets. What it says to servers of other kinds is in test/integration/redis_tls.test.mjs.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "net/redis_tls.h"

static char folder[64], cert[96], key[96];

/* A certificate of redis.example, which is its own authority. */
static int make_certificate(void **state)
{
    char command[512];
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/tiketi-test-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=redis -addext subjectAltName=DNS:redis.example -keyout %s -out %s "
             "2>/dev/null",
             key, cert);
    return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c): the command is ours */
}

static int remove_certificate(void **state)
{
    (void)state;
    unlink(cert);
    unlink(key);
    return rmdir(folder);
}

/* Connects to `name`. Returns the result of the handshake, and the name that was sent ("": none). */
static int connect_to(const char *name, char sent[256])
{
    int fds[2], events, mine = 0, theirs = 0;
    char problem[320];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
    SSL *server = SSL_new(ctx);
    SSL_set_fd(server, fds[1]);
    SSL_set_accept_state(server);
    struct redis_tls *tls =
        redis_tls_new(&(struct redis_tls_opts){.ca = cert}, problem, sizeof(problem));
    assert_non_null(tls);
    struct redis_tls_session *session = redis_tls_session_new(tls, fds[0], name);
    assert_non_null(session);
    for (int i = 0; i < 10;
         i++) { /* whichever end has to wait, the other one has something to do */
        if (mine == 0)
            mine = redis_tls_handshake(session, &events);
        if (theirs != 1)
            theirs = SSL_do_handshake(server);
    }
    const char *heard = SSL_get_servername(server, TLSEXT_NAMETYPE_host_name);
    snprintf(sent, 256, "%s", heard ? heard : "");
    redis_tls_session_free(session);
    redis_tls_unref(tls);
    SSL_free(server);
    SSL_CTX_free(ctx);
    close(fds[0]);
    close(fds[1]);
    return mine;
}

static void test_the_last_dot_is_not_part_of_a_name(void **state)
{
    char sent[256];
    (void)state;
    assert_int_equal(connect_to("redis.example", sent), 1);
    assert_string_equal(sent, "redis.example");
    assert_int_equal(connect_to("redis.example.", sent), 1);
    assert_string_equal(sent, "redis.example");
    assert_int_equal(connect_to("other.example.", sent), -1);
    assert_string_equal(sent, "other.example");
    assert_int_equal(connect_to("127.0.0.1", sent), -1);
    assert_string_equal(sent, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_dot_is_not_part_of_a_name),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
