/* SPDX-License-Identifier: MIT */
/*
 * redis_error: what an error reply means for the connection on which it came.
 *
 * Called by: redis_node. Pure, but for the log and the metrics.
 */
#include "net/redis_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

/* The errors with which Redis says that it cannot serve now. Every other error is a fault of this program. */
static const struct server_error {
    const char *code;
    enum redis_error_kind kind;
} server_errors[] = {
    {"LOADING", REDIS_ERROR_KEEP},
    {"BUSY", REDIS_ERROR_KEEP},
    {"OOM", REDIS_ERROR_NO_WRITES},
    {"MISCONF", REDIS_ERROR_NO_WRITES},
    {"NOREPLICAS", REDIS_ERROR_NO_WRITES},
    {"TRYAGAIN", REDIS_ERROR_KEEP},
    {"CLUSTERDOWN", REDIS_ERROR_KEEP},
    {"MASTERDOWN", REDIS_ERROR_KEEP},
    {"READONLY", REDIS_ERROR_DROP},
    {"NOAUTH", REDIS_ERROR_DROP},
    {"NOPERM",
     REDIS_ERROR_KEEP}, /* the next check says what is missing; the channel may be missing for good */
    {"MOVED", REDIS_ERROR_DROP}, /* has become a cluster: the greeting says so */
    {"ASK", REDIS_ERROR_DROP},
    {"CROSSSLOT", REDIS_ERROR_DROP},
};

/* Finds the row of an error reply; NULL: the error is a fault of this program. An error from inside a script begins
 * with its code in Redis 7; Redis 6 wraps it: "ERR Error running script … -CODE …". */
static const struct server_error *server_error_find(const char *text)
{
    const bool wrapped = strncmp(text, "ERR Error running script", 24) == 0;
    if (strstr(text, "The user executing the script can't") ||
        strstr(text,
               "ACL failure in script")) /* NOPERM inside a script, before and since Redis 7.2 */
        text = "NOPERM";
    for (size_t i = 0; i < sizeof(server_errors) / sizeof(server_errors[0]); i++) {
        const char *code = server_errors[i].code;
        const size_t len = strlen(code);
        if (strncmp(text, code, len) == 0 && (text[len] == ' ' || text[len] == '\0'))
            return &server_errors[i];
        const char *at = wrapped ? strstr(text, code) : NULL;
        if (at && at[-1] == '-' && at[len] == ' ')
            return &server_errors[i];
    }
    return NULL;
}

/* Logs an error reply. The line number in a script's error counts lua/shared.lua, which the script's text begins with;
 * the log line has the file and the line in it. */
static void log_error_reply(const struct redis_script *script, const char *text)
{
    static const char mark[] = "user_script:";
    const char *at = script ? strstr(text, mark) : NULL;
    if (!at) {
        log_warn("redis error reply", LOG_TEXT("error", text));
        return;
    }
    const unsigned long line = strtoul(at + strlen(mark), NULL, 10);
    const bool shared = line <= script->shared_lines;
    char location[64];
    snprintf(location, sizeof(location), "lua/%s.lua:%lu", shared ? "shared" : script->name,
             shared ? line : line - script->shared_lines);
    log_warn("redis error reply", LOG_TEXT("error", text), LOG_TEXT("script", location));
}

static void count_error_reply(const struct redis_script *script,
                              const struct server_error *server_error)
{
    enum metric metric = METRIC_REDIS_OTHER_ERRORS;
    if (server_error && strcmp(server_error->code, "OOM") == 0)
        metric = METRIC_REDIS_OOM_ERRORS;
    else if (server_error && strcmp(server_error->code, "READONLY") == 0)
        metric = METRIC_REDIS_READONLY_ERRORS;
    else if (!server_error && script)
        metric = METRIC_REDIS_SCRIPT_ERRORS;
    metrics_add(metric, 1);
}

enum redis_error_kind redis_error_judge(const char *text, const struct redis_script *script,
                                        bool in_cluster)
{
    const struct server_error *server_error = server_error_find(text);
    if (in_cluster && strncmp(text, "CROSSSLOT", 9) == 0)
        server_error = NULL; /* other commands are fine */
    log_error_reply(script, text);
    count_error_reply(script, server_error);
    return server_error ? server_error->kind : REDIS_ERROR_OURS;
}
