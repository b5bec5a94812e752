/* SPDX-License-Identifier: MIT */
/*
 * seat_delta: the seats whose status differs between two maps of one hall.
 *
 * Why this way: the map of 20,000 seats is 2 MB. Parsing it into a DOM once a second would cost more than
 * all sockets of the gateway together. The SQL function seat_map_text always writes the same form, and
 * escapes quotes within names, so `{"id":"` occurs only where a seat begins.
 * Called by: gateway_seats. Pure.
 */
#include "selling/seat_delta.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 64 /* bytes in which the layout of a map stands */

void seat_list_clear(struct seat_list *list)
{
    free(list->ids);
    free(list->statuses);
    *list = (struct seat_list){0};
}

static void add_seat(struct seat_list *list, uint64_t id, char status)
{
    /* The capacity is always a power of two: at such a count the arrays are full, or still empty. */
    if ((list->count & (list->count - 1)) == 0) {
        const size_t cap = list->count ? 2 * list->count : 1;
        list->ids = xrealloc(list->ids, cap * sizeof(*list->ids));
        list->statuses = xrealloc(list->statuses, cap);
    }
    list->ids[list->count] = id;
    list->statuses[list->count++] = status;
}

/* Finds the next `word` and returns the position behind it (which may be `end`); NULL: there is no `word`. */
static const char *after_word(const char *at, const char *end, const char *word, size_t len)
{
    const char *found = at < end ? memmem(at, (size_t)(end - at), word, len) : NULL;
    return found ? found + len : NULL;
}

bool seat_list_read(struct seat_list *list, const char *map, size_t len)
{
    static const char id_word[] = "{\"id\":\"", status_word[] = "\"status\":\"";
    static const char layout_word[] = ",\"layout\":";
    const char *at = map, *end = map + len;
    *list = (struct seat_list){0};
    at = after_word(map, map + (len < HEAD_MAX ? len : HEAD_MAX), layout_word,
                    sizeof(layout_word) - 1);
    for (; at && at < end && *at >= '0' && *at <= '9'; at++)
        list->layout = 10 * list->layout + (uint64_t)(*at - '0');
    if (!at)
        at = map;
    while ((at = after_word(at, end, id_word, sizeof(id_word) - 1))) {
        uint64_t id = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            id = 10 * id + (uint64_t)(*at - '0');
        at = after_word(at, end, status_word, sizeof(status_word) - 1);
        if (id == 0 || !at || at == end) {
            seat_list_clear(list);
            return false;
        }
        add_seat(list, id, *at);
    }
    return true;
}

bool seat_list_diff(const struct seat_list *before, const struct seat_list *after, size_t most,
                    struct buf *out)
{
    const size_t start = out->len;
    size_t changed = 0;
    if (before->layout != after->layout || before->count != after->count ||
        (after->count && memcmp(before->ids, after->ids, after->count * sizeof(*after->ids)) != 0))
        return false;
    buf_add_char(out, '[');
    for (size_t i = 0; i < after->count; i++) {
        const char status = after->statuses[i];
        if (before->statuses[i] == status)
            continue;
        if (changed++ == most) {
            buf_truncate(out, start);
            return false;
        }
        if (changed > 1)
            buf_add_char(out, ',');
        buf_add_str(out, "{\"id\":\"");
        buf_add_uint(out, after->ids[i]);
        buf_add_str(out, "\",\"status\":\"");
        buf_add_str(out, status == 'a'   ? "available"
                         : status == 'h' ? "held"
                         : status == 'b' ? "blocked"
                                         : "sold");
        buf_add_str(out, "\"}");
    }
    buf_add_char(out, ']');
    return true;
}
