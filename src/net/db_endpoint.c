/* SPDX-License-Identifier: MIT */
/*
 * db_endpoint: the connection string, parsed once, and the keywords for libpq.
 *
 * Why this way: libpq would block the loop while it resolves host names. So db_link takes the hosts from the
 * string, resolves them with loop_resolve, and passes the addresses to libpq as `hostaddr`. It passes `host` as
 * well, which libpq needs to check certificates and for messages. Everything else reaches libpq as the operator
 * wrote it. Of several hosts, libpq takes the first that fits `target_session_attrs`.
 * Called by: db (parse) and db_link (keywords). Owns: libpq's list of options and the texts.
 */
#include "net/db_endpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"

#define OPTIONS_MAX 4096

static const char *info_value(const PQconninfoOption *info, const char *keyword)
{
    for (; info && info->keyword; info++)
        if (strcmp(info->keyword, keyword) == 0)
            return info->val && info->val[0] ? info->val : NULL;
    return NULL;
}

/* Returns new: the i-th item of a comma-separated list. In a list of one item, that item for every i. */
static char *list_item(const char *list, size_t i)
{
    bool single = !strchr(list, ',');
    for (; i > 0 && !single && *list; i--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    char *item = xstrdup(list);
    item[strcspn(item, ",")] = '\0';
    return item;
}

static size_t list_count(const char *list)
{
    size_t count = list != NULL;
    for (; list && *list; list++)
        count += *list == ',';
    return count;
}

enum status db_endpoint_parse(const char *url, const char *name, int64_t timeout_ms,
                              struct db_endpoint **ret_endpoint)
{
    PQconninfoOption *info = PQconninfoParse(url, NULL);
    if (!info) /* libpq's message is dropped: it may contain the password */
        return ST_INVALID;
    if (info_value(info, "service")) {
        PQconninfoFree(info);
        return ST_INVALID;
    }
    struct db_endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
    endpoint->info = info;
    endpoint->name = xstrdup(name);

    /* The hosts are those of the string. If it names none, they are those of the environment (PGHOST). */
    PQconninfoOption *defaults = PQconndefaults();
    static const char *const words[] = {"host", "hostaddr", "port"};
    const char *lists[3];
    for (size_t i = 0; i < 3; i++) {
        lists[i] = info_value(info, words[i]);
        if (!lists[i])
            lists[i] = info_value(defaults, words[i]);
    }
    const size_t hosts = list_count(lists[0]), known = list_count(lists[1]);
    endpoint->target_count = known > 0 ? known : hosts;
    endpoint->targets = xcalloc(endpoint->target_count + 1, sizeof(*endpoint->targets));
    for (size_t i = 0; i < endpoint->target_count; i++) {
        struct db_target *target = &endpoint->targets[i];
        target->host = list_item(lists[0] ? lists[0] : "", i);
        target->hostaddr = list_item(lists[1] ? lists[1] : "", i);
        target->port = list_item(lists[2] ? lists[2] : "", i);
    }
    PQconninfoFree(defaults);

    snprintf(endpoint->user_timeout, sizeof(endpoint->user_timeout), "%" PRId64, timeout_ms);
    /* Our options follow those of the string: for the same option, the last one counts. No statement of ours is worth
     * compiling: where enable_seqscan is off and no index fits, the plan's cost has PostgreSQL compile it for half a second. */
    const char *given = info_value(info, "options");
    struct buf options;
    buf_init(&options, OPTIONS_MAX);
    if (given)
        buf_printf(&options, "%s ", given);
    buf_printf(&options,
               "-c statement_timeout=%" PRId64 " -c lock_timeout=%d"
               " -c default_transaction_isolation=read\\ committed"
               " -c timezone=UTC -c datestyle=ISO -c client_min_messages=warning -c jit=off",
               timeout_ms, DB_LOCK_TIMEOUT_MS);
    endpoint->options = xstrdup(buf_str(&options));
    buf_clear(&options);
    *ret_endpoint = endpoint;
    return ST_OK;
}

bool db_endpoint_lacks_file(const char *url, char *problem, size_t size)
{
    static const char *const keywords[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl"};
    PQconninfoOption *info = PQconninfoParse(url, NULL);
    bool lacks = false;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]) && !lacks; i++) {
        const char *path = info_value(info, keywords[i]);
        /* An sslkey may be one of an OpenSSL engine, engine:id; sslrootcert=system are the system's authorities. */
        if (!path || strcmp(path, "system") == 0 ||
            (path[0] != '/' && strchr(path, ':') && strcmp(keywords[i], "sslkey") == 0))
            continue;
        lacks = access(path, R_OK) != 0;
        if (lacks)
            (void)snprintf(problem, size, "%s: %.200s cannot be read", keywords[i], path);
    }
    PQconninfoFree(info);
    return lacks;
}

void db_endpoint_free(struct db_endpoint *endpoint)
{
    if (!endpoint)
        return;
    for (size_t i = 0; i < endpoint->target_count; i++) {
        free(endpoint->targets[i].host);
        free(endpoint->targets[i].hostaddr);
        free(endpoint->targets[i].port);
    }
    free(endpoint->targets);
    PQconninfoFree(endpoint->info);
    free(endpoint->options);
    free(endpoint->name);
    free(endpoint);
}

void db_keywords_add(struct db_keywords *words, const char *name, const char *value)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(words->names[i], name) == 0)
            return;
    assert(words->count < DB_KEYWORDS_MAX);
    words->names[words->count] = name;
    words->values[words->count++] = value;
}

void db_endpoint_keywords(const struct db_endpoint *endpoint, struct db_keywords *words)
{
    /* Pass on what the string says, except for the keywords that this program sets itself. */
    static const char *const ours[] = {"options", "client_encoding", "host", "hostaddr", "port"};
    const size_t ours_count = endpoint->target_count > 0 ? sizeof(ours) / sizeof(ours[0]) : 2;
    for (const PQconninfoOption *at = endpoint->info; at->keyword; at++) {
        size_t i = 0;
        while (i < ours_count && strcmp(at->keyword, ours[i]) != 0)
            i++;
        if (at->val && i == ours_count)
            db_keywords_add(words, at->keyword, at->val);
    }

    if (!endpoint->no_options)
        db_keywords_add(words, "options", endpoint->options);
    db_keywords_add(words, "client_encoding", "UTF8");
    db_keywords_add(words, "fallback_application_name", endpoint->name);
    db_keywords_add(words, "keepalives_idle", "10");
    db_keywords_add(words, "keepalives_interval", "5");
    db_keywords_add(words, "keepalives_count", "3");
    db_keywords_add(words, "tcp_user_timeout", endpoint->user_timeout);
    /* Kerberos (GSSAPI) would resolve host names itself and block the loop. */
    db_keywords_add(words, "gssencmode", "disable");
}
