/* SPDX-License-Identifier: MIT */
/*
 * backends: Redis and PostgreSQL of a command that works on both once, such as `tiketi erase`: one connection to each.
 *
 * Why this way: the drivers are those of the service, so what they check (rights, schema) is checked here, too.
 * Called by: erase, reconcile. Owns: both connections and the queue. A server that is gone: the driver's state says so.
 */
#include "backends.h"

#include "base/program.h"

#include <signal.h>
#include <stdio.h>

enum status backends_open(struct backends *backends, struct loop *loop, const struct config *config,
                          const char *command)
{
    backends->loop = loop;
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that the peer has closed */
    (void)snprintf(backends->name, sizeof(backends->name), "tiketi %s", command);
    queue_scripts_init(config->test_hooks);
    queue_channel_write(backends->channel, config);
    backends->probe = (struct redis_probe){
        .script = queue_probe_script(),
        .argv = {config->redis_prefix ? config->redis_prefix : "", backends->channel}};
    struct redis_opts redis = {.loop = loop,
                               .server = redis_server_of(config, command),
                               .timeout_ms = config->redis_timeout_ms,
                               .probe = &backends->probe};
    redis.scripts = queue_scripts(&redis.script_count);
    enum status st = redis_open(&redis, &backends->redis);
    if (st != ST_OK) {
        char problem[REDIS_PROBLEM_MAX] = "";
        (void)redis_server_check(&redis.server, problem, sizeof(problem));
        (void)program_fail(command, EXIT_CONFIG, "%s", problem);
        return st;
    }
    backends->queue = queue_new(loop, backends->redis, config);
    st = db_open(&(struct db_opts){.loop = loop,
                                   .url = config->database_url,
                                   .pool_min = 1,
                                   .pool_max = 1,
                                   .timeout_ms = config->db_timeout_ms,
                                   .queue_max = 4,
                                   .application_name = backends->name,
                                   .schema = db_schema_own()},
                 &backends->db);
    if (st != ST_OK)
        (void)program_fail(command, EXIT_CONFIG,
                           "DATABASE_URL: must be a libpq URI or keyword string without a service");
    return st;
}

static void on_db_closed(void *arg)
{
    const struct backends *backends = arg;
    loop_stop(backends->loop);
}

static void on_redis_closed(void *arg)
{
    struct backends *backends = arg;
    queue_free(backends->queue);
    if (backends->db)
        db_close(backends->db, on_db_closed, backends);
    else
        on_db_closed(backends);
}

void backends_close(struct backends *backends)
{
    if (backends->queue)
        queue_stop(backends->queue);
    redis_close(backends->redis, on_redis_closed, backends);
}
