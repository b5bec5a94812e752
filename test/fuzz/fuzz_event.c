/* SPDX-License-Identifier: MIT */
/*
 * event: the first byte tells what the rest is.
 *   c  the body of a new event, p: of a change, m: a message: refused by naming what is wrong, or within the limits
 *   r  a row of event_row()
 * An event that was accepted is written as JSON, which the parser takes.
 */
#include "fuzz.h"

#include "base/utf8.h"
#include "queue/event.h"

/* Valid, and of at most `max` characters. */
static void check_text(const char *text, size_t max)
{
    size_t count = 0;
    check(utf8_is_valid(text, strlen(text)));
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    check(count <= max);
}

/* Of a row only the bytes are bounded: the limit in characters was kept when it was written, maybe by another release. */
static void check_event(const struct event *event, bool is_row)
{
    const size_t most = is_row ? EVENT_TEXT_SIZE - 1 : EVENT_TEXT_MAX;
    check_text(event->title, most);
    check_text(event->artist, most);
    check_text(event->venue, most);
    check_text(event->message, is_row ? sizeof(event->message) - 1 : EVENT_MESSAGE_MAX);
    check(event->surge_count >= 0 && event->surge_count <= EVENT_SURGE_MAX);
    for (int i = 1; i < event->surge_count; i++)
        check(event->surge[i].queue_above > event->surge[i - 1].queue_above);
    struct json *json = event_write_json(event);
    struct buf text;
    struct json_error error;
    buf_init(&text, (size_t)1 << 20);
    json_write(json, &text);
    struct json *again = json_parse(text.data, text.len, text.max, &error);
    check(again && strcmp(json_str(again, "title"), event->title) == 0);
    json_free(again);
    json_free(json);
    buf_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config config = {.queue_threshold = 10,
                                         .queue_interval_ms = 1000,
                                         .queue_idle_timeout_ms = 90000,
                                         .queue_session_limit_ms = 600000,
                                         .hold_ms = 300000,
                                         .queue_silent_ms = 30000,
                                         .queue_claim_ms = 90000};
    struct json_error error = {0};
    struct event event;
    if (size == 0)
        return 0;
    struct json *json = json_parse((const char *)data + 1, size - 1, 65536, &error);
    if (!json)
        return 0;
    event_init(&event, &config);
    enum status st = ST_INVALID;
    switch (data[0]) {
    case 'c':
    case 'p':
        st = event_read_json(&event, json, data[0] == 'c', &error);
        break;
    case 'm':
        st = event_read_message(&event, json, &error);
        break;
    case 'r':
        st = event_read_row(&event, json);
        break;
    default:
        break;
    }
    if (st == ST_OK)
        check_event(&event, data[0] == 'r');
    else if (data[0] == 'c' || data[0] == 'p' || data[0] == 'm')
        check(error.detail[0] != '\0');
    json_free(json);
    return 0;
}
