/* SPDX-License-Identifier: MIT */
/* httpd: raw sockets against a server on the same loop: what is answered, what is refused, what stays
 * open, and what happens to waiting requests when the server closes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "net/httpd.h"

/* ---- the server of a test ---- */

#define HELD_MAX 1000

struct world {
    struct loop *loop;
    struct loop_timer *tick; /* keeps every turn short */
    struct httpd *httpd;
    uint16_t port;
    bool closed;
    bool hold; /* requests wait until release() */
    bool late; /* refused requests too, which breaks the contract */
    struct http_req *held[HELD_MAX];
    unsigned held_count, requests, done;
    unsigned refusal;   /* of the last request */
    size_t body_len;    /* of the last request */
    uint32_t body_hash; /* likewise */
    const char *host;   /* of the last request held: must live as long as the request */
    char seen[256];     /* what the handler noted of the last request */
    void (*handler)(struct world *w, struct http_req *req);
};

static void on_tick(void *arg)
{
    struct world *w = arg;
    loop_timer_set(w->tick, 5);
}

static uint32_t hash_of(const char *data, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return hash;
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    struct world *w = arg;
    const char *body = http_req_body(req, &w->body_len);
    w->requests++;
    w->refusal = refusal;
    w->body_hash = hash_of(body, w->body_len);
    http_req_set_user(req, http_req_alloc(req, 64));
    if (refusal && !w->late) {
        http_reply(req, refusal, "application/problem+json", "{\"refused\":1}", 13);
    } else if (w->hold || refusal) {
        assert_true(w->held_count < HELD_MAX);
        w->host = http_req_header(req, "Host");
        w->held[w->held_count++] = req;
    } else if (w->handler) {
        w->handler(w, req);
    } else {
        http_reply(req, 200, "text/plain", http_req_path(req), strlen(http_req_path(req)));
    }
}

static void on_done(void *arg, struct http_req *req)
{
    struct world *w = arg;
    assert_non_null(http_req_user(req));
    assert_non_null(http_req_path(req));
    w->done++;
}

static void world_open_with(struct world *w, unsigned limit, unsigned idle_s)
{
    memset(w, 0, sizeof(*w));
    w->loop = loop_new();
    assert_non_null(w->loop);
    w->tick = loop_timer_new(w->loop, on_tick, w);
    loop_timer_set(w->tick, 5);
    struct httpd_opts opts = {.loop = w->loop,
                              .host = "127.0.0.1",
                              .connection_limit = limit,
                              .idle_timeout_s = idle_s,
                              .shed_ms = 60000,
                              .on_request = on_request,
                              .on_done = on_done,
                              .arg = w};
    assert_int_equal(httpd_open(&opts, &w->httpd), ST_OK);
    w->port = httpd_port(w->httpd);
    assert_true(w->port > 0);
}

static void world_open(struct world *w)
{
    world_open_with(w, 2000, 60);
}

static void turn(struct world *w)
{
    uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

static uint64_t now_ms(struct world *w)
{
    uv_update_time(loop_uv(w->loop));
    return loop_now_ms(w->loop);
}

#define PUMP_UNTIL(w, condition, ms)                                                               \
    do {                                                                                           \
        uint64_t pump_end = now_ms(w) + (ms);                                                      \
        while (!(condition) && now_ms(w) < pump_end)                                               \
            turn(w);                                                                               \
    } while (0)

#define EXPECT(w, condition, ms)                                                                   \
    do {                                                                                           \
        PUMP_UNTIL(w, condition, ms);                                                              \
        assert_true(condition);                                                                    \
    } while (0)

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static void server_close(struct world *w)
{
    httpd_close(w->httpd, on_closed, w);
    assert_false(w->closed); /* never from inside */
    EXPECT(w, w->closed, 5000);
}

static void world_close(struct world *w)
{
    if (!w->closed)
        server_close(w);
    assert_int_equal(w->done, w->requests); /* each exactly once */
    loop_timer_close(w->tick);
    loop_stop(w->loop);
    loop_run(w->loop);
    loop_free(w->loop);
}

static void release(struct world *w)
{
    for (unsigned i = 0; i < w->held_count; i++) {
        const char *path = http_req_path(w->held[i]);
        http_reply(w->held[i], 200, "text/plain", path, strlen(path));
    }
    w->held_count = 0;
}

/* ---- a client ---- */

struct client {
    int fd;
    char *data; /* received, NUL-terminated */
    size_t len, at;
    bool eof, reset;
};

static void client_open(struct client *c, struct world *w)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(w->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(c, 0, sizeof(*c));
    c->data = calloc(1, 1 << 20);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    /* Else a request in two writes waits 40 ms for an acknowledgement. */
    assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void client_close(struct client *c)
{
    close(c->fd);
    free(c->data);
}

static void client_read(struct client *c)
{
    ssize_t n = recv(c->fd, c->data + c->len, (1 << 20) - 1 - c->len, MSG_DONTWAIT);
    if (n > 0) {
        c->len += (size_t)n;
        c->data[c->len] = '\0';
    } else if (n == 0) {
        c->eof = true;
    } else if (errno != EAGAIN) {
        c->eof = c->reset = true;
    }
}

/* Sends everything; while the socket is full, runs the loop and reads. */
static void client_send_len(struct world *w, struct client *c, const char *text, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        ssize_t n = send(c->fd, text + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EAGAIN)
            return; /* the server has closed: the test looks at its response */
        else
            turn(w);
        client_read(c);
    }
}

static void client_send(struct world *w, struct client *c, const char *text)
{
    client_send_len(w, c, text, strlen(text));
}

struct answer {
    int code;
    char head[4096];
    char body[4096];
    size_t body_len;
};

/* Takes the answer at c->at, once it is whole. */
static bool answer_take(struct client *c, struct answer *a, bool head_only)
{
    const char *start = c->data + c->at;
    const char *end = strstr(start, "\r\n\r\n");
    if (!end)
        return false;
    size_t head_len = (size_t)(end - start) + 4;
    size_t body_len = 0;
    assert_true(head_len < sizeof(a->head));
    memcpy(a->head, start, head_len);
    a->head[head_len] = '\0';
    const char *length = strcasestr(a->head, "\r\ncontent-length: ");
    if (length && !head_only)
        body_len = strtoul(length + 18, NULL, 10);
    if (c->len - c->at - head_len < body_len)
        return false;
    assert_int_equal(strncmp(a->head, "HTTP/1.1 ", 9), 0);
    a->code = (int)strtol(a->head + 9, NULL, 10);
    a->body_len = body_len;
    snprintf(a->body, sizeof(a->body), "%.*s", (int)body_len, end + 4);
    c->at += head_len + body_len;
    return true;
}

static void client_answer(struct world *w, struct client *c, struct answer *a, bool head_only)
{
    bool got = false;
    uint64_t end = now_ms(w) + 5000;
    memset(a, 0, sizeof(*a));
    while (!got && now_ms(w) < end) {
        client_read(c);
        got = answer_take(c, a, head_only);
        if (!got && c->eof)
            return; /* code 0 */
        if (!got)
            turn(w);
    }
    assert_true(got);
}

static int exchange(struct world *w, struct client *c, const char *text, struct answer *a)
{
    client_send(w, c, text);
    client_answer(w, c, a, false);
    return a->code;
}

static void expect_eof(struct world *w, struct client *c)
{
    uint64_t end = now_ms(w) + 5000;
    while (!c->eof && now_ms(w) < end) {
        turn(w);
        client_read(c);
    }
    assert_true(c->eof);
}

static bool has(const struct answer *a, const char *header)
{
    return strcasestr(a->head, header) != NULL;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- plain answers ---- */

static void test_keep_alive_stays_open(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(exchange(&w, &c, GET("/a"), &a), 200);
        assert_string_equal(a.body, "/a");
        assert_false(has(&a, "connection: close"));
        assert_true(has(&a, "\r\ncontent-type: text/plain\r\n"));
    }
    assert_int_equal(httpd_connections(w.httpd), 1);
    assert_int_equal(
        exchange(&w, &c, "GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &a), 200);
    expect_eof(&w, &c);
    EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
    client_close(&c);
    world_close(&w);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    client_send(&w, &c,
                GET("/1") GET(
                    "/2") "POST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" GET("/4"));
    for (int i = 1; i <= 4; i++) {
        char path[3] = {'/', (char)('0' + i), '\0'};
        client_answer(&w, &c, &a, false);
        assert_int_equal(a.code, 200);
        assert_string_equal(a.body, path);
    }
    client_close(&c);
    world_close(&w);
}

static void answer_nothing(struct world *w, struct http_req *req)
{
    (void)w;
    http_reply(req, 204, NULL, NULL, 0);
}

static void answer_static(struct world *w, struct http_req *req)
{
    (void)w;
    http_req_add_header(req, "ETag", "\"1\"");
    http_reply_static(req, 200, "text/html", "<p>hello</p>", 12);
}

static void test_head_and_no_content(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    w.handler = answer_static;
    client_send(&w, &c, "HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n");
    client_answer(&w, &c, &a, true);
    assert_int_equal(a.code, 200);
    assert_true(has(&a, "content-length: 12"));
    assert_int_equal(exchange(&w, &c, GET("/x"), &a), 200);
    assert_string_equal(a.body, "<p>hello</p>");
    w.handler = answer_nothing;
    assert_int_equal(exchange(&w, &c, GET("/x"), &a), 204);
    assert_false(has(&a, "content-length"));
    assert_int_equal(exchange(&w, &c, GET("/x"), &a), 204); /* no body was sent for HEAD */
    client_close(&c);
    world_close(&w);
}

static void look_around(struct world *w, struct http_req *req)
{
    size_t len = 0, none = 0;
    const char *cookie = http_req_cookie(req, "tiketi_guest", &len);
    assert_null(http_req_cookie(req, "tiketi", &none));
    assert_null(http_req_header(req, "X-None"));
    assert_null(http_req_query(req, "none"));
    assert_null(http_req_query(req, "bad"));
    char *text = http_req_strdup(req, "copy", 4);
    assert_string_equal(text, "copy");
    char *big = http_req_alloc(req, 100000); /* an arena of any size, zeroed */
    for (int i = 0; i < 100000; i++)
        assert_int_equal(big[i], 0);
    for (int i = 0; i < 100; i++)
        memset(http_req_alloc(req, 100), 0xff, 100);
    snprintf(w->seen, sizeof(w->seen), "%s|%s|%s|%s|%.*s|%s", http_req_method(req),
             http_req_path(req), http_req_header(req, "x-test"), http_req_query(req, "q"), (int)len,
             cookie ? cookie : "", http_req_peer(req));
    http_reply(req, 200, NULL, NULL, 0);
}

static void test_looking_at_a_request(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    w.handler = look_around;
    client_open(&c, &w);
    assert_int_equal(exchange(&w, &c,
                              "PATCH /a%2Fb/c?q=1%2B1+x&bad=%zz&flag HTTP/1.1\r\nHost: x\r\n"
                              "X-Test: v w\r\nCookie: a=b; tiketi_guest_x=no\r\n"
                              "Cookie: z=1; tiketi_guest=yes; c=d\r\n\r\n",
                              &a),
                     200);
    assert_string_equal(w.seen, "PATCH|/a%2Fb/c|v w|1+1 x|yes|127.0.0.1");
    client_close(&c);
    world_close(&w);
}

static void answer_with_headers(struct world *w, struct http_req *req)
{
    (void)w;
    http_req_add_header(req, "Set-Cookie", "a=1");
    http_req_add_header(req, "Set-Cookie", "b=2");
    http_req_add_header(req, "X-Evil", "x\r\nX-Injected: 1");
    http_req_add_header(req, "X Evil", "x");
    http_req_add_header(req, "X-Empty", "");
    http_req_add_header(req, "X-Utf8", "caf\xc3\xa9");
    http_reply(req, 201, NULL, NULL, 0);
}

static void test_headers_of_an_answer(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    w.handler = answer_with_headers;
    client_open(&c, &w);
    assert_int_equal(exchange(&w, &c, GET("/"), &a), 201);
    assert_true(has(&a, "\r\nset-cookie: a=1\r\n"));
    assert_true(has(&a, "\r\nset-cookie: b=2\r\n"));
    assert_true(has(&a, "\r\nx-utf8: caf"));
    assert_false(has(&a, "injected"));
    assert_false(has(&a, "evil"));
    client_close(&c);
    world_close(&w);
}

/* Exactly one Date, and the current one, although it is not formatted for each response. */
static void test_date_of_an_answer(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    for (int i = 0; i < 2; i++) {
        struct tm tm = {0};
        const time_t before = time(NULL);
        assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
        const char *date = strcasestr(a.head, "\r\ndate: ");
        assert_non_null(date);
        assert_null(strcasestr(date + 1, "\r\ndate: "));
        const char *end = strptime(date + 8, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_non_null(end);
        assert_memory_equal(end, "\r\n", 2);
        const time_t told = timegm(&tm);
        assert_true(told >= before - 1 && told <= time(NULL));
        EXPECT(&w, time(NULL) > before, 5000); /* the next round is in another second */
    }
    client_close(&c);
    world_close(&w);
}

/* ---- bodies ---- */

static char *letters(size_t len)
{
    char *text = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 23);
    text[len] = '\0';
    return text;
}

/* A POST of len bytes, whole or in chunks; the code of its answer. */
static int post(struct world *w, struct client *c, size_t len, size_t chunk, struct answer *a)
{
    char head[200];
    char *body = letters(len);
    if (!chunk) {
        snprintf(head, sizeof(head), "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 len);
        client_send(w, c, head);
        client_send_len(w, c, body, len);
    } else {
        client_send(w, c, "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0; at < len; at += chunk) {
            size_t n = len - at < chunk ? len - at : chunk;
            snprintf(head, sizeof(head), "%zx\r\n", n);
            client_send(w, c, head);
            client_send_len(w, c, body + at, n);
            client_send(w, c, "\r\n");
        }
        client_send(w, c, "0\r\n\r\n");
    }
    client_answer(w, c, a, false);
    if (a->code == 200) {
        assert_int_equal(w->body_len, len);
        assert_int_equal(w->body_hash, hash_of(body, len));
    }
    free(body);
    return a->code;
}

static void test_bodies_up_to_the_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 1023, 1024, 1025, 5000, 65535, 65536};
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(post(&w, &c, sizes[i], 0, &a), 200);
        assert_int_equal(post(&w, &c, sizes[i], 7 + sizes[i] / 5, &a), 200);
        assert_false(has(&a, "connection: close"));
    }
    client_close(&c);
    world_close(&w);
}

static void test_bodies_over_the_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {65537, 200000, 1 << 20};
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t chunk = 0; chunk <= 10000; chunk += 10000) {
            client_open(&c, &w);
            assert_int_equal(post(&w, &c, sizes[i], chunk, &a), 413);
            assert_int_equal(w.refusal, 413);
            assert_int_equal(w.body_len, 0);
            assert_string_equal(a.body, "{\"refused\":1}");
            assert_true(has(&a, "\r\nconnection: close\r\n"));
            expect_eof(&w, &c);
            client_close(&c);
        }
    }
    client_open(&c, &w); /* a body without end is cut */
    unsigned before = w.requests;
    assert_int_equal(post(&w, &c, 12 << 20, 100000, &a), 0);
    assert_int_equal(w.requests, before);
    client_close(&c);
    world_close(&w);
}

static void test_expect_continue(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    client_send(&w, &c,
                "POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_answer(&w, &c, &a, true);
    assert_int_equal(a.code, 100);
    assert_int_equal(exchange(&w, &c, "abc", &a), 200);
    assert_int_equal(w.body_len, 3);
    client_send(
        &w, &c,
        "POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048576\r\n\r\n");
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 413); /* at once, without the body */
    expect_eof(&w, &c);
    client_close(&c);
    world_close(&w);
}

/* ---- refusals ---- */

static const char *const ambiguous[] = {
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
    "5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n ,gzip\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nX(Y): z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /?a=b c HTTP/1.1\r\nHost: x\r\n\r\n",
};

static void test_ambiguous_requests_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    for (size_t i = 0; i < sizeof(ambiguous) / sizeof(ambiguous[0]); i++) {
        unsigned before = w.requests;
        client_open(&c, &w);
        client_send(&w, &c, ambiguous[i]);
        client_send(&w, &c, GET("/smuggled"));
        client_answer(&w, &c, &a, false);
        if (a.code != 400)
            fail_msg("%d: %s", a.code, ambiguous[i]);
        assert_true(has(&a, "\r\nconnection: close\r\n"));
        expect_eof(&w, &c);
        assert_true(w.requests == before || (w.requests == before + 1 && w.refusal == 400));
        assert_null(strstr(c.data, "smuggled"));
        client_close(&c);
    }
    world_close(&w);
}

/* A handler does not answer a refused request at once: the client gets the bare status, and the request
 * stays valid until the late reply, which goes nowhere. */
static void test_late_answer_to_a_refused_request(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *head;
        size_t body_len, headers;
    } cases[] = {
        {400, "GET /two-hosts HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 0, 0},
        {400, "GET /no-host HTTP/1.1\r\n", 0, 0},
        {413,
         "POST /waits HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n", 0,
         0},
        {413, "POST /sends HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n", 70000, 0},
        {431, "GET /many HTTP/1.1\r\nHost: x\r\n", 0, 145},
    };
    struct world w;
    struct client c;
    struct answer a;
    char *body = letters(70000);
    world_open(&w);
    w.late = true;
    for (int round = 0; round < 2;
         round++) { /* the reply comes after, then before the connection ends */
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            client_open(&c, &w);
            client_send(&w, &c, cases[i].head);
            for (size_t n = 0; n < cases[i].headers; n++)
                client_send(&w, &c, "X: abc\r\n");
            client_send(&w, &c, "\r\n");
            client_send_len(&w, &c, body, cases[i].body_len);
            EXPECT(&w, w.held_count == 1, 5000);
            if (round == 1)
                release(&w);
            client_answer(&w, &c, &a, false);
            assert_int_equal(a.code, cases[i].code);
            assert_string_equal(a.body, "");
            assert_true(has(&a, "\r\nconnection: close\r\n"));
            expect_eof(&w, &c);
            client_close(&c);
            EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
            if (round == 0) {
                assert_int_equal(w.done + 1, w.requests);
                if (cases[i].code == 400) /* it is not known what its headers are */
                    assert_null(http_req_header(w.held[0], "Host"));
                else
                    assert_string_equal(http_req_header(w.held[0], "Host"), "x");
                release(&w);
            }
            EXPECT(&w, w.done == w.requests, 5000);
        }
    }
    client_open(&c, &w);
    client_send(&w, &c, cases[0].head);
    client_send(&w, &c, "\r\n");
    EXPECT(&w, w.held_count == 1, 5000);
    server_close(&w);
    release(&w);
    client_close(&c);
    free(body);
    world_close(&w);
}

static void test_too_long_lines(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    char *text = malloc(20000);
    char *fill = letters(17000);
    world_open(&w);
    client_open(&c, &w);
    snprintf(text, 20000, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", fill);
    assert_int_equal(exchange(&w, &c, text, &a), 414);
    expect_eof(&w, &c);
    client_close(&c);
    client_open(&c, &w);
    snprintf(text, 20000, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", fill);
    assert_int_equal(exchange(&w, &c, text, &a), 431);
    expect_eof(&w, &c);
    client_close(&c);
    client_open(&c, &w); /* a head of 16 KiB is good */
    snprintf(text, 20000, "GET /good HTTP/1.1\r\nHost: x\r\nX: %.16300s\r\n\r\n", fill);
    assert_int_equal(exchange(&w, &c, text, &a), 200);
    assert_string_equal(a.body, "/good");
    client_close(&c);
    free(text);
    free(fill);
    world_close(&w);
}

/* As large as the head of an answer may be, 3 KiB: tokens in cookies, CORS, a policy. */
static void answer_large_head(struct world *w, struct http_req *req)
{
    char value[700];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    (void)w;
    for (int i = 0; i < 4; i++)
        http_req_add_header(req, "Set-Cookie", value);
    http_reply(req, 200, "text/plain", "x", 1);
}

/* However large the head of a request is, there must be an answer, never just a closed connection. */
static void test_any_size_of_head_is_answered(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    char *text = malloc(20000);
    char *fill = letters(18000);
    world_open(&w);
    w.handler = answer_large_head;
    for (int kind = 0; kind < 4; kind++) {
        int last_good = 0;
        for (int size = 100; size < 17500; size += 121) {
            client_open(&c, &w);
            int n = snprintf(text, 20000, "GET /%.*s HTTP/1.1\r\nHost: x\r\n", kind == 3 ? size : 1,
                             fill);
            if (kind == 0)
                n += snprintf(text + n, 18000, "X: %.*s\r\n", size, fill);
            else if (kind == 1)
                n += snprintf(text + n, 18000, "Cookie: %.*s\r\n", size, fill);
            else if (kind == 2)
                for (int i = 0; i < size / 8; i++)
                    n += snprintf(text + n, 20, "X: abc\r\n");
            snprintf(text + n, 10, "\r\n");
            int code = exchange(&w, &c, text, &a);
            client_close(&c);
            if (code != 200 && code != 431 && code != 414)
                fail_msg("kind %d, %d bytes: code %d", kind, size, code);
            if (code == 200)
                last_good = size;
        }
        /* 16 KiB in all, a target of 8 KiB, 128 headers */
        static const int promised[] = {16200, 16200, 900, 8000};
        if (last_good < promised[kind])
            fail_msg("kind %d: only %d bytes", kind, last_good);
    }
    free(text);
    free(fill);
    world_close(&w);
}

/* ---- answers that come later ---- */

static void test_suspended_replies(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    w.hold = true;
    client_open(&c, &w);
    for (int i = 0; i < 3; i++) {
        client_send(&w, &c,
                    i % 2 ? GET("/x")
                          : "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        EXPECT(&w, w.held_count == 1, 5000);
        assert_int_equal(httpd_waiting(w.httpd), 1);
        PUMP_UNTIL(&w, false, 20);
        client_read(&c);
        assert_int_equal(c.len, c.at); /* nothing yet */
        release(&w);
        client_answer(&w, &c, &a, false);
        assert_int_equal(a.code, 200);
        assert_string_equal(a.body, "/x");
        assert_false(has(&a, "connection: close"));
        assert_int_equal(httpd_waiting(w.httpd), 0);
    }
    client_send(&w, &c, GET("/1") GET("/2"));
    for (int i = 0; i < 2; i++) {
        EXPECT(&w, w.held_count == 1, 5000); /* one at a time */
        release(&w);
        client_answer(&w, &c, &a, false);
        assert_string_equal(a.body, i ? "/2" : "/1");
    }
    client_close(&c);
    world_close(&w);
}

static void test_client_leaves_while_suspended(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    world_open(&w);
    w.hold = true;
    client_open(&c, &w);
    client_send(&w, &c, GET("/x"));
    EXPECT(&w, w.held_count == 1, 5000);
    client_close(&c);
    PUMP_UNTIL(&w, false, 30);
    assert_int_equal(w.done, 0); /* the loss is not noticed until the reply */
    release(&w);
    EXPECT(&w, w.done == 1, 5000);
    EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
    world_close(&w);
}

/* Some requests wait held, some suspended; a reset is noticed at once for the held ones. */
static void test_connections_reset_while_waiting(void **state)
{
    (void)state;
    static struct client clients[300];
    struct world w;
    struct linger linger = {.l_onoff = 1};
    world_open(&w);
    w.hold = true;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            client_open(&clients[i], &w);
            client_send(&w, &clients[i], GET("/x"));
        }
        EXPECT(&w, w.held_count == 300, 5000);
        if (round) /* all of them suspended by now */
            PUMP_UNTIL(&w, false, 50);
        for (int i = 0; i < 300; i++) {
            setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            client_close(&clients[i]);
        }
        PUMP_UNTIL(&w, false, 30);
        for (int i = 0; i < 300; i++) {
            assert_string_equal(http_req_path(w.held[i]), "/x");
            assert_string_equal(http_req_method(w.held[i]), "GET");
            http_req_header(w.held[i], "Host");
        }
        assert_string_equal(w.host, "x");
        release(&w);
        assert_true(httpd_waiting(w.httpd) == 0);
        EXPECT(&w, w.done == 300u * (unsigned)(round + 1), 5000);
        EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
    }
    world_close(&w);
}

/* A waiting request must not slow down other connections. */
static void test_waiting_request_does_not_delay_others(void **state)
{
    (void)state;
    struct world w;
    struct client held, c;
    struct answer a;
    world_open(&w);
    client_open(&held, &w);
    client_open(&c, &w);
    for (int i = 0; i < 5; i++) {
        w.hold = true;
        client_send(&w, &held, GET("/held"));
        EXPECT(&w, w.held_count == 1, 5000);
        w.hold = false;
        uint64_t start = now_ms(&w);
        assert_int_equal(post(&w, &c, 60000, 0, &a), 200);
        assert_int_equal(post(&w, &c, 60000, 5000, &a), 200);
        assert_true(now_ms(&w) - start < 3000);
        client_send(&w, &c, GET("/1") GET("/2") GET("/3"));
        for (int k = 0; k < 3; k++) {
            client_answer(&w, &c, &a, false);
            assert_int_equal(a.code, 200);
        }
        if (i % 2)
            PUMP_UNTIL(&w, false, 40); /* the held request becomes suspended */
        release(&w);
        client_answer(&w, &held, &a, false);
        assert_string_equal(a.body, "/held");
    }
    client_close(&held);
    client_close(&c);
    world_close(&w);
}

static void test_client_leaves_in_the_middle(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    world_open(&w);
    client_open(&c, &w);
    client_send(&w, &c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    PUMP_UNTIL(&w, false, 20);
    assert_int_equal(httpd_connections(w.httpd), 1);
    client_close(&c);
    EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
    assert_int_equal(w.requests, 0);
    world_close(&w);
}

static void answer_twice(struct world *w, struct http_req *req)
{
    (void)w;
    http_reply(req, 200, NULL, "one", 3);
    http_reply(req, 200, NULL, "two", 3);
}

static void test_second_reply_is_dropped(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    w.handler = answer_twice;
    client_open(&c, &w);
    assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
    assert_string_equal(a.body, "one");
    client_close(&c);
    world_close(&w);
}

static void big_answer(struct world *w, struct http_req *req)
{
    (void)w;
    char *text = letters(900000);
    http_reply(req, 200, "text/plain", text, 900000);
    free(text);
}

static void test_large_answer_in_pieces(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    w.handler = big_answer;
    client_open(&c, &w);
    for (int i = 0; i < 2; i++) {
        c.len = c.at = 0;
        assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
        assert_int_equal(a.body_len, 900000);
        char *text = letters(900000);
        assert_memory_equal(strstr(c.data, "\r\n\r\n") + 4, text, 900000);
        free(text);
    }
    client_close(&c);
    world_close(&w);
}

/* ---- many, too many, idle ---- */

static void many(struct world *w, struct client *clients, unsigned count, bool hold)
{
    struct answer a;
    w->hold = hold;
    for (unsigned i = 0; i < count; i++) {
        char text[80];
        snprintf(text, sizeof(text), "GET /%u HTTP/1.1\r\nHost: x\r\n\r\n", i);
        client_send(w, &clients[i], text);
    }
    if (hold) {
        EXPECT(w, w->held_count == count, 5000);
        assert_int_equal(httpd_waiting(w->httpd), count);
        release(w);
    }
    for (unsigned i = 0; i < count; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/%u", i);
        client_answer(w, &clients[i], &a, false);
        assert_int_equal(a.code, 200);
        assert_string_equal(a.body, path);
    }
}

static void test_500_connections(void **state)
{
    (void)state;
    static struct client clients[500];
    struct world w;
    world_open(&w);
    for (int i = 0; i < 500; i++)
        client_open(&clients[i], &w);
    EXPECT(&w, httpd_connections(w.httpd) == 500, 5000);
    for (int round = 0; round < 3; round++) {
        many(&w, clients, 500, false);
        many(&w, clients, 500, true);
    }
    assert_int_equal(w.requests, 3000);
    for (int i = 0; i < 500; i++)
        client_close(&clients[i]);
    EXPECT(&w, httpd_connections(w.httpd) == 0, 5000);
    world_close(&w);
}

static void test_connection_limit_is_answered_with_503(void **state)
{
    (void)state;
    struct world w;
    struct client clients[10], extra[60];
    struct answer a;
    world_open_with(&w, 10, 60);
    for (int i = 0; i < 10; i++) {
        client_open(&clients[i], &w);
        assert_int_equal(exchange(&w, &clients[i], GET("/"), &a), 200);
    }
    for (int i = 0; i < 60; i++) {
        client_open(&extra[i], &w);
        client_send(&w, &extra[i], GET("/"));
        client_answer(&w, &extra[i], &a, false);
        assert_int_equal(a.code, 503);
        assert_true(has(&a, "\r\nretry-after: "));
        assert_int_equal(a.body_len, strlen(a.body));
        assert_int_equal(a.body[a.body_len - 1], '}');
        expect_eof(&w, &extra[i]);
        assert_false(extra[i].reset);
    }
    assert_int_equal(exchange(&w, &clients[3], GET("/"), &a), 200);
    client_close(&clients[0]);
    EXPECT(&w, httpd_connections(w.httpd) == 9, 5000);
    client_open(&clients[0], &w);
    assert_int_equal(exchange(&w, &clients[0], GET("/"), &a), 200);
    for (int i = 0; i < 60; i++)
        client_close(&extra[i]);
    for (int i = 0; i < 10; i++)
        client_close(&clients[i]);
    world_close(&w);
}

/* ---- idle connections ---- */

static void world_open_opts(struct world *w, struct httpd_opts opts);

static void test_the_longest_idle_connection_makes_room(void **state)
{
    (void)state;
    struct world w;
    struct client clients[3], newcomer, another;
    struct answer a;
    world_open_opts(
        &w, (struct httpd_opts){.connection_limit = 3, .idle_timeout_s = 60, .shed_ms = 200});
    for (int i = 0; i < 3; i++) {
        client_open(&clients[i], &w);
        assert_int_equal(exchange(&w, &clients[i], GET("/"), &a), 200);
    }
    const uint64_t begin = now_ms(&w);
    PUMP_UNTIL(&w, now_ms(&w) >= begin + 250, 1000);
    assert_int_equal(exchange(&w, &clients[0], GET("/again"), &a), 200);
    client_open(&newcomer, &w);
    assert_int_equal(exchange(&w, &newcomer, GET("/new"), &a), 200);
    expect_eof(&w, &clients[1]);
    assert_false(clients[1].reset);
    EXPECT(&w, httpd_connections(w.httpd) == 3, 5000);
    /* A request that has arrived when its connection is chosen is answered all the same. */
    const char raced[] = GET("/raced");
    assert_int_equal(send(clients[2].fd, raced, sizeof(raced) - 1, MSG_NOSIGNAL),
                     sizeof(raced) - 1);
    client_open(&another, &w);
    assert_int_equal(exchange(&w, &another, GET("/another"), &a), 200);
    client_answer(&w, &clients[2], &a, false);
    assert_string_equal(a.body, "/raced");
    assert_int_equal(exchange(&w, &clients[0], GET("/still"), &a), 200);
    for (int i = 0; i < 3; i++)
        client_close(&clients[i]);
    client_close(&newcomer);
    client_close(&another);
    world_close(&w);
}

/* KiB of this process' own memory that are in use. */
static long anonymous_kib(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (kib < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    (void)fclose(file);
    assert_true(kib >= 0);
    return kib;
}

#define IDLE_MANY 400

/* The block that is given back is the library's: its next request must find it as it was. */
static void test_an_idle_connection_gives_its_memory_back(void **state)
{
    static struct client clients[IDLE_MANY];
    static char body[20000];
    (void)state;
    struct world w;
    struct answer a;
    const char *san = getenv("TIKETI_SAN");
    world_open_opts(&w, (struct httpd_opts){
                            .connection_limit = 1000, .idle_timeout_s = 60, .release_ms = 1000});
    for (int i = 0; i < IDLE_MANY; i++) {
        client_open(&clients[i], &w);
        assert_int_equal(exchange(&w, &clients[i], GET("/a"), &a), 200);
    }
    /* A sanitizer's allocator aligns the blocks otherwise, so none is given back. */
    const long expected = san && *san != '\0' ? LONG_MIN : IDLE_MANY * 8 * 3 / 4;
    const long before = anonymous_kib();
    EXPECT(&w, before - anonymous_kib() >= expected, 8000);
    memset(body, 'b', sizeof(body) - 1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < IDLE_MANY; i++) {
            char head[128];
            assert_int_equal(exchange(&w, &clients[i], GET("/b") GET("/c"), &a), 200);
            assert_string_equal(a.body, "/b");
            client_answer(&w, &clients[i], &a, false);
            assert_string_equal(a.body, "/c");
            (void)snprintf(head, sizeof(head),
                           "POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                           sizeof(body) - 1);
            client_send(&w, &clients[i], head);
            assert_int_equal(exchange(&w, &clients[i], body, &a), 200);
            assert_int_equal(w.body_len, sizeof(body) - 1);
            assert_int_equal(w.body_hash, hash_of(body, sizeof(body) - 1));
        }
        const uint64_t begin = now_ms(&w);
        PUMP_UNTIL(&w, now_ms(&w) >= begin + 2200, 5000); /* given back again */
    }
    for (int i = 0; i < IDLE_MANY; i++)
        client_close(&clients[i]);
    world_close(&w);
}

/* ---- slow clients, shares and the reserve ---- */

static bool is_probe(const char *path)
{
    return strcmp(path, "/probe") == 0;
}

static unsigned shares; /* taken of one address */

static bool on_connect(void *arg, const char *peer, void **ret_share)
{
    (void)arg;
    assert_string_equal(peer, "127.0.0.1");
    if (shares == 5)
        return false;
    shares++;
    *ret_share = &shares;
    return true;
}

static void on_disconnect(void *arg, void *share)
{
    (void)arg;
    if (share)
        shares--;
}

/* Like world_open, with other options. */
static void world_open_opts(struct world *w, struct httpd_opts opts)
{
    world_open(w);
    server_close(w);
    w->closed = false;
    opts.loop = w->loop;
    opts.host = "127.0.0.1";
    opts.on_request = on_request;
    opts.on_done = on_done;
    opts.arg = w;
    assert_int_equal(httpd_open(&opts, &w->httpd), ST_OK);
    w->port = httpd_port(w->httpd);
}

/* Bytes come, but too slowly: the head, or the body, is answered 408, and the connection closed. */
static void test_empty_lines_begin_no_request(void **state)
{
    (void)state;
    struct world w;
    struct client client;
    struct answer a;
    world_open_opts(
        &w, (struct httpd_opts){.connection_limit = 100, .idle_timeout_s = 60, .slow_ms = 300});
    client_open(&client, &w);
    const char *const pieces[] = {"\r\n", "\r", "\n"};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        client_send(&w, &client, pieces[i]);
        PUMP_UNTIL(&w, false, 100);
    }
    PUMP_UNTIL(&w, false, 2000);
    client_send(&w, &client, GET("/first"));
    client_answer(&w, &client, &a, false);
    assert_int_equal(a.code, 200);
    client_close(&client);
    world_close(&w);
}

static void test_slow_clients_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        char drip;
        int code; /* 0: closed without an answer */
    } cases[] = {
        {"GET /slow HTTP/1.1\r\nHost: x\r\nX: ", 'y', 408},
        {"GET /slow", 'y', 408},
        {"\r\n", '\r', 400},
        {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", 'y', 408},
        {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n", 'y', 408},
        {"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", 'y', 408},
        {"POST /slow HTTP/1.0\r\nContent-Length: 5000\r\n\r\n", 'y', 0},
        {GET("/first") "GET /second", 'y', 408},
    };
    enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
    struct world w;
    struct client clients[COUNT], fast;
    struct answer a;
    world_open_opts(
        &w, (struct httpd_opts){.connection_limit = 100, .idle_timeout_s = 60, .slow_ms = 500});
    for (int i = 0; i < COUNT; i++) {
        client_open(&clients[i], &w);
        client_send(&w, &clients[i], cases[i].start);
    }
    const uint64_t start = now_ms(&w), end = start + 4000;
    unsigned open = COUNT;
    while (open > 0 && now_ms(&w) < end) {
        const uint64_t next = now_ms(&w) + 50;
        while (now_ms(&w) < next)
            turn(&w);
        for (int i = 0; i < COUNT; i++) {
            if (clients[i].eof)
                continue;
            (void)send(clients[i].fd, &cases[i].drip, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            client_read(&clients[i]);
            open -= clients[i].eof;
        }
    }
    assert_int_equal(open, 0);
    for (int i = 0; i < COUNT; i++) {
        client_answer(&w, &clients[i], &a, false);
        if (i == 7) {
            assert_int_equal(a.code, 200);
            client_answer(&w, &clients[i], &a, false);
        }
        if (a.code != cases[i].code)
            fail_msg("%d: %s", a.code, cases[i].start);
        if (a.code)
            assert_true(has(&a, "\r\nconnection: close\r\n"));
        client_close(&clients[i]);
    }
    client_open(&fast, &w); /* 400 bytes a second are too few, several thousand are not */
    client_send(&w, &fast, "POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n");
    char *body = letters(1000);
    for (int i = 0; i < 20; i++) {
        client_send_len(&w, &fast, body, 1000);
        const uint64_t next = now_ms(&w) + 100;
        while (now_ms(&w) < next)
            turn(&w);
    }
    client_answer(&w, &fast, &a, false);
    assert_int_equal(a.code, 200);
    free(body);
    client_close(&fast);
    world_close(&w);
}

/* A request waits long for its reply: that is no fault of a client whose next one is half here. */
static void test_a_waiting_request_is_not_slow(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open_opts(
        &w, (struct httpd_opts){.connection_limit = 100, .idle_timeout_s = 60, .slow_ms = 200});
    w.hold = true;
    client_open(&c, &w);
    client_send(&w, &c,
                GET("/held") "POST /behind HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    EXPECT(&w, w.held_count == 1, 5000);
    PUMP_UNTIL(&w, false, 2500);
    release(&w);
    w.hold = false;
    client_answer(&w, &c, &a, false);
    assert_string_equal(a.body, "/held");
    assert_int_equal(exchange(&w, &c, "cde", &a), 200);
    assert_string_equal(a.body, "/behind");
    client_close(&c);
    world_close(&w);
}

#define HALL_SIZE (4 << 20) /* more than the kernel keeps for a client */

static void answer_hall(struct world *w, struct http_req *req)
{
    static char hall[HALL_SIZE];
    (void)w;
    http_reply_static(req, 200, "text/plain", hall, sizeof(hall));
}

/* Bytes of the answer that the kernel has for this client, which reads none: as the client sees it, its own part. */
static size_t buffered(const struct client *c)
{
    int bytes = 0;
    assert_int_equal(ioctl(c->fd, FIONREAD, &bytes), 0);
    return (size_t)bytes;
}

static void test_slow_readers_are_ended(void **state)
{
    (void)state;
    struct world w;
    struct client deaf, begun, dripping, steady, held;
    struct answer a;
    char *block = malloc(HALL_SIZE);
    size_t read = 0;
    world_open_opts(
        &w, (struct httpd_opts){.connection_limit = 100, .idle_timeout_s = 60, .slow_ms = 300});
    w.hold = true;
    client_open(&held, &w);
    client_send(&w, &held, GET("/held"));
    EXPECT(&w, w.held_count == 1, 5000);
    w.hold = false;
    w.handler = answer_hall;
    struct client *const all[] = {&deaf, &begun, &dripping, &steady};
    for (size_t i = 0; i < 4; i++) {
        client_open(all[i], &w);
        (void)send(all[i]->fd, GET("/hall"), strlen(GET("/hall")), MSG_NOSIGNAL);
    }
    EXPECT(&w, buffered(&begun) > 0, 5000);
    (void)send(begun.fd, "GET /next", 9, MSG_NOSIGNAL); /* of its next request a part */
    const uint64_t end = now_ms(&w) + 5000;
    while (w.done < 3 &&
           now_ms(&w) < end) { /* some 50 KB a second are enough, a few bytes are not */
        const uint64_t next = now_ms(&w) + 100;
        while (now_ms(&w) < next)
            turn(&w);
        (void)recv(dripping.fd, block, 4, MSG_DONTWAIT);
        const ssize_t got = recv(steady.fd, block, 50000, MSG_DONTWAIT);
        read += got > 0 ? (size_t)got : 0;
    }
    assert_int_equal(w.done, 3);
    assert_true(httpd_connections(w.httpd) == 2);
    /* It gets what is left, however long its answer took in all. */
    for (uint64_t late = now_ms(&w) + 5000; read < HALL_SIZE && now_ms(&w) < late;) {
        turn(&w);
        const ssize_t got = recv(steady.fd, block, HALL_SIZE, MSG_DONTWAIT);
        read += got > 0 ? (size_t)got : 0;
    }
    assert_true(read > HALL_SIZE);
    /* Who waits for an answer has nothing to read yet. */
    w.handler = NULL;
    release(&w);
    client_answer(&w, &held, &a, false);
    assert_string_equal(a.body, "/held");
    for (size_t i = 0; i < 4; i++)
        client_close(all[i]);
    client_close(&held);
    free(block);
    world_close(&w);
}

static void test_an_address_has_a_share(void **state)
{
    (void)state;
    struct world w;
    struct client clients[5], extra;
    struct answer a;
    shares = 0;
    world_open_opts(&w, (struct httpd_opts){.connection_limit = 100,
                                            .idle_timeout_s = 60,
                                            .on_connect = on_connect,
                                            .on_disconnect = on_disconnect,
                                            .is_probe = is_probe});
    for (int i = 0; i < 5; i++) {
        client_open(&clients[i], &w);
        assert_int_equal(exchange(&w, &clients[i], GET("/"), &a), 200);
    }
    client_open(&extra, &w);
    assert_int_equal(exchange(&w, &extra, GET("/"), &a), 503);
    expect_eof(&w, &extra);
    client_close(&extra);
    client_open(&extra, &w); /* a probe of that address is answered all the same */
    assert_int_equal(exchange(&w, &extra, GET("/probe"), &a), 200);
    expect_eof(&w, &extra);
    client_close(&extra);
    client_close(&clients[0]);
    EXPECT(&w, shares == 4, 5000);
    client_open(&clients[0], &w);
    assert_int_equal(exchange(&w, &clients[0], GET("/"), &a), 200);
    for (int i = 0; i < 5; i++)
        client_close(&clients[i]);
    EXPECT(&w, shares == 0, 5000);
    world_close(&w);
}

/* At the limit of connections a probe is answered, however many others knock and say nothing. */
static void test_a_reserve_for_probes(void **state)
{
    (void)state;
    enum { SILENT = 100 };
    struct world w;
    struct client clients[10], silent[SILENT], probe;
    struct answer a;
    world_open_opts(&w, (struct httpd_opts){
                            .connection_limit = 10, .idle_timeout_s = 60, .is_probe = is_probe});
    for (int i = 0; i < 10; i++) {
        client_open(&clients[i], &w);
        assert_int_equal(exchange(&w, &clients[i], GET("/"), &a), 200);
    }
    for (int i = 0; i < SILENT; i++) {
        client_open(&silent[i], &w);
        if (i % 10 > 0)
            continue;
        client_open(&probe, &w);
        assert_int_equal(exchange(&w, &probe, GET("/probe") GET("/more"), &a), 200);
        assert_true(has(&a, "\r\nconnection: close\r\n"));
        expect_eof(&w, &probe);
        assert_null(strstr(probe.data, "/more"));
        client_close(&probe);
        client_open(&probe, &w);
        assert_int_equal(exchange(&w, &probe, GET("/other"), &a), 503);
        expect_eof(&w, &probe);
        client_close(&probe);
    }
    for (int i = 0; i < SILENT; i++) { /* pushed out, or after two seconds */
        client_answer(&w, &silent[i], &a, false);
        assert_true(a.code == 503 || a.code == 408);
        expect_eof(&w, &silent[i]);
        client_close(&silent[i]);
    }
    assert_int_equal(exchange(&w, &clients[3], GET("/"), &a), 200);
    client_close(&clients[0]);
    EXPECT(&w, httpd_connections(w.httpd) == 9, 5000);
    client_open(&clients[0], &w);
    assert_int_equal(exchange(&w, &clients[0], GET("/") GET("/again"), &a), 200);
    client_answer(&w, &clients[0], &a, false);
    assert_string_equal(a.body, "/again");
    for (int i = 0; i < 10; i++)
        client_close(&clients[i]);
    world_close(&w);
}

static void test_idle_connections_are_closed(void **state)
{
    (void)state;
    struct world w;
    struct client c, held;
    struct answer a;
    world_open_with(&w, 100, 1);
    client_open(&c, &w);
    client_open(&held, &w);
    assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
    w.hold = true;
    client_send(&w, &held, GET("/"));
    EXPECT(&w, w.held_count == 1, 5000);
    expect_eof(&w, &c); /* within a little more than two seconds */
    client_read(&held);
    assert_false(held.eof); /* a waiting request is not idle */
    release(&w);
    client_answer(&w, &held, &a, false);
    assert_int_equal(a.code, 200);
    client_close(&c);
    client_close(&held);
    world_close(&w);
}

/* ---- ports ---- */

/* A listener without SO_REUSEPORT. */
static int strange_listener(uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static void test_ports(void **state)
{
    (void)state;
    struct world w;
    struct httpd *second = NULL;
    world_open(&w);
    struct httpd_opts opts = {.loop = w.loop,
                              .host = "127.0.0.1",
                              .port = w.port,
                              .connection_limit = 10,
                              .idle_timeout_s = 10,
                              .on_request = on_request,
                              .arg = &w};
    assert_int_equal(httpd_open(&opts, &second), ST_OK); /* as another worker does */
    httpd_close(second, NULL, NULL);
    int fd = strange_listener(&opts.port);
    assert_int_equal(httpd_open(&opts, &second), ST_CONFLICT);
    close(fd);
    opts.host = "localhost";
    assert_int_equal(httpd_open(&opts, &second), ST_INVALID);
    opts.host = "192.0.2.1"; /* no address of this machine */
    assert_int_equal(httpd_open(&opts, &second), ST_UNAVAILABLE);
    opts.host = "::1";
    opts.port = 0;
    if (httpd_open(&opts, &second) == ST_OK) /* a machine may have no IPv6 */
        httpd_close(second, NULL, NULL);
    httpd_close(NULL, NULL, NULL);
    world_close(&w);
}

/* ---- the end ---- */

static void test_quiesce(void **state)
{
    (void)state;
    struct world w;
    struct client c, late;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
    client_open(&late, &w); /* in the kernel's accept queue: still served */
    httpd_quiesce(w.httpd);
    httpd_quiesce(w.httpd);
    assert_int_equal(exchange(&w, &late, GET("/"), &a), 200);
    assert_true(has(&a, "\r\nconnection: close\r\n"));
    expect_eof(&w, &late);
    assert_int_equal(exchange(&w, &c, GET("/"), &a), 200);
    assert_true(has(&a, "\r\nconnection: close\r\n"));
    expect_eof(&w, &c);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(w.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), -1);
    close(fd);
    client_close(&c);
    client_close(&late);
    world_close(&w);
}

static void test_close_with_suspended_requests(void **state)
{
    (void)state;
    static struct client clients[50];
    struct world w;
    struct answer a;
    world_open(&w);
    w.hold = true;
    for (int i = 0; i < 50; i++) {
        client_open(&clients[i], &w);
        client_send(&w, &clients[i], GET("/held") GET("/behind"));
    }
    EXPECT(&w, w.held_count == 50, 5000);
    server_close(&w);
    for (int i = 0; i < 50; i++) {
        client_answer(&w, &clients[i], &a, false);
        assert_int_equal(a.code, 503);
        assert_true(has(&a, "\r\nconnection: close\r\n"));
        client_close(&clients[i]);
    }
    /* The handler's replies come later; the requests are still valid. */
    assert_int_equal(w.done, 0);
    assert_string_equal(http_req_path(w.held[7]), "/held");
    assert_string_equal(http_req_peer(w.held[7]), "127.0.0.1");
    assert_string_equal(http_req_header(w.held[7], "Host"), "x");
    release(&w);
    assert_int_equal(w.done, 50);
    world_close(&w);
}

static void test_close_with_everything_at_once(void **state)
{
    (void)state;
    struct world w;
    struct client idle, half, held, reading;
    world_open(&w);
    client_open(&idle, &w);
    client_open(&half, &w);
    client_open(&held, &w);
    client_open(&reading, &w);
    client_send(&w, &half, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    w.handler = big_answer;
    for (int i = 0; i < 3; i++) /* answers that do not fit into the socket */
        send(reading.fd, GET("/"), sizeof(GET("/")) - 1, MSG_NOSIGNAL);
    PUMP_UNTIL(&w, w.requests >= 1, 1000);
    w.hold = true;
    client_send(&w, &held, GET("/"));
    EXPECT(&w, w.held_count >= 1, 5000);
    server_close(&w);
    release(&w);
    client_close(&idle);
    client_close(&half);
    client_close(&held);
    client_close(&reading);
    world_close(&w);
}

/* ---- answers in pieces, streamed bodies ---- */

/* The answer of a test: what is given when a piece is asked for. */
struct pieces {
    struct http_req *asking; /* asked for a piece and has not got it yet */
    unsigned asked, given;
    unsigned count; /* pieces of `size` bytes, then an empty last one */
    size_t size;
    bool at_once;
    enum http_piece end;
};

static struct pieces pieces;

static void piece_give(void)
{
    static char data[200000];
    struct http_req *req = pieces.asking;
    pieces.asking = NULL;
    memset(data, 'a' + (int)(pieces.given % 26), sizeof(data));
    if (pieces.given < pieces.count) {
        pieces.given++;
        http_reply_piece(req, data, pieces.size, HTTP_PIECE_MORE);
    } else {
        http_reply_piece(req, NULL, 0, pieces.end);
    }
}

static void on_more(void *arg, struct http_req *req)
{
    assert_ptr_equal(arg, &pieces);
    assert_null(pieces.asking);
    pieces.asking = req;
    pieces.asked++;
    if (pieces.at_once)
        piece_give();
}

static void answer_in_pieces(struct world *w, struct http_req *req)
{
    (void)w;
    http_req_add_header(req, "X-Kind", "pieces");
    http_reply_stream(req, 200, "text/csv", on_more, &pieces);
}

/* Removes the chunked framing of the answer in c. Its length, or -1 while the last chunk is missing. */
static long chunks_join(struct client *c)
{
    char *at = strstr(c->data, "\r\n\r\n");
    long total = 0;
    if (!at)
        return -1;
    at += 4;
    for (;;) {
        char *end;
        const unsigned long len = strtoul(at, &end, 16);
        if (end == at || strncmp(end, "\r\n", 2) != 0 || end + 4 + len > c->data + c->len)
            return -1;
        if (len == 0)
            return total;
        total += (long)len;
        at = end + 2 + len + 2;
    }
}

static void stream_open(struct world *w, struct client *c, unsigned count, size_t size)
{
    world_open(w);
    w->handler = answer_in_pieces;
    pieces = (struct pieces){.count = count, .size = size, .end = HTTP_PIECE_LAST};
    client_open(c, w);
}

static void pump_pieces(struct world *w, struct client *c)
{
    turn(w);
    if (pieces.asking)
        piece_give();
    client_read(c);
}

static void test_pieces(void **state)
{
    (void)state;
    static const struct {
        unsigned count;
        size_t size;
        bool at_once;
    } cases[] = {{0, 0, false}, {0, 0, true},  {3, 0, false},      {3, 0, true},
                 {1, 1, false}, {50, 7, true}, {5, 200000, false}, {5, 200000, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;
        struct client c;
        struct answer a;
        stream_open(&w, &c, cases[i].count, cases[i].size);
        pieces.at_once = cases[i].at_once;
        client_send(&w, &c, GET("/csv"));
        const uint64_t end = now_ms(&w) + 10000;
        while (chunks_join(&c) < 0 && now_ms(&w) < end)
            pump_pieces(&w, &c);
        assert_int_equal(chunks_join(&c), cases[i].count * cases[i].size);
        assert_non_null(strcasestr(c.data, "\r\ntransfer-encoding: chunked\r\n"));
        assert_non_null(strstr(c.data, "\r\nX-Kind: pieces\r\n"));
        assert_int_equal(pieces.asked, cases[i].count + 1);
        assert_int_equal(w.done, 1);
        /* The connection stays usable. */
        w.handler = NULL;
        c.at = c.len;
        assert_int_equal(exchange(&w, &c, GET("/next"), &a), 200);
        assert_string_equal(a.body, "/next");
        client_close(&c);
        world_close(&w);
    }
}

static void test_pieces_of_a_waiting_request(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    stream_open(&w, &c, 2, 1000);
    w.hold = true;
    client_send(&w, &c, GET("/csv"));
    EXPECT(&w, w.held_count == 1, 5000);
    for (uint64_t end = now_ms(&w) + 50; now_ms(&w) < end;) /* long enough to be suspended */
        turn(&w);
    answer_in_pieces(&w, w.held[0]);
    EXPECT(&w, (pump_pieces(&w, &c), chunks_join(&c) == 2000), 5000);
    client_close(&c);
    world_close(&w);
}

static void test_pieces_head(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    stream_open(&w, &c, 2, 1000);
    client_send(&w, &c, "HEAD /csv HTTP/1.1\r\nHost: x\r\n\r\n");
    client_answer(&w, &c, &a, true);
    assert_int_equal(a.code, 200);
    assert_false(has(&a, "content-length") || has(&a, "transfer-encoding"));
    expect_eof(&w, &c);
    assert_int_equal(c.len, c.at); /* the head and nothing else */
    assert_int_equal(pieces.asked, 0);
    client_close(&c);
    world_close(&w);
}

static void test_pieces_broken_off(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        struct world w;
        struct client c;
        stream_open(&w, &c, 2, 30000);
        pieces.at_once = at_once;
        pieces.end = HTTP_PIECE_BROKEN;
        client_send(&w, &c, GET("/csv"));
        const uint64_t end = now_ms(&w) + 5000;
        while (!c.eof && now_ms(&w) < end)
            pump_pieces(&w, &c);
        assert_true(c.eof);
        assert_int_equal(chunks_join(&c), -1); /* the client can tell that it is incomplete */
        assert_non_null(strstr(c.data, "bbbbb"));
        EXPECT(&w, w.done == 1, 5000);
        client_close(&c);
        world_close(&w);
    }
}

/* A client that does not read: no more pieces are asked for than fit on the way to it, and none once it is
 * gone. */
static void test_pieces_slow_reader_leaves(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    unsigned asked = 0;
    stream_open(&w, &c, 10000, 200000);
    pieces.at_once = true;
    client_send(&w, &c, GET("/csv"));
    EXPECT(&w, pieces.asked > 0, 5000);
    for (uint64_t quiet = now_ms(&w) + 100; now_ms(&w) < quiet; turn(&w)) {
        if (asked != pieces.asked)
            quiet = now_ms(&w) + 100;
        asked = pieces.asked;
    }
    assert_true(asked < 200);
    assert_int_equal(w.done, 0);
    client_close(&c);
    EXPECT(&w, w.done == 1, 5000);
    assert_int_equal(asked, pieces.asked);
    world_close(&w);
}

/* The server closes while a piece is owed, and while none is. */
static void test_pieces_close(void **state)
{
    (void)state;
    struct world w;
    struct client c, slow;
    stream_open(&w, &c, 100, 200000);
    pieces.at_once = true;
    client_open(&slow, &w);
    client_send(&w, &slow, GET("/csv"));
    EXPECT(&w, pieces.asked > 0, 5000);
    unsigned asked = 0;
    while (asked != pieces.asked) { /* until the first request is stuck within a piece */
        asked = pieces.asked;
        for (int i = 0; i < 200; i++)
            turn(&w);
    }
    pieces.at_once = false;
    client_send(&w, &c, GET("/csv"));
    EXPECT(&w, pieces.asking && pieces.asked == asked + 1, 5000);
    assert_int_equal(httpd_waiting(w.httpd), 1);
    server_close(&w);
    expect_eof(&w, &c);
    assert_int_equal(chunks_join(&c), -1);
    assert_int_equal(w.done, 1);
    piece_give();
    assert_int_equal(w.done, 2);
    client_close(&c);
    client_close(&slow);
    world_close(&w);
}

static size_t streamed;
static bool body_enough;

static bool on_body(void *arg, struct http_req *req, const char *data, size_t len)
{
    struct world *w = arg;
    assert_true(data[0] == 'x' && len > 0);
    assert_string_equal(http_req_path(req), "/stream");
    assert_int_equal(w->done, 0);
    streamed += len;
    return !body_enough;
}

static void on_head(void *arg, struct http_req *req)
{
    http_req_set_user(req, http_req_alloc(req, 8));
    if (strcmp(http_req_path(req), "/stream") == 0)
        http_req_stream_body(req, 1000000, on_body, arg);
    else if (strcmp(http_req_path(req), "/away") == 0)
        http_req_stream_body(req, 1000000, NULL, NULL);
}

static void upload_open(struct world *w, struct client *c)
{
    streamed = 0;
    body_enough = false;
    world_open(w);
    server_close(w);
    w->closed = false;
    struct httpd_opts opts = {.loop = w->loop,
                              .host = "127.0.0.1",
                              .connection_limit = 10,
                              .idle_timeout_s = 60,
                              .on_request = on_request,
                              .on_head = on_head,
                              .on_done = on_done,
                              .arg = w};
    assert_int_equal(httpd_open(&opts, &w->httpd), ST_OK);
    w->port = httpd_port(w->httpd);
    client_open(c, w);
}

/* Sends a request that announces a body of `len` bytes, and `sent` bytes of it. */
static void send_body(struct world *w, struct client *c, const char *path, size_t len, size_t sent)
{
    static char body[1 << 20];
    char head[128];
    memset(body, 'x', sizeof(body));
    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path,
             len);
    client_send(w, c, head);
    for (size_t n; sent > 0; sent -= n) {
        n = sent < sizeof(body) ? sent : sizeof(body);
        client_send_len(w, c, body, n);
    }
}

static void test_streamed_body(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    upload_open(&w, &c);
    send_body(&w, &c, "/stream", 1000000, 1000000);
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 200);
    assert_int_equal(streamed, 1000000);
    assert_int_equal(w.body_len, 0); /* nothing was kept */
    send_body(&w, &c, "/away", 1000000, 1000000);
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 200);
    assert_int_equal(w.body_len, 0);
    send_body(&w, &c, "/plain", 10, 10);
    client_answer(&w, &c, &a, false);
    assert_int_equal(w.body_len, 10);
    send_body(&w, &c, "/plain", 100000, 100000); /* the limit of other bodies is unchanged */
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 413);
    client_close(&c);
    w.done = w.requests;
    world_close(&w);
}

static void test_streamed_body_refused(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    upload_open(&w, &c);
    send_body(&w, &c, "/stream", 1000001, 1000001);
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 413);
    assert_int_equal(streamed, 0);
    client_close(&c);
    client_open(&c, &w); /* the same for a body of unknown size */
    w.done = 0;
    client_send(&w, &c, "POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++) {
        static char chunk[100000 + 9 + 1];
        memcpy(chunk, "186a0\r\n", 7);
        memset(chunk + 7, 'x', 100000);
        memcpy(chunk + 7 + 100000, "\r\n", 3);
        client_send_len(&w, &c, chunk, 7 + 100000 + 2);
    }
    client_send(&w, &c, "0\r\n\r\n");
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 413);
    assert_true(streamed <= 1000000);
    client_close(&c);
    w.done = w.requests;
    world_close(&w);
}

/* A handler that wants no more of a body is not called again, but the answer comes after the whole body;
 * a client that leaves within its body ends in on_done, once. */
static void test_streamed_body_cut_short(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    upload_open(&w, &c);
    body_enough = true;
    send_body(&w, &c, "/stream", 500000, 500000);
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 200);
    assert_true(streamed > 0 && streamed < 100000);
    EXPECT(&w, w.done == 1, 5000);
    w.done = 0;
    body_enough = false;
    streamed = 0;
    send_body(&w, &c, "/stream", 500000, 300000);
    EXPECT(&w, streamed == 300000, 5000);
    client_close(&c);
    EXPECT(&w, w.done == 1, 5000);
    assert_int_equal(w.requests, 1); /* on_request did not run */
    w.done = w.requests;
    world_close(&w);
}

static void test_request_without_host(void **state)
{
    (void)state;
    struct world w;
    struct client c;
    struct answer a;
    world_open(&w);
    client_open(&c, &w);
    client_send(&w, &c, "GET /no-host HTTP/1.1\r\n\r\n");
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 400);
    assert_int_equal(w.refusal, 400);
    expect_eof(&w, &c);
    client_close(&c);
    client_open(&c, &w);
    client_send(&w, &c, "GET /old HTTP/1.0\r\n\r\n");
    client_answer(&w, &c, &a, false);
    assert_int_equal(a.code, 200);
    client_close(&c);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive_stays_open),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_head_and_no_content),
        cmocka_unit_test(test_looking_at_a_request),
        cmocka_unit_test(test_headers_of_an_answer),
        cmocka_unit_test(test_date_of_an_answer),
        cmocka_unit_test(test_bodies_up_to_the_limit),
        cmocka_unit_test(test_bodies_over_the_limit),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_ambiguous_requests_are_refused),
        cmocka_unit_test(test_late_answer_to_a_refused_request),
        cmocka_unit_test(test_request_without_host),
        cmocka_unit_test(test_too_long_lines),
        cmocka_unit_test(test_any_size_of_head_is_answered),
        cmocka_unit_test(test_suspended_replies),
        cmocka_unit_test(test_client_leaves_while_suspended),
        cmocka_unit_test(test_connections_reset_while_waiting),
        cmocka_unit_test(test_waiting_request_does_not_delay_others),
        cmocka_unit_test(test_client_leaves_in_the_middle),
        cmocka_unit_test(test_second_reply_is_dropped),
        cmocka_unit_test(test_large_answer_in_pieces),
        cmocka_unit_test(test_500_connections),
        cmocka_unit_test(test_connection_limit_is_answered_with_503),
        cmocka_unit_test(test_the_longest_idle_connection_makes_room),
        cmocka_unit_test(test_an_idle_connection_gives_its_memory_back),
        cmocka_unit_test(test_empty_lines_begin_no_request),
        cmocka_unit_test(test_slow_clients_are_refused),
        cmocka_unit_test(test_a_waiting_request_is_not_slow),
        cmocka_unit_test(test_slow_readers_are_ended),
        cmocka_unit_test(test_an_address_has_a_share),
        cmocka_unit_test(test_a_reserve_for_probes),
        cmocka_unit_test(test_idle_connections_are_closed),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_quiesce),
        cmocka_unit_test(test_close_with_suspended_requests),
        cmocka_unit_test(test_close_with_everything_at_once),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_pieces_of_a_waiting_request),
        cmocka_unit_test(test_pieces_head),
        cmocka_unit_test(test_pieces_broken_off),
        cmocka_unit_test(test_pieces_slow_reader_leaves),
        cmocka_unit_test(test_pieces_close),
        cmocka_unit_test(test_streamed_body),
        cmocka_unit_test(test_streamed_body_refused),
        cmocka_unit_test(test_streamed_body_cut_short),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("httpd", tests, NULL, NULL);
}
