/* SPDX-License-Identifier: MIT */
/*
 * redis_node_check: what a node is asked at the connect, and once a second while it is up: is it one that tiketi can work
 * on (redis_health), what threatens its data (redis_risk), and what time is it there?
 *
 * Called by: redis_node. Owns nothing: the state is in struct redis_node.
 */
#include "net/redis_node_internal.h"

#include "base/clock.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

#define CHECK_MS   1000 /* between two checks of role, permissions, writes and time */
#define INFO_EVERY 10   /* checks between two looks at INFO: Redis adds up all its clients for it */

/* The sections of INFO that are asked for: one by one, because Redis 6 takes no list. */
static const char *const sections[] = {"memory", "persistence", "replication"};
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

/* With a probe: HELLO, which says what kind of server this is, the scripts, the probe, INFO. Without: the scripts. */
void redis_node_greet(void *arg)
{
    struct redis_node *node = arg;
    const struct redis_probe *probe = node->opts.probe;
    const char *argv[] = {"SCRIPT", "LOAD", NULL};
    char before[sizeof(node->server)];
    memcpy(before, node->server, sizeof(before));
    redis_link_server(node->link, node->server, sizeof(node->server));
    if (strcmp(before, node->server) !=
        0) /* after a failover: what was known is of the other one */
        redis_risk_forget(&node->risks);
    if (probe)
        redis_link_greet(node->link, 1, (const char *const[]){"HELLO"});
    for (size_t i = 0; i < node->opts.script_count; i++) {
        argv[2] = node->opts.scripts[i]->body;
        redis_link_greet(node->link, 3, argv);
    }
    if (!probe)
        return;
    node->greeted_ns = clock_mono_ns();
    redis_link_greet(node->link, 6,
                     (const char *const[]){"EVALSHA", probe->script->sha, "0", probe->argv[0],
                                           probe->argv[1], node->tag});
    for (size_t i = 0; i < SECTIONS; i++)
        redis_link_greet(node->link, 2, (const char *const[]){"INFO", sections[i]});
}

static void note_warning(struct redis_node *node)
{
    redis_risk_list(&node->risks, node->warning, sizeof(node->warning));
    const size_t len = strlen(node->warning);
    if (node->health.muted[0] != '\0' && len < sizeof(node->warning) - 1)
        (void)snprintf(node->warning + len, sizeof(node->warning) - len, "%s%s",
                       len > 0 ? "; " : "", node->health.muted);
}

static const char *take_probe(struct redis_node *node, uint64_t sent_ns,
                              const struct redis_reply *reply)
{
    int64_t now_us;
    const char *problem = redis_health_probe(&node->health, reply, &now_us);
    if (!node->clock_unused)
        shared_clock_sample(now_us, sent_ns, clock_mono_ns());
    note_warning(node);
    return problem;
}

/* A user who may not run INFO, or a server without a section, tells nothing. */
static void take_info(struct redis_node *node, const struct redis_reply *reply)
{
    const char *text = redis_reply_type(reply) == REDIS_STR ? redis_reply_str(reply, NULL) : NULL;
    if (!text)
        return;
    redis_risk_judge(&node->risks, text);
    note_warning(node);
}

const char *redis_node_greeted(void *arg, size_t i, const struct redis_reply *reply)
{
    struct redis_node *node = arg;
    const bool failed = redis_reply_type(reply) == REDIS_ERROR;
    const size_t scripts = node->opts.script_count;
    const bool probes = node->opts.probe;
    if (probes && i == 0)
        return redis_health_hello(&node->health, node->shard, reply);
    if (probes && i >= scripts + 2) {
        /* Only where no section is answered, INFO is asked for no more. */
        node->no_info = failed && (i == scripts + 2 || node->no_info);
        take_info(node, reply);
        return NULL;
    }
    if (failed)
        return redis_reply_str(reply, NULL);
    return probes && i == scripts + 1 ? take_probe(node, node->greeted_ns, reply) : NULL;
}

/* ---- the check, once a second while up ---- */

static void on_check_hello(void *arg, enum status status, const struct redis_reply *reply)
{
    struct redis_node *node = arg;
    const char *problem =
        status == ST_OK ? redis_health_hello(&node->health, node->shard, reply) : NULL;
    if (problem)
        redis_link_fail(node->link, problem);
}

static void on_check_probe(void *arg, enum status status, const struct redis_reply *reply)
{
    struct redis_node *node = arg;
    const char *problem = status == ST_OK ? take_probe(node, node->checked_ns, reply) : NULL;
    if (problem)
        redis_link_fail(node->link, problem);
}

static void on_check_info(void *arg, enum status status, const struct redis_reply *reply)
{
    struct redis_node *node = arg;
    if (status == ST_OK)
        take_info(node, reply);
}

/* A check that cannot be sent is no news: the commands before it will fail. */
void redis_node_check(void *arg)
{
    struct redis_node *node = arg;
    const struct redis_probe *probe = node->opts.probe;
    struct redis_args *args = &node->check_args;
    loop_timer_set(node->check, CHECK_MS);
    redis_args_reset(args);
    redis_args_add(args, "HELLO");
    enum status st = redis_node_command(node, -1, args, on_check_hello, node);
    if (st != ST_OK)
        return;
    redis_args_reset(args);
    redis_args_add(args, probe->argv[0]);
    redis_args_add(args, probe->argv[1]);
    redis_args_add(args, node->tag);
    node->checked_ns = clock_mono_ns();
    st = redis_node_eval(node, -1, probe->script, 0, args, on_check_probe, node);
    if (node->no_info || ++node->checks % INFO_EVERY != 0)
        return;
    for (size_t i = 0; i < SECTIONS && st == ST_OK; i++) {
        redis_args_reset(args);
        redis_args_add(args, "INFO");
        redis_args_add(args, sections[i]);
        st = redis_node_command(node, -1, args, on_check_info, node);
    }
}

void redis_node_check_later(struct redis_node *node)
{
    if (node->check)
        loop_timer_set(node->check, CHECK_MS);
}
