/* SPDX-License-Identifier: MIT */
/* dial_frame: frames that are whole, cut anywhere, fragmented, too large or broken. */
#include "client/dial_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct received {
    char text[4096]; /* "opcode:data;" for each message */
    size_t len;
    unsigned stop_after; /* 0: never */
    unsigned count;
};

static bool receive(void *arg, enum dial_opcode opcode, const char *data, size_t len)
{
    struct received *received = arg;
    received->len +=
        (size_t)snprintf(received->text + received->len, sizeof(received->text) - received->len,
                         "%d:%.*s;", (int)opcode, (int)(len < 64 ? len : 64), data);
    return ++received->count != received->stop_after;
}

static struct dial_frames *frames;

static int set_up(void **state)
{
    (void)state;
    frames = dial_frames_new(7);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dial_frames_free(frames);
    return 0;
}

static size_t put(char *out, int first, const char *data, size_t len)
{
    size_t at = 0;
    out[at++] = (char)first;
    if (len < 126) {
        out[at++] = (char)len;
    } else {
        out[at++] = 126;
        out[at++] = (char)(len >> 8);
        out[at++] = (char)(len & 0xff);
    }
    memcpy(out + at, data, len);
    return at + len;
}

enum { FIN = 0x80 };

/* A message, a ping, a long message, an empty one, one of three fragments, a close frame. */
static size_t conversation(char *out)
{
    char longer[300];
    size_t at = put(out, FIN | 1, "{}", 2);
    memset(longer, 'x', sizeof(longer));
    at += put(out + at, FIN | 9, "hi", 2);
    at += put(out + at, FIN | 1, longer, sizeof(longer));
    at += put(out + at, FIN | 1, "", 0);
    at += put(out + at, 1, "one ", 4);
    at += put(out + at, 0, "two ", 4);
    at += put(out + at, FIN | 0, "three", 5);
    at += put(out + at, FIN | 8, "\x03\xe9", 2);
    return at;
}

static const char *expected(void)
{
    static char text[200];
    char longer[65];
    memset(longer, 'x', 64);
    longer[64] = '\0';
    (void)snprintf(text, sizeof(text), "1:{};9:hi;1:%s;1:;1:one two three;8:\x03\xe9;", longer);
    return text;
}

static void frames_cut_anywhere_read_the_same(void **state)
{
    (void)state;
    char wire[1024];
    const size_t len = conversation(wire);
    for (size_t step = 1; step <= len; step++) {
        struct dial_reader *reader = NULL;
        struct received received = {0};
        for (size_t at = 0; at < len; at += step) {
            const size_t part = len - at < step ? len - at : step;
            assert_int_equal(dial_frame_read(frames, &reader, wire + at, part, receive, &received),
                             ST_OK);
        }
        assert_string_equal(received.text, expected());
        assert_null(reader); /* no message is unfinished: the parser is back in the pool */
    }
}

static void a_reader_is_kept_only_within_a_frame(void **state)
{
    (void)state;
    struct dial_reader *reader = NULL;
    struct received received = {0};
    char wire[64];
    const size_t len = put(wire, FIN | 1, "abc", 3);
    assert_int_equal(dial_frame_read(frames, &reader, wire, len, receive, &received), ST_OK);
    assert_null(reader);
    assert_int_equal(dial_frame_read(frames, &reader, wire, len - 1, receive, &received), ST_OK);
    assert_non_null(reader);
    assert_int_equal(received.count, 1);
    assert_int_equal(dial_frame_read(frames, &reader, wire + len - 1, 1, receive, &received),
                     ST_OK);
    assert_null(reader);
    assert_int_equal(received.count, 2);
}

static void the_callback_can_stop_between_messages(void **state)
{
    (void)state;
    struct dial_reader *reader = NULL;
    struct received received = {.stop_after = 1};
    char wire[64];
    size_t len = put(wire, FIN | 1, "a", 1);
    len += put(wire + len, FIN | 1, "b", 1);
    assert_int_equal(dial_frame_read(frames, &reader, wire, len, receive, &received), ST_OK);
    assert_string_equal(received.text, "1:a;");
    assert_non_null(reader);
    dial_reader_free(reader);
}

static void a_control_frame_between_fragments_is_refused(void **state)
{
    (void)state;
    struct dial_reader *reader = NULL;
    struct received received = {0};
    char wire[64];
    size_t len = put(wire, 1, "a", 1);
    len += put(wire + len, FIN | 9, "", 0);
    assert_int_equal(dial_frame_read(frames, &reader, wire, len, receive, &received), ST_INVALID);
    dial_reader_free(reader);
}

static void a_message_has_a_limit(void **state)
{
    (void)state;
    struct dial_reader *reader = NULL;
    struct received received = {0};
    const char huge[] = {(char)(FIN | 1), 127, 0, 0, 0, 0, 0, 2, 0, 0, 'x'};
    assert_int_equal(dial_frame_read(frames, &reader, huge, sizeof(huge), receive, &received),
                     ST_TOO_LARGE);
    dial_reader_free(reader);
}

static void other_bytes_are_refused(void **state)
{
    (void)state;
    struct dial_reader *reader = NULL;
    struct received received = {0};
    const char bytes[] = "\xf3\x05HTTP/1.1 200 OK";
    assert_int_not_equal(
        dial_frame_read(frames, &reader, bytes, sizeof(bytes) - 1, receive, &received), ST_OK);
    dial_reader_free(reader);
}

static void written_frames_can_be_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 1000, DIAL_MESSAGE_MAX};
    char *text = calloc(1, DIAL_MESSAGE_MAX + 1);
    memset(text, 'y', DIAL_MESSAGE_MAX);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct dial_reader *reader = NULL;
        struct received received = {0};
        size_t len = 0;
        const char *frame = dial_frame_write(frames, DIAL_TEXT, text, sizes[i], &len);
        assert_true(len > sizes[i] + 5);
        assert_true((unsigned char)frame[1] & 0x80); /* a client masks */
        char *copy = malloc(len);
        memcpy(copy, frame, len);
        assert_int_equal(dial_frame_read(frames, &reader, copy, len, receive, &received), ST_OK);
        assert_int_equal(received.count, 1);
        assert_null(reader);
        free(copy);
    }
    free(text);
}

#define CHECK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(frames_cut_anywhere_read_the_same),
        CHECK(a_reader_is_kept_only_within_a_frame),
        CHECK(the_callback_can_stop_between_messages),
        CHECK(a_control_frame_between_fragments_is_refused),
        CHECK(a_message_has_a_limit),
        CHECK(other_bytes_are_refused),
        CHECK(written_frames_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
