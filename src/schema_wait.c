/* SPDX-License-Identifier: MIT */
/*
 * schema_wait: `tiketi migrate --wait`, for a step that comes before `serve`, such as an init container.
 *
 * Why this way: the driver of the service makes the connection and judges the schema, so what is waited for is what serve
 * needs, in its words. Only reads: the role of the database needs no right but to read two tables.
 * Called by: main. Owns: the loop and everything on it. PostgreSQL gone: waits for it as well.
 */
#include "schema_wait.h"

#include "base/log.h"
#include "net/db.h"
#include "net/loop.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS  100
#define QUERY_MS 5000

struct schema_wait {
    struct loop *loop;
    struct loop_timer *timer;
    struct db *db;
    uint64_t end_ms;
    char said[512]; /* the reason that was printed last */
    bool usable;
};

/* A process with the id 1, as in a container, is not ended by a signal that it does not handle. */
static void on_signal(int number)
{
    _exit(128 + number);
}

static void on_closed(void *arg)
{
    const struct schema_wait *wait = arg;
    loop_stop(wait->loop);
}

static void on_timer(void *arg)
{
    struct schema_wait *wait = arg;
    const struct db_state state = db_state(wait->db);
    if (!state.up && *state.problem && strcmp(state.problem, wait->said) != 0) {
        (void)snprintf(wait->said, sizeof(wait->said), "%s", state.problem);
        (void)printf("waiting: %s\n", wait->said);
        (void)fflush(stdout);
    }
    if (!state.up && loop_now_ms(wait->loop) < wait->end_ms) {
        loop_timer_set(wait->timer, POLL_MS);
        return;
    }
    wait->usable = state.up;
    loop_timer_close(wait->timer);
    db_close(wait->db, on_closed, wait);
}

enum status schema_wait(const char *url, int64_t wait_ms, char *error, size_t error_size)
{
    struct schema_wait wait = {.loop = loop_new()};
    const struct db_opts opts = {.loop = wait.loop,
                                 .url = url,
                                 .pool_min = 1,
                                 .pool_max = 1,
                                 .timeout_ms = QUERY_MS,
                                 .queue_max = 1,
                                 .application_name = "tiketi migrate --wait",
                                 .schema = db_schema_own()};
    if (!wait.loop) {
        (void)snprintf(error, error_size, "the system has no descriptors left");
        return ST_INTERNAL;
    }
    if (db_open(&opts, &wait.db) != ST_OK) {
        (void)snprintf(error, error_size,
                       "DATABASE_URL is not a libpq URI or keyword string without a service");
        loop_free(wait.loop);
        return ST_INVALID;
    }
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    log_set_level(LOG_LEVEL_OFF); /* the driver's lines would say it again */
    wait.end_ms = loop_now_ms(wait.loop) + (uint64_t)wait_ms;
    wait.timer = loop_timer_new(wait.loop, on_timer, &wait);
    loop_timer_set(wait.timer, 0);
    loop_run(wait.loop);
    loop_free(wait.loop);
    if (wait.usable)
        return ST_OK;
    (void)snprintf(error, error_size, "%s", *wait.said ? wait.said : "PostgreSQL does not answer");
    return ST_TIMEOUT;
}
