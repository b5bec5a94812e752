/* SPDX-License-Identifier: MIT */
/*
 * smtp_client: the mail transactions of RFC 5321 over lines that http_client has dialled.
 *
 *   smtp_client_send -> an idle session, or a new one: DIAL -> FROM -> TO -> DATA -> BODY -> IDLE -> closed
 *
 * Why this way: libcurl's own mail transactions block the loop until the server has replied. These do not: a reply is read
 * when it comes. Commands are sent one at a time, because servers without PIPELINING are still in use and mails are few.
 * A session in which a step failed is closed, so that no mail depends on another one's failure.
 * Called by: mailer. Owns: the sessions.
 * The server gone: each mail under way fails, at its timeout at the latest.
 */
#include "net/smtp_client.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IDLE_MS     5000
#define MAILS_MAX   100  /* over one connection: servers end longer ones */
#define REPLY_MAX   4096 /* bytes of one reply, all of its lines */
#define COMMAND_MAX 600
#define MAIL_MAX    (1 << 20)

enum step { STEP_DIAL, STEP_FROM, STEP_TO, STEP_DATA, STEP_BODY, STEP_IDLE };

static const char *const step_names[] = {"connect", "mail-from", "rcpt-to", "data", "body", "idle"};

struct session {
    struct session *next;
    struct smtp_client *client;    /* NULL: it was closed while this one was dialling */
    struct http_client_line *line; /* NULL: it is being dialled */
    struct loop_watch *watch;
    struct loop_timer *timer; /* the deadline of the mail, or the end of an idle session */
    enum step step;
    bool dialling; /* dialled will be called */
    bool ended;    /* with `dialling`: the mail has failed, and the session is freed by dialled */
    unsigned mails;
    char *from, *to;
    struct buf data; /* the mail, ready to be sent: dots doubled, with the final dot */
    struct buf out;
    size_t sent; /* of `out` */
    struct buf in;
    smtp_client_cb cb;
    void *arg;
};

struct smtp_client {
    struct smtp_client_opts opts;
    char *url;
    bool tls;
    struct session *sessions;
    unsigned count;
};

/* ---- sessions ---- */

static void clear_mail(struct session *session)
{
    free(session->from);
    free(session->to);
    session->from = session->to = NULL;
    buf_clear(&session->data);
    buf_clear(&session->out);
    session->sent = 0;
}

static void close_session(struct session *session)
{
    struct smtp_client *client = session->client;
    struct session **at = client ? &client->sessions : NULL;
    while (at && *at != session)
        at = &(*at)->next;
    if (at) {
        *at = session->next;
        client->count--;
    }
    loop_watch_close(session->watch);
    http_client_line_close(session->line);
    loop_timer_close(session->timer);
    clear_mail(session);
    buf_clear(&session->in);
    free(session);
}

/* What the server says to that is not waited for. */
static void quit(struct session *session)
{
    size_t sent;
    (void)!http_client_line_send(session->line, "QUIT\r\n", 6, &sent);
    close_session(session);
}

/* The mail has failed. Ends the session, then calls back. */
static void fail(struct session *session, enum status status, unsigned code, const char *error)
{
    const smtp_client_cb cb = session->cb;
    void *arg = session->arg;
    session->cb = NULL;
    if (session->dialling) { /* dialled frees it */
        session->ended = true;
        loop_timer_stop(session->timer);
        clear_mail(session);
    } else if (code != 0) { /* the server listens */
        quit(session);
    } else {
        close_session(session);
    }
    if (cb)
        cb(arg, status, code, error);
}

/* ---- sending ---- */

/* Sends what is left of `out`. False: the connection has ended, and so has the session. */
static bool flush(struct session *session)
{
    while (session->sent < session->out.len) {
        size_t n = 0;
        const enum status st = http_client_line_send(
            session->line, session->out.data + session->sent, session->out.len - session->sent, &n);
        if (st == ST_BUSY || (st == ST_OK && n == 0)) {
            loop_watch_set(session->watch, LOOP_READ | LOOP_WRITE);
            return true;
        }
        if (st != ST_OK) {
            fail(session, ST_UNAVAILABLE, 0, step_names[session->step]);
            return false;
        }
        session->sent += n;
    }
    loop_watch_set(session->watch, LOOP_READ);
    return true;
}

/* Writes the command of a step into `out`. */
static void write_step(struct session *session, enum step step)
{
    session->step = step;
    session->sent = 0;
    buf_reset(&session->out);
    switch (step) {
    case STEP_FROM:
        buf_printf(&session->out, "MAIL FROM:<%s>\r\n", session->from);
        break;
    case STEP_TO:
        buf_printf(&session->out, "RCPT TO:<%s>\r\n", session->to);
        break;
    case STEP_DATA:
        buf_add_str(&session->out, "DATA\r\n");
        break;
    case STEP_BODY:
        buf_clear(&session->out);
        session->out = session->data;
        buf_init(&session->data, MAIL_MAX);
        break;
    case STEP_DIAL:
    case STEP_IDLE:
        break;
    }
}

/* Doubles the dot with which a line begins, and adds the line that ends the mail. */
static enum status write_data(const struct smtp_mail *mail, struct buf *out)
{
    const char *at = mail->data, *end = mail->data + mail->len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline ? newline + 1 : end;
        if (*at == '.')
            buf_add_char(out, '.');
        buf_add(out, at, (size_t)(next - at));
        at = next;
    }
    buf_add_str(out, ".\r\n");
    return buf_status(out);
}

/* ---- replies ---- */

static void mail_taken(struct session *session, unsigned code)
{
    const smtp_client_cb cb = session->cb;
    void *arg = session->arg;
    session->cb = NULL;
    clear_mail(session);
    session->step = STEP_IDLE;
    if (++session->mails < MAILS_MAX)
        loop_timer_set(session->timer, IDLE_MS);
    else
        quit(session);
    cb(arg, ST_OK, code, "");
}

/* The session may be gone afterwards. */
static void on_reply(struct session *session, unsigned code)
{
    const enum step step = session->step;
    const bool good = step == STEP_DATA ? code == 354 : code / 100 == 2;
    if (step == STEP_IDLE) { /* 421: the server ends the connection */
        close_session(session);
    } else if (!good) {
        /* What the server says of the sender, or of mail at all, is a matter of its settings or ours. */
        const bool this_mail = step == STEP_TO || step == STEP_BODY;
        fail(session,
             !this_mail        ? ST_UNAVAILABLE
             : code / 100 == 5 ? ST_CONFLICT
                               : ST_BUSY,
             code, step_names[step]);
    } else if (step == STEP_BODY) {
        mail_taken(session, code);
    } else {
        write_step(session, step + 1);
        (void)flush(session);
    }
}

/* The code of a whole reply, "250-one\r\n250 two\r\n"; 0: it is not whole yet; 1: it is no reply. */
static unsigned reply_code(const struct buf *in)
{
    const char *at = buf_str(in);
    for (const char *end; (end = strchr(at, '\n')); at = end + 1) {
        if (end - at < 3 || strspn(at, "0123456789") != 3)
            return 1;
        if (at[3] != '-')
            return (unsigned)strtoul(at, NULL, 10);
    }
    return 0;
}

static void on_event(void *arg, int events)
{
    struct session *session = arg;
    if ((events & LOOP_WRITE) && session->sent < session->out.len && !flush(session))
        return;
    for (;;) {
        char bytes[1024];
        size_t n = 0;
        const enum status st = http_client_line_recv(session->line, bytes, sizeof(bytes), &n);
        if (st == ST_BUSY)
            return;
        buf_add(&session->in, bytes, n);
        const unsigned code = st != ST_OK || session->in.failed ? 1 : reply_code(&session->in);
        if (code == 1 && session->step == STEP_IDLE) {
            close_session(session);
            return;
        }
        if (code == 1) {
            fail(session, ST_UNAVAILABLE, 0, step_names[session->step]);
            return;
        }
        if (code == 0)
            continue;
        buf_reset(&session->in);
        on_reply(session, code); /* the server says nothing more before it has the next command */
        return;
    }
}

/* ---- beginning and end ---- */

static void on_timer(void *arg)
{
    struct session *session = arg;
    if (session->step == STEP_IDLE)
        quit(session);
    else
        fail(session, ST_TIMEOUT, 0, step_names[session->step]);
}

static void dialled(void *arg, enum status status, struct http_client_line *line, const char *error)
{
    struct session *session = arg;
    session->dialling = false;
    session->line = line;
    if (session->ended) {
        close_session(session);
        return;
    }
    if (status == ST_OK) {
        session->watch = loop_watch_new(session->client->opts.loop, http_client_line_fd(line),
                                        on_event, session);
        if (!session->watch)
            status = ST_UNAVAILABLE;
    }
    if (status != ST_OK) {
        fail(session, status, 0, error);
        return;
    }
    write_step(session, STEP_FROM);
    (void)flush(session);
}

static struct session *idle_session(struct smtp_client *client)
{
    struct session *session = client->sessions;
    while (session && session->step != STEP_IDLE)
        session = session->next;
    return session;
}

enum status smtp_client_send(struct smtp_client *client, const struct smtp_mail *mail,
                             smtp_client_cb cb, void *arg)
{
    struct session *session = idle_session(client);
    struct buf data;
    if (!session && client->count >= client->opts.connections)
        return ST_FULL;
    buf_init(&data, MAIL_MAX);
    enum status st = write_data(mail, &data);
    if (st == ST_OK && !session) {
        session = xcalloc(1, sizeof(*session));
        session->client = client;
        session->timer = loop_timer_new(client->opts.loop, on_timer, session);
        session->next = client->sessions;
        buf_init(&session->in, REPLY_MAX);
        client->sessions = session;
        client->count++;
        st = http_client_dial(client->opts.http,
                              &(struct http_client_dial){.url = client->url,
                                                         .tls = client->tls,
                                                         .timeout_ms = client->opts.timeout_ms},
                              dialled, session);
        session->dialling = st == ST_OK;
        if (st != ST_OK)
            close_session(session);
    }
    if (st != ST_OK) {
        buf_clear(&data);
        return st;
    }
    session->from = xstrdup(mail->from);
    session->to = xstrdup(mail->to);
    session->data = data;
    buf_init(&session->out, COMMAND_MAX);
    session->cb = cb;
    session->arg = arg;
    loop_timer_set(session->timer, (uint64_t)client->opts.timeout_ms);
    if (!session->dialling) { /* sent by on_event, so that no callback runs before this returns */
        write_step(session, STEP_FROM);
        loop_watch_set(session->watch, LOOP_READ | LOOP_WRITE);
    }
    return ST_OK;
}

unsigned smtp_client_capacity(const struct smtp_client *client)
{
    unsigned capacity = client->opts.connections - client->count;
    for (const struct session *session = client->sessions; session; session = session->next)
        capacity += session->step == STEP_IDLE;
    return capacity;
}

struct smtp_client *smtp_client_new(const struct smtp_client_opts *opts)
{
    struct smtp_client *client = xcalloc(1, sizeof(*client));
    client->opts = *opts;
    client->url = xstrdup(opts->url);
    client->tls =
        opts->tls_required || strncasecmp(opts->url, "smtps://", 8) == 0 || strchr(opts->url, '@');
    return client;
}

void smtp_client_close(struct smtp_client *client)
{
    if (!client)
        return;
    for (struct session *session = client->sessions; session;) {
        struct session *next = session->next;
        const bool dialling = session->dialling;
        if (session->cb)
            fail(session, ST_UNAVAILABLE, 0, "stopped");
        else if (!dialling)
            quit(session);
        if (dialling)
            session->client = NULL;
        session = next;
    }
    explicit_bzero(client->url, strlen(client->url));
    free(client->url);
    free(client);
}
