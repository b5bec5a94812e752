/* SPDX-License-Identifier: MIT */
/*
 * ctl_team: who shares an event.
 *
 * Why this way: an invitation is named by its id, a number, and a person by their subject, as the list shows both; a subject
 * that is a number would be taken for an invitation, and is then not found. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_team.h"

#include "ctl/ctl_http.h"
#include "ctl/ctl_print.h"

#include <stdio.h>
#include <string.h>

static void add_rows(struct ctl_table *table, const struct json *list, const char *key,
                     const char *time_key, bool open)
{
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *one = json_array_at(list, i);
        const char *const cells[] = {json_str(one, key), json_str(one, "name"),
                                     json_str(one, "role"), open ? "invited, until" : "since",
                                     json_str(one, time_key)};
        ctl_table_add(table, cells);
    }
}

int ctl_team(struct ctl_run *run)
{
    static const char *const heads[] = {"who", "name", "role", "", "at"};
    struct ctl_answer answer;
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = "/staff"},
        &answer);
    if (exit == CTL_OK && run->options.json) {
        ctl_print_json(answer.json);
    } else if (exit == CTL_OK) {
        struct ctl_table *table = ctl_table_new(heads, 5);
        add_rows(table, json_get(answer.json, "staff"), "subject", "addedAt", false);
        add_rows(table, json_get(answer.json, "invitations"), "id", "expiresAt", true);
        ctl_table_print(table);
    }
    ctl_answer_clear(&answer);
    return (int)exit;
}

int ctl_team_invite(struct ctl_run *run)
{
    struct ctl_answer answer;
    struct json *body = json_new_object();
    json_set_str(body, "role", run->args[1]);
    if (run->count > 2)
        json_set_str(body, "name", run->args[2]);
    const enum ctl_exit exit = ctl_http(
        run,
        &(struct ctl_request){
            .method = "POST", .event = run->args[0], .rest = "/staff/invitations", .body = body},
        &answer);
    const char *url = json_str(answer.json, "url");
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(answer.json);
    else if (exit == CTL_OK && url)
        (void)puts(url);
    ctl_answer_clear(&answer);
    json_free(body);
    return (int)exit;
}

int ctl_team_remove(struct ctl_run *run)
{
    const char *who = run->args[1];
    struct ctl_answer answer;
    struct buf rest;
    if (!ctl_confirm(run, "take the event from them"))
        return CTL_USAGE;
    buf_init(&rest, 4096);
    buf_add_str(&rest,
                strspn(who, "0123456789") == strlen(who) ? "/staff/invitations/" : "/staff/");
    ctl_http_escape(who, &rest);
    if (buf_status(&rest) != ST_OK) {
        buf_clear(&rest);
        return ctl_fail(run, CTL_USAGE, "an argument is too long");
    }
    const enum ctl_exit exit = ctl_http(
        run,
        &(struct ctl_request){.method = "DELETE", .event = run->args[0], .rest = buf_str(&rest)},
        &answer);
    ctl_answer_clear(&answer);
    buf_clear(&rest);
    return (int)exit;
}
