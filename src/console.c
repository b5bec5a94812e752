/* SPDX-License-Identifier: MIT */
/*
 * console: tiketi console-link prints a one-time link to the console; tiketi console-revoke ends sessions.
 *
 * Why this way: whoever may read the deployment's keys may let people in, so the first person needs no account. A link is
 * signed and nothing else: it needs no backend. Sessions are ended in PostgreSQL.
 * Called by: main. PostgreSQL gone: console-revoke says so, exit code 1.
 */
#include "console.h"

#include "auth/sign_in.h"
#include "auth/staff_session.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "net/loop.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LIST_MAX (256 * 1024)

/* ---- console-link ---- */

const struct option_row console_link_rows[] = {
    {"role", OPT_TEXT, offsetof(struct console_link_options, role), 0, 0, "organizer", "ROLE",
     "admin, organizer, sre, viewer or door"},
    {"name", OPT_TEXT, offsetof(struct console_link_options, name), 0, 0, NULL, "NAME",
     "who will use it: stands in the audit, and owns the events that an organizer makes; without "
     "it "
     "the role"},
    {"events", OPT_TEXT, offsetof(struct console_link_options, events), 0, 0, NULL, "IDS",
     "events, comma-separated, at most 8: the only ones, for an organizer beside their own"},
    {"url", OPT_TEXT, offsetof(struct console_link_options, url), 0, 0, NULL, "URL",
     "where the pages are; without it PUBLIC_URL, else this machine and HTTP_PORT"},
    {0},
};

static bool events_valid(const char *list)
{
    size_t count = 0;
    for (;;) {
        const size_t len = strcspn(list, ",");
        if (!token_is_event_id(list, len) || ++count > STAFF_EVENTS_MAX)
            return false;
        if (list[len] == '\0')
            return true;
        list += len + 1;
    }
}

/* Fills the grant from the options. Returns what is wrong; NULL: nothing. */
static const char *read_grant(const struct console_link_options *options, struct staff_grant *grant)
{
    char name[TEXT_BYTES(STAFF_NAME_MAX) + 1];
    const char *wanted = options->name ? options->name : options->role;
    if (!role_read(options->role, strlen(options->role), &grant->role) ||
        !role_is_a_persons(grant->role))
        return "--role must be admin, organizer, sre, viewer or door";
    if (text_clean(TEXT_LINE, wanted, strlen(wanted), STAFF_NAME_MAX, name) != ST_OK ||
        name[0] == '\0' || strlen(name) > STAFF_NAME_MAX)
        return "--name must be 1 to 160 bytes of printable text";
    if (options->events && !events_valid(options->events))
        return "--events must be one to eight ids of events, separated by commas";
    (void)snprintf(grant->subject, sizeof(grant->subject), "%.*s", STAFF_NAME_MAX, name);
    (void)snprintf(grant->name, sizeof(grant->name), "%.*s", STAFF_NAME_MAX, name);
    (void)snprintf(grant->events, sizeof(grant->events), "%s",
                   options->events ? options->events : "");
    token_random_hex(grant->id);
    grant->expires_ms = clock_wall_ms() + STAFF_LINK_MS;
    return NULL;
}

int console_link(struct config *config, const void *arg)
{
    const struct console_link_options *options = arg;
    struct staff_grant grant = {0};
    struct token_keys *keys;
    struct buf link;
    char error[200], own_url[64];
    const char *wrong = read_grant(options, &grant);
    const char *url = options->url ? options->url : config->public_url;
    if (wrong)
        return program_fail("console-link", EXIT_USAGE, "%s", wrong);
    if (token_keys_new(config, &keys, error, sizeof(error)) != ST_OK)
        return program_fail("console-link", EXIT_CONFIG, "%s", error);
    (void)snprintf(own_url, sizeof(own_url), "http://127.0.0.1:%" PRId64, config->http_port);
    const char *prefix = options->url ? "" : config_prefix(config);
    if (!url)
        url = own_url;
    buf_init(&link, 4096);
    const enum status st = sign_in_link_write(token_sign_in_keys(keys), &grant, &link);
    if (st == ST_OK)
        (void)printf("%s%s%sconsole/enter?link=%s\n", url, prefix,
                     !*prefix && url[strlen(url) - 1] == '/' ? "" : "/", buf_str(&link));
    buf_clear(&link);
    token_keys_free(keys);
    return st == ST_OK ? 0 : program_fail("console-link", 1, "the link could not be signed");
}

/* ---- console-revoke ---- */

const struct option_row console_revoke_rows[] = {
    {"name", OPT_TEXT, offsetof(struct console_revoke_options, name), 0, 0, NULL, "NAME",
     "all sessions of this person"},
    {"session", OPT_COUNT, offsetof(struct console_revoke_options, session), 1, INT64_MAX, NULL,
     "ID", "one session, by the number that --list prints"},
    {"all", OPT_FLAG, offsetof(struct console_revoke_options, all), 0, 0, NULL, NULL,
     "all sessions"},
    {"list", OPT_FLAG, offsetof(struct console_revoke_options, list), 0, 0, NULL, NULL,
     "prints the sessions and ends none"},
    {0},
};

/* A run of the loop for one statement. */
struct errand {
    const struct console_revoke_options *options;
    struct loop *loop;
    struct db *db;
    struct loop_timer *begin; /* waits for the connection */
    unsigned tries;
    int code;
};

static void on_closed(void *arg)
{
    const struct errand *errand = arg;
    loop_stop(errand->loop);
}

static void end(struct errand *errand, int code)
{
    errand->code = code;
    loop_timer_close(errand->begin);
    db_close(errand->db, on_closed, errand);
}

static void print_sessions(const struct json *list)
{
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *session = json_array_at(list, i);
        const char *events = json_str(session, "events");
        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\n", json_str(session, "id"), json_str(session, "role"),
                     json_str(session, "createdAt"), json_str(session, "expiresAt"),
                     json_str(session, "name"), events ? events : "");
    }
}

static void on_answer(void *arg, enum status status, const char *json, size_t len)
{
    struct errand *errand = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, LIST_MAX, NULL) : NULL;
    if (!body) {
        end(errand, program_fail("console-revoke", 1,
                                 "PostgreSQL did not answer (%s): nothing is known to have changed",
                                 status_name(status)));
        return;
    }
    if (errand->options->list)
        print_sessions(json_get(body, "sessions"));
    else
        (void)printf("%" PRId64 " sessions ended, within two seconds on every pod\n",
                     json_int(body, "sessions", 0));
    json_free(body);
    end(errand, 0);
}

static void begin(void *arg)
{
    struct errand *errand = arg;
    const struct console_revoke_options *options = errand->options;
    char id[24];
    if (!db_up(errand->db) && errand->tries++ < 50) {
        loop_timer_set(errand->begin, 100);
        return;
    }
    (void)snprintf(id, sizeof(id), "%" PRId64, options->session);
    const enum status st =
        options->list ? staff_list(errand->db, on_answer, errand)
                      : staff_revoke(errand->db, options->name, options->session > 0 ? id : NULL,
                                     options->all, on_answer, errand);
    if (st != ST_OK)
        on_answer(errand, st, NULL, 0);
}

int console_revoke(struct config *config, const void *arg)
{
    struct errand errand = {.options = arg, .code = 1};
    const struct console_revoke_options *options = arg;
    if ((options->name != NULL) + (options->session > 0) + options->all + options->list != 1)
        return program_fail("console-revoke", EXIT_USAGE,
                            "give one of --name, --session, --all and --list");
    errand.loop = loop_new();
    if (!errand.loop)
        return program_fail("console-revoke", 1, "the system has no descriptors left");
    const enum status st = db_open(&(struct db_opts){.loop = errand.loop,
                                                     .url = config->database_url,
                                                     .pool_min = 1,
                                                     .pool_max = 1,
                                                     .timeout_ms = config->db_timeout_ms,
                                                     .queue_max = 1,
                                                     .application_name = "console-revoke"},
                                   &errand.db);
    if (st == ST_OK) {
        errand.begin = loop_timer_new(errand.loop, begin, &errand);
        loop_timer_set(errand.begin, 0);
    } else {
        loop_stop(errand.loop);
        (void)program_fail("console-revoke", EXIT_CONFIG,
                           "DATABASE_URL: must be a libpq URI or keyword string without a service");
    }
    loop_run(errand.loop);
    loop_free(errand.loop);
    return st == ST_OK ? errand.code : EXIT_CONFIG;
}
