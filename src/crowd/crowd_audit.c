/* SPDX-License-Identifier: MIT */
/*
 * crowd_audit: checks the promises against Redis and PostgreSQL.
 *
 *   begin   read the event's settings -> read the last entry of the admission log
 *   follow  each second: read the new entries -> replay; note each buyer's admission and departure
 *   finish  read the rest of the log -> every buyer who still waits must wait in Redis too -> judge each buyer
 *           by what they remember -> crowd_purchases -> crowd_money
 *
 * Why this way: the log is read during the run, so that a log that is lost halfway has been seen, and silent
 * buyers learn that they were evicted. Each read begins with the last entry of the read before: when that is
 * gone, Redis has lost data. Redis' keys are named here again and not taken from the service: the check must
 * not share its mistakes.
 * Called by: crowd. Owns: a Redis connection and a database pool of one. A step whose backend is gone is
 * repeated; `finish` gives up after LAST_MS.
 */
#include "crowd/crowd_audit.h"

#include "base/clock.h"
#include "base/memory.h"
#include "crowd/crowd_buyer.h"
#include "crowd/crowd_memory.h"
#include "crowd/crowd_money.h"
#include "crowd/crowd_purchases.h"
#include "net/db.h"
#include "net/redis.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE     500
#define RETRY_MS 250
#define FIRST_MS 10000 /* time in which the backends must answer at the beginning */
#define LAST_MS  30000 /* time in which they must answer at the end */
#define ENTRY_MS 5000  /* a buyer in touch must get the entry message so soon after an admission */
#define ID_MAX   48

enum audit_goal { GOAL_NONE, GOAL_BEGIN, GOAL_FOLLOW, GOAL_FINISH };

struct crowd_audit {
    struct crowd *crowd;
    struct redis *redis;
    struct db *db;
    struct crowd_purchases *purchases;
    struct crowd_money *money; /* NULL: no --provider, so no payments */
    struct loop_timer *timer;  /* repeats a step that failed */
    struct redis_args args;
    struct replay check;
    struct crowd_findings findings;
    enum audit_goal goal;
    void (*step)(struct crowd_audit *audit); /* the step under way */
    uint64_t give_up_ms;
    crowd_done_cb cb;
    void *arg;
    char last_id[ID_MAX]; /* id of the last entry read; "": the log was empty */
    bool last_gone;       /* Redis has lost the entry last_id */
    bool once_more;       /* the read under way began before `finish`: read again */
    uint32_t at;          /* buyers below this index have been looked up in Redis */
    uint32_t batch[PAGE], batch_count;
    bool closed_redis, closed_db;
    loop_cb on_closed;
    void *closed_arg;
};

static void read_log(struct crowd_audit *audit);
static void look_up_waiting(struct crowd_audit *audit);

/* ---- steps, repeated when they fail ---- */

static void finished(struct crowd_audit *audit, enum status status)
{
    crowd_done_cb cb = audit->cb;
    void *arg = audit->arg;
    audit->goal = GOAL_NONE;
    audit->cb = NULL;
    if (cb)
        cb(arg, status);
}

/* The backend did not answer: repeats the step until the deadline. `follow` is not repeated: the next second
 * brings another. */
static void step_failed(struct crowd_audit *audit, enum status status)
{
    if (audit->goal == GOAL_FOLLOW || loop_now_ms(audit->crowd->loop) >= audit->give_up_ms)
        finished(audit, status);
    else
        loop_timer_set(audit->timer, RETRY_MS);
}

static void step_again(void *arg)
{
    struct crowd_audit *audit = arg;
    if (audit->goal != GOAL_NONE)
        audit->step(audit);
}

static void command(struct crowd_audit *audit, redis_cb cb)
{
    const enum status st = redis_command(audit->redis, &audit->args, cb, audit);
    if (st != ST_OK)
        step_failed(audit, st);
}

static const char *prefix_of(const struct crowd *crowd)
{
    return crowd->config->redis_prefix ? crowd->config->redis_prefix : "";
}

static void begin_command(struct crowd_audit *audit, const char *name, const char *key)
{
    char text[CONFIG_PREFIX_MAX + EVENT_ID_MAX + 32];
    const int len = snprintf(text, sizeof(text), "%s%s:{%s}", prefix_of(audit->crowd), key,
                             audit->crowd->options->event);
    redis_args_reset(&audit->args);
    redis_args_add(&audit->args, name);
    redis_args_add_copy(&audit->args, text, (size_t)len);
}

/* ---- log entries ---- */

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* False: this is not an entry of an admission log. */
static bool read_entry(const struct redis_reply *fields, struct replay_entry *ret_entry,
                       char *buyer, size_t buyer_size)
{
    static const char *const names[] = {"kind", "buyer",  "place",     "epoch",
                                        "at",   "inside", "threshold", "n"};
    enum { KIND, BUYER, PLACE, EPOCH, AT, INSIDE, THRESHOLD, N, NAMES };
    const char *values[NAMES] = {0};
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
        const char *name = redis_reply_str(redis_reply_at(fields, i), NULL);
        for (int j = 0; name && j < NAMES; j++) {
            if (strcmp(name, names[j]) == 0)
                values[j] = redis_reply_str(redis_reply_at(fields, i + 1), NULL);
        }
    }
    for (int j = 0; j < NAMES; j++) {
        if (!values[j])
            return false;
    }
    *ret_entry = (struct replay_entry){.place = number(values[PLACE]),
                                       .epoch = number(values[EPOCH]),
                                       .at_ms = (int64_t)number(values[AT]),
                                       .inside = number(values[INSIDE]),
                                       .threshold = number(values[THRESHOLD]),
                                       .n = number(values[N])};
    (void)snprintf(buyer, buyer_size, "%s", values[BUYER]);
    return replay_kind_parse(values[KIND], &ret_entry->kind) == ST_OK;
}

static void broken(void *arg, const char *kind, const char *example)
{
    struct crowd *crowd = arg;
    crowd_notes_add(&crowd->tally.breaks, kind, "%s", example);
}

/* All admissions so far have ended without a departure of their own: Redis has lost its data, or the event was
 * cleared. */
static void note_all_departed(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++) {
        struct crowd_buyer *buyer = &crowd->buyers[i];
        buyer->log_inside = false;
        if (buyer->admitted_ms != 0)
            crowd_buyer_departed(buyer);
    }
}

/* Notes what an entry says of a buyer of this crowd. */
static void follow_buyer(struct crowd_audit *audit, struct crowd_buyer *buyer,
                         const struct replay_entry *entry, const char *id)
{
    struct crowd *crowd = audit->crowd;
    if (replay_kind_enters(entry->kind)) {
        if (buyer->log_inside && buyer->admitted_epoch == entry->epoch) {
            audit->check.over_admissions++;
            crowd_notes_add(&crowd->tally.breaks, "admitted while inside", "%s", id);
        }
        buyer->resumed = buyer->missed;
        buyer->log_inside = true;
        buyer->log_departed = buyer->log_kept = false;
        buyer->admitted_ms = entry->at_ms;
        buyer->admitted_place = entry->place;
        buyer->admitted_epoch = entry->epoch;
        buyer->admitted_n = entry->n;
        return;
    }
    if (!replay_kind_departs(entry->kind))
        return;
    if (entry->kind == REPLAY_UNCLAIMED) {
        buyer->missed = true;
        audit->findings.missed++;
    }
    buyer->log_inside = false;
    buyer->log_kept = replay_kind_keeps(entry->kind);
    crowd_buyer_departed(buyer);
}

static void take_entry(struct crowd_audit *audit, const struct redis_reply *fields)
{
    struct crowd *crowd = audit->crowd;
    struct replay_entry entry;
    struct replay_witness witness;
    char id[BUYER_ID_MAX + 1] = "";
    if (!read_entry(fields, &entry, id, sizeof(id))) {
        crowd->tally.errors++;
        crowd_notes_add(&crowd->tally.failures, "unreadable log entry", "%s", id);
        return;
    }
    struct crowd_buyer *buyer = crowd_find_buyer(crowd, id);
    if (buyer) {
        witness = crowd_buyer_witness(buyer);
        witness.offered_ms = buyer->admitted_ms;
        witness.had_turn = buyer->admitted_ms != 0 && buyer->admitted_epoch == entry.epoch &&
                           buyer->admitted_place == entry.place;
    }
    replay_take(&audit->check, &entry, id, buyer ? &witness : NULL);
    if (buyer)
        follow_buyer(audit, buyer, &entry, id);
    if (entry.kind == REPLAY_CLEARED)
        note_all_departed(crowd);
}

/* Redis has lost data. Silent buyers may have been admitted in entries that were lost unread: they count as
 * departed too. */
static void note_loss(struct crowd_audit *audit)
{
    struct crowd *crowd = audit->crowd;
    replay_loss(&audit->check, clock_wall_ms());
    audit->last_gone = true;
    note_all_departed(crowd);
    for (uint32_t i = 0; i < crowd->count; i++) {
        if (crowd->buyers[i].state == BUYER_SILENT)
            crowd_buyer_departed(&crowd->buyers[i]);
    }
}

/* ---- begin and follow ---- */

static const char *entry_id(const struct redis_reply *entry)
{
    const char *id = redis_reply_str(redis_reply_at(entry, 0), NULL);
    return id ? id : "";
}

static void keep_last(struct crowd_audit *audit, const struct redis_reply *entry)
{
    (void)snprintf(audit->last_id, sizeof(audit->last_id), "%s", entry_id(entry));
    audit->last_gone = false;
}

static void log_begun(void *arg, enum status status, const struct redis_reply *reply)
{
    struct crowd_audit *audit = arg;
    struct replay_entry entry;
    char id[BUYER_ID_MAX + 1];
    if (status != ST_OK) {
        step_failed(audit, status);
        return;
    }
    const struct redis_reply *last = redis_reply_at(reply, 0);
    if (last && read_entry(redis_reply_at(last, 1), &entry, id, sizeof(id))) {
        replay_base(&audit->check, &entry);
        keep_last(audit, last);
    }
    finished(audit, ST_OK);
}

static void read_last(struct crowd_audit *audit)
{
    audit->step = read_last;
    begin_command(audit, "XREVRANGE", "log");
    redis_args_add(&audit->args, "+");
    redis_args_add(&audit->args, "-");
    redis_args_add(&audit->args, "COUNT");
    redis_args_add(&audit->args, "1");
    command(audit, log_begun);
}

static void settings_read(void *arg, enum status status, const struct redis_reply *reply)
{
    struct crowd_audit *audit = arg;
    if (status != ST_OK) {
        step_failed(audit, status);
        return;
    }
    const char *silent_ms = redis_reply_str(redis_reply_at(reply, 0), NULL);
    const char *outflow = redis_reply_str(redis_reply_at(reply, 1), NULL);
    if (silent_ms)
        audit->check.silent_ms = (int64_t)number(silent_ms);
    if (outflow)
        replay_flow_set(&audit->check.flow, number(outflow));
    read_last(audit);
}

/* The event's own silentMs and outflow limit, from its live copy; without one the service's default stays, and there is no
 * limit. */
static void read_settings(struct crowd_audit *audit)
{
    audit->step = read_settings;
    begin_command(audit, "HMGET", "config");
    redis_args_add(&audit->args, "silentMs");
    redis_args_add(&audit->args, "outflowPerMinute");
    command(audit, settings_read);
}

static void log_read(void *arg, enum status status, const struct redis_reply *reply)
{
    struct crowd_audit *audit = arg;
    if (status != ST_OK) {
        step_failed(audit, status);
        return;
    }
    const size_t count = redis_reply_count(reply);
    size_t first = 0;
    if (audit->last_id[0] != '\0' && !audit->last_gone) {
        if (count > 0 && strcmp(entry_id(redis_reply_at(reply, 0)), audit->last_id) == 0)
            first = 1;
        else
            note_loss(audit);
    }
    for (size_t i = first; i < count; i++)
        take_entry(audit, redis_reply_at(redis_reply_at(reply, i), 1));
    if (count > 0)
        keep_last(audit, redis_reply_at(reply, count - 1));
    const bool more = count == PAGE || audit->once_more;
    audit->once_more = false;
    if (more)
        read_log(audit);
    else if (audit->goal == GOAL_FINISH)
        look_up_waiting(audit);
    else
        finished(audit, ST_OK);
}

static void read_log(struct crowd_audit *audit)
{
    char from[ID_MAX + 1];
    audit->step = read_log;
    (void)snprintf(from, sizeof(from), "%s%s", audit->last_gone ? "(" : "", audit->last_id);
    begin_command(audit, "XRANGE", "log");
    redis_args_add(&audit->args, audit->last_id[0] != '\0' ? from : "-");
    redis_args_add(&audit->args, "+");
    redis_args_add(&audit->args, "COUNT");
    redis_args_add_int(&audit->args, PAGE);
    command(audit, log_read);
}

/* ---- judging each buyer ---- */

static void lost(struct crowd_audit *audit, const struct crowd_buyer *buyer, const char *how)
{
    char id[BUYER_ID_MAX + 1];
    crowd_buyer_id(buyer, id);
    if (buyer->missed)
        audit->findings.missed_lost++;
    else
        audit->findings.lost++;
    crowd_notes_add(&audit->crowd->tally.breaks, how, "%s with place %" PRIu64, id, buyer->place);
}

static bool was_admitted(const struct crowd_buyer *buyer)
{
    return buyer->admitted_ms != 0 && buyer->admitted_epoch == buyer->epoch;
}

static bool was_out(const struct crowd_buyer *buyer, int64_t at_ms)
{
    const struct replay_witness witness = crowd_buyer_witness(buyer);
    return (witness.longest.gone_ms <= at_ms && at_ms <= witness.longest.back_ms) ||
           (witness.latest.gone_ms <= at_ms && at_ms <= witness.latest.back_ms);
}

/* Compares what one buyer remembers with the log. */
static void judge(struct crowd_audit *audit, const struct crowd_buyer *buyer)
{
    audit->findings.resumed += buyer->resumed;
    struct crowd_notes *breaks = &audit->crowd->tally.breaks;
    const bool admitted = was_admitted(buyer);
    const bool complete = audit->check.losses == 0; /* no entry of the log is missing */
    char id[BUYER_ID_MAX + 1];
    crowd_buyer_id(buyer, id);
    if (admitted) {
        const int64_t in_time_ms = buyer->admitted_ms + ENTRY_MS;
        if (buyer->place != 0 && buyer->admitted_place != buyer->place)
            lost(audit, buyer, "admitted with another place than the ticket's");
        if (buyer->entry_ms == 0 && clock_wall_ms() > in_time_ms && !was_out(buyer, in_time_ms))
            lost(audit, buyer, "admitted and got no entry message, though in touch");
        for (int how = ESTIMATE_HIGH; how <= ESTIMATE_LOW; how++) {
            const int64_t wait_ms = buyer->admitted_ms - buyer->told_ms[how];
            if (buyer->told_ms[how] != 0 && wait_ms >= 0 && !buyer->missed)
                crowd_samples_add(&audit->findings.estimate_ms[how],
                                  (uint64_t)llabs(wait_ms - (int64_t)buyer->told_s[how] * 1000));
        }
        if (buyer->pushed && buyer->entry_ms != 0 && buyer->queued)
            crowd_samples_add(&audit->findings.push_ms,
                              buyer->entry_ms > buyer->admitted_ms
                                  ? (uint64_t)(buyer->entry_ms - buyer->admitted_ms)
                                  : 0);
    } else if (buyer->entry_ms != 0 && complete) {
        audit->check.over_admissions++;
        crowd_notes_add(breaks, "admitted without an entry in the log", "%s", id);
    } else if (buyer->entry_ms == 0 && buyer->place != 0 && buyer->state != BUYER_LEFT) {
        const struct replay_witness witness = crowd_buyer_witness(buyer);
        if (replay_overtaken(&audit->check, buyer->place, buyer->epoch, &witness) ==
            REPLAY_OVERTAKEN) {
            audit->check.order_breaks++;
            crowd_notes_add(breaks, "never admitted, but later places were",
                            "%s with place %" PRIu64, id, buyer->place);
        }
    }
    if (buyer->state == BUYER_LOST && !(admitted && crowd_buyer_consumed(buyer)))
        lost(audit, buyer, "lost their place");
    if (buyer->state == BUYER_EVICTED && !buyer->log_departed && complete)
        lost(audit, buyer, "refused inside, though the admission had not ended");
}

/* ---- the last steps: purchases and money ---- */

static void money_checked(void *arg, enum status status)
{
    struct crowd_audit *audit = arg;
    if (status != ST_OK)
        step_failed(audit, status);
    else
        finished(audit, ST_OK);
}

static void check_money(struct crowd_audit *audit)
{
    audit->step = check_money;
    crowd_money_check(audit->money, money_checked, audit);
}

static void purchases_checked(void *arg, enum status status)
{
    struct crowd_audit *audit = arg;
    if (status != ST_OK) {
        step_failed(audit, status);
        return;
    }
    audit->give_up_ms = loop_now_ms(audit->crowd->loop) + 2 * LAST_MS;
    if (audit->money)
        check_money(audit);
    else
        finished(audit, ST_OK);
}

static void check_purchases(struct crowd_audit *audit)
{
    audit->step = check_purchases;
    crowd_purchases_check(audit->purchases, purchases_checked, audit);
}

/* ---- buyers who still wait ---- */

/* EVAL: all three sets are read at the same moment, so that no buyer is seen between two of them. */
static const char look_script[] =
    "local found = {} "
    "for i = 1, #ARGV do "
    "found[i] = redis.call('ZSCORE', KEYS[1], ARGV[i]) or redis.call('ZSCORE', KEYS[2], ARGV[i]) "
    "or redis.call('ZSCORE', KEYS[3], ARGV[i]) or '' end "
    "return found";

static void waiting_found(void *arg, enum status status, const struct redis_reply *reply)
{
    struct crowd_audit *audit = arg;
    if (status != ST_OK) {
        step_failed(audit, status);
        return;
    }
    for (uint32_t i = 0; i < audit->batch_count; i++) {
        const struct crowd_buyer *buyer = &audit->crowd->buyers[audit->batch[i]];
        const char *score = redis_reply_str(redis_reply_at(reply, i), NULL);
        if (!score || score[0] == '\0')
            lost(audit, buyer, "waits, but has no place in Redis");
        else if (fabs(strtod(score, NULL)) != (double)buyer->place) /* negative: to be claimed */
            lost(audit, buyer, "waits, but has another place in Redis");
        audit->at = audit->batch[i] + 1;
    }
    look_up_waiting(audit);
}

/* Has a place in the queue, as far as the crowd knows: waits, or sleeps and has not been let in, or missed a turn. */
static bool waits(const struct crowd_buyer *buyer)
{
    return (buyer->state == BUYER_WAITING || buyer->state == BUYER_ASLEEP) && buyer->place != 0 &&
           (!was_admitted(buyer) || (buyer->missed && !buyer->log_inside));
}

/* Looks up the next PAGE of them; after the last, judges every buyer. */
static void look_up_waiting(struct crowd_audit *audit)
{
    struct crowd *crowd = audit->crowd;
    static const char *const keys[] = {"queue", "parked", "active:place"};
    char text[CONFIG_PREFIX_MAX + BUYER_ID_MAX + 32];
    audit->step = look_up_waiting;
    audit->batch_count = 0;
    redis_args_reset(&audit->args);
    redis_args_add(&audit->args, "EVAL");
    redis_args_add(&audit->args, look_script);
    redis_args_add(&audit->args, "3");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const int len = snprintf(text, sizeof(text), "%s%s:{%s}", prefix_of(crowd), keys[i],
                                 crowd->options->event);
        redis_args_add_copy(&audit->args, text, (size_t)len);
    }
    for (uint32_t i = audit->at; i < crowd->count && audit->batch_count < PAGE; i++) {
        if (!waits(&crowd->buyers[i]))
            continue;
        crowd_buyer_id(&crowd->buyers[i], text);
        redis_args_add_copy(&audit->args, text, strlen(text));
        audit->batch[audit->batch_count++] = i;
    }
    if (audit->batch_count > 0) {
        command(audit, waiting_found);
        return;
    }
    for (uint32_t i = 0; i < crowd->count; i++)
        judge(audit, &crowd->buyers[i]);
    audit->give_up_ms = loop_now_ms(crowd->loop) + LAST_MS;
    check_purchases(audit);
}

/* ---- open and close ---- */

enum status crowd_audit_open(struct crowd *crowd, struct crowd_audit **ret_audit, char *error,
                             size_t error_size)
{
    const struct config *config = crowd->config;
    struct crowd_audit *audit = xcalloc(1, sizeof(*audit));
    const struct redis_opts redis_opts = {.loop = crowd->loop,
                                          .server = redis_server_of(config, "crowd"),
                                          .timeout_ms = config->redis_timeout_ms};
    const struct db_opts db_opts = {.loop = crowd->loop,
                                    .url = config->database_url,
                                    .pool_min = 1,
                                    .pool_max = 1,
                                    .timeout_ms = LAST_MS,
                                    .queue_max = 16,
                                    .application_name = "tiketi-crowd"};
    audit->crowd = crowd;
    redis_args_init(&audit->args);
    if (!config->redis_url || redis_open(&redis_opts, &audit->redis) != ST_OK) {
        if (!config->redis_url)
            (void)snprintf(error, error_size, "REDIS_URL is not set (or --no-check)");
        else
            (void)redis_server_check(&redis_opts.server, error, error_size);
        crowd_audit_free(audit);
        return ST_INVALID;
    }
    if (!config->database_url || db_open(&db_opts, &audit->db) != ST_OK) {
        (void)snprintf(error, error_size,
                       !config->database_url ? "DATABASE_URL is not set (or --no-check)"
                                             : "DATABASE_URL cannot be used");
        *ret_audit = audit; /* the caller closes it, since its connection to Redis is open */
        return ST_INVALID;
    }
    audit->timer = loop_timer_new(crowd->loop, step_again, audit);
    audit->purchases = crowd_purchases_new(crowd, audit->db, &audit->findings);
    if (crowd->options->provider && crowd->part == 0)
        audit->money = crowd_money_new(crowd, audit->db, &audit->findings);
    replay_init(&audit->check, config->queue_silent_ms, broken, crowd);
    audit->check.strangers_elsewhere = crowd->parts > 1;
    audit->check.numbers_elsewhere = crowd->part > 0;
    *ret_audit = audit;
    return ST_OK;
}

static void start(struct crowd_audit *audit, enum audit_goal goal, uint64_t patience_ms,
                  crowd_done_cb cb, void *arg)
{
    audit->goal = goal;
    audit->cb = cb;
    audit->arg = arg;
    audit->give_up_ms = loop_now_ms(audit->crowd->loop) + patience_ms;
}

void crowd_audit_begin(struct crowd_audit *audit, crowd_done_cb cb, void *arg)
{
    start(audit, GOAL_BEGIN, FIRST_MS, cb, arg);
    read_settings(audit);
}

void crowd_audit_follow(struct crowd_audit *audit)
{
    if (audit->goal != GOAL_NONE)
        return;
    start(audit, GOAL_FOLLOW, 0, NULL, NULL);
    read_log(audit);
}

void crowd_audit_finish(struct crowd_audit *audit, crowd_done_cb cb, void *arg)
{
    audit->once_more = audit->goal == GOAL_FOLLOW;
    start(audit, GOAL_FINISH, LAST_MS, cb, arg);
    if (!audit->once_more)
        read_log(audit);
}

const struct replay *crowd_audit_check(const struct crowd_audit *audit)
{
    return &audit->check;
}

const struct crowd_findings *crowd_audit_findings(const struct crowd_audit *audit)
{
    return &audit->findings;
}

static void closed_one(struct crowd_audit *audit)
{
    if (audit->closed_redis && audit->closed_db && audit->on_closed)
        audit->on_closed(audit->closed_arg);
}

static void redis_closed(void *arg)
{
    struct crowd_audit *audit = arg;
    audit->closed_redis = true;
    closed_one(audit);
}

static void db_closed(void *arg)
{
    struct crowd_audit *audit = arg;
    audit->closed_db = true;
    closed_one(audit);
}

void crowd_audit_close(struct crowd_audit *audit, loop_cb cb, void *arg)
{
    if (!audit) {
        cb(arg);
        return;
    }
    audit->goal = GOAL_NONE;
    audit->cb = NULL;
    audit->on_closed = cb;
    audit->closed_arg = arg;
    loop_timer_close(audit->timer);
    audit->timer = NULL;
    crowd_money_close(audit->money);
    audit->closed_db = !audit->db;
    if (audit->db)
        db_close(audit->db, db_closed, audit);
    redis_close(audit->redis, redis_closed, audit);
}

void crowd_audit_free(struct crowd_audit *audit)
{
    if (!audit)
        return;
    crowd_purchases_free(audit->purchases);
    crowd_money_free(audit->money);
    replay_clear(&audit->check);
    crowd_samples_clear(&audit->findings.push_ms);
    crowd_samples_clear(&audit->findings.estimate_ms[ESTIMATE_HIGH]);
    crowd_samples_clear(&audit->findings.estimate_ms[ESTIMATE_LOW]);
    redis_args_clear(&audit->args);
    free(audit);
}
