/* SPDX-License-Identifier: MIT */
/* queue_channel: a message is split at its head; what has another form is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/queue.h"

#include <stdio.h>
#include <string.h>

static enum status read_text(const char *text, struct queue_message *message)
{
    return queue_message_read(text, strlen(text), message);
}

static void the_head_is_read_and_the_payload_is_left_alone(void **state)
{
    struct queue_message message;
    (void)state;
    assert_int_equal(
        read_text("{\"eventId\":\"rock-24\",\"event\":\"admitted\",\"payload\":{\"buyers\":[}}}",
                  &message),
        ST_OK);
    assert_string_equal(message.event, "rock-24");
    assert_string_equal(message.kind, "admitted");
    assert_int_equal(message.len, strlen("{\"buyers\":[}}"));
    assert_memory_equal(message.payload, "{\"buyers\":[}}", message.len);
}

static void another_form_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{\"eventId\":\"a\"",
        "{\"eventId\":\"a\",\"event\":\"k\"}",
        "{\"eventId\":\"a\",\"event\":\"k\",\"payload\":",
        "{\"eventId\":\"\",\"event\":\"k\",\"payload\":{}}",
        "{\"eventId\":\"a b\",\"event\":\"k\",\"payload\":{}}",
        "{\"eventId\":\"a\",\"event\":\"\",\"payload\":{}}",
        "{\"eventId\":\"a\", \"event\":\"k\",\"payload\":{}}",
        "{\"event\":\"k\",\"payload\":{\"eventId\":\"a\"}}",
        "{\"eventId\":\"a\",\"event\":\"a-kind-of-more-than-thirty-one-bytes\",\"payload\":{}}",
    };
    struct queue_message message = {.len = 7};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(read_text(texts[i], &message), ST_INVALID);
    assert_int_equal(message.len, 7);
}

static void an_id_has_64_bytes_at_most(void **state)
{
    char text[256], id[EVENT_ID_MAX + 2];
    struct queue_message message;
    (void)state;
    memset(id, 'e', sizeof(id));
    id[EVENT_ID_MAX + 1] = '\0';
    (void)snprintf(text, sizeof(text), "{\"eventId\":\"%s\",\"event\":\"k\",\"payload\":{}}", id);
    assert_int_equal(read_text(text, &message), ST_INVALID);
    (void)snprintf(text, sizeof(text), "{\"eventId\":\"%s\",\"event\":\"k\",\"payload\":{}}",
                   id + 1);
    assert_int_equal(read_text(text, &message), ST_OK);
    assert_string_equal(message.event, id + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_is_read_and_the_payload_is_left_alone),
        cmocka_unit_test(another_form_is_refused),
        cmocka_unit_test(an_id_has_64_bytes_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
