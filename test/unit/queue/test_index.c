/* SPDX-License-Identifier: MIT */
/* The rank index: decoding the text of lua/index.lua, and positions from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/index.h"

#define BASE 1790000000000000u

static struct rank_index *decode(const char *text)
{
    struct rank_index *index = NULL;
    size_t len = strlen(text);
    char *copy = malloc(len); /* exactly as long: reading past the end shows under ASan */
    assert_non_null(copy);
    memcpy(copy, text, len);
    enum status st = index_decode(copy, len, &index);
    free(copy);
    assert_true(st == ST_OK ? index != NULL : st == ST_INVALID && index == NULL);
    return index;
}

static void assert_at(const struct rank_index *index, uint64_t place, enum index_where where,
                      uint64_t position)
{
    uint64_t found = 0;
    assert_int_equal(index_position(index, place, &found), where);
    assert_int_equal(found, position);
}

static void reads_every_field(void **state)
{
    (void)state;
    struct rank_index *index =
        decode("1 7 3 sold_out 1 12 34 56 1790000000000999 1790000000123 789 42 1.500000 0.250000 "
               "9 2\n0,1790000000000000 11,500\n");
    assert_non_null(index);
    assert_int_equal(index->version, 7);
    assert_int_equal(index->epoch, 3);
    assert_int_equal(index->status, EVENT_SOLD_OUT);
    assert_true(index->restoring);
    assert_int_equal(index->queue_size, 12);
    assert_int_equal(index->active, 34);
    assert_int_equal(index->threshold, 56);
    assert_int_equal(index->seq, BASE + 999);
    assert_int_equal(index->time_ms, 1790000000123);
    assert_int_equal(index->seats_left, 789);
    assert_int_equal(index->admitted, 42);
    assert_true(index->rate_mean == 1.5 && index->rate_spread == 0.25);
    assert_int_equal(index->rate_ticks, 9);
    assert_int_equal(index->count, 2);
    assert_int_equal(index->samples[1].rank, 11);
    assert_int_equal(index->samples[1].place, BASE + 500);
    index_free(index);
}

static void an_empty_queue(void **state)
{
    (void)state;
    struct rank_index *index = decode("1 1 1 open 0 0 5 10 1790000000000000 1790000000000 - 5 0 0 "
                                      "0 0\n\n");
    assert_non_null(index);
    assert_int_equal(index->seats_left, UINT64_MAX);
    assert_at(index, BASE - 1, INDEX_AHEAD, 1);
    assert_at(index, BASE, INDEX_AHEAD, 1);
    assert_at(index, BASE + 1, INDEX_BEYOND, 1);
    index_free(index);
    index_free(NULL);
}

static void positions(void **state)
{
    (void)state;
    /* ranks 0, 1, 2 exactly, then 102 and 202 */
    struct rank_index *index =
        decode("1 1 1 open 0 203 5 10 1790000000099999 1790000000000 - 5 0 0 "
               "0 5\n0,1790000000000000 1,10 1,10 100,1000 100,3000\n");
    assert_non_null(index);
    assert_at(index, BASE - 1, INDEX_AHEAD, 1);
    assert_at(index, BASE, INDEX_AHEAD, 1);
    assert_at(index, BASE + 10, INDEX_EXACT, 2);
    assert_at(index, BASE + 20, INDEX_EXACT, 3);
    assert_at(index, BASE + 15, INDEX_EXACT, 3);  /* between two neighbours */
    assert_at(index, BASE + 21, INDEX_NEAR, 4);   /* right behind rank 2 */
    assert_at(index, BASE + 520, INDEX_NEAR, 53); /* half way to rank 102 */
    assert_at(index, BASE + 1019, INDEX_NEAR, 102);
    assert_at(index, BASE + 1020, INDEX_EXACT, 103);
    assert_at(index, BASE + 2520, INDEX_NEAR, 153);
    assert_at(index, BASE + 4020, INDEX_EXACT, 203);
    assert_at(index, BASE + 4021, INDEX_BEYOND, 204);
    index_free(index);
}

static void a_later_place_is_never_ahead(void **state)
{
    (void)state;
    struct rank_index *index = decode("1 1 1 open 0 5002 5 10 1790000000099999 1790000000000 - 5 0 "
                                      "0 0 4\n0,1790000000000000 1,1 4000,123457 1000,999\n");
    uint64_t before = 0;
    for (uint64_t place = BASE - 5; place < BASE + 130000; place += 3) {
        uint64_t position = 0;
        (void)index_position(index, place, &position);
        assert_true(position >= before && position <= 5003);
        before = position;
    }
    index_free(index);
}

static void refuses_what_is_malformed(void **state)
{
    (void)state;
    static const char good[] =
        "1 1 1 open 0 3 5 10 1790000000000020 1790000000000 - 5 1.5 0.5 3 3\n0,1790000000000000 "
        "1,10 1,10\n";
    static const char *const bad[] = {
        "",
        "\n",
        "1\n",
        "2 1 1 open 0 0 5 10 1 1 - 5 0 0 0 0\n\n",   /* another format */
        "1 1 1 opened 0 0 5 10 1 1 - 5 0 0 0 0\n\n", /* no such status */
        "1 -1 1 open 0 0 5 10 1 1 - 5 0 0 0 0\n\n",
        "1 99999999999999999999 1 open 0 0 5 10 1 1 - 5 0 0 0 0\n\n",
        "1 1 1 open 0 0 5 10 1 1 - 5 nan 0 0 0\n\n",
        "1 1 1 open 0 0 5 10 1 1 - 5 0 inf 0 0\n\n",
        "1 1 1 open 0 0 5 10 1 1 - 5 -1 0 0 0\n\n",
        "1 1 1 open 0 0 5 10 1 1 - 5 0 0 0 99999999\n\n",
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 0\n\n",         /* someone waits, no sample */
        "1 1 1 open 0 0 5 10 1 1 - 5 0 0 0 1\n0,5\n",      /* nobody waits, one sample */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5\n",      /* one sample short */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 1\n0,5 1,5\n",  /* one too many */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 1\n1,5\n",      /* not from the head */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5 0,5\n",  /* the same rank */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5 1,0\n",  /* the same place */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5 3,5\n",  /* a rank past the end */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5 -1,5\n", /* backwards */
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 2\n0,5 1,18446744073709551615\n",
        "1 1 1 open 0 3 5 10 1 1 - 5 0 0 0 1\n0,5\nmore",
    };
    struct rank_index *index = decode(good);
    assert_non_null(index);
    index_free(index);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (decode(bad[i]) != NULL)
            fail_msg("accepted: %s", bad[i]);
    char part[sizeof(good)];
    for (size_t len = 0; len + 1 < sizeof(good) - 1; len++) {
        memcpy(part, good, len);
        part[len] = '\0';
        assert_null(decode(part));
    }
}

static void any_byte_changed_does_no_harm(void **state)
{
    (void)state;
    static const char good[] =
        "1 1 1 open 0 3 5 10 1790000000000020 1790000000000 - 5 1.5 0.5 3 3\n0,1790000000000000 "
        "1,10 1,10\n";
    char text[sizeof(good)];
    for (size_t i = 0; i + 1 < sizeof(good); i++)
        for (int byte = 1; byte < 256; byte++) {
            memcpy(text, good, sizeof(good));
            text[i] = (char)byte;
            struct rank_index *index = decode(text);
            if (!index)
                continue;
            uint64_t position;
            (void)index_position(index, BASE + 15, &position);
            index_free(index);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(an_empty_queue),
        cmocka_unit_test(positions),
        cmocka_unit_test(a_later_place_is_never_ahead),
        cmocka_unit_test(refuses_what_is_malformed),
        cmocka_unit_test(any_byte_changed_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
