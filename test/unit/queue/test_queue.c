/* SPDX-License-Identifier: MIT */
/*
 * queue and lease with a private Redis: settings are read as they were written, each caller of a batch gets its own
 * answer, every callback runs exactly once, also when Redis goes away. What the scripts decide is tested in test/lua.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/config.h"
#include "processor/lease.h"
#include "queue/event_stats.h"
#include "queue/index.h"
#include "queue/queue.h"

static const struct config config = {.restore_ms = 30000,
                                     .queue_threshold = 2,
                                     .queue_interval_ms = 1000,
                                     .queue_idle_timeout_ms = 90000,
                                     .queue_session_limit_ms = 600000,
                                     .queue_silent_ms = 120000,
                                     .queue_claim_ms = 90000,
                                     .hold_ms = 300000};

/* ---- a private Redis, and a loop that the tests turn ---- */

struct world {
    pid_t pid;
    char dir[64], url[160];
    struct loop *loop;
    struct loop_timer *ticker; /* ends each turn after 5 ms */
    struct redis *redis;
    struct queue *queue;
    bool closed;
};

static void server_start(struct world *w)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/redis.sock", w->dir);
    w->pid = fork();
    assert_true(w->pid >= 0);
    if (w->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--dir", w->dir,
           "--save", "", "--appendonly", "no", "--logfile", "/dev/null", NULL);
    _exit(127);
}

static void server_kill(struct world *w)
{
    kill(w->pid, SIGKILL);
    waitpid(w->pid, NULL, 0);
}

static void on_ticker(void *arg)
{
    struct world *w = arg;
    loop_timer_set(w->ticker, 5);
}

static uint64_t now_ms(const struct world *w)
{
    uv_update_time(loop_uv(w->loop));
    return loop_now_ms(w->loop);
}

#define EXPECT_WITHIN(w, condition, ms)                                                            \
    do {                                                                                           \
        uint64_t pump_end = now_ms(w) + (ms);                                                      \
        while (!(condition) && now_ms(w) < pump_end)                                               \
            uv_run(loop_uv((w)->loop), UV_RUN_ONCE);                                               \
        assert_true(condition);                                                                    \
    } while (0)
#define EXPECT(w, condition) EXPECT_WITHIN(w, condition, 10000)

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static int world_open(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/tiketi-test-queue-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->url, sizeof(w->url), "unix://%s/redis.sock", w->dir);
    server_start(w);
    w->loop = loop_new();
    w->ticker = loop_timer_new(w->loop, on_ticker, w);
    loop_timer_set(w->ticker, 5);
    struct redis_opts opts = {.loop = w->loop, .server.url = w->url, .timeout_ms = 5000};
    opts.scripts = queue_scripts(&opts.script_count);
    assert_int_equal(redis_open(&opts, &w->redis), ST_OK);
    w->queue = queue_new(w->loop, w->redis, &config);
    EXPECT(w, redis_up(w->redis));
    *state = w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    char path[96];
    redis_close(w->redis, on_closed, w);
    EXPECT(w, w->closed);
    queue_free(w->queue);
    loop_timer_close(w->ticker);
    loop_stop(w->loop);
    loop_run(w->loop);
    loop_free(w->loop);
    server_kill(w);
    snprintf(path, sizeof(path), "%s/redis.sock", w->dir);
    unlink(path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* ---- what callbacks got ---- */

struct answer {
    int runs;
    enum status status;
    struct queue_place place;
    struct queue_numbers numbers;
    bool applied, held, need_consumed, open;
    int64_t ticked_ms, interval_ms;
    struct admission_limit limit;
    int64_t told[EVENT_COUNT_COUNT];
    char places[256];
    struct queue_tick tick;
    struct lease_value lease;
    bool has_config;
    struct event config;
    char text[4096];
    size_t count;
    struct log_entry entries[8];
    char buyers[8][64];
    int64_t value; /* of the counter called `text` */
};

static void on_place(void *arg, enum status status, const struct queue_place *place,
                     const struct queue_numbers *numbers)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    assert_true((status == ST_OK) == (place != NULL) && (place != NULL) == (numbers != NULL));
    if (status != ST_OK)
        return;
    a->place = *place;
    a->numbers = *numbers;
}

static void on_done(void *arg, enum status status, bool applied)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    a->applied = applied;
}

static void on_live(void *arg, enum status status, const struct event *event, const char *text,
                    size_t len)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    a->has_config = event != NULL;
    if (event)
        a->config = *event;
    a->count = text ? len : 0;
    snprintf(a->text, sizeof(a->text), "%.*s", text ? (int)len : 0, text ? text : "");
}

static void on_tick(void *arg, enum status status, const struct queue_tick *tick)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    if (!tick)
        return;
    a->tick = *tick;
    snprintf(a->places, sizeof(a->places), "%s", tick->lease_lost ? "" : tick->places);
}

static void on_lease(void *arg, enum status status, const struct queue_lease *lease)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    assert_true((status == ST_OK) == (lease != NULL));
    a->held = lease && lease->held;
    a->need_consumed = lease && lease->need_consumed;
    if (!lease)
        return;
    a->lease = lease->value;
    a->open = lease->open;
    a->ticked_ms = lease->ticked_ms;
    a->interval_ms = lease->interval_ms;
}

static void on_published(void *arg, enum status status, const struct queue_published *published)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    assert_true((status == ST_OK) == (published != NULL));
    if (!published)
        return;
    a->count = published->index_len;
    snprintf(a->text, sizeof(a->text), "%.*s", (int)published->index_len, published->index);
    assert_int_equal(admission_limit_parse(published->limit, &a->limit), ST_OK);
    assert_int_equal(event_counts_parse(published->counts, a->told), ST_OK);
}

static void on_log(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    a->count = count;
    for (size_t i = 0; i < count && i < 8; i++) {
        a->entries[i] = entries[i];
        snprintf(a->buyers[i], sizeof(a->buyers[i]), "%s", entries[i].buyer);
    }
}

static void on_stats(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, a->text) == 0)
            a->value = list[i].value;
}

static void on_event(void *arg, enum status status, const char *id)
{
    struct answer *a = arg;
    assert_int_equal(a->runs, 0);
    if (!id) {
        a->runs++;
        a->status = status;
        return;
    }
    a->count++;
    snprintf(a->text, sizeof(a->text), "%s", id);
}

/* Starts a call that ends with `a`, and waits for its end. */
#define CALL(w, a, start)                                                                          \
    do {                                                                                           \
        (a)->runs = 0;                                                                             \
        assert_int_equal(start, ST_OK);                                                            \
        assert_int_equal((a)->runs, 0); /* never from inside the call */                           \
        EXPECT(w, (a)->runs);                                                                      \
    } while (0)
#define CALL_OK(w, a, start)                                                                       \
    do {                                                                                           \
        CALL(w, a, start);                                                                         \
        assert_int_equal((a)->status, ST_OK);                                                      \
    } while (0)

static struct event make_event(const char *id)
{
    struct event event;
    event_init(&event, &config);
    event.status = EVENT_OPEN;
    event.opened = true;
    snprintf(event.id, sizeof(event.id), "%s", id);
    return event;
}

static void configure(struct world *w, const struct event *event)
{
    struct answer a = {0};
    CALL_OK(w, &a, queue_configure(w->queue, event, on_done, &a));
    assert_true(a.applied);
}

static struct answer join(struct world *w, const char *event, const char *buyer)
{
    struct answer a = {0};
    CALL(w, &a,
         queue_join(w->queue, QUEUE_JOIN, &(struct queue_buyer){event, buyer, NULL, NULL}, on_place,
                    &a));
    return a;
}

static struct answer resume(struct world *w, const char *event, const char *buyer)
{
    struct answer a = {0};
    CALL(w, &a,
         queue_join(w->queue, QUEUE_RESUME, &(struct queue_buyer){event, buyer, NULL, NULL},
                    on_place, &a));
    return a;
}

static struct lease_value take(struct world *w, const char *event)
{
    struct answer a = {0};
    CALL_OK(w, &a, queue_lease_take(w->queue, event, "me", on_lease, &a));
    assert_true(a.held);
    return a.lease;
}

/* ---- tests ---- */

static const char *body_of(const char *name)
{
    size_t count;
    struct redis_script *const *list = queue_scripts(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i]->name, name) == 0)
            return list[i]->body;
    fail_msg("no script %s", name);
    return NULL;
}

/* Scripts may be replaced by wrong ones, but only for tests. */
static void scripts_are_replaced_under_test_hooks_alone(void **state)
{
    (void)state;
    const char *join = body_of("join");
    const char *seen = body_of("seen");
    setenv("TIKETI_LUA_DIR", "test/lua/mutants", 1);
    queue_scripts_init(false);
    assert_string_equal(body_of("join"), join);
    queue_scripts_init(true);
    assert_non_null(strstr(body_of("join"), "wrong on purpose"));
    assert_non_null(strstr(body_of("join"), "local function read_event()"));
    assert_string_equal(body_of("seen"), seen);
    unsetenv("TIKETI_LUA_DIR");
    queue_scripts_init(true);
    assert_string_equal(body_of("join"), join);
}

static void without_a_live_copy(void **state)
{
    struct world *w = *state;
    struct answer a = {0};
    struct lease_value lease = take(w, "none");
    assert_int_equal(join(w, "none", "u:1").status, ST_NOT_FOUND);
    CALL(w, &a, queue_is_inside(w->queue, "none", "u:1", on_place, &a));
    assert_int_equal(a.status, ST_NOT_FOUND);
    CALL(w, &a,
         queue_leave(w->queue, &(struct queue_buyer){"none", "u:1", NULL, NULL}, QUEUE_LEFT,
                     on_place, &a));
    assert_int_equal(a.status, ST_NOT_FOUND);
    CALL(w, &a,
         queue_promote(w->queue, "none", &(struct queue_promotion){.lease = &lease}, on_tick, &a));
    assert_int_equal(a.status, ST_NOT_FOUND);
    CALL(w, &a, queue_clear(w->queue, "none", 2, on_done, &a));
    assert_int_equal(a.status, ST_NOT_FOUND);
    CALL_OK(w, &a, queue_read_live(w->queue, "none", on_live, &a));
    assert_false(a.has_config);
    assert_int_equal(a.count, 0);
}

static void settings_are_read_as_written(void **state)
{
    struct world *w = *state;
    struct event event = make_event("e-1_A");
    snprintf(event.title, sizeof(event.title), "%s", "Grüße \"and\" {braces}\n: = ,");
    snprintf(event.artist, sizeof(event.artist), "%s", "A");
    event.starts_at_ms = 1900000000123;
    event.opens_at_ms = 1;
    event.closes_at_ms = 1900000000124;
    event.version = 17;
    event.epoch = 3;
    event.seats = 1000;
    event.outflow_per_minute = 600;
    event.surge_count = EVENT_SURGE_MAX;
    for (int i = 0; i < EVENT_SURGE_MAX; i++)
        event.surge[i] = (struct surge_rule){.queue_above = INT64_C(1000000000000) + i,
                                             .threshold = INT64_C(2000000000000) + i};
    configure(w, &event);
    struct answer a = {0};
    CALL_OK(w, &a, queue_read_live(w->queue, event.id, on_live, &a));
    assert_true(a.has_config);
    assert_memory_equal(&a.config, &event, sizeof(event));
    event.version = 16;
    CALL_OK(w, &a, queue_configure(w->queue, &event, on_done, &a));
    assert_false(a.applied);
}

static void one_turn_one_batch_many_callers(void **state)
{
    struct world *w = *state;
    enum { N = 300 };
    static struct answer answers[2 * N];
    struct event event = make_event("batch");
    configure(w, &event);
    memset(answers, 0, sizeof(answers));
    char buyer[32];
    for (int i = 0; i < N; i++) {
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                    &(struct queue_buyer){"batch", buyer, NULL, NULL}, on_place,
                                    &answers[i]),
                         ST_OK);
        assert_int_equal(
            queue_join(w->queue, QUEUE_RESUME,
                       &(struct queue_buyer){i % 2 ? "batch" : "unknown", buyer, NULL, NULL},
                       on_place, &answers[N + i]),
            ST_OK);
    }
    for (int i = 0; i < 2 * N; i++)
        EXPECT(w, answers[i].runs == 1);
    for (int i = 0; i < N; i++) {
        const struct answer *a = &answers[i];
        assert_int_equal(a->status, ST_OK);
        assert_int_equal(a->place.state, i < 2 ? QUEUE_ACTIVE : QUEUE_WAITING);
        assert_int_equal(a->place.direct, i < 2);
        assert_int_equal(a->place.position, i < 2 ? 0 : i - 1);
        assert_true(a->place.number > 1700000000000000 &&
                    (i == 0 || a->place.number > a[-1].place.number));
        assert_int_equal(answers[N + i].status, i % 2 ? ST_OK : ST_NOT_FOUND);
        if (i % 2)
            assert_int_equal(answers[N + i].place.number, a->place.number);
    }
    const struct queue_numbers *n = &answers[N - 1].numbers;
    assert_int_equal(n->status, EVENT_OPEN);
    assert_false(n->restoring);
    assert_int_equal(n->version, 1);
    assert_int_equal(n->epoch, 1);
    assert_int_equal(n->queue_size, N - 2);
    assert_int_equal(n->active, 2);
    assert_int_equal(n->threshold, 2);
    assert_true(n->now_ms > 1700000000000);
    assert_true(answers[0].place.since_ms >= n->now_ms - 10000);
    struct answer a = {.text = "joined"};
    CALL_OK(w, &a, queue_read_stats(w->queue, "batch", on_stats, &a));
    assert_int_equal(a.value, N);
}

enum { IN_A_BATCH = 5 };

static struct expected {
    int answered; /* of the batch, so far */
    int indexes[IN_A_BATCH];
} expected;

static void on_expected(void *arg, enum status status, const struct queue_place *place,
                        const struct queue_numbers *numbers)
{
    const int index = *(const int *)arg;
    (void)place, (void)numbers;
    assert_int_equal(status, ST_OK);
    assert_int_equal(index, expected.answered++);
}

static void the_answers_of_a_batch_come_in_order(void **state)
{
    struct world *w = *state;
    struct event event = make_event("order");
    struct answer other = {.text = "other"};
    configure(w, &event);
    for (int i = 0; i < IN_A_BATCH; i++) {
        char buyer[32];
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        expected.indexes[i] = i;
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                    &(struct queue_buyer){"order", buyer, NULL, NULL}, on_expected,
                                    &expected.indexes[i]),
                         ST_OK);
    }
    CALL_OK(w, &other,
            queue_join(w->queue, QUEUE_JOIN, &(struct queue_buyer){"order", "u:other", NULL, NULL},
                       on_place, &other));
    assert_int_equal(expected.answered, IN_A_BATCH);
}

/* Each join in a turn of its own, while Redis is busy with the first: the others go out in one call, as the numbers
 * in their answers show. */
static void joins_are_batched_while_a_call_is_under_way(void **state)
{
    struct world *w = *state;
    enum { N = 21 };
    static struct answer answers[N];
    struct event event = make_event("gather");
    configure(w, &event);
    memset(answers, 0, sizeof(answers));
    char buyer[32];
    kill(w->pid, SIGSTOP);
    for (int i = 0; i < N; i++) {
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                    &(struct queue_buyer){"gather", buyer, NULL, NULL}, on_place,
                                    &answers[i]),
                         ST_OK);
        for (int turn = 0; turn < 3; turn++)
            uv_run(loop_uv(w->loop), UV_RUN_ONCE); /* ended by the ticker */
    }
    kill(w->pid, SIGCONT);
    for (int i = 0; i < N; i++) {
        EXPECT(w, answers[i].runs == 1);
        assert_int_equal(answers[i].status, ST_OK);
        assert_int_equal(answers[i].numbers.queue_size, i == 0 ? 0 : N - 2);
        assert_true(i == 0 || answers[i].place.number > answers[i - 1].place.number);
    }
}

static void proofs_and_leaving(void **state)
{
    struct world *w = *state;
    struct event event = make_event("proof");
    event.threshold = 1;
    configure(w, &event);
    uint64_t first = join(w, "proof", "u:1").place.number;
    uint64_t second = join(w, "proof", "u:2").place.number;
    struct answer a = {0};
    struct queue_proof proof = {.ticket_place = second - 1, .ticket_epoch = 1};
    CALL_OK(w, &a,
            queue_join(w->queue, QUEUE_RESUME, &(struct queue_buyer){"proof", "u:3", &proof, NULL},
                       on_place, &a));
    assert_int_equal(a.place.state, QUEUE_WAITING);
    assert_int_equal(a.place.number, second - 1);
    assert_int_equal(a.place.position, 1);
    CALL_OK(w, &a,
            queue_leave(w->queue, &(struct queue_buyer){"proof", "u:1", NULL, NULL},
                        QUEUE_COMPLETED, on_place, &a));
    assert_int_equal(a.place.state, QUEUE_ACTIVE);
    assert_int_equal(a.place.number, first);
    /* the place of this pass is consumed, that of another is not */
    proof = (struct queue_proof){.pass_place = first, .pass_epoch = 1, .pass_since_ms = 5};
    CALL_OK(w, &a,
            queue_join(w->queue, QUEUE_RESUME, &(struct queue_buyer){"proof", "u:1", &proof, NULL},
                       on_place, &a));
    assert_int_equal(a.place.state, QUEUE_GONE);
    /* the ticket of u:3 has opened the restore window: a pass counts when the consumed places are there */
    for (unsigned number = 0; number < 2; number++) {
        const struct queue_consumed_chunk chunk = {
            .epoch = 1, .run = "one", .number = number, .last = number == 1};
        CALL_OK(w, &a, queue_load_consumed(w->queue, "proof", &chunk, on_done, &a));
        assert_true(a.applied);
    }
    int64_t since = a.numbers.now_ms - 60000;
    proof.pass_since_ms = since;
    CALL_OK(w, &a,
            queue_join(w->queue, QUEUE_RESUME, &(struct queue_buyer){"proof", "u:4", &proof, NULL},
                       on_place, &a));
    assert_int_equal(a.place.state, QUEUE_ACTIVE);
    assert_false(a.place.direct);
    assert_int_equal(a.place.since_ms, since);
    /* leaving with a proof of a place that Redis does not know: it is consumed all the same */
    proof = (struct queue_proof){.ticket_place = second + 1, .ticket_epoch = 1};
    CALL_OK(w, &a,
            queue_leave(w->queue, &(struct queue_buyer){"proof", "u:5", &proof, NULL}, QUEUE_LEFT,
                        on_place, &a));
    assert_int_equal(a.place.state, QUEUE_GONE);
    CALL_OK(w, &a,
            queue_join(w->queue, QUEUE_RESUME, &(struct queue_buyer){"proof", "u:5", &proof, NULL},
                       on_place, &a));
    assert_int_equal(a.place.state, QUEUE_GONE);
    CALL_OK(w, &a, queue_is_inside(w->queue, "proof", "u:4", on_place, &a));
    assert_int_equal(a.place.state, QUEUE_ACTIVE);
    CALL_OK(w, &a, queue_clear(w->queue, "proof", 2, on_done, &a));
    assert_true(a.applied);
    event.version = 2;
    event.epoch = 2;
    event.status = EVENT_CLOSED;
    configure(w, &event);
    a = join(w, "proof", "u:6");
    assert_int_equal(a.place.state, QUEUE_CLOSED);
    assert_int_equal(a.numbers.status, EVENT_CLOSED);
}

struct seen {
    int waiting, active, gone;
};

static void on_heartbeat(void *arg, const char *event, const char *buyer,
                         const struct queue_place *place, const struct queue_numbers *numbers)
{
    struct seen *seen = arg;
    assert_int_equal(numbers->epoch, 1);
    assert_true(numbers->now_ms > 1700000000000);
    assert_string_equal(event, "seen");
    assert_int_equal(strncmp(buyer, "u:", 2), 0);
    seen->waiting += place->state == QUEUE_WAITING;
    seen->active += place->state == QUEUE_ACTIVE;
    seen->gone += place->state == QUEUE_GONE;
}

static void heartbeats_are_batched(void **state)
{
    struct world *w = *state;
    enum { N = 1203 };
    struct seen seen = {0};
    struct answer a = {0};
    struct event event = make_event("seen");
    configure(w, &event);
    queue_on_heartbeat(w->queue, on_heartbeat, &seen);
    char buyer[32];
    for (int i = 0; i < 5; i++) {
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        assert_int_equal(join(w, "seen", buyer).status, ST_OK);
    }
    for (int i = 0; i < N; i++) {
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        queue_heartbeat(w->queue, "seen", buyer);
    }
    EXPECT(w, seen.waiting + seen.active + seen.gone == N);
    assert_int_equal(seen.active, 2);
    assert_int_equal(seen.waiting, 3);
    CALL_OK(w, &a, queue_is_inside(w->queue, "seen", "u:4", on_place, &a));
    assert_int_equal(a.place.state, QUEUE_WAITING);
    queue_on_heartbeat(w->queue, NULL, NULL);
}

static void a_tick_and_its_log(void **state)
{
    struct world *w = *state;
    struct event event = make_event("tick");
    event.threshold = 0;
    configure(w, &event);
    struct lease_value lease = take(w, "tick");
    struct answer a = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(join(w, "tick", (const char *[]){"u:0", "u:1", "u:2", "u:3"}[i]).status,
                         ST_OK);
    event.version = 2;
    event.threshold = 3;
    configure(w, &event);
    CALL_OK(w, &a,
            queue_promote(w->queue, "tick",
                          &(struct queue_promotion){.lease = &(struct lease_value){"9:me"}},
                          on_tick, &a));
    assert_true(a.tick.lease_lost);
    CALL_OK(w, &a,
            queue_promote(w->queue, "tick", &(struct queue_promotion){.lease = &lease, .admit = 1},
                          on_tick, &a));
    assert_false(a.tick.lease_lost);
    assert_int_equal(a.tick.admitted, 1);
    CALL_OK(
        w, &a,
        queue_promote(w->queue, "tick", &(struct queue_promotion){.lease = &lease}, on_tick, &a));
    assert_int_equal(a.tick.admitted, 2);
    char *second;
    const uint64_t entered = strtoull(a.places, &second, 10);
    assert_true(entered > 1700000000000000 && strtoull(second, NULL, 10) > entered);
    assert_int_equal(a.tick.log_count, 3);
    CALL_OK(w, &a, queue_lease_renew(w->queue, "tick", &lease, on_lease, &a));
    assert_true(a.open && a.ticked_ms > 0 && llabs(a.ticked_ms - a.tick.numbers.now_ms) < 1000);
    assert_int_equal(a.interval_ms, event.interval_ms);
    assert_int_equal(a.tick.numbers.queue_size, 1);
    assert_false(a.tick.more);
    uint64_t seq = a.tick.seq;
    assert_true(seq > 1700000000000000);
    CALL_OK(w, &a,
            queue_leave(w->queue, &(struct queue_buyer){"tick", "u:1", NULL, NULL}, QUEUE_LEFT,
                        on_place, &a));
    a = resume(w, "tick", "u:2");
    assert_int_equal(a.place.state, QUEUE_OFFERED);
    assert_true(a.place.since_ms > 1700000000000);
    CALL_OK(w, &a, queue_is_inside(w->queue, "tick", "u:2", on_place, &a));
    assert_int_equal(a.place.state, QUEUE_ACTIVE);
    CALL_OK(w, &a,
            queue_pay(w->queue, "tick", "u:2", &(struct queue_payment){4102444800000, true},
                      on_place, &a));
    assert_int_equal(a.place.state, QUEUE_ACTIVE);
    assert_int_equal(a.place.pay_until_ms, 4102444800000);
    assert_int_equal(resume(w, "tick", "u:2").place.pay_until_ms, 4102444800000);
    CALL_OK(w, &a,
            queue_pay(w->queue, "tick", "u:3", &(struct queue_payment){4102444800000, true},
                      on_place, &a));
    assert_int_equal(a.place.state, QUEUE_GONE);
    CALL_OK(
        w, &a,
        queue_read_log(w->queue, "tick", &(struct queue_log_range){"0", 500, false}, on_log, &a));
    static const enum log_kind kinds[] = {LOG_KIND_OFFERED, LOG_KIND_OFFERED, LOG_KIND_OFFERED,
                                          LOG_KIND_DEPARTED, LOG_KIND_CLAIMED};
    static const int numbers[] = {1, 2, 3, 2, 3};
    assert_int_equal(a.count, 5);
    for (int i = 0; i < 5; i++) {
        const struct log_entry *entry = &a.entries[i];
        assert_int_equal(entry->kind, kinds[i]);
        assert_int_equal(entry->inside, i < 3 ? i + 1 : 2);
        assert_int_equal(entry->n, numbers[i]);
        assert_int_equal(entry->threshold, 3);
        assert_int_equal(entry->epoch, 1);
        assert_int_equal(entry->active_now, i == 0 || i == 2);
        assert_true(entry->at_ms > 1700000000000 && entry->place <= seq);
    }
    assert_string_equal(a.buyers[3], "u:1");
    char after[48];
    snprintf(after, sizeof(after), "%s", a.entries[1].id);
    CALL_OK(
        w, &a,
        queue_read_log(w->queue, "tick", &(struct queue_log_range){after, 1, false}, on_log, &a));
    assert_int_equal(a.count, 1);
    assert_string_equal(a.buyers[0], "u:2");
    CALL_OK(w, &a,
            queue_write_free(w->queue, "tick", &(struct queue_free_seats){7, 3, a.entries[0].id},
                             on_done, &a));
    assert_true(a.applied);
    CALL_OK(
        w, &a,
        queue_write_free(w->queue, "tick", &(struct queue_free_seats){9, 2, after}, on_done, &a));
    assert_false(a.applied);
    /* a place seen elsewhere that is above the last one given: data was lost */
    queue_note_place(w->queue, "tick", seq + 1000000000);
    CALL_OK(
        w, &a,
        queue_promote(w->queue, "tick", &(struct queue_promotion){.lease = &lease}, on_tick, &a));
    assert_true(a.tick.numbers.restoring);
    assert_int_equal(a.tick.admitted, 0);
    CALL_OK(w, &a, queue_lease_renew(w->queue, "tick", &lease, on_lease, &a));
    assert_true(a.held && a.need_consumed);
    struct queue_consumed consumed = {.buyer_id = "u:3",
                                      .place = seq,
                                      .kept = seq + 1,
                                      .kept_used_ms = 5000,
                                      .kept_since_ms = 6000};
    struct queue_consumed_chunk chunk = {
        .epoch = 1, .run = "one", .number = 1, .last = true, .list = &consumed, .count = 1};
    CALL_OK(w, &a, queue_load_consumed(w->queue, "tick", &chunk, on_done, &a));
    assert_false(a.applied); /* the chunk before it is missing */
    chunk.number = 0;
    CALL_OK(w, &a, queue_load_consumed(w->queue, "tick", &chunk, on_done, &a));
    assert_true(a.applied);
    CALL_OK(w, &a, queue_is_inside(w->queue, "tick", "u:3", on_place, &a));
    assert_int_equal(a.place.state, QUEUE_GONE);
    CALL_OK(w, &a, queue_lease_release(w->queue, "tick", &lease, on_lease, &a));
    assert_false(a.held);
}

static void the_rank_index(void **state)
{
    struct world *w = *state;
    struct event event = make_event("index");
    event.threshold = 1;
    configure(w, &event);
    struct lease_value lease = take(w, "index");
    uint64_t places[4];
    for (int i = 0; i < 4; i++)
        places[i] = join(w, "index", (const char *[]){"u:0", "u:1", "u:2", "u:3"}[i]).place.number;
    struct answer a = {0};
    struct answer read = {0};
    struct lease_value other = {"9:you"};
    CALL(w, &a,
         queue_publish_index(w->queue, "index", &other, &(struct queue_rate){0, 0, 0}, on_published,
                             &a));
    assert_int_equal(a.status, ST_STALE);
    CALL_OK(w, &a,
            queue_publish_index(w->queue, "index", &lease, &(struct queue_rate){1.25, 1.0 / 0.0, 4},
                                on_published, &a));
    CALL_OK(w, &read, queue_read_live(w->queue, "index", on_live, &read));
    assert_true(read.has_config);
    assert_string_equal(read.text, a.text);
    struct rank_index *index = NULL;
    assert_int_equal(index_decode(a.text, a.count, &index), ST_OK);
    assert_int_equal(index->queue_size, 3);
    assert_int_equal(index->active, 1);
    assert_int_equal(a.limit.by, LIMITED_BY_THRESHOLD);
    assert_int_equal(a.limit.waiting, 3);
    assert_int_equal(a.told[EVENT_COUNT_JOINED], 4);
    assert_int_equal(a.told[EVENT_COUNT_DIRECT], 1);
    assert_int_equal(a.told[EVENT_COUNT_OFFERED], 0);
    assert_int_equal(a.told[EVENT_COUNT_PARKED], 0);
    assert_true(a.told[EVENT_COUNT_LEDGER_LAG] >= 0); /* nobody has consumed the admission */
    assert_int_equal(index->seq, places[3]);
    assert_int_equal(index->admitted, 1);
    assert_true(index->rate_mean == 1.25 && index->rate_spread == 0);
    uint64_t position = 0;
    assert_int_equal(index_position(index, places[0], &position), INDEX_AHEAD);
    assert_int_equal(index_position(index, places[2], &position), INDEX_EXACT);
    assert_int_equal(position, 2);
    assert_int_equal(index_position(index, places[3] + 1, &position), INDEX_BEYOND);
    index_free(index);
}

struct cached {
    struct answer answer;
    int one, two, sale;
};

static void on_cached(void *arg, enum status status, const char *id)
{
    struct cached *cached = arg;
    if (id != NULL) {
        cached->one += strcmp(id, "one") == 0;
        cached->two += strcmp(id, "two") == 0;
        cached->sale += strcmp(id, "cached-sale") == 0;
    }
    on_event(&cached->answer, status, id);
}

static void the_cache_of_events(void **state)
{
    struct world *w = *state;
    struct answer a = {0};
    struct cached cached = {{0}, 0, 0, 0};
    struct event sale = {.id = "cached-sale", .version = 1, .epoch = 1, .status = EVENT_OPEN};
    queue_note_event(w->queue, "one", true);
    queue_note_event(w->queue, "two", true);
    queue_note_event(w->queue, "one", false);
    CALL_OK(w, &a, queue_configure(w->queue, &sale, on_done, &a));
    CALL_OK(w, &cached.answer, queue_read_events(w->queue, on_cached, &cached));
    assert_int_equal(cached.one, 0);
    assert_int_equal(cached.two, 1);
    assert_int_equal(cached.sale,
                     1); /* noted with its live copy, so that it is found without PostgreSQL */
    assert_int_equal(queue_publish(w->queue, "one", "seats-changed", "{}", 2), ST_OK);
}

static void delete_key(struct world *w, const char *key)
{
    struct redis_args args;
    redis_args_init(&args);
    redis_args_add(&args, "DEL");
    redis_args_add(&args, key);
    assert_int_equal(redis_command(w->redis, &args, NULL, NULL), ST_OK);
    redis_args_clear(&args);
}

/* ---- leases ---- */

struct holder {
    struct world *w;
    struct lease *lease;
    int gained, lost, renewals, closed;
    enum lease_loss loss; /* of the last one */
};

static void holder_gained(void *arg)
{
    struct holder *h = arg;
    h->gained++;
    assert_int_equal(h->gained - h->lost, 1);
}

static void holder_lost(void *arg, enum lease_loss loss)
{
    struct holder *h = arg;
    h->lost++;
    h->loss = loss;
    assert_int_equal(h->gained - h->lost, 0);
}

static void holder_renewed(void *arg, bool need_consumed)
{
    struct holder *h = arg;
    assert_false(need_consumed);
    assert_true(lease_held(h->lease));
    h->renewals++;
}

static void holder_closed(void *arg)
{
    ((struct holder *)arg)->closed++;
}

static void holder_open(struct holder *h, struct world *w, const char *event, const char *owner)
{
    *h = (struct holder){.w = w};
    h->lease = lease_new(&(struct lease_opts){.loop = w->loop,
                                              .queue = w->queue,
                                              .event = event,
                                              .owner = owner,
                                              .on_gained = holder_gained,
                                              .on_lost = holder_lost,
                                              .on_renewed = holder_renewed,
                                              .arg = h});
}

static void leases_have_one_holder(void **state)
{
    struct world *w = *state;
    struct holder a, b;
    holder_open(&a, w, "lease", "a");
    EXPECT(w, a.gained == 1);
    assert_string_equal(lease_value(a.lease)->text, "1:a");
    holder_open(&b, w, "lease", "b");
    EXPECT(w, a.renewals >= 2);
    assert_int_equal(b.gained, 0);
    /* deleted: the first to ask gets it, with a new fencing token */
    delete_key(w, "lease:{lease}");
    EXPECT(w, a.lost + b.gained >= 1 && a.gained + b.gained == 2);
    assert_true(lease_held(a.lease) != lease_held(b.lease) || a.lost == 0);
    /* lost, as a script says: it is taken again */
    struct holder *holds = lease_held(b.lease) ? &b : &a;
    struct holder *waits = holds == &a ? &b : &a;
    int lost = holds->lost;
    lease_lost(holds->lease);
    assert_int_equal(holds->lost, lost + 1);
    assert_int_equal(holds->loss, LEASE_TAKEN);
    assert_false(lease_held(holds->lease));
    assert_string_equal(lease_value(holds->lease)->text, "");
    EXPECT(w, lease_held(holds->lease));
    /* released at the end: the other one takes it within a second or so */
    uint64_t start = now_ms(w);
    lease_close(holds->lease, holder_closed, holds);
    assert_int_equal(holds->closed, 0);
    EXPECT(w, holds->closed == 1 && lease_held(waits->lease));
    assert_true(now_ms(w) - start < 2500);
    lease_close(waits->lease, holder_closed, waits);
    EXPECT(w, waits->closed == 1);
}

/* ---- events that Redis does not know ---- */

struct load {
    int starts;
    enum status refuses; /* what the start itself says */
    queue_loaded_cb cb;  /* of the load under way */
    void *arg;
};

static enum status start_load(void *arg, const char *event_id, queue_loaded_cb cb, void *cb_arg)
{
    struct load *load = arg;
    assert_string_equal(event_id, "lost");
    load->starts++;
    load->cb = cb;
    load->arg = cb_arg;
    return load->refuses;
}

static void on_known(void *arg, enum status status)
{
    struct answer *a = arg;
    a->runs++;
    a->status = status;
}

static void a_lost_event_is_loaded_once_for_all(void **state)
{
    struct world *w = *state;
    enum { N = 2 * QUEUE_JOIN_BATCH + 1 };
    static struct answer joined[N];
    struct answer asked = {0}, left = {0}, ticked = {0}, indexed = {0}, known = {0};
    struct event event = make_event("lost");
    struct load load = {0};
    struct lease_value lease = take(w, "lost");
    char buyer[32];
    memset(joined, 0, sizeof(joined));
    queue_set_loader(w->queue, start_load, &load);
    for (int i = 0; i < N; i++) {
        snprintf(buyer, sizeof(buyer), "u:%d", i);
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                    &(struct queue_buyer){"lost", buyer, NULL, NULL}, on_place,
                                    &joined[i]),
                         ST_OK);
    }
    assert_int_equal(queue_is_inside(w->queue, "lost", "u:0", on_place, &asked), ST_OK);
    assert_int_equal(queue_leave(w->queue, &(struct queue_buyer){"lost", "u:other", NULL, NULL},
                                 QUEUE_LEFT, on_place, &left),
                     ST_OK);
    assert_int_equal(queue_promote(w->queue, "lost", &(struct queue_promotion){.lease = &lease},
                                   on_tick, &ticked),
                     ST_OK);
    assert_int_equal(queue_publish_index(w->queue, "lost", &lease, &(struct queue_rate){1, 1, 1},
                                         on_published, &indexed),
                     ST_OK);
    EXPECT(w, load.starts == 1);
    assert_int_equal(queue_ensure_known(w->queue, "lost", on_known, &known), ST_OK);
    for (int i = 0; i < 10; i++)
        uv_run(loop_uv(w->loop), UV_RUN_ONCE);
    assert_int_equal(load.starts, 1);
    assert_int_equal(
        joined[0].runs + asked.runs + left.runs + ticked.runs + indexed.runs + known.runs, 0);
    configure(w, &event);
    load.cb(load.arg, ST_OK);
    for (int i = 0; i < N; i++) {
        EXPECT(w, joined[i].runs == 1);
        assert_int_equal(joined[i].status, ST_OK);
        assert_int_equal(joined[i].place.state, i < 2 ? QUEUE_ACTIVE : QUEUE_WAITING);
        assert_true(i == 0 || joined[i].place.number > joined[i - 1].place.number);
    }
    EXPECT(w, asked.runs && left.runs && ticked.runs && indexed.runs && known.runs);
    assert_int_equal(left.place.state, QUEUE_GONE);
    assert_int_equal(asked.status | left.status | ticked.status | indexed.status | known.status,
                     ST_OK);
    assert_int_equal(load.starts, 1);
    queue_set_loader(w->queue, NULL, NULL);
}

/* The caller always gets a final answer: there is no such event, or not now. */
static void a_lost_event_that_cannot_be_loaded(void **state)
{
    struct world *w = *state;
    struct answer a = {0};
    struct load load = {0};
    const struct queue_buyer buyer = {"lost", "u:1", NULL, NULL};
    struct lease_value lease = take(w, "lost");
    queue_set_loader(w->queue, start_load, &load);
    delete_key(w, "config:{lost}");
    for (int i = 0; i < 2; i++) {
        const enum status said = i ? ST_TIMEOUT : ST_NOT_FOUND;
        a.runs = 0;
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN, &buyer, on_place, &a), ST_OK);
        EXPECT(w, load.starts == i + 1);
        load.cb(load.arg, said);
        assert_int_equal(a.runs, 1);
        assert_int_equal(a.status, said);
    }
    /* Lost again between the load and the repeated call: it is not loaded a second time. */
    a.runs = 0;
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN, &buyer, on_place, &a), ST_OK);
    EXPECT(w, load.starts == 3);
    load.cb(load.arg, ST_OK);
    EXPECT(w, a.runs == 1);
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_int_equal(load.starts, 3);
    /* No load can begin. */
    load.refuses = ST_UNAVAILABLE;
    CALL(w, &a,
         queue_promote(w->queue, "lost", &(struct queue_promotion){.lease = &lease}, on_tick, &a));
    assert_int_equal(a.status, ST_UNAVAILABLE);
    assert_int_equal(queue_ensure_known(w->queue, "lost", on_known, &a), ST_UNAVAILABLE);
    /* A purchase has no slot to free where Redis has none: nothing is loaded. */
    load.starts = 0;
    CALL(w, &a, queue_leave(w->queue, &buyer, QUEUE_COMPLETED, on_place, &a));
    assert_int_equal(a.status, ST_NOT_FOUND);
    assert_int_equal(load.starts, 0);
    queue_set_loader(w->queue, NULL, NULL);
}

/* ---- Redis goes away ---- */

static void when_redis_is_gone(void **state)
{
    struct world *w = *state;
    enum { N = 100 };
    static struct answer answers[N];
    struct event event = make_event("gone");
    struct holder h;
    configure(w, &event);
    holder_open(&h, w, "gone", "a");
    EXPECT(w, h.gained == 1);
    memset(answers, 0, sizeof(answers));
    kill(w->pid, SIGSTOP);
    for (int i = 0; i < N; i++)
        assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                    &(struct queue_buyer){"gone", "u:1", NULL, NULL}, on_place,
                                    &answers[i]),
                         ST_OK);
    struct answer live = {0};
    assert_int_equal(queue_read_live(w->queue, "gone", on_live, &live), ST_OK);
    for (int i = 0; i < 10; i++)
        uv_run(loop_uv(w->loop), UV_RUN_ONCE);
    server_kill(w);
    for (int i = 0; i < N; i++)
        EXPECT(w, answers[i].runs == 1);
    for (int i = 0; i < N; i++)
        assert_int_equal(answers[i].status, ST_UNAVAILABLE);
    EXPECT(w, live.runs == 1);
    assert_int_equal(live.status, ST_UNAVAILABLE);
    EXPECT(w, !redis_up(w->redis));
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                &(struct queue_buyer){"gone", "u:1", NULL, NULL}, on_place,
                                &answers[0]),
                     ST_UNAVAILABLE);
    assert_int_equal(queue_configure(w->queue, &event, on_done, &live), ST_UNAVAILABLE);
    assert_int_equal(queue_read_live(w->queue, "gone", on_live, &live), ST_UNAVAILABLE);
    queue_heartbeat(w->queue, "gone", "u:1");
    /* the lease expires by our own clock */
    EXPECT(w, h.lost == 1);
    /* a new, empty Redis: the scripts are loaded again, the event is not known, then it is */
    server_start(w);
    EXPECT(w, redis_up(w->redis));
    assert_int_equal(join(w, "gone", "u:1").status, ST_NOT_FOUND);
    configure(w, &event);
    assert_int_equal(join(w, "gone", "u:1").place.state, QUEUE_ACTIVE);
    EXPECT(w, h.gained == 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(answers[i].runs, 1);
    lease_close(h.lease, holder_closed, &h);
    EXPECT(w, h.closed == 1);
}

static void calls_that_were_never_sent(void **state)
{
    struct world *w = *state;
    struct answer joined = {0};
    struct answer checked = {0};
    struct event event = make_event("end");
    configure(w, &event);
    /* not yet sent: the end comes before the turn is over */
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                &(struct queue_buyer){"end", "u:1", NULL, NULL}, on_place, &joined),
                     ST_OK);
    assert_int_equal(queue_is_inside(w->queue, "end", "u:1", on_place, &checked), ST_OK);
    queue_heartbeat(w->queue, "end", "u:1");
    queue_free(w->queue);
    assert_int_equal(joined.runs, 1);
    assert_int_equal(joined.status, ST_UNAVAILABLE);
    assert_int_equal(checked.runs, 1);
    w->queue = queue_new(w->loop, w->redis, &config);
}

/* The end of a worker: waiting calls end while their callers still exist, and later ones are refused. */
static void calls_that_wait_when_the_queue_stops(void **state)
{
    struct world *w = *state;
    struct answer sent = {0}, waiting = {0}, checked = {0}, late = {0};
    struct event event = make_event("stop");
    configure(w, &event);
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                &(struct queue_buyer){"stop", "u:1", NULL, NULL}, on_place, &sent),
                     ST_OK);
    kill(w->pid, SIGSTOP);
    uv_run(loop_uv(w->loop), UV_RUN_ONCE); /* the first is under way, the next waits for it */
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                &(struct queue_buyer){"stop", "u:2", NULL, NULL}, on_place,
                                &waiting),
                     ST_OK);
    assert_int_equal(queue_is_inside(w->queue, "stop", "u:2", on_place, &checked), ST_OK);
    queue_stop(w->queue);
    assert_int_equal(waiting.runs, 1);
    assert_int_equal(waiting.status, ST_UNAVAILABLE);
    assert_int_equal(checked.runs, 1);
    assert_int_equal(queue_join(w->queue, QUEUE_JOIN,
                                &(struct queue_buyer){"stop", "u:3", NULL, NULL}, on_place, &late),
                     ST_UNAVAILABLE);
    assert_int_equal(queue_is_inside(w->queue, "stop", "u:3", on_place, &late), ST_UNAVAILABLE);
    kill(w->pid, SIGCONT);
    EXPECT(w, sent.runs == 1);
    assert_int_equal(sent.status, ST_OK);
    assert_int_equal(waiting.runs + checked.runs + late.runs, 2);
    queue_free(w->queue);
    w->queue = queue_new(w->loop, w->redis, &config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_replaced_under_test_hooks_alone),
        cmocka_unit_test(without_a_live_copy),
        cmocka_unit_test(settings_are_read_as_written),
        cmocka_unit_test(one_turn_one_batch_many_callers),
        cmocka_unit_test(the_answers_of_a_batch_come_in_order),
        cmocka_unit_test(joins_are_batched_while_a_call_is_under_way),
        cmocka_unit_test(proofs_and_leaving),
        cmocka_unit_test(heartbeats_are_batched),
        cmocka_unit_test(a_tick_and_its_log),
        cmocka_unit_test(the_rank_index),
        cmocka_unit_test(the_cache_of_events),
        cmocka_unit_test(leases_have_one_holder),
        cmocka_unit_test(a_lost_event_is_loaded_once_for_all),
        cmocka_unit_test(a_lost_event_that_cannot_be_loaded),
        cmocka_unit_test(when_redis_is_gone),
        cmocka_unit_test(calls_that_were_never_sent),
        cmocka_unit_test(calls_that_wait_when_the_queue_stops),
    };
    queue_scripts_init(false);
    return cmocka_run_group_tests(tests, world_open, world_close);
}
