/* SPDX-License-Identifier: MIT */
/*
 * redis_sentinel: asks Redis Sentinels where the primary is, for one link.
 *
 * Why this way: one connection to one Sentinel at a time, which is kept: it answers the question before each attempt of the
 * link to connect, and tells by +switch-master that a failover is done, so that the link leaves the old
 * primary before a command has failed. A Sentinel that is away, silent or does not know the name gives way to the next one
 * of the URL; the first that answers is believed, since what it names must then say that it is a primary (redis_health).
 * A Sentinel that was cut off may name an old primary: a link that is up leaves it only when more than half of the
 * Sentinels, one after the other, name another server, or when one announces the change. RESP2 allows no question while
 * subscribed, so a question unsubscribes and subscribes again, in one write.
 * Called by: redis_link, as a locator. Owns: the connection to the Sentinel.
 * When all Sentinels are gone: a link that is up stays up; one that is not says which Sentinel failed last and why.
 */
#include "net/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/redis_args.h"

#define ASK_MAX_MS     500 /* a Sentinel that has not answered within this is left for the next */
#define ATTEMPT_MAX_MS 1000
#define REPEATS_MAX    5 /* answers in a row that were the same: then the next Sentinel is asked */
#define QUESTION_MAX   1024
#define CHANNEL        "+switch-master"

struct redis_sentinel {
    struct loop *loop;
    struct redis_host *hosts;
    size_t host_count;
    size_t turn; /* of the Sentinel that is connected, or is tried */
    char *master;
    struct redis_link *link; /* to that Sentinel */
    bool subscribed;         /* to CHANNEL; false as well when an ACL forbids it */
    bool asking;             /* the answer to a question is awaited on `link` */
    uint64_t asked_ms;
    struct redis_link *client;    /* whom we ask for; NULL: it has not asked yet */
    bool wanted;                  /* the client waits for an answer */
    size_t failed;                /* Sentinels that failed in a row while it waits */
    struct redis_primary primary; /* the last answer, and how often in a row it was given */
    unsigned repeats;
    size_t
        dissent; /* Sentinels in a row that name this server while the client is up at another one */
    struct loop_timer *timer;
    int64_t ask_ms, timeout_ms;
    loop_cb on_closed;
    void *on_closed_arg;
};

/* ---- what Sentinels say ---- */

static bool is_same(const struct redis_primary *a, const struct redis_primary *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* A number of up to five digits; 0: the text is none. */
static int read_port(const char *text, size_t len)
{
    int port = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || i >= 5)
            return 0;
        port = port * 10 + (text[i] - '0');
    }
    return port;
}

static bool set_primary(struct redis_primary *primary, const char *host, size_t len, int64_t port)
{
    if (len == 0 || len > SENTINEL_HOST_MAX || port <= 0 || port > 65535)
        return false;
    memcpy(primary->host, host, len);
    primary->host[len] = '\0';
    primary->port = (int)port;
    return true;
}

bool redis_sentinel_read(const struct redis_reply *reply, struct redis_primary *ret_primary)
{
    const char *host = redis_reply_str(redis_reply_at(reply, 0), NULL);
    return host &&
           set_primary(ret_primary, host, strlen(host), redis_reply_int(redis_reply_at(reply, 1)));
}

bool redis_sentinel_read_switch(const char *text, const char *name,
                                struct redis_primary *ret_primary)
{
    const char *words[5];
    size_t lens[5];
    for (size_t i = 0; i < 5; i++) {
        words[i] = text;
        lens[i] = strcspn(text, " ");
        text += lens[i];
        if (lens[i] == 0 || (*text == '\0') != (i == 4))
            return false;
        text += *text == ' ';
    }
    return lens[0] == strlen(name) && memcmp(words[0], name, lens[0]) == 0 &&
           set_primary(ret_primary, words[3], lens[3], read_port(words[4], lens[4]));
}

/* ---- asking ---- */

static const struct redis_host *current(const struct redis_sentinel *sentinel)
{
    return &sentinel->hosts[sentinel->turn];
}

/* Sends the question where the primary is. */
static void ask(struct redis_sentinel *sentinel)
{
    static const char *const subscribe[] = {"SUBSCRIBE", CHANNEL};
    static const char *const unsubscribe[] = {"UNSUBSCRIBE", CHANNEL};
    const char *const question[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinel->master};
    const struct {
        size_t count;
        const char *const *words;
    } commands[] = {{2, unsubscribe}, {3, question}, {2, subscribe}};
    struct buf text;
    if (sentinel->asking)
        return;
    buf_init(&text, QUESTION_MAX);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!sentinel->subscribed && i != 1)
            continue;
        redis_format_head(&text, commands[i].count);
        for (size_t k = 0; k < commands[i].count; k++)
            redis_format_arg(&text, commands[i].words[k], strlen(commands[i].words[k]));
    }
    sentinel->asking = !text.failed && redis_link_send(sentinel->link, text.data, text.len);
    sentinel->asked_ms = loop_now_ms(sentinel->loop);
    if (sentinel->asking)
        loop_timer_set(sentinel->timer, (uint64_t)sentinel->ask_ms);
    buf_clear(&text);
}

/* This Sentinel is of no help: the next attempt goes to another one. Ends the client's attempt as well. */
static const char *refuse(struct redis_sentinel *sentinel, const char *error)
{
    static const char unknown[] = "it knows no primary of that name";
    char problem[320];
    sentinel->asking = false;
    (void)snprintf(problem, sizeof(problem), "Sentinel %.120s:%d, asked for %.60s: %.100s",
                   current(sentinel)->name, current(sentinel)->port, sentinel->master,
                   error ? error : unknown);
    if (sentinel->wanted) {
        sentinel->wanted = false;
        redis_link_fail(sentinel->client, problem);
    }
    return error ? error : unknown;
}

/* The client is up at another server than this one, which the Sentinel names as the primary. NULL: that is settled; else
 * the reason to ask the next Sentinel. */
static const char *weigh(struct redis_sentinel *sentinel, const struct redis_primary *named)
{
    const bool same = sentinel->dissent > 0 && is_same(named, &sentinel->primary);
    sentinel->dissent = same ? sentinel->dissent + 1 : 1;
    if (sentinel->dissent <= sentinel->host_count / 2)
        return "it names another primary than the one in use: the others are asked";
    sentinel->dissent = 0;
    redis_link_fail(sentinel->client, "most Sentinels name another primary");
    return NULL;
}

/* Takes the reply to the question. NULL, or why another Sentinel must be asked. */
static const char *take_answer(struct redis_sentinel *sentinel, const struct redis_reply *reply)
{
    const char *problem = NULL;
    struct redis_primary named;
    sentinel->asking = false;
    sentinel->failed = 0;
    if (!redis_sentinel_read(reply, &named))
        return refuse(sentinel, redis_reply_str(reply, NULL));
    if (!sentinel->wanted && sentinel->client && redis_link_up(sentinel->client) &&
        redis_link_is_elsewhere(sentinel->client, named.host, named.port))
        problem = weigh(sentinel, &named);
    else
        sentinel->dissent = 0;
    sentinel->repeats = is_same(&named, &sentinel->primary) ? sentinel->repeats + 1 : 0;
    sentinel->primary = named;
    if (sentinel->wanted) {
        sentinel->wanted = false;
        redis_link_locate(sentinel->client, named.host, named.port);
    }
    return problem;
}

static void take_switch(struct redis_sentinel *sentinel, const char *text)
{
    struct redis_primary named;
    if (!redis_sentinel_read_switch(text, sentinel->master, &named))
        return;
    log_info("sentinel has made another server the primary", LOG_TEXT("master", sentinel->master),
             LOG_TEXT("host", named.host), LOG_NUM("port", named.port));
    sentinel->dissent = 0;
    if (sentinel->client && redis_link_is_elsewhere(sentinel->client, named.host, named.port))
        redis_link_fail(sentinel->client, "Sentinel has made another server the primary");
}

/* ---- the connection to a Sentinel ---- */

/* For this link we are the locator: each attempt goes to the next Sentinel. */
static void on_sentinel_ask(void *arg, struct redis_link *link)
{
    struct redis_sentinel *sentinel = arg;
    sentinel->turn = (sentinel->turn + 1) % sentinel->host_count;
    redis_link_locate(link, current(sentinel)->name, current(sentinel)->port);
}

static void on_sentinel_greet(void *arg)
{
    struct redis_sentinel *sentinel = arg;
    redis_link_greet(
        sentinel->link, 3,
        (const char *const[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinel->master});
    redis_link_greet(sentinel->link, 2, (const char *const[]){"SUBSCRIBE", CHANNEL});
}

static const char *on_sentinel_greeted(void *arg, size_t i, const struct redis_reply *reply)
{
    struct redis_sentinel *sentinel = arg;
    if (i == 0)
        return take_answer(sentinel, reply);
    sentinel->subscribed = redis_reply_type(reply) != REDIS_ERROR;
    return NULL;
}

static void on_sentinel_up(void *arg)
{
    struct redis_sentinel *sentinel = arg;
    loop_timer_set(sentinel->timer, (uint64_t)sentinel->timeout_ms);
    if (sentinel->wanted) /* since the greeting was sent */
        ask(sentinel);
}

static void on_sentinel_reply(void *arg, const struct redis_reply *reply)
{
    struct redis_sentinel *sentinel = arg;
    const char *kind = redis_reply_str(redis_reply_at(reply, 0), NULL);
    const size_t count = redis_reply_count(reply);
    if (count == 3) { /* of the channel */
        const char *text = redis_reply_str(redis_reply_at(reply, 2), NULL);
        if (kind && text && strcmp(kind, "message") == 0)
            take_switch(sentinel, text);
        return;
    }
    if (!sentinel->asking || redis_reply_type(reply) == REDIS_STR ||
        (count == 2 && kind && strcmp(kind, "pong") == 0))
        return;
    const char *problem = take_answer(sentinel, reply);
    if (problem)
        redis_link_fail(sentinel->link, problem);
}

static void on_sentinel_down(void *arg, bool was_up)
{
    struct redis_sentinel *sentinel = arg;
    (void)was_up;
    loop_timer_stop(sentinel->timer);
    sentinel->asking = sentinel->subscribed = false;
    sentinel->repeats = 0;
    if (!sentinel->wanted || ++sentinel->failed < sentinel->host_count)
        return;
    const char *reason = redis_link_problem(sentinel->link);
    char problem[400];
    sentinel->wanted = false;
    sentinel->failed = 0;
    (void)snprintf(problem, sizeof(problem), "no Sentinel can be asked: %.120s:%d: %.200s%s",
                   current(sentinel)->name, current(sentinel)->port, reason,
                   strncmp(reason, "NOAUTH", 6) == 0 ? " (set REDIS_SENTINEL_PASSWORD)" : "");
    redis_link_fail(sentinel->client, problem);
}

static const struct redis_link_user sentinel_user = {
    .greet = on_sentinel_greet,
    .on_greeted = on_sentinel_greeted,
    .on_up = on_sentinel_up,
    .on_reply = on_sentinel_reply,
    .on_down = on_sentinel_down,
};

/* While up: leaves a Sentinel that is silent, and pings one on whose connection nothing has arrived for a while. */
static void on_sentinel_timer(void *arg)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    struct redis_sentinel *sentinel = arg;
    const uint64_t now = loop_now_ms(sentinel->loop);
    const uint64_t silent = now - redis_link_heard_ms(sentinel->link);
    const uint64_t timeout = (uint64_t)sentinel->timeout_ms;
    if (sentinel->asking && now - sentinel->asked_ms >= (uint64_t)sentinel->ask_ms) {
        redis_link_fail(sentinel->link, "it did not answer in time");
        return;
    }
    if (silent >= 2 * timeout) {
        redis_link_fail(sentinel->link, "a ping was not answered in time");
        return;
    }
    if (silent >= timeout)
        (void)redis_link_send(sentinel->link, ping, sizeof(ping) - 1);
    loop_timer_set(sentinel->timer, timeout);
}

/* ---- for the client ---- */

static void on_client_asks(void *arg, struct redis_link *client)
{
    struct redis_sentinel *sentinel = arg;
    sentinel->client = client;
    sentinel->wanted = true;
    sentinel->failed = 0;
    if (!redis_link_up(sentinel->link))
        return; /* its greeting asks */
    if (sentinel->repeats >= REPEATS_MAX && sentinel->host_count > 1)
        redis_link_fail(sentinel->link, "what it names cannot be used: the next one is asked");
    else
        ask(sentinel);
}

static void on_sentinel_gone(void *arg)
{
    struct redis_sentinel *sentinel = arg;
    loop_cb cb = sentinel->on_closed;
    void *cb_arg = sentinel->on_closed_arg;
    for (size_t i = 0; i < sentinel->host_count; i++)
        free(sentinel->hosts[i].name);
    free(sentinel->hosts);
    free(sentinel->master);
    free(sentinel);
    cb(cb_arg);
}

static void on_client_closes(void *arg, loop_cb cb, void *cb_arg)
{
    struct redis_sentinel *sentinel = arg;
    sentinel->on_closed = cb;
    sentinel->on_closed_arg = cb_arg;
    loop_timer_close(sentinel->timer);
    redis_link_close(sentinel->link, on_sentinel_gone, sentinel);
}

struct redis_locator redis_sentinel_new(const struct redis_sentinel_opts *opts)
{
    struct redis_sentinel *sentinel = xcalloc(1, sizeof(*sentinel));
    const struct redis_target *target = opts->target;
    const int64_t timeout_ms = opts->timeout_ms;
    sentinel->loop = opts->loop;
    sentinel->host_count = target->host_count;
    sentinel->hosts = xcalloc(target->host_count, sizeof(*sentinel->hosts));
    for (size_t i = 0; i < target->host_count; i++)
        sentinel->hosts[i] = (struct redis_host){.name = xstrdup(target->hosts[i].name),
                                                 .port = target->hosts[i].port};
    sentinel->turn = target->host_count - 1; /* the first attempt goes to the first */
    sentinel->master = xstrdup(target->master);
    sentinel->timeout_ms = timeout_ms;
    sentinel->ask_ms = timeout_ms / 2 < ASK_MAX_MS ? timeout_ms / 2 : ASK_MAX_MS;
    sentinel->timer = loop_timer_new(opts->loop, on_sentinel_timer, sentinel);
    const struct redis_locator rotation = {.ask = on_sentinel_ask, .arg = sentinel};
    sentinel->link = redis_link_open(&(struct redis_link_opts){
        .loop = opts->loop,
        .endpoint =
            {.user = opts->user, .password = opts->password, .tls = opts->tls, .name = opts->name},
        .locator = &rotation,
        .timeout_ms = timeout_ms < ATTEMPT_MAX_MS ? timeout_ms : ATTEMPT_MAX_MS,
        .sentinel = true,
        .user = &sentinel_user,
        .arg = sentinel});
    return (struct redis_locator){
        .ask = on_client_asks, .close = on_client_closes, .arg = sentinel};
}
