/* SPDX-License-Identifier: MIT */
/*
 * redis_tls: TLS on the connections to Redis.
 *
 * Why this way: hiredis of Debian 12 has no TLS, so OpenSSL reads and writes the socket here, and hiredis only parses.
 * The server's certificate must come from a trusted authority and be for the host that was dialled, and nothing below
 * TLS 1.2 is spoken. Sessions are not resumed: pods reconnect in masses after a failover or a restart, where
 * the server knows no earlier session, and so each connect judges the certificate anew. Renewed files are noticed by their
 * times at the next connect, so nobody needs a restart.
 * Called by: redis_stream, redis_dial. Owns: the context of OpenSSL; a session borrows the socket.
 * Invariants: no record is read ahead, so after a read of RECORD_MAX bytes or more, all that is left is in the socket,
 * which the loop watches.
 * When the server is gone or not trusted: the problem is a sentence that names the cause and the setting.
 */
#include "net/redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/loop.h"

enum { FILE_CA, FILE_CERT, FILE_KEY, FILE_COUNT };
static const char *const file_settings[FILE_COUNT] = {"REDIS_TLS_CA", "REDIS_TLS_CERT",
                                                      "REDIS_TLS_KEY"};

struct redis_tls {
    unsigned refs;
    bool any_name;
    char *files[FILE_COUNT];
    struct timespec times[FILE_COUNT]; /* when each was changed, as of the last read */
    SSL_CTX *ctx;
};

struct redis_tls_session {
    SSL *ssl;
    bool shaken; /* the handshake is over */
    bool has_cert;
    char host[256];
    char problem[320];
};

/* ---- what is trusted ---- */

/* Gives no password, so that an encrypted key is refused; by default OpenSSL would ask at the terminal. OpenSSL
 * defines the type of this callback. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

/* Reads the files into a new context. NULL: `problem` says which cannot be used. */
static SSL_CTX *context_new(char *const files[FILE_COUNT], char *problem, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *ca = files[FILE_CA], *cert = files[FILE_CERT], *key = files[FILE_KEY];
    problem[0] = '\0';
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        (void)snprintf(problem, size, "REDIS_URL: OpenSSL offers no TLS 1.2");
        goto out;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    if (ca && SSL_CTX_load_verify_file(ctx, ca) != 1)
        (void)snprintf(problem, size,
                       "REDIS_TLS_CA: %.200s cannot be read, or has no certificate in PEM", ca);
    else if (!ca && SSL_CTX_set_default_verify_paths(ctx) != 1)
        (void)snprintf(problem, size, "REDIS_TLS_CA: the system has no certificate authorities");
    else if (cert && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        (void)snprintf(problem, size,
                       "REDIS_TLS_CERT: %.200s cannot be read, or has no certificate in PEM", cert);
    else if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        (void)snprintf(problem, size,
                       "REDIS_TLS_KEY: %.200s cannot be read, has no private key in PEM without "
                       "a password, or is not the key of REDIS_TLS_CERT",
                       key);
out:
    ERR_clear_error();
    if (*problem == '\0')
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* Notes when each file was changed. True: one has changed since the last call. */
static bool files_changed(struct redis_tls *tls)
{
    bool changed = false;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct stat state;
        if (!tls->files[i] || stat(tls->files[i], &state) != 0)
            continue;
        if (memcmp(&state.st_mtim, &tls->times[i], sizeof(state.st_mtim)) == 0)
            continue;
        tls->times[i] = state.st_mtim;
        changed = true;
    }
    return changed;
}

struct redis_tls *redis_tls_new(const struct redis_tls_opts *opts, char *problem, size_t size)
{
    const char *const files[FILE_COUNT] = {opts->ca, opts->cert, opts->key};
    struct redis_tls *tls = xcalloc(1, sizeof(*tls));
    tls->refs = 1;
    tls->any_name = opts->any_name;
    for (size_t i = 0; i < FILE_COUNT; i++)
        tls->files[i] = files[i] ? xstrdup(files[i]) : NULL;
    (void)files_changed(tls);
    tls->ctx = context_new(tls->files, problem, size);
    if (tls->ctx)
        return tls;
    redis_tls_unref(tls);
    return NULL;
}

struct redis_tls *redis_tls_ref(struct redis_tls *tls)
{
    if (tls)
        tls->refs++;
    return tls;
}

void redis_tls_unref(struct redis_tls *tls)
{
    if (!tls || --tls->refs > 0)
        return;
    for (size_t i = 0; i < FILE_COUNT; i++)
        free(tls->files[i]);
    SSL_CTX_free(tls->ctx);
    free(tls);
}

static void read_again(struct redis_tls *tls)
{
    char problem[320];
    if (!files_changed(tls))
        return;
    SSL_CTX *ctx = context_new(tls->files, problem, sizeof(problem));
    if (!ctx) {
        log_warn("changed file cannot be used", LOG_TEXT("problem", problem));
        return;
    }
    SSL_CTX_free(tls->ctx);
    tls->ctx = ctx;
    for (size_t i = 0; i < FILE_COUNT; i++)
        if (tls->files[i])
            log_info("file read again", LOG_TEXT("setting", file_settings[i]));
}

/* ---- one session ---- */

struct redis_tls_session *redis_tls_session_new(struct redis_tls *tls, int fd, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    struct redis_tls_session *session = xcalloc(1, sizeof(*session));
    const char *host = session->host;
    size_t len = strlen(name);
    read_again(tls);
    if (len > 1 &&
        name[len - 1] == '.') /* for the resolver alone: no certificate and no SNI has it */
        len--;
    (void)snprintf(session->host, sizeof(session->host), "%.*s", (int)len, name);
    session->has_cert = tls->files[FILE_CERT];
    session->ssl = SSL_new(tls->ctx);
    bool fine = session->ssl && SSL_set_fd(session->ssl, fd) == 1;
    if (fine) {
        X509_VERIFY_PARAM *verify = SSL_get0_param(session->ssl);
        const bool numeric =
            inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
        if (!numeric) /* SNI is for names alone (RFC 6066) */
            fine = SSL_set_tlsext_host_name(session->ssl, host) == 1;
        if (fine && !tls->any_name)
            fine = numeric ? X509_VERIFY_PARAM_set1_ip_asc(verify, host) == 1
                           : X509_VERIFY_PARAM_set1_host(verify, host, 0) == 1;
        X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set_connect_state(session->ssl);
    }
    if (fine)
        return session;
    ERR_clear_error();
    redis_tls_session_free(session);
    return NULL;
}

void redis_tls_session_free(struct redis_tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    free(session);
}

const char *redis_tls_problem(const struct redis_tls_session *session)
{
    return session->problem;
}

/* Why the server's certificate was refused. */
static void explain_certificate(struct redis_tls_session *session, long verdict)
{
    const char *advice = "";
    switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        advice = "; it must be for the host that REDIS_URL, Sentinel or the cluster names, unless "
                 "REDIS_TLS_VERIFY is ca";
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        advice = "; its authority must be in REDIS_TLS_CA";
        break;
    default:
        break;
    }
    (void)snprintf(session->problem, sizeof(session->problem),
                   "TLS: the certificate of %.100s is refused: %s%s", session->host,
                   X509_verify_cert_error_string(verdict), advice);
}

/* The server's alert, or what OpenSSL could not read. */
static void explain_protocol(struct redis_tls_session *session, unsigned long error)
{
    const char *reason = ERR_reason_error_string(error), *advice = "";
    switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
        if (!session->shaken) {
            reason = "the server does not speak it on this port";
            advice = "; for plain TCP REDIS_URL begins with redis instead of rediss";
        }
        break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        if (!session->has_cert)
            advice = "; does the server ask for a client's certificate? Set REDIS_TLS_CERT and "
                     "REDIS_TLS_KEY";
        break;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
        advice = "; the server refuses the certificate of REDIS_TLS_CERT";
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        advice = "; the server must speak TLS 1.2 or newer";
        break;
    default:
        break;
    }
    (void)snprintf(session->problem, sizeof(session->problem), "TLS: %s%s",
                   reason ? reason : "protocol error", advice);
}

/* What a call has led to that did not do what it was asked for: 0, or -1 when the session is over. */
static int judge(struct redis_tls_session *session, int result, int *ret_events)
{
    const int system_error = errno;
    const unsigned long error = ERR_peek_error();
    const long verdict = SSL_get_verify_result(session->ssl);
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *ret_events = LOOP_READ;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        *ret_events = LOOP_WRITE;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        (void)snprintf(session->problem, sizeof(session->problem), "Server closed the connection");
        break;
    case SSL_ERROR_SSL:
        if (!session->shaken && verdict != X509_V_OK)
            explain_certificate(session, verdict);
        else if (ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            (void)snprintf(session->problem, sizeof(session->problem), "%s",
                           session->shaken ? "Server closed the connection"
                                           : "TLS: the server closed the connection during the "
                                             "handshake: does it speak TLS on this port?");
        else
            explain_protocol(session, error);
        break;
    default:
        (void)snprintf(session->problem, sizeof(session->problem), "%s",
                       system_error ? strerrordesc_np(system_error)
                                    : "Server closed the connection");
        break;
    }
    ERR_clear_error();
    return -1;
}

int redis_tls_handshake(struct redis_tls_session *session, int *ret_events)
{
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(session->ssl);
    if (result != 1)
        return judge(session, result, ret_events);
    session->shaken = true;
    return 1;
}

ssize_t redis_tls_read(struct redis_tls_session *session, void *out, size_t size, int *ret_events)
{
    size_t got = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read_ex(session->ssl, out, size, &got);
    return result == 1 ? (ssize_t)got : judge(session, result, ret_events);
}

ssize_t redis_tls_write(struct redis_tls_session *session, const void *data, size_t len,
                        int *ret_events)
{
    size_t done = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_write_ex(session->ssl, data, len, &done);
    return result == 1 ? (ssize_t)done : judge(session, result, ret_events);
}
