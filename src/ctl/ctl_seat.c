/* SPDX-License-Identifier: MIT */
/*
 * ctl_seat: `--section A --row 2 --from 3` -> {"where":{"section":"A","row":"2","from":3}}.
 * Called by: ctl_event, ctl_hall. Pure.
 */
#include "ctl/ctl_seat.h"

#include <stdio.h>
#include <string.h>

#define IDS_MAX 32768 /* bytes: more than the service takes at once */

struct json *ctl_seat_ids(const char *text)
{
    struct buf list;
    buf_init(&list, IDS_MAX);
    buf_add_str(&list, "[\"");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == ',')
            buf_add_str(&list, "\",\"");
        else
            buf_add_char(&list, *at);
    }
    buf_add_str(&list, "\"]");
    struct json *ids = strspn(text, "0123456789,") == strlen(text) && buf_status(&list) == ST_OK
                           ? json_parse(buf_str(&list), list.len, IDS_MAX, NULL)
                           : NULL;
    buf_clear(&list);
    return ids;
}

static void set_text(struct json *object, const char *key, const char *text)
{
    if (text)
        json_set_str(object, key, text);
}

static void set_number(struct json *object, const char *key, int64_t number)
{
    if (number > 0)
        json_set_int(object, key, number);
}

struct json *ctl_seat_body(const struct ctl_options *options, char *error, size_t error_size)
{
    struct json *ids = options->seats ? ctl_seat_ids(options->seats) : NULL;
    if (options->seats && !ids) {
        (void)snprintf(error, error_size, "--seats must be ids of seats such as 17,18");
        return NULL;
    }
    if (!ids && !options->section && !options->row && !options->first && !options->last &&
        !options->all) {
        (void)snprintf(error, error_size,
                       "which seats? --section, --row, --from and --to, or --seats, or --all");
        return NULL;
    }
    struct json *body = json_new_object(), *where = json_new_object();
    if (ids)
        json_set(where, "seatIds", ids);
    set_text(where, "section", options->section);
    set_text(where, "row", options->row);
    set_number(where, "from", options->first);
    set_number(where, "to", options->last);
    if (options->all)
        json_set_bool(where, "all", true);
    json_set(body, "where", where);
    set_text(body, "section", options->new_section);
    set_text(body, "row", options->new_row);
    set_text(body, "reason", options->reason);
    return body;
}
