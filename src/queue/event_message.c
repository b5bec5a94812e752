/* SPDX-License-Identifier: MIT */
/*
 * event_message: the organizer's message to buyers, one for all or one for each language.
 *
 * Called by: api_change (bodies), page and gateway (what a buyer reads), event (answers). Pure. Owns nothing.
 */
#include "queue/event_internal.h"

#include <string.h>

enum status event_read_message(struct event *event, const struct json *body,
                               struct json_error *error)
{
    static const char *const keys[] = {"text", NULL};
    const char *codes[LANGUAGE_COUNT + 1] = {NULL};
    struct event next = *event;
    if (!json_is_object(body) || !json_has(body, "text"))
        return json_refuse(error, "text", "needed", "text is needed: a message, or null for none.");
    enum status st = json_known_keys(body, keys, error);
    const struct json *texts_by_language = json_get(body, "text");
    next.message[0] = '\0';
    memset(next.messages, 0, sizeof(next.messages));
    if (st == ST_OK && !json_is_object(texts_by_language)) {
        st = json_read_text(body, "text", TEXT_LINES, EVENT_MESSAGE_MAX, next.message, error);
    } else if (st == ST_OK) {
        for (int i = 0; i < LANGUAGE_COUNT; i++)
            codes[i] = language_code((enum language)i);
        st = json_known_keys(texts_by_language, codes, error);
        for (int i = 0; i < LANGUAGE_COUNT && st == ST_OK; i++)
            st = json_read_text(texts_by_language, codes[i], TEXT_LINES, EVENT_MESSAGE_MAX,
                                next.messages[i], error);
        if (st != ST_OK)
            return json_refuse_in(error, "text");
        for (int i = 0; i < LANGUAGE_COUNT && next.message[0] == '\0'; i++)
            memcpy(next.message, next.messages[i], sizeof(next.message));
    }
    if (st == ST_OK)
        *event = next;
    return st;
}

const char *event_message(const struct event *event, enum language language)
{
    return event->messages[language][0] != '\0' ? event->messages[language] : event->message;
}

const char *event_message_language(const struct event *event, enum language language)
{
    if (event->messages[language][0] != '\0')
        return language_code(language);
    for (int i = 0; i < LANGUAGE_COUNT; i++) { /* `message` is the first of them */
        if (event->messages[i][0] != '\0')
            return language_code((enum language)i);
    }
    return event->language;
}

struct json *event_write_messages(const struct event *event)
{
    struct json *out = NULL;
    for (int i = 0; i < LANGUAGE_COUNT; i++) {
        if (event->messages[i][0] == '\0')
            continue;
        if (!out)
            out = json_new_object();
        json_set_str(out, language_code((enum language)i), event->messages[i]);
    }
    return out;
}
