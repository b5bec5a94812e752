/* SPDX-License-Identifier: MIT */
/*
 * erase: tiketi erase and tiketi export: the data of one buyer.
 *
 *   erase   walk over all events: may the buyer be erased? -> walk: each event -> what belongs to no event
 *   export  walk over all events: each event -> what belongs to no event -> one JSON document
 *   an event, erased:  [holds, leave] -> person.lua until the end of the log -> personal_erase
 *
 * Why this way: where data is, is listed once: in personal_places (sql/functions/personal.sql) and in the list of keys of
 * Redis, and both commands follow these lists. Redis comes first: entries of the log go only when PostgreSQL has them, and
 * what PostgreSQL has it then replaces in one transaction for each event. So a run that is cut off anywhere is repeated
 * from the beginning, and finds the rest.
 * Called by: main. Owns: its loop, and through backends its connections. Redis or PostgreSQL gone: it says so, exit code 1.
 */
#include "erase.h"

#include "auth/token.h"
#include "backends.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "selling/personal.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PAGE_EVENTS 50
#define PAGE_MAX    (4 << 20)   /* bytes of the JSON of a page */
#define EXPORT_MAX  (256 << 20) /* bytes of an export */
#define CONNECT_MS  5000
#define RETRY_MS    250
#define TRIES       60 /* of one step of one event */
#define WHO_MAX     160

const struct option_row erase_rows[] = {
    {"buyer", OPT_TEXT | OPT_REQUIRED, offsetof(struct erase_options, buyer), 0, 0, NULL, "ID",
     "the buyer's id, as the console shows it: g:…, o:… or u:…"},
    {"force", OPT_FLAG, offsetof(struct erase_options, force), 0, 0, NULL, NULL,
     "also where they wait, are inside or hold seats: place, turn and hold end. A payment under "
     "way "
     "is never cut off"},
    {"who", OPT_TEXT, offsetof(struct erase_options, who), 0, 0, "operator", "NAME",
     "who does it, for the audit"},
    {0},
};

const struct option_row export_rows[] = {
    {"buyer", OPT_TEXT | OPT_REQUIRED, offsetof(struct erase_options, buyer), 0, 0, NULL, "ID",
     "the buyer's id, as the console shows it: g:…, o:… or u:…"},
    {"who", OPT_TEXT, offsetof(struct erase_options, who), 0, 0, "operator", "NAME",
     "who does it, for the audit"},
    {0},
};

enum status erase_check(const void *arg, struct options_error *error)
{
    const struct erase_options *options = arg;
    char who[TEXT_BYTES(WHO_MAX) + 1];
    if (!token_names_buyer(options->buyer) || strlen(options->buyer) > BUYER_ID_MAX)
        return options_refuse(
            error, "--buyer must be the id of a buyer, such as u:mina or g:…, not '%.40s'",
            options->buyer);
    if (text_clean(TEXT_LINE, options->who, strlen(options->who), WHO_MAX, who) != ST_OK ||
        who[0] == '\0')
        return options_refuse(error, "--who must be 1 to %d characters of printable text", WHO_MAX);
    return ST_OK;
}

/* ---- the errand ---- */

enum phase { PHASE_CHECK, PHASE_EVENTS, PHASE_REST };

struct errand {
    const struct config *config;
    const struct erase_options *options;
    const char *command;
    char who[TEXT_BYTES(WHO_MAX) + 1];
    bool erases;
    enum phase phase;
    int code;
    uint64_t started_ms;

    struct loop *loop;
    struct loop_timer *timer; /* runs `later` */
    void (*later)(struct errand *errand);
    struct backends backends;

    /* The walk: a page of events, and the event under way. */
    struct json *page, *fresh; /* fresh: the event read again; NULL: as the page has it */
    size_t at;
    unsigned tries;
    bool asked_for_runner;
    size_t hold; /* the one of its holds whose turn it is */
    char log_at[48];
    uint64_t in_redis, waiting; /* keys and log entries found; log entries that had to stay */

    unsigned refused, events; /* events that speak against it; events where something was found */
    struct buf redis_items, out; /* export: of the event; the document */
};

static void next_event(struct errand *errand);
static void begin_walk(struct errand *errand, enum phase phase);
static void print_counts(const struct json *counts);

static void end(struct errand *errand, int code)
{
    errand->code = code;
    loop_timer_close(errand->timer);
    backends_close(&errand->backends);
}

static void on_timer(void *arg)
{
    struct errand *errand = arg;
    errand->later(errand);
}

static void do_later(struct errand *errand, void (*step)(struct errand *errand), uint64_t ms)
{
    errand->later = step;
    loop_timer_set(errand->timer, ms);
}

static void fail_without(struct errand *errand, const char *server, enum status status)
{
    end(errand,
        program_fail(errand->command, 1,
                     "%s did not answer (%s); run the command again, it goes on where it was",
                     server, status_name(status)));
}

/* ---- the event under way ---- */

static const struct json *event_of(const struct errand *errand)
{
    const struct json *list = json_get(errand->fresh ? errand->fresh : errand->page, "events");
    return json_array_at(list, errand->fresh ? 0 : errand->at);
}

static const char *id_of(const struct errand *errand)
{
    return json_str(event_of(errand), "id");
}

static void fail_event(struct errand *errand, const char *why)
{
    end(errand, program_fail(errand->command, 1, "event %s: %s", id_of(errand), why));
}

/* ---- what belongs to no event; the end ---- */

static void rest_answered(void *arg, enum status status, const char *outcome, const char *body,
                          size_t len)
{
    struct errand *errand = arg;
    if (status != ST_OK) {
        fail_without(errand, "PostgreSQL", status);
        return;
    }
    (void)outcome;
    if (errand->erases) {
        struct json *counts = json_parse(body, len, PAGE_MAX, NULL);
        (void)fputs("of no event:", stdout);
        print_counts(json_get(counts, "rows"));
        (void)printf("\nThe buyer is erased at %u events.\n", errand->events);
        json_free(counts);
    } else {
        buf_add_str(&errand->out, "],\"postgres\":");
        buf_add_json_compact(&errand->out, body, len);
        buf_add_char(&errand->out, '}');
        if (buf_status(&errand->out) != ST_OK) {
            end(errand, program_fail(errand->command, 1, "the export is too large"));
            return;
        }
        (void)puts(buf_str(&errand->out));
    }
    end(errand, 0);
}

static void walk_done(struct errand *errand)
{
    if (errand->phase == PHASE_CHECK && errand->refused > 0) {
        end(errand, program_fail(errand->command, 1,
                                 "nothing was erased; --force ends places, turns and holds, but no "
                                 "payment"));
        return;
    }
    if (errand->phase == PHASE_CHECK) {
        begin_walk(errand, PHASE_EVENTS);
        return;
    }
    errand->phase = PHASE_REST;
    const struct personal_request request = {.buyer = errand->options->buyer, .who = errand->who};
    const enum status st =
        errand->erases ? personal_erase(errand->backends.db, &request, rest_answered, errand)
                       : personal_export(errand->backends.db, &request, rest_answered, errand);
    if (st != ST_OK)
        fail_without(errand, "PostgreSQL", st);
}

/* ---- may the buyer be erased? ---- */

static void refuse(struct errand *errand, const char *why)
{
    errand->refused++;
    (void)fprintf(stderr, "event %s: %s\n", id_of(errand), why);
}

static void checked(void *arg, enum status status, const struct queue_personal *personal)
{
    struct errand *errand = arg;
    const struct json *event = event_of(errand);
    const bool force = errand->options->force;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        fail_without(errand, "Redis", status);
        return;
    }
    const char *state = personal ? personal->state : "gone";
    if (json_bool(event, "paying", false) || strcmp(state, "paying") == 0)
        refuse(errand, "a payment is under way; repeat this when it is settled");
    else if (!force && json_array_len(json_get(event, "holds")) > 0)
        refuse(errand, "the buyer holds seats");
    else if (!force && (strcmp(state, "waiting") == 0 || strcmp(state, "parked") == 0))
        refuse(errand, "the buyer waits in the queue");
    else if (!force && strcmp(state, "gone") != 0)
        refuse(errand, "the buyer is inside");
    errand->at++;
    next_event(errand);
}

/* ---- one event in PostgreSQL ---- */

static void print_counts_of(void *arg, const char *key, const struct json *value)
{
    bool *first = arg;
    (void)printf("%s %s %" PRId64, *first ? "" : ",", key, json_int_value(value, 0));
    *first = false;
}

static void print_counts(const struct json *counts)
{
    bool first = true;
    json_each(counts, print_counts_of, &first);
    if (first)
        (void)fputs(" nothing", stdout);
}

static void event_done(struct errand *errand)
{
    json_free(errand->fresh);
    errand->fresh = NULL;
    errand->at++;
    next_event(errand);
}

/* The event's part of an export. rows: those of PostgreSQL, as JSON. */
static void write_event(struct errand *errand, const char *rows, size_t len)
{
    const char *id = id_of(errand), *title = json_str(event_of(errand), "title");
    struct buf *out = &errand->out;
    buf_add_str(out, errand->events++ == 0 ? "{\"eventId\":" : ",{\"eventId\":");
    buf_add_json_str(out, id, strlen(id));
    buf_add_str(out, ",\"title\":");
    buf_add_json_str(out, title, strlen(title));
    buf_add_str(out, ",\"redis\":[");
    buf_add(out, buf_str(&errand->redis_items), errand->redis_items.len);
    buf_add_str(out, "],\"postgres\":");
    buf_add_json_compact(out, rows, len);
    buf_add_char(out, '}');
}

static void copied(void *arg, enum status status, bool applied)
{
    struct errand *errand = arg;
    (void)applied;
    if (status == ST_OK)
        event_done(errand);
    else
        fail_without(errand, "Redis", status);
}

/* PostgreSQL has erased the buyer at this event: says so, and replaces the copies of their sales in Redis. */
static void event_erased(struct errand *errand, const char *body, size_t len)
{
    struct queue_sale list[QUEUE_SALES_MAX];
    struct json *erased = json_parse(body, len, PAGE_MAX, NULL);
    const struct json *copies = json_get(erased, "copies");
    size_t count = 0, starts[QUEUE_SALES_MAX];
    struct buf texts;
    (void)printf("%s:", id_of(errand));
    print_counts(json_get(erased, "rows"));
    (void)printf("; redis %" PRIu64 "\n", errand->in_redis);
    errand->events++;
    buf_init(&texts, PAGE_MAX);
    /* What does not fit into one call, a processor copies within a second or two. */
    for (; count < json_array_len(copies) && count < QUEUE_SALES_MAX; count++) {
        const struct json *copy = json_array_at(copies, count);
        list[count] = (struct queue_sale){.id = json_str(copy, "id"),
                                          .version = (uint64_t)json_int(copy, "version", 0)};
        starts[count] = texts.len;
        json_write(json_get(copy, "sale"), &texts);
        list[count].len = texts.len - starts[count];
    }
    for (size_t i = 0; i < count; i++)
        list[i].text = buf_str(&texts) + starts[i];
    if (count == 0 || buf_status(&texts) != ST_OK)
        event_done(errand);
    else if (queue_put_sales(errand->backends.queue, id_of(errand), list, count, copied, errand) !=
             ST_OK)
        fail_without(errand, "Redis", ST_UNAVAILABLE);
    buf_clear(&texts);
    json_free(erased);
}

static void change_event(struct errand *errand);

static void event_answered(void *arg, enum status status, const char *outcome, const char *body,
                           size_t len)
{
    struct errand *errand = arg;
    const bool busy = status == ST_BUSY || (status == ST_CONFLICT && !outcome);
    if (busy && errand->tries++ < TRIES) {
        do_later(errand, change_event, RETRY_MS);
        return;
    }
    if (outcome && strcmp(outcome, "paying") == 0) {
        fail_event(errand, "a payment has begun; repeat this when it is settled");
    } else if (outcome && strcmp(outcome, "held") == 0) {
        fail_event(errand, "seats were held meanwhile; run the command again");
    } else if (status != ST_OK) {
        fail_without(errand, "PostgreSQL", status);
    } else if (errand->erases) {
        event_erased(errand, body, len);
    } else {
        write_event(errand, body, len);
        event_done(errand);
    }
}

static void settle_event(struct errand *errand)
{
    const bool known = json_bool(event_of(errand), "known", false);
    if (!known && errand->in_redis == 0) {
        event_done(errand);
        return;
    }
    const struct personal_request request = {
        .buyer = errand->options->buyer, .event = id_of(errand), .who = errand->who};
    const enum status st =
        errand->erases ? personal_erase(errand->backends.db, &request, event_answered, errand)
                       : personal_export(errand->backends.db, &request, event_answered, errand);
    if (st != ST_OK)
        fail_without(errand, "PostgreSQL", st);
}

/* ---- one event in Redis ---- */

static void look(struct errand *errand);

static void left(void *arg, enum status status, const struct queue_place *place,
                 const struct queue_numbers *numbers)
{
    struct errand *errand = arg;
    (void)place;
    (void)numbers;
    if (status != ST_OK && status != ST_NOT_FOUND)
        fail_without(errand, "Redis", status);
    else
        change_event(errand);
}

/* The buyer still has something there. */
static void leave(struct errand *errand, const char *state)
{
    if (!errand->options->force || strcmp(state, "paying") == 0 || errand->tries++ >= TRIES) {
        fail_event(errand, "the buyer has come back meanwhile; run the command again");
        return;
    }
    const struct queue_buyer buyer = {.event_id = id_of(errand), .id = errand->options->buyer};
    const enum status st = queue_leave(errand->backends.queue, &buyer, QUEUE_LEFT, left, errand);
    if (st != ST_OK)
        fail_without(errand, "Redis", st);
}

/* The log has entries of the buyer that PostgreSQL does not have yet. A processor brings them there; one that does not know
 * the event, since it is over, is told of it. */
static void wait_for_ledger(struct errand *errand)
{
    if (errand->tries++ >= TRIES) {
        fail_event(errand, "the admission log is not in PostgreSQL yet: does a processor run? Run "
                           "the command again then");
        return;
    }
    if (!errand->asked_for_runner &&
        queue_publish(errand->backends.queue, id_of(errand), "process", "{}", 2) == ST_OK)
        errand->asked_for_runner = true;
    do_later(errand, change_event, RETRY_MS);
}

static void looked(void *arg, enum status status, const struct queue_personal *personal)
{
    struct errand *errand = arg;
    if (status == ST_NOT_FOUND) {
        settle_event(errand);
        return;
    }
    if (status != ST_OK) {
        fail_without(errand, "Redis", status);
        return;
    }
    if (errand->erases && strcmp(personal->state, "gone") != 0) {
        leave(errand, personal->state);
        return;
    }
    if (personal->len > 0 && errand->redis_items.len > 0)
        buf_add_char(&errand->redis_items, ',');
    buf_add(&errand->redis_items, personal->json, personal->len);
    errand->in_redis += personal->found;
    errand->waiting += personal->waiting;
    (void)snprintf(errand->log_at, sizeof(errand->log_at), "%s", personal->next);
    if (errand->log_at[0] != '\0')
        look(errand);
    else if (errand->erases && errand->waiting > 0)
        wait_for_ledger(errand);
    else
        settle_event(errand);
}

/* The next part of the log; the first time, the other keys as well. */
static void look(struct errand *errand)
{
    const struct json *event = event_of(errand);
    const struct queue_personal_call call = {.erase = errand->erases,
                                             .event = id_of(errand),
                                             .buyer = errand->options->buyer,
                                             .after = errand->log_at,
                                             .cursor = json_str(event, "consumed"),
                                             .places = json_str(event, "places"),
                                             .sales = json_str(event, "sales"),
                                             .entries = QUEUE_PERSONAL_STEP};
    const enum status st = queue_personal(errand->backends.queue, &call, looked, errand);
    if (st != ST_OK)
        fail_without(errand, "Redis", st);
}

/* ---- one event ---- */

static void release_holds(struct errand *errand);

static void hold_released(void *arg, enum status status, const char *outcome, const char *body,
                          size_t len)
{
    struct errand *errand = arg;
    (void)body;
    (void)len;
    if (!outcome && status != ST_OK) {
        fail_without(errand, "PostgreSQL", status);
        return;
    }
    errand->hold++; /* a refusal: it has just ended, or personal_erase says why not */
    release_holds(errand);
}

static void release_holds(struct errand *errand)
{
    const struct json *holds = json_get(event_of(errand), "holds");
    const char *id = errand->erases && errand->options->force
                         ? json_str_value(json_array_at(holds, errand->hold))
                         : NULL;
    if (!id) {
        look(errand);
        return;
    }
    const enum status st =
        reservation_cancel(errand->backends.db, errand->options->buyer, id, hold_released, errand);
    if (st != ST_OK)
        fail_without(errand, "PostgreSQL", st);
}

static void event_read(void *arg, enum status status, const char *outcome, const char *body,
                       size_t len)
{
    struct errand *errand = arg;
    (void)outcome;
    struct json *answer = status == ST_OK ? json_parse(body, len, PAGE_MAX, NULL) : NULL;
    if (!answer) {
        fail_without(errand, "PostgreSQL", status);
        return;
    }
    json_free(errand->fresh);
    errand->fresh = NULL;
    if (json_array_len(json_get(answer, "events")) == 0) { /* the event was deleted meanwhile */
        json_free(answer);
        event_done(errand);
        return;
    }
    errand->fresh = answer;
    errand->hold = 0;
    errand->waiting = 0;
    buf_reset(&errand->redis_items);
    (void)snprintf(errand->log_at, sizeof(errand->log_at), "0-0");
    release_holds(errand);
}

/* Reads the event anew and erases or exports it; repeated where it has to wait. */
static void change_event(struct errand *errand)
{
    const enum status st = personal_event(errand->backends.db, errand->options->buyer,
                                          id_of(errand), event_read, errand);
    if (st != ST_OK)
        fail_without(errand, "PostgreSQL", st);
}

static void check_event(struct errand *errand)
{
    const struct queue_personal_call call = {.event = id_of(errand),
                                             .buyer = errand->options->buyer,
                                             .after = "0-0",
                                             .cursor = "0-0",
                                             .entries = 1};
    const enum status st = queue_personal(errand->backends.queue, &call, checked, errand);
    if (st != ST_OK)
        fail_without(errand, "Redis", st);
}

/* ---- the walk ---- */

static void ask_page(struct errand *errand, const char *after);

static void next_event(struct errand *errand)
{
    const struct json *list = json_get(errand->page, "events");
    if (errand->at >= json_array_len(list)) {
        char after[EVENT_ID_MAX + 1] = "";
        const char *next = json_str(errand->page, "next");
        if (next) {
            (void)snprintf(after, sizeof(after), "%s", next);
            ask_page(errand, after);
        } else {
            walk_done(errand);
        }
        return;
    }
    errand->tries = 0;
    errand->asked_for_runner = false;
    errand->in_redis = 0;
    if (errand->phase == PHASE_CHECK)
        check_event(errand);
    else
        change_event(errand);
}

static void page_read(void *arg, enum status status, const char *outcome, const char *body,
                      size_t len)
{
    struct errand *errand = arg;
    (void)outcome;
    json_free(errand->page);
    errand->page = status == ST_OK ? json_parse(body, len, PAGE_MAX, NULL) : NULL;
    errand->at = 0;
    if (errand->page)
        next_event(errand);
    else
        fail_without(errand, "PostgreSQL", status);
}

static void ask_page(struct errand *errand, const char *after)
{
    const enum status st = personal_events(errand->backends.db, errand->options->buyer, after,
                                           PAGE_EVENTS, page_read, errand);
    if (st != ST_OK)
        fail_without(errand, "PostgreSQL", st);
}

static void begin_walk(struct errand *errand, enum phase phase)
{
    errand->phase = phase;
    ask_page(errand, "");
}

/* ---- the whole ---- */

static void begin(struct errand *errand)
{
    const struct redis_state redis = redis_state(errand->backends.redis);
    const struct db_state db = db_state(errand->backends.db);
    if (redis.up && db.up) {
        begin_walk(errand, errand->erases ? PHASE_CHECK : PHASE_EVENTS);
    } else if (loop_now_ms(errand->loop) - errand->started_ms < CONNECT_MS &&
               (redis.up || !*redis.problem) && (db.up || !*db.problem)) {
        do_later(errand, begin, 20);
    } else {
        const bool other = redis.up || (!*redis.problem && *db.problem);
        const char *problem = other ? db.problem : redis.problem;
        end(errand, program_fail(errand->command, 1, "%s: %s", other ? "PostgreSQL" : "Redis",
                                 *problem ? problem : "it does not answer"));
    }
}

static int run(struct errand *errand)
{
    errand->code = EXIT_CONFIG;
    if (text_clean(TEXT_LINE, errand->options->who, strlen(errand->options->who), WHO_MAX,
                   errand->who) != ST_OK)
        return EXIT_USAGE; /* erase_check has looked at it */
    errand->loop = loop_new();
    if (!errand->loop)
        return program_fail(errand->command, 1, "the system has no descriptors left");
    log_set_level(LOG_LEVEL_OFF); /* what the drivers say is said in one sentence here */
    buf_init(&errand->redis_items, EXPORT_MAX);
    buf_init(&errand->out, EXPORT_MAX);
    errand->started_ms = loop_now_ms(errand->loop);
    errand->timer = loop_timer_new(errand->loop, on_timer, errand);
    if (!errand->erases) {
        char now[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(clock_wall_ms(), now);
        buf_add_str(&errand->out, "{\"buyer\":");
        buf_add_json_str(&errand->out, errand->options->buyer, strlen(errand->options->buyer));
        buf_printf(&errand->out, ",\"exportedAt\":\"%s\",\"events\":[", now);
    }
    if (backends_open(&errand->backends, errand->loop, errand->config, errand->command) == ST_OK)
        do_later(errand, begin, 0);
    else
        end(errand, EXIT_CONFIG);
    loop_run(errand->loop);
    json_free(errand->page);
    json_free(errand->fresh);
    buf_clear(&errand->redis_items);
    buf_clear(&errand->out);
    loop_free(errand->loop);
    return errand->code;
}

int erase_buyer(struct config *config, const void *options)
{
    struct errand errand = {
        .config = config, .options = options, .command = "erase", .erases = true};
    return run(&errand);
}

int export_buyer(struct config *config, const void *options)
{
    struct errand errand = {.config = config, .options = options, .command = "export"};
    return run(&errand);
}
