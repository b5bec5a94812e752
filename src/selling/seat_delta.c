/* SPDX-License-Identifier: MIT */
/*
 * seat_delta: which seats two maps of one hall differ in.
 *
 * Why this way: a map of 20,000 seats is 2 MB; parsed into a DOM once a second it would cost more than
 * all sockets together. Its text has one form (seat_map_text in sql/functions/seat.sql), and quotes inside of names are
 * escaped, so `{"id":"` begins a seat and nothing else does.
 * Called by: the gateway. Pure.
 */
#include "selling/seat_delta.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char begins[] = "{\"id\":\"";
static const char states[] = "\"status\":\"";

void seat_list_clear(struct seat_list *list)
{
    free(list->ids);
    free(list->statuses);
    *list = (struct seat_list){0};
}

static void list_add(struct seat_list *list, uint64_t id, char status)
{
    if ((list->count & (list->count - 1)) == 0) { /* a power of two: full, or empty */
        const size_t cap = list->count ? 2 * list->count : 1;
        list->ids = xrealloc(list->ids, cap * sizeof(*list->ids));
        list->statuses = xrealloc(list->statuses, cap);
    }
    list->ids[list->count] = id;
    list->statuses[list->count++] = status;
}

static uint64_t read_id(const char **at, const char *end)
{
    uint64_t id = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        id = 10 * id + (uint64_t)(**at - '0');
    return id;
}

/* What follows the next `word`, which may be the end; NULL: there is none. */
static const char *after(const char *at, const char *end, const char *word, size_t len)
{
    const char *found = at < end ? memmem(at, (size_t)(end - at), word, len) : NULL;
    return found != NULL ? found + len : NULL;
}

bool seat_list_read(struct seat_list *list, const char *map, size_t len)
{
    const char *at = map, *end = map + len;
    *list = (struct seat_list){0};
    while ((at = after(at, end, begins, sizeof(begins) - 1)) != NULL) {
        const uint64_t id = read_id(&at, end);
        at = after(at, end, states, sizeof(states) - 1);
        if (id == 0 || at == NULL || at == end) {
            seat_list_clear(list);
            return false;
        }
        list_add(list, id, *at);
    }
    return true;
}

static const char *status_word(char letter)
{
    return letter == 'a' ? "available" : letter == 'h' ? "held" : "sold";
}

bool seat_list_diff(const struct seat_list *was, const struct seat_list *now, size_t most,
                    struct buf *out)
{
    const size_t before = out->len;
    size_t found = 0;
    if (was->count != now->count ||
        (now->count && memcmp(was->ids, now->ids, now->count * sizeof(*now->ids)) != 0))
        return false;
    buf_add_char(out, '[');
    for (size_t i = 0; i < now->count; i++) {
        if (was->statuses[i] == now->statuses[i])
            continue;
        if (found++ == most) {
            buf_truncate(out, before);
            return false;
        }
        if (found > 1)
            buf_add_char(out, ',');
        buf_add_str(out, "{\"id\":\"");
        buf_add_uint(out, now->ids[i]);
        buf_add_str(out, "\",\"status\":\"");
        buf_add_str(out, status_word(now->statuses[i]));
        buf_add_str(out, "\"}");
    }
    buf_add_char(out, ']');
    return true;
}
