/* SPDX-License-Identifier: MIT */
/*
 * ctl_record: what has happened in a sale: to one buyer, to the money, by the staff, minute by minute; is it ready to begin?
 *
 * Why this way: the service writes the sentences, so that the console says the same. Times are shown as it sends them, in
 * UTC; those within sentences are by the event's clock. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_record.h"

#include "base/count.h"
#include "ctl/ctl_http.h"
#include "ctl/ctl_list.h"
#include "ctl/ctl_print.h"

#include <stdio.h>
#include <string.h>

/* ---- buyer ---- */

/* "A 2 11, A 2 12" */
static void write_seats(const struct json *seats, struct buf *out)
{
    char section[CTL_CELL_SIZE], row[CTL_CELL_SIZE], number[CTL_CELL_SIZE];
    for (size_t i = 0; i < json_array_len(seats); i++) {
        const struct json *seat = json_array_at(seats, i);
        buf_printf(
            out, "%s%s %s %s", i > 0 ? ", " : "", ctl_text(json_get(seat, "section"), section),
            ctl_text(json_get(seat, "row"), row), ctl_text(json_get(seat, "number"), number));
    }
}

static void print_reservations(const struct json *list)
{
    static const char *const heads[] = {"reservation", "status", ">amount", "seats"};
    if (json_array_len(list) == 0)
        return;
    struct ctl_table *table = ctl_table_new(heads, 4);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *one = json_array_at(list, i);
        char amount[CTL_CELL_SIZE];
        struct buf seats;
        buf_init(&seats, 65536);
        write_seats(json_get(one, "seats"), &seats);
        const char *const cells[] = {
            json_str(one, "reservationNumber"), json_str(one, "status"),
            ctl_money(json_int(one, "totalAmount", 0), json_str(one, "currency"), amount),
            buf_str(&seats)};
        ctl_table_add(table, cells);
        buf_clear(&seats);
    }
    (void)puts("");
    ctl_table_print(table);
}

static void print_story(const struct json *story)
{
    static const char *const heads[] = {"at", "what happened"};
    const struct json *now = json_get(story, "now"), *entries = json_get(story, "entries");
    char buyer[CTL_CELL_SIZE], reference[CTL_CELL_SIZE], state[CTL_CELL_SIZE];
    (void)ctl_text(json_get(story, "reference"), reference);
    (void)ctl_text(json_get(now, "state"), state);
    (void)printf("%s%s%s\n", ctl_text(json_get(story, "buyer"), buyer),
                 *reference ? ", reference " : "", reference);
    (void)printf("now: %s", strcmp(state, "set_aside") == 0 ? "place set aside"
                            : *state != '\0'                ? state
                                                            : "unknown, Redis does not answer");
    if (json_has(now, "position"))
        (void)printf(", position %lld", (long long)json_int(now, "position", 0));
    (void)puts("\n");
    struct ctl_table *table = ctl_table_new(heads, 2);
    for (size_t i = 0; i < json_array_len(entries); i++) {
        const struct json *entry = json_array_at(entries, i);
        const char *const cells[] = {json_str(entry, "at"), json_str(entry, "text")};
        ctl_table_add(table, cells);
    }
    ctl_table_print(table);
    print_reservations(json_get(story, "reservations"));
}

/* GET …/{event}{path}; prints the answer as JSON, or by `print`. */
static int show(const struct ctl_run *run, const struct buf *path,
                void (*print)(const struct json *answer))
{
    struct ctl_answer answer;
    if (buf_status(path) != ST_OK)
        return ctl_fail(run, CTL_USAGE, "an argument is too long");
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = buf_str(path)},
        &answer);
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(answer.json);
    else if (exit == CTL_OK)
        print(answer.json);
    ctl_answer_clear(&answer);
    return (int)exit;
}

int ctl_buyer(struct ctl_run *run)
{
    struct buf path;
    buf_init(&path, 4096);
    buf_add_str(&path, "/buyers/");
    ctl_http_escape(run->args[1], &path);
    const int exit = show(run, &path, print_story);
    buf_clear(&path);
    return exit;
}

/* ---- readiness ---- */

/* Appends "seats 6, " of a member; nothing for null. */
static void add_found(void *arg, const char *key, const struct json *value)
{
    struct buf *out = arg;
    char text[CTL_CELL_SIZE];
    if (*ctl_text(value, text) != '\0')
        buf_printf(out, "%s%s %s", out->len > 0 ? ", " : "", key, text);
}

static void print_checks(const struct json *answer)
{
    static const char *const heads[] = {"check", "verdict", "field", "what was found"};
    const struct json *checks = json_get(answer, "checks");
    const char *verdict = json_str(answer, "verdict");
    struct ctl_table *table = ctl_table_new(heads, 4);
    for (size_t i = 0; i < json_array_len(checks); i++) {
        const struct json *check = json_array_at(checks, i);
        struct buf found;
        buf_init(&found, 65536);
        json_each(json_get(check, "value"), add_found, &found);
        const char *const cells[] = {json_str(check, "code"), json_str(check, "verdict"),
                                     json_str(check, "field"), buf_str(&found)};
        ctl_table_add(table, cells);
        buf_clear(&found);
    }
    ctl_table_print(table);
    (void)printf("in all: %s\n", verdict ? verdict : "");
}

int ctl_readiness(struct ctl_run *run)
{
    struct ctl_answer answer;
    enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = "/readiness"},
        &answer);
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(answer.json);
    else if (exit == CTL_OK)
        print_checks(answer.json);
    const char *verdict = json_str(answer.json, "verdict");
    if (exit == CTL_OK && verdict && strcmp(verdict, "bad") == 0)
        exit = CTL_REFUSED;
    ctl_answer_clear(&answer);
    return (int)exit;
}

/* ---- payments, audit ---- */

/* An amount that is not null; "" for none and, if `skip_zero`, for 0. */
static const char *amount(const struct json *payment, const char *key, bool skip_zero, char *out)
{
    const int64_t value = json_int(payment, key, 0);
    out[0] = '\0';
    return skip_zero && value == 0 ? out : ctl_money(value, json_str(payment, "currency"), out);
}

static void add_payment(struct ctl_table *table, const struct json *payment)
{
    char paid[CTL_CELL_SIZE], refunded[CTL_CELL_SIZE], due[CTL_CELL_SIZE];
    const char *const cells[] = {json_str(payment, "createdAt"),
                                 json_str(payment, "reservationNumber"),
                                 json_str(payment, "status"),
                                 amount(payment, "amount", false, paid),
                                 amount(payment, "refundedAmount", true, refunded),
                                 amount(payment, "refundDueAmount", true, due),
                                 json_str(payment, "buyer"),
                                 json_str(payment, "provider"),
                                 json_str(payment, "reference")};
    ctl_table_add(table, cells);
}

static void add_change(struct ctl_table *table, const struct json *entry)
{
    const char *const cells[] = {json_str(entry, "at"), json_str(entry, "sentence")};
    ctl_table_add(table, cells);
}

/* Prints a list as JSON or as the table, which it takes. */
static int show_list(const struct ctl_run *run, const struct ctl_list *list,
                     struct ctl_table *table,
                     void (*add)(struct ctl_table *table, const struct json *entry))
{
    struct json *all;
    const enum ctl_exit exit = ctl_list(run, list, &all);
    for (size_t i = 0; i < json_array_len(all); i++)
        add(table, json_array_at(all, i));
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(all);
    if (exit == CTL_OK && !run->options.json)
        ctl_table_print(table);
    else
        ctl_table_free(table);
    json_free(all);
    return (int)exit;
}

int ctl_payments(struct ctl_run *run)
{
    static const char *const heads[] = {"at",   "reservation", "status",   ">amount",  ">refunded",
                                        ">due", "buyer",       "provider", "reference"};
    struct buf query;
    buf_init(&query, 1024);
    if (run->options.due)
        buf_add_str(&query, "due=1&");
    if (run->options.status) {
        buf_add_str(&query, "status=");
        buf_add_query(&query, run->options.status);
        buf_add_char(&query, '&');
    }
    const int exit = buf_status(&query) != ST_OK
                         ? ctl_fail(run, CTL_USAGE, "--status is too long")
                         : show_list(run,
                                     &(struct ctl_list){.event = run->args[0],
                                                        .path = "/payments",
                                                        .query = buf_str(&query),
                                                        .key = "payments"},
                                     ctl_table_new(heads, 9), add_payment);
    buf_clear(&query);
    return exit;
}

static void add_ban(struct ctl_table *table, const struct json *ban)
{
    const char *const cells[] = {json_str(ban, "at"), json_str(ban, "buyer"), json_str(ban, "by"),
                                 json_str(ban, "reason")};
    ctl_table_add(table, cells);
}

int ctl_bans(struct ctl_run *run)
{
    static const char *const heads[] = {"at", "buyer", "by", "reason"};
    return show_list(run, &(struct ctl_list){.event = run->args[0], .path = "/bans", .key = "bans"},
                     ctl_table_new(heads, 4), add_ban);
}

int ctl_audit(struct ctl_run *run)
{
    static const char *const heads[] = {"at", "change"};
    return show_list(run,
                     &(struct ctl_list){.event = run->args[0],
                                        .path = "/audit",
                                        .key = "entries",
                                        .most = (size_t)run->options.limit},
                     ctl_table_new(heads, 2), add_change);
}

/* ---- minutes ---- */

static void print_minutes(const struct json *answer)
{
    static const char *const heads[] = {"at",    ">waiting",   ">inside",        ">threshold",
                                        ">came", ">entered",   ">bought",        ">left",
                                        ">idle", ">timed out", ">did not claim", ">gave up"};
    static const char *const keys[] = {"queueSize", "currentUsers", "threshold", "joined",
                                       "admitted",  "completed",    "left",      "idle",
                                       "timeout",   "unclaimed",    "withdrawn"};
    static const char *const change_heads[] = {"at", "change"};
    const struct json *minutes = json_get(answer, "minutes"), *marks = json_get(answer, "marks");
    struct ctl_table *table = ctl_table_new(heads, 12);
    for (size_t i = 0; i < json_array_len(minutes); i++) {
        const struct json *minute = json_array_at(minutes, i);
        char texts[11][COUNT_SIZE];
        const char *cells[12] = {json_str(minute, "at")};
        for (size_t k = 0; k < 11; k++)
            cells[k + 1] = count_write(json_int(minute, keys[k], 0), texts[k]);
        ctl_table_add(table, cells);
    }
    ctl_table_print(table);
    if (json_array_len(marks) == 0)
        return;
    (void)puts("");
    table = ctl_table_new(change_heads, 2);
    for (size_t i = json_array_len(marks); i > 0; i--) /* the newest is the first: as the minutes */
        add_change(table, json_array_at(marks, i - 1));
    ctl_table_print(table);
}

static void add_parameter(struct buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(path, "%s=", name);
    buf_add_query(path, value);
    buf_add_char(path, '&');
}

int ctl_minutes(struct ctl_run *run)
{
    struct buf path;
    buf_init(&path, 4096);
    buf_add_str(&path, "/minutes?");
    add_parameter(&path, "from", run->options.from);
    add_parameter(&path, "to", run->options.to);
    if (run->options.step_ms > 0)
        buf_printf(&path, "step=%lld", (long long)(run->options.step_ms / 1000));
    const int exit = show(run, &path, print_minutes);
    buf_clear(&path);
    return exit;
}
