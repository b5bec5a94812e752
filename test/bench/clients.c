/* SPDX-License-Identifier: MIT */
/*
 * clients: keeps many WebSockets open at little cost: opens them, sends the first message on each, answers pings, and
 * counts messages. It reads only the first bytes of a message, so that the CPU is left to the server.
 *
 *   clients PORT FILE RATE [socketio]   a line of FILE per socket: its guest cookie, a tab, its first message;
 *                             RATE new ones a second, 0: as fast as they are answered; socketio: by Socket.IO
 *   open | stats | entries    on standard input; each answered by one line of JSON
 *
 * It polls its sockets once a millisecond and is not woken by each message: with clients on another machine no
 * wake-up would cost the server's machine anything, so none may be measured here.
 * A socket is up when its first message was answered. entries: [socket, wall-clock ms] of every queue-entry-allowed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PENDING_MAX 256
#define PER_ADDRESS 10000
#define EVENTS      4096
#define PAUSE_NS    1000000

enum state { CONNECTING, SHAKING, OPEN, UP, GONE };

struct conn {
    int fd;
    uint8_t state, head_len;
    uint8_t head[4];   /* of a frame whose header came in two parts */
    uint32_t skip;     /* bytes of a payload still to come */
    char *first, *end; /* the guest's line of the file */
};

static struct conn *conns;
static unsigned total, begun, up, gone, pending, rate;
static uint64_t frames, bytes, positions;
static int socketio;
static int epoll_fd;
static struct sockaddr_in server;
static struct {
    unsigned index;
    int64_t ms;
} * entries;
static unsigned entry_count, entry_cap;

static int64_t now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void lose(struct conn *conn)
{
    pending -= conn->state < UP;
    up -= conn->state == UP;
    close(conn->fd);
    conn->state = GONE;
    gone++;
}

/* A masked frame with a mask of zeros: its bytes are those of the message. */
static void send_frame(struct conn *conn, uint8_t opcode, const char *text, size_t len)
{
    uint8_t head[8] = {opcode, (uint8_t)(0x80 | (len < 126 ? len : 126))};
    size_t at = 2;
    if (len >= 126) {
        head[at++] = (uint8_t)(len >> 8);
        head[at++] = (uint8_t)len;
    }
    const struct iovec parts[] = {{head, at + 4}, {(void *)text, len}};
    if (writev(conn->fd, parts, 2) != (ssize_t)(at + 4 + len))
        lose(conn);
}

static void start(struct conn *conn)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    const struct sockaddr_in to = server;
    const int one = 1;
    const unsigned index = (unsigned)(conn - conns);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / PER_ADDRESS);
    setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};
    conn->state = CONNECTING;
    pending++;
    begun++;
    if (bind(conn->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        (connect(conn->fd, (const struct sockaddr *)&to, sizeof(to)) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        lose(conn);
}

static void shake(struct conn *conn)
{
    char text[512];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    const char *tab = memchr(conn->first, '\t', (size_t)(conn->end - conn->first));
    const int len = snprintf(text, sizeof(text),
                             "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "%sCookie: tiketi_guest=%.*s\r\n\r\n",
                             socketio ? "/socket.io/?EIO=4&transport=websocket" : "/ws",
                             socketio ? "" : "Sec-WebSocket-Protocol: tiketi.v1\r\n",
                             (int)(tab - conn->first), conn->first);
    conn->state = SHAKING;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    if (write(conn->fd, text, (size_t)len) != len)
        lose(conn);
}

static void note_entry(const struct conn *conn)
{
    if (entry_count == entry_cap) {
        entry_cap = entry_cap ? entry_cap * 2 : 1024;
        entries = realloc(entries, entry_cap * sizeof(*entries));
    }
    entries[entry_count].index = (unsigned)(conn - conns);
    entries[entry_count++].ms = now_ms(CLOCK_REALTIME);
}

/* Handles a message of which the first `have` bytes of the payload have arrived. */
static void on_frame(struct conn *conn, uint8_t opcode, const char *payload, size_t have)
{
    const char *entry = socketio ? "42[\"queue-entry" : "{\"event\":\"queue-entry",
               *position = socketio ? "42[\"queue-pos" : "{\"event\":\"queue-pos";
    if ((opcode & 0x0f) == 9) {
        send_frame(conn, 0x8a, payload, have);
        return;
    }
    if (socketio && have == 1 && *payload == '2') {
        send_frame(conn, 0x81, "3", 1);
        return;
    }
    if (socketio && payload[0] != '4')
        return; /* the open packet */
    if (socketio && (have < 2 || payload[1] != '2'))
        return; /* connected */
    frames++;
    if (conn->state == OPEN) {
        conn->state = UP;
        pending--;
        up++;
    }
    if (have > strlen(entry) && memcmp(payload, entry, strlen(entry)) == 0)
        note_entry(conn);
    if (have > strlen(position) && memcmp(payload, position, strlen(position)) == 0)
        positions++;
}

static void read_frames(struct conn *conn, const char *data, size_t len)
{
    bytes += len;
    while (len > 0 && conn->state != GONE) {
        if (conn->skip > 0) {
            const size_t n = conn->skip < len ? conn->skip : len;
            conn->skip -= (uint32_t)n;
            data += n;
            len -= n;
            continue;
        }
        conn->head[conn->head_len++] = (uint8_t)*data++;
        len--;
        if (conn->head_len < 2 || (conn->head[1] == 126 && conn->head_len < 4))
            continue;
        conn->skip =
            conn->head[1] < 126 ? conn->head[1] : (uint32_t)(conn->head[2] << 8 | conn->head[3]);
        conn->head_len = 0;
        on_frame(conn, conn->head[0], data, conn->skip < len ? conn->skip : len);
    }
}

static void on_readable(struct conn *conn)
{
    static char buffer[65536];
    const ssize_t got = read(conn->fd, buffer, sizeof(buffer));
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            lose(conn);
        return;
    }
    if (conn->state != SHAKING) {
        read_frames(conn, buffer, (size_t)got);
        return;
    }
    /* The answer to a handshake is short and arrives in one piece. */
    const char *stop = memmem(buffer, (size_t)got, "\r\n\r\n", 4);
    if (memcmp(buffer, "HTTP/1.1 101", 12) != 0 || !stop) {
        lose(conn);
        return;
    }
    conn->state = OPEN;
    if (socketio)
        send_frame(conn, 0x81, "40", 2);
    const char *message = memchr(conn->first, '\t', (size_t)(conn->end - conn->first));
    if (conn->state != GONE)
        send_frame(conn, 0x81, message + 1, (size_t)(conn->end - message - 1));
    stop += 4;
    if (stop < buffer + got && conn->state != GONE)
        read_frames(conn, stop, (size_t)(buffer + got - stop));
}

static void on_command(unsigned *allowed)
{
    char line[64];
    const ssize_t got = read(0, line, sizeof(line) - 1);
    if (got <= 0)
        exit(0);
    line[got] = '\0';
    if (strncmp(line, "open", 4) == 0)
        *allowed = total;
    if (strncmp(line, "entries", 7) == 0) {
        printf("[");
        for (unsigned i = 0; i < entry_count; i++)
            printf("%s[%u,%lld]", i ? "," : "", entries[i].index, (long long)entries[i].ms);
        printf("]\n");
        entry_count = 0;
    } else {
        printf("{\"total\":%u,\"up\":%u,\"gone\":%u,\"frames\":%llu,\"positions\":%llu,\"bytes\":%"
               "llu}\n",
               total, up, gone, (unsigned long long)frames, (unsigned long long)positions,
               (unsigned long long)bytes);
    }
    (void)fflush(stdout);
}

static void read_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        exit(1);
    const long size = ftell(file);
    char *text = malloc((size_t)size + 1);
    rewind(file);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size)
        exit(1);
    (void)fclose(file);
    for (long i = 0; i < size; i++)
        total += text[i] == '\n';
    conns = calloc(total, sizeof(*conns));
    for (unsigned i = 0; i < total; i++) {
        conns[i].first = text;
        conns[i].end = strchr(text, '\n');
        text = conns[i].end + 1;
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct rlimit limit;
    unsigned allowed = 0;
    int64_t opened_ms = 0;
    if (argc != 4 && argc != 5)
        return 64;
    socketio = argc == 5;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    rate = (unsigned)atoi(argv[3]);
    read_lines(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &(struct epoll_event){.events = EPOLLIN});
    for (;;) {
        const int n = epoll_wait(epoll_fd, events, EVENTS, 0);
        if (n < EVENTS)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn)
                on_command(&allowed);
            else if (conn->state == CONNECTING)
                shake(conn);
            else if (conn->state != GONE)
                on_readable(conn);
        }
        if (begun < allowed && opened_ms == 0)
            opened_ms = now_ms(CLOCK_MONOTONIC);
        while (begun < allowed && pending < PENDING_MAX &&
               (!rate || begun < (now_ms(CLOCK_MONOTONIC) - opened_ms) * rate / 1000))
            start(&conns[begun]);
    }
}
