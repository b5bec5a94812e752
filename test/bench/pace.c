/* SPDX-License-Identifier: MIT */
/*
 * pace: newcomers come at a fixed rate, whether those before them were answered or not, as wrk2 does it: an answer's time counts
 * from when its request was due, so a service that stalls cannot slow the load down.
 *
 *   pace PORT PATH RATE SECONDS IN_TIME_MS [close]
 *
 * Each POST takes an idle connection, or opens one; with `close` each has its own and closes it afterwards. One line of JSON
 * at the end: of how many requests the answer was good (200, in time), late (200), refused (503, in time), other (any
 * other status, or too late), lost (none); quantiles of the good ones in ms; the distinct values of Retry-After.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS     18000
#define BUFFER    2048
#define EVENTS    1024
#define RETRY_MAX 64
#define GRACE_NS  5000000000

struct conn {
    struct conn *next; /* idle */
    uint64_t due_ns;   /* of the request under way; 0: none */
    int fd;
    unsigned len, unsent; /* unsent: the request waits for the connection */
    char text[BUFFER];
};

static struct conn *conns, *idle;
static unsigned conn_count, under_way, closes;
static int epoll_fd;
static struct sockaddr_in server;
static char request[512];
static size_t request_len;
static uint64_t in_time_ns;
static unsigned good, late, refused, other, lost, retries[RETRY_MAX];
static float *times;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    conn->fd = -1;
}

static void conn_free(struct conn *conn)
{
    conn->due_ns = 0;
    conn->len = 0;
    conn->next = idle;
    idle = conn;
    under_way--;
}

/* The connection was lost, or could not be opened. */
static void conn_lost(struct conn *conn)
{
    conn_close(conn);
    if (conn->due_ns == 0)
        return; /* idle: it is opened again when it is taken */
    lost++;
    conn_free(conn);
}

static void conn_send(struct conn *conn)
{
    const ssize_t sent = send(conn->fd, request, request_len, MSG_NOSIGNAL);
    conn->unsent = sent < 0 && (errno == EAGAIN || errno == ENOTCONN);
    if (sent != (ssize_t)request_len && !conn->unsent)
        conn_lost(conn);
}

static void ask(uint64_t due_ns)
{
    static const int one = 1;
    struct conn *conn = idle;
    if (!conn && conn_count == CONNS) {
        lost++; /* no descriptor is left */
        return;
    }
    if (conn)
        idle = conn->next;
    else
        (conn = &conns[conn_count++])->fd = -1;
    under_way++;
    conn->due_ns = due_ns;
    if (conn->fd < 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};
        conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        /* Several addresses of our own, since each has only 28,000 ports. */
        const struct sockaddr_in own = {
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (unsigned)(due_ns / 1000 % 16))};
        setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        (void)bind(conn->fd, (const struct sockaddr *)&own, sizeof(own));
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (conn->fd < 0 ||
            (connect(conn->fd, (struct sockaddr *)&server, sizeof(server)) < 0 &&
             errno != EINPROGRESS) ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0) {
            conn_lost(conn);
            return;
        }
        conn->unsent = 1;
        return;
    }
    conn_send(conn);
}

static void answered(struct conn *conn)
{
    const uint64_t took_ns = now_ns() - conn->due_ns;
    const int status = atoi(conn->text + 9);
    if (status == 200 && took_ns <= in_time_ns)
        times[good++] = (float)took_ns / 1e6f;
    else if (status == 200)
        late++;
    else if (status == 503 && took_ns <= in_time_ns)
        refused++;
    else
        other++;
    const char *retry = strstr(conn->text, "Retry-After: ");
    if (status == 503 && retry)
        retries[(unsigned)atoi(retry + 13) % RETRY_MAX]++;
    if (closes)
        conn_close(conn);
    conn_free(conn);
}

static void conn_read(struct conn *conn)
{
    for (;;) {
        const ssize_t got = recv(conn->fd, conn->text + conn->len, BUFFER - 1 - conn->len, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            conn_lost(conn);
            return;
        }
        conn->len += (unsigned)got;
        conn->text[conn->len] = '\0';
        const char *end = strstr(conn->text, "\r\n\r\n");
        const char *length = strstr(conn->text, "Content-Length: ");
        if (!end || !length ||
            conn->len < (size_t)(end + 4 - conn->text) + (size_t)atoi(length + 16))
            continue;
        answered(conn);
        if (conn->fd < 0)
            return;
    }
}

static void look(int wait_ms)
{
    static struct epoll_event events[EVENTS];
    const int count = epoll_wait(epoll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn->fd >= 0 && conn->unsent && (events[i].events & EPOLLOUT))
            conn_send(conn);
        if (conn->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
            conn_read(conn);
    }
}

static int compare(const void *a, const void *b)
{
    return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b);
}

int main(int argc, char **argv)
{
    const struct rlimit files = {CONNS + 1000, CONNS + 1000};
    if (argc < 6)
        return 64;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    server = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    closes = argc > 6;
    request_len =
        (size_t)snprintf(request, sizeof(request),
                         "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n", argv[2]);
    const double per_ns = atof(argv[3]) / 1e9;
    const uint64_t for_ns = (uint64_t)(atof(argv[4]) * 1e9);
    const unsigned total = (unsigned)(per_ns * (double)for_ns);
    in_time_ns = (uint64_t)atoi(argv[5]) * 1000000u;
    conns = calloc(CONNS, sizeof(*conns));
    times = calloc(total + 1, sizeof(*times));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const uint64_t begun = now_ns();
    uint64_t worst_ns = 0; /* by how much this program itself was late */
    unsigned sent = 0;
    while (sent < total || (under_way > 0 && now_ns() - begun < for_ns + GRACE_NS)) {
        const uint64_t now = now_ns();
        for (unsigned burst = 0; sent < total && burst < EVENTS; burst++) {
            const uint64_t due = begun + (uint64_t)(sent / per_ns);
            if (due > now)
                break;
            worst_ns = now - due > worst_ns ? now - due : worst_ns;
            ask(due);
            sent++;
        }
        look(1);
    }
    lost += under_way;
    qsort(times, good, sizeof(*times), compare);
    printf("{\"sent\":%u,\"good\":%u,\"late\":%u,\"refused\":%u,\"other\":%u,\"lost\":%u,"
           "\"connections\":%u,\"p50\":%.1f,\"p99\":%.1f,\"ownLate\":%.1f,\"retries\":{",
           sent, good, late, refused, other, lost, conn_count, good ? times[good / 2] : 0,
           good ? times[(size_t)good * 99 / 100] : 0, (double)worst_ns / 1e6);
    for (unsigned s = 0, any = 0; s < RETRY_MAX; s++)
        if (retries[s] > 0)
            printf("%s\"%u\":%u", any++ ? "," : "", s, retries[s]);
    printf("}}\n");
    return 0;
}
