/* SPDX-License-Identifier: MIT */
/* http_client: requests to a real socket; limits of number, size and time; private addresses; the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http_client.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server: one connection after the other, answers by path ---- */

static struct {
    int fd;
    char url[64];
    pthread_t thread;
    int accepted;
    char request[4096]; /* the last one */
} server;

static void answer(int fd)
{
    static const char large[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789012345678901234567890";
    static const char moved[] = "HTTP/1.1 302 Found\r\nLocation: /large\r\nContent-Length: 0\r\n"
                                "Connection: close\r\n\r\n";
    static const char plain[] =
        "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    size_t len = 0;
    memset(server.request, 0, sizeof(server.request));
    while (!strstr(server.request, "\r\n\r\n") && len < sizeof(server.request) - 1) {
        const ssize_t n = recv(fd, server.request + len, sizeof(server.request) - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
    }
    char cached[256];
    const char *header =
        strstr(server.request, "X-Cache: "); /* what the answer's Cache-Control is to be */
    (void)snprintf(cached, sizeof(cached),
                   "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: %.*s\r\n\r\n",
                   header ? (int)strcspn(header + 9, "\r") : 0, header ? header + 9 : "");
    const char *reply = header                              ? cached
                        : strstr(server.request, " /large") ? large
                        : strstr(server.request, " /moved") ? moved
                        : strstr(server.request, " /hang")  ? NULL
                                                            : plain;
    if (reply)
        (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL);
    else /* until the client gives up */
        while (recv(fd, server.request, sizeof(server.request), 0) > 0)
            ;
}

static void *serve(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(server.fd, NULL, NULL)) >= 0; (void)close(fd)) {
        server.accepted++;
        answer(fd);
    }
    return NULL;
}

static int start_server(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    (void)state;
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server.fd, (struct sockaddr *)&address, len) != 0 || listen(server.fd, 16) != 0 ||
        getsockname(server.fd, (struct sockaddr *)&address, &len) != 0)
        return -1;
    (void)snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    (void)shutdown(server.fd, SHUT_RDWR);
    (void)pthread_join(server.thread, NULL);
    return close(server.fd);
}

/* ---- a client ---- */

static struct loop *loop;
static struct http_client *client;
static struct loop_timer *end; /* closes everything */

struct outcome {
    int calls;
    enum status status;
    unsigned code;
    char body[64];
    int64_t max_age_s;
    unsigned at; /* the how manieth callback it was */
};
static unsigned calls, awaited;

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->status = status;
    outcome->code = answer->code;
    outcome->max_age_s = answer->max_age_s;
    outcome->at = ++calls;
    (void)snprintf(outcome->body, sizeof(outcome->body), "%.*s", (int)answer->len, answer->body);
    if (calls == awaited)
        loop_timer_set(end, 0);
}

static void on_end(void *arg)
{
    (void)arg;
    http_client_close(client);
    client = NULL;
    loop_timer_close(end);
    loop_stop(loop);
}

static void open_client(const char *allow, unsigned at_once, unsigned queue_max)
{
    calls = awaited = 0;
    loop = loop_new();
    end = loop_timer_new(loop, on_end, NULL);
    assert_int_equal(http_client_new(&(struct http_client_opts){.loop = loop,
                                                                .at_once = at_once,
                                                                .queue_max = queue_max,
                                                                .allow = allow},
                                     &client),
                     ST_OK);
}

static struct http_client_request request_of(const char *path)
{
    static char url[128];
    (void)snprintf(url, sizeof(url), "%s%s", server.url, path);
    return (struct http_client_request){
        .url = url, .plain = true, .answer_max = 30, .timeout_ms = 5000};
}

static void start(const struct http_client_request *request, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    assert_int_equal(http_client_start(client, request, on_answer, outcome), ST_OK);
    assert_int_equal(outcome->calls, 0); /* never before it has returned */
    awaited++;
}

static void run(void)
{
    loop_run(loop);
    loop_free(loop);
}

/* ---- tests ---- */

static void how_long_an_answer_may_be_kept(void **state)
{
    static const struct {
        const char *header;
        int64_t max_age_s;
    } rows[] = {{"max-age=60", 60},
                {"private, Max-Age=7,must-revalidate", 7},
                {"public", -1},
                {"max-age=", -1},
                {"max-age=-5", -1},
                {"s-maxage=9", -1},
                {"max-age=60, no-store", 0},
                {"no-cache", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome outcome;
        char text[64];
        const char *const headers[] = {text, NULL};
        struct http_client_request request = request_of("/");
        (void)snprintf(text, sizeof(text), "X-Cache: %s", rows[i].header);
        open_client("127.0.0.1", 4, 4);
        request.headers = headers;
        start(&request, &outcome);
        run();
        assert_int_equal(outcome.code, 200);
        assert_int_equal(outcome.max_age_s, rows[i].max_age_s);
    }
}

static void a_request_is_sent_and_answered(void **state)
{
    static const char *const headers[] = {"TTL: 60", "Content-Type: text/x", NULL};
    struct outcome outcome;
    struct http_client_request request = request_of("/push");
    (void)state;
    open_client("127.0.0.1", 4, 4);
    request.headers = headers;
    request.body = "abc";
    request.body_len = 3;
    start(&request, &outcome);
    run();
    assert_int_equal(outcome.status, ST_OK);
    assert_int_equal(outcome.code, 201);
    assert_string_equal(outcome.body, "hello");
    assert_non_null(strstr(server.request, "POST /push HTTP/1.1\r\n"));
    assert_non_null(strstr(server.request, "\r\nTTL: 60\r\n"));
    assert_non_null(strstr(server.request, "\r\nContent-Length: 3\r\n"));
}

static void redirects_are_not_followed_and_large_answers_are_cut_off(void **state)
{
    struct outcome moved, large, method;
    struct http_client_request request = request_of("/moved");
    (void)state;
    open_client("127.0.0.0/8", 1, 4);
    start(&request, &moved);
    request = request_of("/large");
    start(&request, &large);
    request = request_of("/last");
    request.method = "DELETE";
    start(&request, &method);
    run();
    assert_int_equal(moved.status, ST_OK);
    assert_int_equal(moved.code, 302);
    assert_int_equal(large.status, ST_TOO_LARGE);
    assert_int_equal(method.code, 201);
    assert_true(moved.at < large.at && large.at < method.at); /* one at a time, in order */
    assert_non_null(strstr(server.request, "DELETE /last"));
}

static void a_private_address_is_not_reached(void **state)
{
    struct outcome outcome, named;
    const int before = server.accepted;
    struct http_client_request request = request_of("/");
    char url[64];
    (void)state;
    open_client("10.0.0.0/8", 4, 4);
    start(&request, &outcome);
    (void)snprintf(url, sizeof(url), "http://localhost%s", strrchr(server.url, ':'));
    request.url = url;
    start(&request, &named);
    run();
    assert_int_equal(outcome.status, ST_DENIED);
    assert_int_equal(named.status, ST_DENIED);
    assert_int_equal(server.accepted, before);
}

static void only_https_unless_plain_is_allowed(void **state)
{
    struct outcome plain, file, none;
    struct http_client_request request = request_of("/");
    (void)state;
    open_client("127.0.0.1", 4, 4);
    request.plain = false;
    start(&request, &plain);
    request.url = "file:///etc/passwd";
    start(&request, &file);
    request.url = "nothing at all";
    start(&request, &none);
    run();
    assert_int_equal(plain.status, ST_INVALID);
    assert_int_equal(file.status, ST_INVALID);
    assert_int_equal(none.status, ST_INVALID);
}

static void a_deadline_counts_the_time_of_waiting(void **state)
{
    struct outcome hangs, waits, full;
    struct http_client_request request = request_of("/hang");
    (void)state;
    open_client("127.0.0.1", 1, 1);
    request.timeout_ms = 1500;
    start(&request, &hangs);
    request.timeout_ms = 200;
    start(&request, &waits);
    assert_int_equal(http_client_start(client, &request, on_answer, &full), ST_FULL);
    run();
    assert_int_equal(hangs.status, ST_TIMEOUT);
    assert_int_equal(waits.status, ST_TIMEOUT);
    assert_true(waits.at < hangs.at);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct outcome runs, waits;
    struct http_client_request request = request_of("/hang");
    (void)state;
    open_client("127.0.0.1", 1, 1);
    start(&request, &runs);
    start(&request, &waits);
    loop_timer_set(end, 100);
    run();
    assert_int_equal(runs.calls, 1);
    assert_int_equal(runs.status, ST_UNAVAILABLE);
    assert_int_equal(waits.calls, 1);
    assert_int_equal(waits.status, ST_UNAVAILABLE);
}

static void a_wrong_list_of_addresses_is_refused(void **state)
{
    struct http_client *none = NULL;
    (void)state;
    loop = loop_new();
    assert_int_equal(
        http_client_new(&(struct http_client_opts){.loop = loop, .allow = "10.0.0.0/33"}, &none),
        ST_INVALID);
    assert_null(none);
    http_client_close(NULL);
    loop_stop(loop);
    run();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_long_an_answer_may_be_kept),
        cmocka_unit_test(a_request_is_sent_and_answered),
        cmocka_unit_test(redirects_are_not_followed_and_large_answers_are_cut_off),
        cmocka_unit_test(a_private_address_is_not_reached),
        cmocka_unit_test(only_https_unless_plain_is_allowed),
        cmocka_unit_test(a_deadline_counts_the_time_of_waiting),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(a_wrong_list_of_addresses_is_refused),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
