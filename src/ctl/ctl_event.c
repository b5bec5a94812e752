/* SPDX-License-Identifier: MIT */
/*
 * ctl_event: the commands about events: each reads its arguments, sends one request, and shows the answer.
 *
 * Why this way: the service decides and explains; here nothing is checked that it checks. A change of settings names the
 * version that was read (If-Match), so that no other change is overwritten unseen; what cannot be taken back is asked.
 * Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_event.h"

#include "ctl/ctl_http.h"
#include "ctl/ctl_list.h"
#include "ctl/ctl_print.h"
#include "ctl/ctl_seat.h"
#include "ctl/ctl_setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- showing ---- */

/* Shows the answer's members, or with --json the answer. Clears it. */
static int show_answer(const struct ctl_run *run, struct ctl_answer *answer, enum ctl_exit exit)
{
    if (exit == CTL_OK && answer->json) {
        if (run->options.json)
            ctl_print_json(answer->json);
        else
            ctl_print_members(answer->json);
    }
    ctl_answer_clear(answer);
    return (int)exit;
}

/* The event after a change, in a line. */
static int show_change(const struct ctl_run *run, struct ctl_answer *answer, enum ctl_exit exit)
{
    const char *id = json_str(answer->json, "id"), *status = json_str(answer->json, "status");
    if (exit != CTL_OK || run->options.json || !id || !status)
        return show_answer(run, answer, exit);
    (void)printf("%s: %s, version %lld\n", id, status,
                 (long long)json_int(answer->json, "version", 0));
    ctl_answer_clear(answer);
    return CTL_OK;
}

/* ---- events, show ---- */

int ctl_events(struct ctl_run *run)
{
    static const char *const heads[] = {"id", "status", ">threshold", "opens", "title"};
    struct json *all;
    const enum ctl_exit exit =
        ctl_list(run, &(struct ctl_list){.path = "/api/admin/events", .key = "events"}, &all);
    struct ctl_table *table = ctl_table_new(heads, 5);
    for (size_t i = 0; i < json_array_len(all); i++) {
        const struct json *event = json_array_at(all, i);
        char threshold[CTL_CELL_SIZE];
        (void)ctl_text(json_get(event, "threshold"), threshold);
        const char *const cells[] = {json_str(event, "id"), json_str(event, "status"), threshold,
                                     json_str(event, "opensAt"), json_str(event, "title")};
        if (run->options.ids)
            (void)puts(cells[0] ? cells[0] : "");
        ctl_table_add(table, cells);
    }
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(all);
    if (exit == CTL_OK && !run->options.json && !run->options.ids)
        ctl_table_print(table);
    else
        ctl_table_free(table);
    json_free(all);
    return (int)exit;
}

int ctl_show(struct ctl_run *run)
{
    struct ctl_answer answer;
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = ""}, &answer);
    return show_answer(run, &answer, exit);
}

/* ---- create, set, copy ---- */

/* Adds the settings from args[from] on. CTL_USAGE: one is none, and that was told. */
static enum ctl_exit add_settings(const struct ctl_run *run, int from, struct json *body)
{
    char error[200];
    for (int i = from; i < run->count; i++) {
        if (!ctl_setting_add(body, run->args[i], error, sizeof(error)))
            return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s", error);
    }
    return CTL_OK;
}

int ctl_create(struct ctl_run *run)
{
    struct ctl_answer answer;
    struct json *body = json_new_object();
    json_set_str(body, "title", run->args[0]);
    if (run->options.id)
        json_set_str(body, "id", run->options.id);
    enum ctl_exit exit = add_settings(run, 1, body);
    if (exit == CTL_OK) {
        exit = ctl_http(
            run, &(struct ctl_request){.method = "POST", .rest = "/api/admin/events", .body = body},
            &answer);
        exit = (enum ctl_exit)show_change(run, &answer, exit);
    }
    json_free(body);
    return (int)exit;
}

/* The version that a change is based on, as an If-Match: --version, else the one that the service has now. */
static enum ctl_exit read_version(const struct ctl_run *run, char out[CTL_ETAG_SIZE])
{
    struct ctl_answer answer;
    if (run->options.version) {
        (void)snprintf(out, CTL_ETAG_SIZE, "\"%.40s\"", run->options.version);
        return CTL_OK;
    }
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = ""}, &answer);
    (void)snprintf(out, CTL_ETAG_SIZE, "%s", answer.etag);
    ctl_answer_clear(&answer);
    return exit;
}

int ctl_set(struct ctl_run *run)
{
    struct ctl_answer answer;
    char version[CTL_ETAG_SIZE];
    struct json *body = json_new_object();
    enum ctl_exit exit = add_settings(run, 1, body);
    if (exit == CTL_OK)
        exit = read_version(run, version);
    if (exit == CTL_OK) {
        exit = ctl_http(run,
                        &(struct ctl_request){.method = "PATCH",
                                              .event = run->args[0],
                                              .rest = "",
                                              .body = body,
                                              .if_match = version},
                        &answer);
        exit = (enum ctl_exit)show_change(run, &answer, exit);
    }
    json_free(body);
    return (int)exit;
}

/* POST …/{event}/{verb} with a body that may be NULL. */
static int post(const struct ctl_run *run, const char *verb, const struct json *body,
                int (*show)(const struct ctl_run *run, struct ctl_answer *answer,
                            enum ctl_exit exit))
{
    struct ctl_answer answer;
    char rest[32];
    (void)snprintf(rest, sizeof(rest), "/%s", verb);
    const enum ctl_exit exit = ctl_http(
        run,
        &(struct ctl_request){.method = "POST", .event = run->args[0], .rest = rest, .body = body},
        &answer);
    return show(run, &answer, exit);
}

int ctl_copy(struct ctl_run *run)
{
    struct json *body = json_new_object();
    if (run->options.id)
        json_set_str(body, "id", run->options.id);
    if (run->options.title)
        json_set_str(body, "title", run->options.title);
    if (run->options.rehearsal)
        json_set_bool(body, "rehearsal", true);
    const int exit = post(run, "copy", body, show_change);
    json_free(body);
    return exit;
}

/* ---- verbs ---- */

int ctl_verb(struct ctl_run *run)
{
    return post(run, run->name, NULL, show_change);
}

int ctl_verb_asked(struct ctl_run *run)
{
    struct ctl_answer answer;
    char version[CTL_ETAG_SIZE], rest[32], what[32];
    (void)snprintf(what, sizeof(what), "%s it", run->name);
    if (!ctl_confirm(run, what))
        return CTL_USAGE;
    if (strcmp(run->name, "delete") == 0) {
        const enum ctl_exit exit = ctl_http(
            run, &(struct ctl_request){.method = "DELETE", .event = run->args[0], .rest = ""},
            &answer);
        return show_change(run, &answer, exit);
    }
    enum ctl_exit exit = read_version(run, version);
    if (exit != CTL_OK)
        return (int)exit;
    (void)snprintf(rest, sizeof(rest), "/%s", run->name);
    exit = ctl_http(run,
                    &(struct ctl_request){
                        .method = "POST", .event = run->args[0], .rest = rest, .if_match = version},
                    &answer);
    return show_change(run, &answer, exit);
}

int ctl_admit(struct ctl_run *run)
{
    char *end;
    const long long count = strtoll(run->args[1], &end, 10);
    if (count < 1 || *end != '\0')
        return ctl_fail(run, CTL_USAGE, "'%.40s' is no number of buyers", run->args[1]);
    struct json *body = json_new_object();
    json_set_int(body, "count", count);
    const int exit = post(run, "admit", body, show_answer);
    json_free(body);
    return exit;
}

int ctl_message(struct ctl_run *run)
{
    struct json *body = json_new_object();
    const char *text = run->count > 1 ? run->args[1] : "";
    if (run->options.language && *text != '\0') {
        struct json *texts = json_new_object();
        json_set_str(texts, run->options.language, text);
        json_set(body, "text", texts);
    } else if (*text != '\0') {
        json_set_str(body, "text", text);
    } else {
        json_set_null(body, "text");
    }
    const int exit = post(run, "message", body, show_change);
    json_free(body);
    return exit;
}

/* ---- report, refund, release ---- */

int ctl_report(struct ctl_run *run)
{
    struct ctl_answer answer;
    const enum ctl_exit exit =
        ctl_http(run,
                 &(struct ctl_request){.method = "GET",
                                       .event = run->args[0],
                                       .rest = run->options.csv ? "/report.csv" : "/report"},
                 &answer);
    if (exit != CTL_OK || !run->options.csv)
        return show_answer(run, &answer, exit);
    (void)fwrite(buf_str(&answer.text), 1, answer.text.len, stdout);
    ctl_answer_clear(&answer);
    return CTL_OK;
}

/* 8-4-4-4-12 characters: an id; a reservation's number has fewer, however it is written. */
static bool is_uuid(const char *text)
{
    return strlen(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
           text[23] == '-';
}

int ctl_refund(struct ctl_run *run)
{
    struct json *body = json_new_object();
    json_set_str(body, is_uuid(run->args[1]) ? "reservationId" : "reservationNumber", run->args[1]);
    if (run->options.seats) {
        struct json *ids = ctl_seat_ids(run->options.seats);
        if (!ids) {
            json_free(body);
            return ctl_fail(run, CTL_USAGE, "--seats must be ids of seats such as 17,18");
        }
        json_set(body, "seatIds", ids);
    }
    const int exit = post(run, "refund", body, show_answer);
    json_free(body);
    return exit;
}

int ctl_resend(struct ctl_run *run)
{
    return post(run, "mail/resend", NULL, show_answer);
}

int ctl_release(struct ctl_run *run)
{
    struct json *body = json_new_object();
    /* Buyers' ids begin with "u:", "g:" and the like. */
    json_set_str(body, strchr(run->args[1], ':') ? "buyer" : "reservationNumber", run->args[1]);
    if (run->options.completed)
        json_set_bool(body, "completed", true);
    const int exit = post(run, "release", body, show_answer);
    json_free(body);
    return exit;
}

/* Sends a buyer's id, and why if they are banned. */
static int change_ban(struct ctl_run *run, const char *verb, const char *reason)
{
    struct json *body = json_new_object();
    json_set_str(body, "buyer", run->args[1]);
    if (reason)
        json_set_str(body, "reason", reason);
    const int exit = post(run, verb, body, show_answer);
    json_free(body);
    return exit;
}

int ctl_ban(struct ctl_run *run)
{
    return change_ban(run, "ban", run->args[2]);
}

int ctl_unban(struct ctl_run *run)
{
    return change_ban(run, "unban", NULL);
}
