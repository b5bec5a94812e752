/* SPDX-License-Identifier: MIT */
/*
 * redis_risk: what threatens the data of a Redis that serves.
 *
 * Why this way: everything comes from INFO, because providers refuse CONFIG, and often say only there what their setting
 * is: `min_slaves_good_slaves` is there only if min-replicas-to-write is set, and a backlog is kept for an hour after the
 * last replica has gone. A section that the user may not ask for, or that lacks a field, tells of no risk. A sentence has
 * numbers that change each time, so the log gets a line only when a risk begins or ends.
 * Called by: redis_node. Owns: nothing but the texts. The server gone: what was known last stays.
 */
#include "net/redis_risk.h"

#include "base/log.h"
#include "base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_WARN_PERCENT 90
#define LAG_WARN_S          10 /* that of docs/operations.md for min-replicas-max-lag */
#define LAG_WARN_B          (INT64_C(64) << 20)
#define REPLICAS_READ       64 /* lines of replicas that are looked at */
#define WORD_SIZE           32
#define LINE_SIZE           512

static const struct {
    const char *name; /* in the log */
    bool grave;       /* places are lost without any fault; the others need one */
} rows[REDIS_RISK_COUNT] = {
    [REDIS_RISK_EVICTS] = {"evicting_policy", true},
    [REDIS_RISK_MEMORY] = {"memory", true},
    [REDIS_RISK_UNSAVED] = {"persistence", false},
    [REDIS_RISK_SPLIT] = {"min_replicas", false},
    [REDIS_RISK_ALONE] = {"no_replica", false},
    [REDIS_RISK_BEHIND] = {"replica_behind", false},
};

/* ---- reading INFO ---- */

/* The text after "name:" in a line of INFO; false: there is no such line. */
static bool text_of(const char *info, const char *name, char *out, size_t size)
{
    const size_t len = strlen(name);
    for (const char *at = info; (at = strstr(at, name)); at += len) {
        if ((at != info && at[-1] != '\n') || at[len] != ':')
            continue;
        const char *value = at + len + 1;
        const size_t value_len = strcspn(value, "\r\n");
        (void)snprintf(out, size, "%.*s", (int)(value_len < size ? value_len : size - 1), value);
        return true;
    }
    return false;
}

static bool number_of(const char *info, const char *name, int64_t *ret_number)
{
    char text[WORD_SIZE], *end;
    if (!text_of(info, name, text, sizeof(text)))
        return false;
    const long long number = strtoll(text, &end, 10);
    if (end == text)
        return false;
    *ret_number = number;
    return true;
}

/* The number after "name=" in a line such as ip=::1,port=7001,state=online,offset=14,lag=0; 0: not there. */
static int64_t part_of(const char *line, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = line; (at = strstr(at, name)); at += len)
        if ((at == line || at[-1] == ',') && at[len] == '=')
            return strtoll(at + len + 1, NULL, 10);
    return 0;
}

/* ---- the verdicts ---- */

static void note(struct redis_risks *risks, enum redis_risk risk, const char *sentence)
{
    char *text = risks->text[risk];
    const bool was = *text != '\0', is = *sentence != '\0';
    (void)snprintf(text, REDIS_RISK_SIZE, "%s", sentence);
    if (was == is)
        return;
    if (!is)
        log_info("redis is safe again", LOG_TEXT("risk", rows[risk].name),
                 LOG_TEXT("server", risks->server));
    else if (rows[risk].grave)
        log_error("redis is not safe", LOG_TEXT("risk", rows[risk].name), LOG_TEXT("reason", text),
                  LOG_TEXT("server", risks->server));
    else
        log_warn("redis is not safe", LOG_TEXT("risk", rows[risk].name), LOG_TEXT("reason", text),
                 LOG_TEXT("server", risks->server));
}

static void judge_memory(struct redis_risks *risks, const char *info)
{
    char policy[WORD_SIZE], evicts[REDIS_RISK_SIZE] = "", nearly[REDIS_RISK_SIZE] = "";
    int64_t used, limit;
    if (!number_of(info, "used_memory", &used) || !number_of(info, "maxmemory", &limit) ||
        !text_of(info, "maxmemory_policy", policy, sizeof(policy)))
        return;
    if (strcmp(policy, "noeviction") != 0)
        (void)snprintf(evicts, sizeof(evicts),
                       "maxmemory-policy %s may delete keys of the queue: set noeviction", policy);
    if (limit > 0 && (double)used * 100 >= (double)limit * MEMORY_WARN_PERCENT)
        (void)snprintf(nearly, sizeof(nearly),
                       "more than %d %% of maxmemory (%" PRId64 " bytes) is used",
                       MEMORY_WARN_PERCENT, limit);
    risks->full = limit > 0 && used >= limit;
    note(risks, REDIS_RISK_EVICTS, evicts);
    note(risks, REDIS_RISK_MEMORY, nearly);
}

/* Whether snapshots are planned, INFO does not say: only whether there was one. Before Redis 7 that of a replica's first
 * copy counts as well. */
static void judge_persistence(struct redis_risks *risks, const char *info)
{
    char rewrite[WORD_SIZE] = "";
    int64_t appends, saves = 0, last_s = -1;
    if (!number_of(info, "aof_enabled", &appends))
        return;
    if (!number_of(info, "rdb_saves", &saves) &&
        number_of(info, "rdb_last_bgsave_time_sec", &last_s))
        saves = last_s >= 0;
    (void)text_of(info, "aof_last_bgrewrite_status", rewrite, sizeof(rewrite));
    const char *sentence = "";
    if (!appends && saves == 0)
        sentence = "nothing is on disk (appendonly is no, and no snapshot was written since it "
                   "started): a restart loses every place";
    else if (!appends)
        sentence = "appendonly is no: a restart loses what came after the last snapshot";
    else if (strcmp(rewrite, "err") == 0)
        sentence = "the append-only file could not be rewritten: it grows until the disk is full";
    note(risks, REDIS_RISK_UNSAVED, sentence);
}

/* How many replicas are behind, and the worst of them. */
static int64_t count_behind(const char *info, int64_t connected, int64_t *ret_lag_s,
                            int64_t *ret_lack_b)
{
    char line[LINE_SIZE], name[WORD_SIZE];
    int64_t behind = 0, good, offset = 0;
    *ret_lag_s = *ret_lack_b = 0;
    (void)number_of(info, "master_repl_offset", &offset);
    for (int64_t i = 0; i < connected && i < REPLICAS_READ; i++) {
        (void)snprintf(name, sizeof(name), "slave%" PRId64, i);
        if (!text_of(info, name, line, sizeof(line)))
            continue;
        const int64_t lag_s = part_of(line, "lag");
        const int64_t lack_b = (int64_t)((uint64_t)offset - (uint64_t)part_of(line, "offset"));
        behind += !strstr(line, ",state=online,") || lag_s > LAG_WARN_S || lack_b > LAG_WARN_B;
        *ret_lag_s = lag_s > *ret_lag_s ? lag_s : *ret_lag_s;
        *ret_lack_b = lack_b > *ret_lack_b ? lack_b : *ret_lack_b;
    }
    /* Those within min-replicas-max-lag, where it is set. */
    if (number_of(info, "min_slaves_good_slaves", &good) && good >= 0 && connected - good > behind)
        behind = connected - good;
    return behind;
}

static void judge_replication(struct redis_risks *risks, const char *info)
{
    char role[WORD_SIZE], split[REDIS_RISK_SIZE] = "", late[REDIS_RISK_SIZE] = "";
    int64_t connected, backlog = 0, good, lag_s, lack_b;
    if (!text_of(info, "role", role, sizeof(role)) || strcmp(role, "master") != 0 ||
        !number_of(info, "connected_slaves", &connected) || connected < 0)
        return;
    const int64_t behind = count_behind(info, connected, &lag_s, &lack_b);
    (void)number_of(info, "repl_backlog_active", &backlog);
    risks->copies = connected - behind;
    risks->followed = risks->followed || connected > 0 || backlog == 1;
    if (connected > 0 && !number_of(info, "min_slaves_good_slaves", &good))
        (void)snprintf(split, sizeof(split),
                       "min-replicas-to-write is not set (replicas: %" PRId64
                       "): a primary that is cut off would go on admitting",
                       connected);
    if (behind > 0)
        (void)snprintf(late, sizeof(late),
                       "%" PRId64 " of %" PRId64 " replicas behind (by up to %" PRId64
                       " s and %" PRId64 " MiB): a failover would lose what they lack",
                       behind, connected, lag_s, lack_b >> 20);
    note(risks, REDIS_RISK_SPLIT, split);
    note(risks, REDIS_RISK_ALONE,
         risks->followed && connected == 0
             ? "no replica follows any more: if this server is lost, so is every place"
             : "");
    note(risks, REDIS_RISK_BEHIND, late);
}

/* A server without a file whose replica has everything loses nothing by a crash, where a failover follows: that is how
 * some providers keep data. The sentence is there all the same. */
static void set_gauges(struct redis_risks *risks)
{
    const char(*text)[REDIS_RISK_SIZE] = risks->text;
    metrics_flag(GAUGE_REDIS_EVICTS, &risks->flags[0], *text[REDIS_RISK_EVICTS]);
    metrics_flag(GAUGE_REDIS_MEMORY, &risks->flags[1], *text[REDIS_RISK_MEMORY]);
    metrics_flag(GAUGE_REDIS_UNSAVED, &risks->flags[2],
                 *text[REDIS_RISK_UNSAVED] && risks->copies <= 0);
    metrics_flag(GAUGE_REDIS_REPLICAS, &risks->flags[3],
                 *text[REDIS_RISK_ALONE] || *text[REDIS_RISK_BEHIND]);
}

void redis_risk_judge(struct redis_risks *risks, const char *info)
{
    judge_memory(risks, info);
    judge_persistence(risks, info);
    judge_replication(risks, info);
    set_gauges(risks);
}

void redis_risk_list(const struct redis_risks *risks, char *out, size_t size)
{
    size_t len = 0;
    *out = '\0';
    for (size_t i = 0; i < REDIS_RISK_COUNT && len < size - 1; i++) {
        if (risks->text[i][0] == '\0')
            continue;
        (void)snprintf(out + len, size - len, "%s%s", len > 0 ? "; " : "", risks->text[i]);
        len = strlen(out);
    }
}

void redis_risk_forget(struct redis_risks *risks)
{
    memset(risks->text, 0, sizeof(risks->text));
    risks->copies = 0;
    risks->full = false;
    set_gauges(risks);
}
