/* SPDX-License-Identifier: MIT */
/*
 * event_return: the setting returnUrls: which addresses beside those of this origin buyers may be led to after their
 * admission.
 *
 * Why this way: the event keeps the entries in their normal form, as one text, so that whoever asks parses nothing
 * (auth/return_url.h decides) and the live copy in Redis needs one field. A wrong entry is named by its index.
 * Called by: event, event_body. Pure. Owns nothing.
 */
#include "queue/event_internal.h"

#include <stdio.h>
#include <string.h>

static enum status read_entry(struct event *event, const struct json *value,
                              struct json_error *error)
{
    const char *text = json_str_value(value);
    if (!text)
        return json_refuse(error, "", "not-a-text",
                           "An entry is a text such as https://shop.example/tickets.");
    switch (return_entry_add(event->return_urls, text)) {
    case RETURN_ENTRY_OK:
        return ST_OK;
    case RETURN_ENTRY_TWICE:
        return json_refuse(error, "", "return-entry-twice", "The list has %.80s already.", text);
    case RETURN_ENTRY_PATTERN:
        return json_refuse(error, "", "return-entry-pattern",
                           "%.80s: an entry names one origin exactly, without wildcards. Name each "
                           "host by an entry of its own.",
                           text);
    case RETURN_ENTRY_QUERY:
        return json_refuse(error, "", "return-entry-query",
                           "%.80s: an entry ends with its path, without ? and #. It allows every "
                           "query below that path.",
                           text);
    case RETURN_ENTRY_FULL:
        return json_refuse(error, "", "return-entries-too-long",
                           "The entries together may have %d bytes.", RETURN_LIST_SIZE - 1);
    default:
        return json_refuse(
            error, "", "return-entry-not-a-url",
            "%.80s: an entry is https://host or http://host, with a port and the "
            "beginning of a path perhaps, such as https://shop.example/tickets, of at most "
            "300 bytes, percent-encoded. "
            "Paths of this origin are always allowed.",
            text);
    }
}

/* null is an empty list. */
enum status event_read_return_urls(struct event *event, const struct json *body,
                                   struct json_error *error)
{
    const struct json *list = json_get(body, "returnUrls");
    if (!list)
        return ST_OK;
    if (!json_is_null(list) && !json_is_array(list))
        return json_refuse(error, "returnUrls", "not-a-list",
                           "returnUrls must be a list of texts.");
    if (json_array_len(list) > RETURN_LIST_MAX)
        return json_refuse(error, "returnUrls", "return-entries-too-many",
                           "returnUrls has at most %d entries.", RETURN_LIST_MAX);
    event->return_urls[0] = '\0';
    for (size_t i = 0; i < json_array_len(list); i++) {
        if (read_entry(event, json_array_at(list, i), error) != ST_OK) {
            char parent[40];
            (void)snprintf(parent, sizeof(parent), "returnUrls[%zu]", i);
            return json_refuse_in(error, parent);
        }
    }
    return ST_OK;
}

/* An entry that is not valid here is left out: an event is not to be lost for it. */
bool event_row_return_urls(struct event *event, const struct json *row)
{
    const struct json *list = json_get(row, "returnUrls");
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *text = json_str_value(json_array_at(list, i));
        if (!text)
            return false;
        (void)return_entry_add(event->return_urls, text);
    }
    return true;
}

struct json *event_write_return_urls(const struct event *event)
{
    struct json *list = json_new_array();
    const char *at = event->return_urls, *entry;
    size_t len;
    while ((entry = return_entry_next(&at, &len)) != NULL)
        json_append_str(list, entry, len);
    return list;
}
