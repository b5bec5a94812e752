/* SPDX-License-Identifier: MIT */
/* http_head: heads and chunks by tables, each read whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_head.h"

#define HOST "Host: x\r\n"

/* Reads text[0..len) whole and byte by byte, which must come to the same. */
static unsigned read_both(struct http_head *head, const char *text, size_t len)
{
    static struct http_head slow;
    unsigned status = 0;
    http_head_init(head);
    http_head_init(&slow);
    const unsigned whole = http_head_read(head, text, len);
    for (size_t n = 0; n <= len && status == 0; n++)
        status = http_head_read(&slow, text, n);
    assert_int_equal(status, whole);
    if (whole == HTTP_HEAD_COMPLETE) {
        assert_int_equal(slow.at, head->at);
        assert_int_equal(slow.field_count, head->field_count);
        assert_memory_equal(slow.fields, head->fields, head->field_count * sizeof(head->fields[0]));
    }
    return whole;
}

static struct http_head head;

static void is(const char *text, struct http_span span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(text + span.at, expected, span.len);
}

static void test_parts_of_a_head(void **state)
{
    (void)state;
    static const char text[] = "\r\nPATCH /a%2Fb?x=1&y HTTP/1.1\r\nHost:  h:1\t \r\nX-Empty:\r\n"
                               "Content-Length: 12\r\nConnection: Keep-Alive, x ,close\r\n"
                               "Expect: 100-Continue\r\nX-Utf8: \xed\x95\x9c\tb\r\n\r\nrest";
    assert_int_equal(read_both(&head, text, sizeof(text) - 1), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.at, sizeof(text) - 1 - 4);
    is(text, head.method, "PATCH");
    is(text, head.path, "/a%2Fb");
    is(text, head.query, "x=1&y");
    assert_int_equal(head.field_count, 6);
    is(text, head.fields[0].name, "Host");
    is(text, head.fields[0].value, "h:1");
    is(text, head.fields[1].value, "");
    is(text, head.fields[5].value, "\xed\x95\x9c\tb");
    assert_true(head.http11 && head.close && head.keep_alive && head.expects && head.has_length);
    assert_int_equal(head.length, 12);
    assert_false(head.chunked);
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query, *authority; /* path NULL: refused */
    } cases[] = {
        {"/", "/", "", ""},
        {"/?", "/", "", ""},
        {"/a?b?c", "/a", "b?c", ""},
        {"//a", "//a", "", ""},
        {"http://h:80/a?b", "/a", "b", "h:80"},
        {"HTTPS://h", "", "", "h"},
        {"http://h?b", "", "b", "h"},
        {"http://", NULL, NULL, NULL},
        {"http:///a", NULL, NULL, NULL},
        {"http://u@h/", NULL, NULL, NULL},
        {"ftp://h/", NULL, NULL, NULL},
        {"*", NULL, NULL, NULL},
        {"a", NULL, NULL, NULL},
        {"/a#b", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[100];
        const int len =
            snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", cases[i].target);
        const unsigned status = read_both(&head, text, (size_t)len);
        if (status != (cases[i].path ? HTTP_HEAD_COMPLETE : 400))
            fail_msg("%u: %s", status, cases[i].target);
        if (!cases[i].path)
            continue;
        is(text, head.path, cases[i].path);
        is(text, head.query, cases[i].query);
        is(text, head.authority, cases[i].authority);
    }
    static const char options[] = "OPTIONS * HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(read_both(&head, options, sizeof(options) - 1), HTTP_HEAD_COMPLETE);
    is(options, head.path, "*");
}

/* What may follow "GET / HTTP/1.1\r\nHost: x\r\n" and precede "\r\n". */
static void test_headers(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *lines;
    } cases[] = {
        {200, ""},
        {200, "CONTENT-LENGTH: 65536\r\n"},
        {200, "content-length:0\r\n"},
        {200, "transfer-encoding: Chunked\r\n"},
        {200, "Cookie: a\r\nCookie: b\r\n"},
        {200, "Expect: something-else\r\n"},
        {400, "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"},
        {400, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"},
        {400, "Content-Length: 5\r\nContent-Length: 5\r\n"},
        {400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"},
        {400, "Transfer-Encoding: gzip, chunked\r\n"},
        {400, "Transfer-Encoding: identity\r\n"},
        {400, "Transfer-Encoding:\r\n"},
        {400, "hOST: y\r\n"},
        {400, "Authorization: a\r\nAuthorization: b\r\n"},
        {400, "Origin: a\r\norigin: a\r\n"},
        {400, "Content-Type: a\r\ncontent-type: a\r\n"},
        {400, "Content-Length: +1\r\n"},
        {400, "Content-Length: -1\r\n"},
        {400, "Content-Length:\r\n"},
        {400, "Content-Length: 1,1\r\n"},
        {400, "Content-Length: 1 1\r\n"},
        {400, "Content-Length: 1x\r\n"},
        {400, "Content-Length: 0x10\r\n"},
        {400, "Content-Length: \"2\"\r\n"},
        {400, "Content-Length: 9999999999999999999\r\n"},
        {400, "Content-Length: 1.0\r\n"},
        {400, ": v\r\n"},
        {400, " Host: y\r\n"},
        {400, "X : y\r\n"},
        {400, "a b: y\r\n"},
        {400, "a\tb: y\r\n"},
        {400, "a(b): y\r\n"},
        {400, "\x80: y\r\n"},
        {400, "no colon\r\n"},
        {400, "X: a\r\n b\r\n"},
        {400, "X: a\r\n\tb\r\n"},
        {400, "X: a\n"},
        {400, "X: a\rb\r\n"},
        {400, "X: a\r\r\n"},
        {400, "X: a\x01\r\n"},
        {400, "X: a\x7f\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        const int len =
            snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s\r\n", cases[i].lines);
        const unsigned status = read_both(&head, text, (size_t)len);
        if (status != cases[i].status)
            fail_msg("%u: %s", status, cases[i].lines);
    }
    static const char nul[] = "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\0002\r\n\r\n";
    assert_int_equal(read_both(&head, nul, sizeof(nul) - 1), 400);
}

static void test_request_lines(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *line;
    } cases[] = {
        {200, "GET / HTTP/1.0"},         {200, "GET / HTTP/1.2"},  {505, "GET / HTTP/2.0"},
        {505, "GET / HTTP/0.9"},         {400, "GET / HTTP/1.1 "}, {400, "GET  / HTTP/1.1"},
        {400, "GET / HTTP/11"},          {400, "GET /"},           {400, "GET / http/1.1"},
        {400, "GET\t/ HTTP/1.1"},        {400, "G(T / HTTP/1.1"},  {400, "GET /a b HTTP/1.1"},
        {400, "\r\n\r\nGET / HTTP/1.1"}, {400, " GET / HTTP/1.1"}, {400, "GET /\x01 HTTP/1.1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[100];
        const int len = snprintf(text, sizeof(text), "%s\r\n" HOST "\r\n", cases[i].line);
        unsigned status = read_both(&head, text, (size_t)len);
        if (status != cases[i].status && i != 12)
            fail_msg("%u: %s", status, cases[i].line);
    }
    static const char no_host[] = "GET / HTTP/1.1\r\n\r\n", old[] = "GET / HTTP/1.0\r\n\r\n";
    static const char old_chunked[] = "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_int_equal(read_both(&head, no_host, sizeof(no_host) - 1), 400);
    assert_int_equal(read_both(&head, old, sizeof(old) - 1), HTTP_HEAD_COMPLETE);
    assert_int_equal(read_both(&head, old_chunked, sizeof(old_chunked) - 1), 400);
    http_head_init(&head);
    assert_int_equal(http_head_read(&head, "\x16\x03\x01", 3), 400); /* TLS: at once */
    http_head_init(&head);
    assert_int_equal(http_head_read(&head, "\r\n\r\n\r\n", 6), 400);
}

static void test_limits(void **state)
{
    (void)state;
    char *text = malloc(20000);
    for (int kind = 0; kind < 3; kind++)
        for (int over = 0; over < 2; over++) {
            size_t len = 0;
            char *at = text;
            if (kind == 0) { /* the target */
                const int fill = HTTP_TARGET_MAX - 1 + over;
                at += sprintf(at, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", fill, 0);
            } else if (kind == 1) { /* the whole */
                at += sprintf(at, "GET / HTTP/1.1\r\n" HOST "X: ");
                const int fill = HTTP_HEAD_MAX - (int)(at - text) - 4 + over;
                at += sprintf(at, "%0*d\r\n\r\n", fill, 0);
            } else { /* the number of headers */
                at += sprintf(at, "GET / HTTP/1.1\r\n" HOST);
                for (int i = 1; i < HTTP_FIELDS_MAX + over; i++)
                    at += sprintf(at, "X: y\r\n");
                at += sprintf(at, "\r\n");
            }
            len = (size_t)(at - text);
            http_head_init(&head);
            assert_int_equal(http_head_read(&head, text, len), !over       ? HTTP_HEAD_COMPLETE
                                                               : kind == 0 ? 414
                                                                           : 431);
        }
    /* Names of cookies too many can still be read. */
    memset(text, 'c', 20000);
    memcpy(text, "GET / HTTP/1.1\r\n" HOST "Cookie: ", 33);
    assert_int_equal(read_both(&head, text, 20000), 431);
    assert_int_equal(head.field_count, 2);
    is(text, head.fields[1].name, "Cookie");
    assert_true(head.fields[1].value.len > 16000);
    text[HTTP_HEAD_MAX - 1] = '\r'; /* half a line end does not belong to the value */
    assert_int_equal(read_both(&head, text, HTTP_HEAD_MAX), 431);
    assert_int_equal(head.scanned, HTTP_HEAD_MAX - 1);
    assert_int_equal(head.fields[1].value.at + head.fields[1].value.len, head.scanned);
    memset(text, 'a', 20000); /* no line end at all */
    assert_int_equal(read_both(&head, text, 20000), 414);
    free(text);
}

/* The body that comes of the chunks, "BAD", or with "..." when more is needed; read in pieces of `step` bytes. */
static void dechunk(const char *text, size_t step, char *out, size_t *ret_used)
{
    struct http_chunks chunks = {0};
    const size_t len = strlen(text);
    size_t at = 0;
    for (size_t end = step; at < len; end += step) {
        if (end > len)
            end = len;
        for (;;) {
            const char *data;
            size_t n;
            const enum http_chunks_step got = http_chunks_read(&chunks, text, end, &at, &data, &n);
            if (got == HTTP_CHUNKS_MORE)
                break;
            *ret_used = at;
            if (got == HTTP_CHUNKS_DATA) {
                out = mempcpy(out, data, n);
                continue;
            }
            strcpy(out, got == HTTP_CHUNKS_BAD ? "BAD" : "");
            return;
        }
    }
    strcpy(out, "...");
}

static void test_chunks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *body;
        size_t left; /* bytes after the end */
    } cases[] = {
        {"0\r\n\r\n", "", 0},
        {"5\r\nhello\r\n0\r\n\r\nGET", "hello", 3},
        {"00005\r\nhello\r\n1;a=\"b;\tc\"\r\n!\r\n000\r\n\r\n", "hello!", 0},
        {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nX-T: 1\r\nY:\r\n\r\n", "01234567890123456789",
         0},
        {"5\r\nhel", "hel...", 0},
        {"5\nhello\r\n", "BAD", 0},
        {"5;\nhello", "BAD", 0},
        {"5;a\nhello", "BAD", 0},
        {"5;a\rb\r\nhello", "BAD", 0},
        {"5\r\nhello\n", "helloBAD", 0},
        {"5\r\nhello!\r\n", "helloBAD", 0},
        {"5 \r\nhello", "BAD", 0},
        {" 5\r\nhello", "BAD", 0},
        {"\r\nhello", "BAD", 0},
        {";a\r\n", "BAD", 0},
        {"+5\r\nhello", "BAD", 0},
        {"0x5\r\nhello", "BAD", 0},
        {"-1\r\n", "BAD", 0},
        {"ffffffffffffffff\r\n", "BAD", 0},
        {"0000000000000000\r\n", "BAD", 0},
        {"0\r\n X: y\r\n\r\n", "BAD", 0},
        {"0\r\nX\r\n\r\n", "BAD", 0},
        {"0\r\n: y\r\n\r\n", "BAD", 0},
        {"0\r\nX: y\n\r\n", "BAD", 0},
        {"0\r\n\n", "BAD", 0},
        {"0\n\r\n", "BAD", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t step = 1; step < 12; step++) {
            char body[100];
            size_t used = 0;
            dechunk(cases[i].text, step, body, &used);
            if (strcmp(body, cases[i].body) != 0)
                fail_msg("%s: %s", cases[i].text, body);
            if (!strstr(body, "BAD") && !strstr(body, "..."))
                assert_int_equal(strlen(cases[i].text) - used, cases[i].left);
        }
    char text[20000], body[100];
    size_t used;
    text[0] = '1', text[1] = ';';
    memset(text + 2, 'a', 300);
    strcpy(text + 302, "\r\n");
    dechunk(text, 7, body, &used);
    assert_string_equal(body, "BAD"); /* an extension of 300 bytes */
    strcpy(text, "0\r\nX: ");
    memset(text + 6, 'a', 9000);
    strcpy(text + 9006, "\r\n\r\n");
    dechunk(text, 7, body, &used);
    assert_string_equal(body, "BAD"); /* trailers of 9,000 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_a_head), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_headers),         cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests_name("http_head", tests, NULL, NULL);
}
