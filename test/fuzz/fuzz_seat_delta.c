/* SPDX-License-Identifier: MIT */
/* seat_delta, seat_rows: two lines are two maps: each is read or refused, by both, and a difference is JSON that names changed
 * seats only. */
#include "fuzz.h"

#include "base/json.h"
#include "selling/seat_delta.h"
#include "selling/seat_rows.h"

/* The short form is whole, or the text is refused and nothing was written. */
static void check_rows(const char *map, size_t len)
{
    struct buf out;
    buf_init(&out, (size_t)8 << 20);
    if (seat_rows_write(map, len, &out))
        check(out.len > 2 && memcmp(out.data + out.len - 2, "]}", 2) == 0);
    else
        check(out.len == 0);
    buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seat_list lists[2] = {{0}, {0}};
    const char *line;
    size_t len;
    bool read[2] = {true, true};
    for (int i = 0; i < 2 && next_line(&data, &size, &line, &len); i++) {
        char *copy = malloc(len > 0 ? len : 1); /* of exactly that size */
        check(copy);
        memcpy(copy, line, len);
        read[i] = seat_list_read(&lists[i], copy, len);
        check(read[i] || lists[i].count == 0);
        check_rows(copy, len);
        free(copy);
    }
    struct buf out;
    buf_init(&out, (size_t)8 << 20);
    for (size_t most = 0; most < 3; most++) {
        buf_reset(&out);
        buf_add_str(&out, "x");
        if (!seat_list_diff(&lists[0], &lists[1], most, &out)) {
            check(strcmp(buf_str(&out), "x") == 0);
            continue;
        }
        struct json_error error;
        struct json *changed = json_parse(out.data + 1, out.len - 1, out.len, &error);
        check(changed && json_array_len(changed) <= most && lists[0].count == lists[1].count);
        json_free(changed);
    }
    buf_clear(&out);
    seat_list_clear(&lists[0]);
    seat_list_clear(&lists[1]);
    return 0;
}
