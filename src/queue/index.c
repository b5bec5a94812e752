/* SPDX-License-Identifier: MIT */
/*
 * index: the rank index: decodes the text that lua/index.lua writes, and turns places into positions.
 *
 * Why this way: the text is short and is decoded once a second per event. Positions are needed thousands of times a
 * second, and each costs only a binary search in memory.
 * Called by: catalog, processor (decode), api_queue, gateway (position). Pure: owns only what it returns.
 * Invariant: a decoded index has samples ascending in rank and place, the first at rank 0, and the whole text was
 * read; else it is refused.
 */
#include "queue/index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define FORMAT      1
#define SAMPLES_MAX 100000

/* ---- decode ---- */

struct cursor {
    const char *at, *end;
    bool failed;
};

/* Reads the next word, of at most `size` - 1 bytes, and skips the space or line end after it. */
static void read_word(struct cursor *cursor, char *word, size_t size)
{
    size_t len = 0;
    while (cursor->at < cursor->end && *cursor->at != ' ' && *cursor->at != '\n' && len < size - 1)
        word[len++] = *cursor->at++;
    word[len] = '\0';
    if (len == 0 || cursor->at == cursor->end || (*cursor->at != ' ' && *cursor->at != '\n'))
        cursor->failed = true;
    else
        cursor->at++;
}

/* Reads decimal digits, and skips the byte `stop` after them. */
static uint64_t read_until(struct cursor *cursor, char stop)
{
    uint64_t value = 0;
    const char *start = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        unsigned digit = (unsigned)(*cursor->at++ - '0');
        if (value > (UINT64_MAX - digit) / 10)
            cursor->failed = true;
        value = value * 10 + digit;
    }
    if (cursor->at == start || cursor->at == cursor->end || *cursor->at != stop)
        cursor->failed = true;
    else
        cursor->at++;
    return value;
}

static uint64_t read_uint(struct cursor *cursor)
{
    return read_until(cursor, ' ');
}

static double read_real(struct cursor *cursor)
{
    char word[64];
    char *end = word;
    read_word(cursor, word, sizeof(word));
    double value = strtod(word, &end);
    if (*end || !isfinite(value) || value < 0)
        cursor->failed = true;
    return value;
}

static void read_head(struct cursor *cursor, struct rank_index *index)
{
    char status[16];
    if (read_uint(cursor) != FORMAT)
        cursor->failed = true;
    index->version = read_uint(cursor);
    index->epoch = read_uint(cursor);
    read_word(cursor, status, sizeof(status));
    if (event_status_parse(status, &index->status) != ST_OK)
        cursor->failed = true;
    index->restoring = read_uint(cursor) != 0;
    index->queue_size = read_uint(cursor);
    index->active = read_uint(cursor);
    index->threshold = read_uint(cursor);
    index->seq = read_uint(cursor);
    index->time_ms = (int64_t)(read_uint(cursor) & INT64_MAX);
    index->seats_left = UINT64_MAX;
    if (cursor->end - cursor->at > 1 && cursor->at[0] == '-' && cursor->at[1] == ' ')
        cursor->at += 2;
    else
        index->seats_left = read_uint(cursor);
    index->admitted = read_uint(cursor);
    index->rate_mean = read_real(cursor);
    index->rate_spread = read_real(cursor);
    index->rate_ticks = read_uint(cursor);
    index->count = read_until(cursor, '\n');
    if (index->count > SAMPLES_MAX || (index->count == 0) != (index->queue_size == 0))
        cursor->failed = true;
}

static void read_samples(struct cursor *cursor, struct rank_index *index)
{
    struct index_sample before = {0, 0};
    for (size_t i = 0; i < index->count && !cursor->failed; i++) {
        uint64_t rank = read_until(cursor, ',');
        uint64_t place = read_until(cursor, i + 1 < index->count ? ' ' : '\n');
        /* These are differences to the sample before: the first rank is 0, every other is more. */
        if ((rank == 0) != (i == 0) || place == 0 || rank > UINT64_MAX - before.rank ||
            place > UINT64_MAX - before.place)
            cursor->failed = true;
        before.rank += rank;
        before.place += place;
        index->samples[i] = before;
    }
    if (index->count > 0 && before.rank >= index->queue_size)
        cursor->failed = true;
    if (index->count == 0 && cursor->at < cursor->end && *cursor->at == '\n')
        cursor->at++; /* skips the second line, which is empty */
}

enum status index_decode(const char *text, size_t len, struct rank_index **ret_index)
{
    struct cursor cursor = {.at = text, .end = text + len};
    struct rank_index *index = xcalloc(1, sizeof(*index));
    read_head(&cursor, index);
    if (!cursor.failed) {
        index->samples = xcalloc(index->count + 1, sizeof(*index->samples));
        read_samples(&cursor, index);
    }
    if (cursor.failed || cursor.at != cursor.end) {
        index_free(index);
        return ST_INVALID;
    }
    *ret_index = index;
    return ST_OK;
}

void index_free(struct rank_index *index)
{
    if (!index)
        return;
    free(index->samples);
    free(index);
}

/* ---- position ---- */

/* How many samples are at or before `place`. */
static size_t samples_up_to(const struct rank_index *index, uint64_t place)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->samples[middle].place <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum index_where index_position(const struct rank_index *index, uint64_t place,
                                uint64_t *ret_position)
{
    size_t after = samples_up_to(index, place);
    *ret_position = 1;
    if (index->count == 0) /* nobody waits: the buyers of all places are inside, gone or parked */
        return place <= index->seq ? INDEX_AHEAD : INDEX_BEYOND;
    if (after == 0 || place == index->samples[0].place)
        return INDEX_AHEAD;
    const struct index_sample *left = &index->samples[after - 1];
    if (place == left->place) {
        *ret_position = left->rank + 1;
        return INDEX_EXACT;
    }
    *ret_position = left->rank + 2; /* one position behind that sample */
    if (after == index->count)
        return INDEX_BEYOND;
    const struct index_sample *right = &index->samples[after];
    if (right->rank - left->rank == 1)
        return INDEX_EXACT; /* the place is not in the queue, and would be between two neighbours */
    /* Interpolates between the ranks of the two samples. */
    double share = (double)(place - left->place) / (double)(right->place - left->place);
    double rank = (double)left->rank + share * (double)(right->rank - left->rank);
    uint64_t position = (uint64_t)llround(rank) + 1;
    *ret_position = position < left->rank + 2 ? left->rank + 2
                    : position > right->rank  ? right->rank
                                              : position;
    return INDEX_NEAR;
}
