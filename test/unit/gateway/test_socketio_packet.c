/* SPDX-License-Identifier: MIT */
/* socketio_packet: what a client may send, which handshakes are answered with which error, and our messages framed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/socketio_packet.h"

static void test_packets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum socketio_kind kind;
        const char *space, *ack, *data;
    } cases[] = {
        {"1", SOCKETIO_CLOSE, "", "", ""},
        {"3", SOCKETIO_PONG, "", "", ""},
        {"40", SOCKETIO_CONNECT, "/", "", ""},
        {"40{\"token\":\"x\"}", SOCKETIO_CONNECT, "/", "", "{\"token\":\"x\"}"},
        {"40/,{}", SOCKETIO_CONNECT, "/", "", "{}"},
        {"40/admin", SOCKETIO_CONNECT, "/admin", "", ""},
        {"40/admin,{\"a\":1}", SOCKETIO_CONNECT, "/admin", "", "{\"a\":1}"},
        {"41", SOCKETIO_DISCONNECT, "/", "", ""},
        {"41/admin,", SOCKETIO_DISCONNECT, "/admin", "", ""},
        {"42[\"heartbeat\"]", SOCKETIO_EVENT, "/", "", "[\"heartbeat\"]"},
        {"420[\"x\",{}]", SOCKETIO_EVENT, "/", "0", "[\"x\",{}]"},
        {"42123456789012345[\"x\"]", SOCKETIO_EVENT, "/", "123456789012345", "[\"x\"]"},
        {"42/admin,7[\"x\"]", SOCKETIO_EVENT, "/admin", "7", "[\"x\"]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct socketio_packet packet;
        socketio_read(cases[i].text, strlen(cases[i].text), &packet);
        assert_int_equal(packet.kind, cases[i].kind);
        assert_int_equal(packet.space_len, strlen(cases[i].space));
        assert_memory_equal(packet.space_len ? packet.space : "", cases[i].space, packet.space_len);
        assert_int_equal(packet.ack_len, strlen(cases[i].ack));
        assert_memory_equal(packet.ack_len ? packet.ack : "", cases[i].ack, packet.ack_len);
        assert_int_equal(packet.data_len, strlen(cases[i].data));
        assert_memory_equal(packet.data_len ? packet.data : "", cases[i].data, packet.data_len);
    }
}

static void test_wrong_packets(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "0",
        "0{}",
        "2",
        "2probe",
        "3probe",
        "11",
        "4",
        "5",
        "6",
        "7",
        "b4AQID",
        "43[]",
        "430[]",
        "44",
        "44{}",
        "45",
        "451-[{\"_placeholder\":true,\"num\":0}]",
        "46",
        "42",
        "42{}",
        "42\"x\"",
        "42abc[\"x\",1]",
        "42/admin",
        "42/admin,",
        "42-1[\"x\"]",
        "421234567890123456[\"x\"]",
        "40[]",
        "400{}",
        "40\"x\"",
        "411",
        "41{}",
        "40/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,{}",
        "hello",
        "{\"event\":\"join-queue\"}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct socketio_packet packet;
        socketio_read(wrong[i], strlen(wrong[i]), &packet);
        if (packet.kind != SOCKETIO_WRONG)
            fail_msg("%s was read as %d", wrong[i], (int)packet.kind);
    }
}

static void test_handshakes(void **state)
{
    (void)state;
    static const struct {
        const char *method, *query, *error; /* error NULL: it is right */
    } cases[] = {
        {"GET", "EIO=4&transport=websocket", NULL},
        {"GET", "transport=websocket&t=abc&EIO=4", NULL},
        {"GET", "EIO=4&transport=polling", "{\"code\":0,\"message\":\"Transport unknown\"}"},
        {"POST", "EIO=4&transport=polling&sid=x", "{\"code\":0,"},
        {"OPTIONS", "EIO=4&transport=polling", "{\"code\":0,"},
        {"GET", "EIO=4", "{\"code\":0,"},
        {"GET", "", "{\"code\":0,"},
        {"GET", "EIO=4&transport=websocket2", "{\"code\":0,"},
        {"GET", "EIO=4&transport=webtransport", "{\"code\":0,"},
        {"GET", "EIO=4&transport=websocket&sid=abc", "{\"code\":1,"},
        {"POST", "EIO=4&transport=websocket", "{\"code\":2,"},
        {"GET", "transport=websocket", "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
        {"GET", "EIO=3&transport=websocket", "{\"code\":5,"},
        {"GET", "EIO=44&transport=websocket", "{\"code\":5,"},
        {"GET", "EIO=3&EIO=4&transport=websocket", "{\"code\":5,"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *refusal = socketio_refuse(cases[i].method, cases[i].query);
        if (!cases[i].error) {
            assert_null(refusal);
            continue;
        }
        assert_non_null(refusal);
        assert_memory_equal(refusal, "HTTP/1.1 400 Bad Request\r\n", 26);
        const char *body = strstr(refusal, "\r\n\r\n");
        assert_non_null(body);
        assert_memory_equal(body + 4, cases[i].error, strlen(cases[i].error));
    }
}

static void test_frames(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"event\":\"heartbeat-ack\",\"payload\":{}}", "42[\"heartbeat-ack\",{}]"},
        {"{\"event\":\"message\",\"payload\":{\"text\":\"a\\\"}]\"}}",
         "42[\"message\",{\"text\":\"a\\\"}]\"}]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[128];
        const size_t len = socketio_frame(cases[i][0], strlen(cases[i][0]), out);
        assert_int_equal(len, strlen(cases[i][1]));
        assert_memory_equal(out, cases[i][1], len);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_wrong_packets),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
