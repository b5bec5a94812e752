/* SPDX-License-Identifier: MIT */
/*
 * db_endpoint: the connection string, parsed once, and the keywords for libpq.
 *
 * Why this way: libpq would resolve host names while the loop stands still. So the hosts are taken out
 * of the string, resolved by loop_resolve, and given back as `hostaddr`; `host` stays beside it for
 * certificates and messages. Everything else is passed on as the operator wrote it; with several hosts
 * `target_session_attrs` says which is wanted, and libpq goes on to the next until it has found it.
 * Called by: db (parse) and db_link (keywords). Owns: libpq's list of options and the texts.
 */
#include "net/db_endpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Returns new: the i-th of a comma-separated list; a list of one has it for every i. */
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
    if (!info) { /* libpq's message may contain the password */
        log_error("db connection string invalid");
        return ST_INVALID;
    }
    if (info_value(info, "service")) {
        PQconninfoFree(info);
        log_error("db service file unsupported",
                  LOG_TEXT("hint", "name the host in the connection string"));
        return ST_INVALID;
    }
    struct db_endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
    endpoint->info = info;
    endpoint->name = xstrdup(name);

    /* The hosts of the string; where it names none, those of the environment (PGHOST). */
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
    /* The server's own limits, behind the options that the string gives. */
    const char *given = info_value(info, "options");
    struct buf options;
    buf_init(&options, OPTIONS_MAX);
    if (given)
        buf_printf(&options, "%s ", given);
    buf_printf(&options,
               "-c statement_timeout=%" PRId64
               " -c timezone=UTC -c datestyle=ISO -c client_min_messages=warning",
               timeout_ms);
    endpoint->options = xstrdup(buf_str(&options));
    buf_clear(&options);
    *ret_endpoint = endpoint;
    return ST_OK;
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
    /* What the string says is passed on, but for the keywords that we write ourselves. */
    static const char *const ours[] = {"options", "client_encoding", "host", "hostaddr", "port"};
    const size_t ours_count = endpoint->target_count > 0 ? sizeof(ours) / sizeof(ours[0]) : 2;
    for (const PQconninfoOption *at = endpoint->info; at->keyword; at++) {
        size_t i = 0;
        while (i < ours_count && strcmp(at->keyword, ours[i]) != 0)
            i++;
        if (at->val && i == ours_count)
            db_keywords_add(words, at->keyword, at->val);
    }

    db_keywords_add(words, "options", endpoint->options);
    db_keywords_add(words, "client_encoding", "UTF8");
    db_keywords_add(words, "fallback_application_name", endpoint->name);
    db_keywords_add(words, "keepalives_idle", "10");
    db_keywords_add(words, "keepalives_interval", "5");
    db_keywords_add(words, "keepalives_count", "3");
    db_keywords_add(words, "tcp_user_timeout", endpoint->user_timeout);
    /* Kerberos would resolve names by itself, blocking. */
    db_keywords_add(words, "gssencmode", "disable");
}
