/* SPDX-License-Identifier: MIT */
/*
 * seat_rows: a map of a hall in its short form.
 *
 * Why this way: a hall of 20,000 seats is 2 MB of JSON and 150 KB compressed, three seconds of a slow phone's network; in
 * this form it is 50 KB, and 10 KB compressed. The scan costs less than compressing the long form would. As in
 * seat_delta, the form of the text is known, and quotes within names are escaped, so that the words between the
 * values occur nowhere else.
 * Called by: seat_map, once for each version that is asked for. Pure; fuzzed by test/fuzz/fuzz_seat_delta.c.
 */
#include "selling/seat_rows.h"

#include <stdint.h>
#include <string.h>

#define ID_DIGITS     18
#define NUMBER_DIGITS 9

struct span {
    const char *at;
    size_t len;
};

struct seat {
    uint64_t id, number;
    struct span section, row, price, currency; /* the first two are JSON texts, with their quotes */
    char status;
};

static bool same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Takes what stands before the next `word` as the value, and moves behind the word. */
static bool take(const char **at, const char *end, const char *word, struct span *ret)
{
    const char *found = memmem(*at, (size_t)(end - *at), word, strlen(word));
    if (!found)
        return false;
    *ret = (struct span){*at, (size_t)(found - *at)};
    *at = found + strlen(word);
    return true;
}

static bool read_number(struct span digits, size_t most, uint64_t *ret)
{
    if (digits.len == 0 || digits.len > most)
        return false;
    *ret = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        *ret = 10 * *ret + (uint64_t)(digits.at[i] - '0');
    }
    return true;
}

static bool read_seat(const char **at, const char *end, struct seat *ret)
{
    struct span id, number, status;
    uint64_t price;
    if (!take(at, end, "\",\"section\":", &id) || !take(at, end, ",\"row\":", &ret->section) ||
        !take(at, end, ",\"number\":", &ret->row) || !take(at, end, ",\"price\":", &number) ||
        !take(at, end, ",\"currency\":", &ret->price) ||
        !take(at, end, ",\"status\":\"", &ret->currency) || !take(at, end, "\"}", &status) ||
        status.len == 0)
        return false;
    ret->status = *status.at;
    return read_number(id, ID_DIGITS, &ret->id) &&
           read_number(number, NUMBER_DIGITS, &ret->number) &&
           read_number(ret->price, ID_DIGITS, &price) && ret->section.len >= 2 &&
           ret->row.len >= 2 && ret->currency.len == strlen("\"EUR\"") &&
           (ret->status == 'a' || ret->status == 'h' || ret->status == 's' || ret->status == 'b');
}

static bool follows(const struct seat *before, const struct seat *seat)
{
    return seat->id == before->id + 1 && seat->number == before->number + 1 &&
           same(seat->row, before->row) && same(seat->section, before->section) &&
           same(seat->price, before->price);
}

static void begin_run(struct buf *out, const struct seat *seat)
{
    buf_add_char(out, '[');
    buf_add(out, seat->section.at, seat->section.len);
    buf_add_char(out, ',');
    buf_add(out, seat->row.at, seat->row.len);
    buf_add_char(out, ',');
    buf_add_uint(out, seat->number);
    buf_add_char(out, ',');
    buf_add(out, seat->price.at, seat->price.len);
    buf_add_str(out, ",\"");
    buf_add_uint(out, seat->id);
    buf_add_str(out, "\",\"");
}

static bool add_runs(const char *at, const char *end, struct buf *out)
{
    static const char seat_word[] = "{\"id\":\"";
    struct seat seat, before = {0};
    struct span between;
    bool first = true;
    while (take(&at, end, seat_word, &between)) {
        if (!read_seat(&at, end, &seat))
            return false;
        if (first) {
            buf_add_str(out, ",\"currency\":");
            buf_add(out, seat.currency.at, seat.currency.len);
            buf_add_str(out, ",\"rows\":[");
        } else if (!same(seat.currency, before.currency)) {
            return false;
        }
        if (first || !follows(&before, &seat)) {
            if (!first)
                buf_add_str(out, "\"],");
            begin_run(out, &seat);
        }
        buf_add_char(out, seat.status);
        before = seat;
        first = false;
    }
    buf_add_str(out, first ? ",\"rows\":[]}" : "\"]]}");
    return true;
}

bool seat_rows_write(const char *map, size_t len, struct buf *out)
{
    static const char start[] = "{\"version\":";
    const size_t before = out->len;
    const char *at = map, *end = map + len;
    struct span none, version, layout;
    uint64_t number;
    if (take(&at, end, start, &none) && none.len == 0 && take(&at, end, ",\"layout\":", &version) &&
        read_number(version, ID_DIGITS, &number) && take(&at, end, ",\"seats\":[", &layout) &&
        read_number(layout, ID_DIGITS, &number)) {
        buf_add_str(out, start);
        buf_add(out, version.at, version.len);
        buf_add_str(out, ",\"layout\":");
        buf_add(out, layout.at, layout.len);
        if (add_runs(at, end, out))
            return true;
    }
    buf_truncate(out, before);
    return false;
}
