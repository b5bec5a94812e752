/* SPDX-License-Identifier: MIT */
/*
 * trial: `tiketi serve --check-config`.
 *
 * Why this way: the drivers of the service make the connections, so what is tried is what serve does, and the reason is
 * theirs. All are tried at once, each until it has answered or TRIAL_MS have passed. Nothing listens, so a running
 * service on the same machine is not in the way.
 * Called by: serve. Owns: the loop and everything on it.
 */
#include "trial.h"

#include "auth/jws.h"
#include "auth/oidc.h"
#include "auth/token.h"
#include "auth/vapid.h"
#include "base/json.h"
#include "base/log.h"
#include "net/ca_file.h"
#include "net/db.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/queue.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRIAL_MS   5000 /* for all connections together */
#define POLL_MS    10
#define ANSWER_MAX (256 * 1024)

struct trial;

/* One thing that is asked over the network, by a callback. */
struct question {
    struct trial *trial;
    const char *setting;
    char host[256];               /* of a name that is looked up */
    struct loop_resolve *resolve; /* NULL: it was answered */
    bool asked;
};

struct trial {
    const struct config *config;
    unsigned problems;
    struct loop *loop;
    struct loop_timer *timer;
    uint64_t end_ms;
    char channel[QUEUE_CHANNEL_SIZE];
    struct redis_probe probe;
    struct redis *redis;      /* NULL: it is not set, or was judged */
    struct db *db, *replica;  /* likewise */
    struct http_client *http; /* with OUTBOUND_CA_FILE */
    struct http_client *mail; /* with MAIL_CA_FILE */
    struct question issuer, keys, server, payment, health;
    unsigned open; /* parts that are being closed */
};

/* ---- the lines ---- */

__attribute__((format(printf, 4, 5))) static void say(struct trial *trial, bool fine,
                                                      const char *setting, const char *format, ...)
{
    va_list args;
    trial->problems += !fine;
    (void)printf("%-8s %s: ", fine ? "ok" : "problem", setting);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

/* ---- what needs no connection ---- */

static void try_ca_file(struct trial *trial, const char *setting, const char *path)
{
    if (path && ca_file_is_usable(path))
        say(trial, true, setting, "%s has certificates", path);
    else if (path)
        say(trial, false, setting, "%s cannot be read, or has no certificate in PEM", path);
}

/* An error of token_keys_new is "NAME: sentence". */
static void try_keys(struct trial *trial)
{
    const struct config *config = trial->config;
    struct token_keys *keys = NULL;
    struct vapid *vapid = NULL;
    char error[200] = "";
    if (token_keys_new(config, &keys, error, sizeof(error)) == ST_OK) {
        if (config->ticket_keys)
            say(trial, true, "TICKET_KEYS", "can be used, as can all other keys and secrets");
    } else {
        trial->problems++;
        (void)printf("problem  %s\n", error);
    }
    token_keys_free(keys);
    if (!config->vapid_keys)
        return;
    if (vapid_new(config->vapid_keys, config->vapid_subject, &vapid) == ST_OK)
        say(trial, true, "VAPID_KEYS", "can be used");
    else
        say(trial, false, "VAPID_KEYS",
            "must be keys of `tiketi vapid-key`, comma-separated, each once");
    vapid_free(vapid);
}

static void try_files_and_texts(struct trial *trial)
{
    const struct config *config = trial->config;
    try_keys(trial);
    if (config->trusted_proxies) /* one that cannot be used was refused, and is unset */
        say(trial, true, "TRUSTED_PROXIES", "%s", config->trusted_proxies);
    if (config->outbound_allow)
        say(trial, true, "OUTBOUND_ALLOW", "%s", config->outbound_allow);
    try_ca_file(trial, "MAIL_CA_FILE", config->mail_ca_file);
    try_ca_file(trial, "OUTBOUND_CA_FILE", config->outbound_ca_file);
    if (config->oidc_issuer && config->oidc_roles && !oidc_roles_valid(config->oidc_roles))
        say(trial, false, "OIDC_ROLES",
            "must be value=role,value=role, where a role is admin, organizer, sre, viewer or door");
}

/* ---- Redis and PostgreSQL ---- */

static void on_closed(void *arg)
{
    struct trial *trial = arg;
    trial->open--;
}

/* `late`: the time is over. */
static void judge_redis(struct trial *trial, bool late)
{
    struct redis *redis = trial->redis;
    const char *setting = trial->config->redis_host ? "REDIS_HOST" : "REDIS_URL";
    const struct redis_state state = redis_state(redis);
    if (!late && (state.partial || (!state.up && !*state.problem)))
        return;
    trial->redis = NULL;
    if (!state.up)
        say(trial, false, setting, "%s", *state.problem ? state.problem : "it does not answer");
    else if (state.partial)
        say(trial, false, setting, "%s", state.problem);
    else if (*state.problem)
        say(trial, false, setting, "it refuses writes: %s", state.problem);
    else if (*state.warning)
        say(trial, true, setting, "reached, and it takes writes, but %s", state.warning);
    else
        say(trial, true, setting, "reached, and it takes writes");
    trial->open++;
    redis_close(redis, on_closed, trial);
}

static void judge_database(struct trial *trial, struct db **db, const char *setting, bool late)
{
    struct db *pool = *db;
    const struct db_state state = db_state(pool);
    if (!state.up && !*state.problem && !late)
        return;
    *db = NULL;
    if (!state.up)
        say(trial, false, setting, "%s", *state.problem ? state.problem : "it does not answer");
    else if (state.read_only && strcmp(setting, "DATABASE_URL") == 0)
        say(trial, false, setting,
            state.standby ? "it is a standby; name the primary, or all hosts with "
                            "target_session_attrs=read-write"
                          : "it refuses writes (default_transaction_read_only)");
    else
        say(trial, true, setting, "reached, schema %" PRId64 "%s", state.generation,
            state.pooled ? ", behind a pooler" : "");
    trial->open++;
    db_close(pool, on_closed, trial);
}

static void try_redis(struct trial *trial)
{
    const struct config *config = trial->config;
    struct redis_opts opts = {.loop = trial->loop,
                              .server = redis_server_of(config, "check-config"),
                              .timeout_ms = config->redis_timeout_ms,
                              .probe = &trial->probe};
    if (!config->redis_url)
        return;
    opts.scripts = queue_scripts(&opts.script_count);
    queue_channel_write(trial->channel, config);
    trial->probe = (struct redis_probe){
        .script = queue_probe_script(),
        .argv = {config->redis_prefix ? config->redis_prefix : "", trial->channel}};
    if (redis_open(&opts, &trial->redis) != ST_OK) {
        char problem[REDIS_PROBLEM_MAX] = "";
        (void)redis_server_check(&opts.server, problem, sizeof(problem));
        trial->problems++;
        (void)printf("problem  %s\n", problem);
    }
}

static void try_database(struct trial *trial, const char *setting, const char *url,
                         int64_t may_open, struct db **ret)
{
    const struct db_opts opts = {.loop = trial->loop,
                                 .url = url,
                                 .pool_min = 1,
                                 .pool_max = 1,
                                 .timeout_ms = trial->config->db_timeout_ms,
                                 .queue_max = 1,
                                 .application_name = "tiketi check-config",
                                 .schema = db_schema_own(),
                                 .may_open = may_open};
    char problem[256];
    if (!url)
        return;
    if (db_lacks_file(url, problem, sizeof(problem)))
        say(trial, false, setting, "%s", problem);
    else if (db_open(&opts, ret) != ST_OK)
        say(trial, false, setting, "must be a libpq URI or keyword string without a service");
}

/* ---- other servers ---- */

static const char *reason_of(enum status status, const char *error)
{
    return status == ST_DENIED    ? "its address is private: name it in OUTBOUND_ALLOW"
           : status == ST_TIMEOUT ? "it does not answer in time"
           : error && *error      ? error
                                  : "it cannot be reached";
}

/* The metadata of OIDC_ISSUER. */
static const char *judge_metadata(const struct config *config, const char *text, size_t len,
                                  char *out, size_t size)
{
    struct json *metadata = json_parse(text, len, ANSWER_MAX, NULL);
    const char *issuer = metadata ? json_str(metadata, "issuer") : NULL, *wrong = NULL;
    if (!issuer) {
        wrong = "its metadata are no JSON that names an issuer";
    } else if (strcmp(issuer, config->oidc_issuer) != 0) {
        (void)snprintf(out, size, "its metadata name another issuer: set OIDC_ISSUER to %.200s",
                       issuer);
        wrong = out;
    } else if (!json_str(metadata, "authorization_endpoint") ||
               !json_str(metadata, "token_endpoint") || !json_str(metadata, "jwks_uri")) {
        wrong = "its metadata lack an endpoint (authorization, token or jwks_uri)";
    }
    json_free(metadata);
    return wrong;
}

/* The keys at JWT_JWKS_URL. */
static const char *judge_jwks(const char *text, size_t len)
{
    struct jws_ring *ring = jws_ring_new();
    const enum status st = ring ? jws_ring_add_jwks(ring, text, len) : ST_INTERNAL;
    jws_ring_free(ring);
    return st == ST_OK ? NULL : "there is no JWKS document with a P-256 or RSA key";
}

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct question *question = arg;
    struct trial *trial = question->trial;
    char text[256];
    const char *wrong = status == ST_OK ? NULL : reason_of(status, answer ? answer->error : NULL);
    question->asked = false;
    if (!wrong && answer->code != 200) {
        (void)snprintf(text, sizeof(text), "it answers with status %u", answer->code);
        wrong = text;
    } else if (!wrong) {
        wrong = question == &trial->issuer
                    ? judge_metadata(trial->config, answer->body, answer->len, text, sizeof(text))
                    : judge_jwks(answer->body, answer->len);
    }
    if (wrong)
        say(trial, false, question->setting, "%s", wrong);
    else
        say(trial, true, question->setting, "reached");
}

static void ask_url(struct trial *trial, struct question *question, const char *setting,
                    const char *url)
{
    const struct http_client_request request = {.url = url,
                                                .plain = strncasecmp(url, "http://", 7) == 0,
                                                .answer_max = ANSWER_MAX,
                                                .timeout_ms = TRIAL_MS - 500};
    *question = (struct question){.trial = trial, .setting = setting};
    question->asked = http_client_start(trial->http, &request, on_answer, question) == ST_OK;
    if (!question->asked)
        say(trial, false, setting, "this address cannot be used");
}

static void on_dialled(void *arg, enum status status, struct http_client_line *line,
                       const char *error)
{
    struct question *question = arg;
    http_client_line_close(line);
    question->asked = false;
    if (status == ST_OK)
        say(question->trial, true, question->setting, "reached, and signed in");
    else
        say(question->trial, false, question->setting, "%s", reason_of(status, error));
}

static void dial_mail(struct trial *trial)
{
    const struct config *config = trial->config;
    const char *url = config->mail_url;
    const struct http_client_dial dial = {.url = url,
                                          .tls = config->mail_tls_required ||
                                                 strncasecmp(url, "smtps://", 8) == 0 ||
                                                 strchr(url, '@'),
                                          .timeout_ms = TRIAL_MS - 500};
    trial->server = (struct question){.trial = trial, .setting = "MAIL_URL"};
    trial->server.asked = http_client_dial(trial->mail, &dial, on_dialled, &trial->server) == ST_OK;
    if (!trial->server.asked)
        say(trial, false, "MAIL_URL", "this address cannot be used");
}

static void on_resolved(void *arg, enum status status, const char *const *addresses, size_t count)
{
    struct question *question = arg;
    (void)addresses;
    (void)count;
    question->resolve = NULL;
    if (status == ST_OK)
        say(question->trial, true, question->setting, "the host %s is known", question->host);
    else
        say(question->trial, false, question->setting,
            status == ST_NOT_FOUND ? "there is no host %s" : "the host %s cannot be looked up",
            question->host);
}

/* For an address that only browsers, or later requests, go to: its host must be known. */
static void look_up(struct trial *trial, struct question *question, const char *setting,
                    const char *url)
{
    *question = (struct question){.trial = trial, .setting = setting};
    const char *host = url ? strstr(url, "://") : NULL;
    if (!host)
        return;
    host += 3;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    host = at ? at + 1 : host;
    const bool v6 = *host == '[';
    host += v6;
    (void)snprintf(question->host, sizeof(question->host), "%.*s",
                   (int)strcspn(host, v6 ? "]" : ":/?#"), host);
    question->resolve = loop_resolve_start(trial->loop, question->host, on_resolved, question);
}

static void try_servers(struct trial *trial)
{
    const struct config *config = trial->config;
    struct http_client_opts opts = {.loop = trial->loop,
                                    .at_once = 4,
                                    .queue_max = 4,
                                    .allow = config->outbound_allow,
                                    .ca_file = config->outbound_ca_file};
    char url[1024];
    look_up(trial, &trial->payment, "PAYMENT_URL", config->payment_url);
    look_up(trial, &trial->health, "HEALTH_URL", config->health_url);
    if (http_client_new(&opts, &trial->http) != ST_OK)
        return;
    opts.ca_file = config->mail_ca_file;
    if (http_client_new(&opts, &trial->mail) != ST_OK)
        return;
    if (config->oidc_issuer) {
        const size_t len = strlen(config->oidc_issuer);
        (void)snprintf(url, sizeof(url), "%s%s.well-known/openid-configuration",
                       config->oidc_issuer, config->oidc_issuer[len - 1] == '/' ? "" : "/");
        ask_url(trial, &trial->issuer, "OIDC_ISSUER", url);
    }
    if (config->jwt_jwks_url)
        ask_url(trial, &trial->keys, "JWT_JWKS_URL", config->jwt_jwks_url);
    if (config->mail_url)
        dial_mail(trial);
}

/* ---- the whole ---- */

static void cancel(struct question *question)
{
    if (question->resolve)
        say(question->trial, false, question->setting, "the host %s cannot be looked up in time",
            question->host);
    loop_resolve_cancel(question->resolve);
    question->resolve = NULL;
}

static void on_timer(void *arg)
{
    struct trial *trial = arg;
    const bool late = loop_now_ms(trial->loop) >= trial->end_ms;
    if (trial->redis)
        judge_redis(trial, late);
    if (trial->db)
        judge_database(trial, &trial->db, "DATABASE_URL", late);
    if (trial->replica)
        judge_database(trial, &trial->replica, "DATABASE_REPLICA_URL", late);
    if (late) {
        cancel(&trial->payment);
        cancel(&trial->health);
    }
    if (trial->redis || trial->db || trial->replica || trial->issuer.asked || trial->keys.asked ||
        trial->server.asked || trial->payment.resolve || trial->health.resolve || trial->open > 0) {
        loop_timer_set(trial->timer, POLL_MS);
        return;
    }
    http_client_close(trial->http);
    http_client_close(trial->mail);
    loop_timer_close(trial->timer);
    loop_stop(trial->loop);
}

unsigned trial_run(const struct config *config, int64_t may_open)
{
    struct trial trial = {.config = config, .loop = loop_new()};
    if (!trial.loop) {
        say(&trial, false, "files", "the system has no descriptors left");
        return trial.problems;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that the peer has closed */
    try_files_and_texts(&trial);
    log_set_level(LOG_LEVEL_OFF); /* the drivers' lines would say it again */
    trial.end_ms = loop_now_ms(trial.loop) + TRIAL_MS;
    try_redis(&trial);
    try_database(&trial, "DATABASE_URL", config->database_url, may_open, &trial.db);
    try_database(&trial, "DATABASE_REPLICA_URL", config->database_replica_url, 0, &trial.replica);
    try_servers(&trial);
    trial.timer = loop_timer_new(trial.loop, on_timer, &trial);
    loop_timer_set(trial.timer, 0);
    loop_run(trial.loop);
    loop_free(trial.loop);
    return trial.problems;
}
