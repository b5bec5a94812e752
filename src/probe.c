/* SPDX-License-Identifier: MIT */
/*
 * probe: tiketi probe asks the service on this machine as an orchestrator does: /livez, /readyz or /readyz?deep=1.
 *
 * Why this way: a container without a shell's tools has no curl, and a health check that comes with the program knows from
 * the same settings which port answers probes. One blocking request on one socket: no loop, no library.
 * Called by: main. Nobody answers, or not in time: exit code 1 and a sentence.
 */
#include "probe.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 8192 /* what is read of an answer; the rest is not looked at */

const struct option_row probe_rows[] = {
    {"ask", OPT_TEXT, offsetof(struct probe_options, ask), 0, 0, "live", "WHAT",
     "live: does the process answer; ready: does it serve; deep: does it serve, and do Redis and "
     "PostgreSQL"},
    {"timeout", OPT_DURATION, offsetof(struct probe_options, timeout_ms), 1, 60000, "5s", "TIME",
     "how long it waits for the answer"},
    {0},
};

static const struct {
    const char *name, *path;
} questions[] = {{"live", "/livez"}, {"ready", "/readyz"}, {"deep", "/readyz?deep=1"}};

static const char *path_of(const char *name)
{
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        if (strcmp(questions[i].name, name) == 0)
            return questions[i].path;
    }
    return NULL;
}

enum status probe_check(const void *options, struct options_error *error)
{
    const struct probe_options *probe = options;
    if (path_of(probe->ask))
        return ST_OK;
    return options_refuse(error, "--ask must be live, ready or deep, not '%.40s'", probe->ask);
}

static int64_t now_ms(void)
{
    return (int64_t)(clock_mono_ns() / 1000000);
}

/* Waits until the socket is ready for `events`. False: the deadline has passed; errno says so. */
static bool await(int fd, short events, int64_t deadline_ms)
{
    struct pollfd watch = {.fd = fd, .events = events};
    for (;;) {
        const int64_t left = deadline_ms - now_ms();
        const int ready = left > 0 ? poll(&watch, 1, (int)left) : 0;
        if (ready > 0)
            return true;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* A socket that is connected to the service. -1: errno says why there is none. */
static int connect_by(const struct addrinfo *address, int64_t deadline_ms)
{
    int error = 0;
    socklen_t len = sizeof(error);
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS && await(fd, POLLOUT, deadline_ms) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0) {
        if (error == 0)
            return fd;
        errno = error;
    }
    error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* Sends the request, and reads until the peer has closed or `answer` is full. False: errno says why. */
static bool exchange(int fd, const char *request, int64_t deadline_ms, char answer[ANSWER_MAX])
{
    const size_t len = strlen(request);
    size_t got = 0;
    /* A new socket's buffer takes a hundred bytes in one piece. */
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        return false;
    while (got < ANSWER_MAX - 1) {
        const ssize_t n = recv(fd, answer + got, ANSWER_MAX - 1 - got, 0);
        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        else if (errno != EAGAIN || !await(fd, POLLIN, deadline_ms))
            return false;
    }
    answer[got] = '\0';
    return true;
}

/* Judges the answer and says what is wrong with it. Returns the exit code. */
static int judge(const char *url, const char *answer)
{
    static const char version[] = "HTTP/1.1 ";
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, version, strlen(version)) != 0 || !body)
        return program_fail("probe", 1, "%s: what answers there does not speak HTTP", url);
    const char *code = answer + strlen(version);
    if (strncmp(code, "200 ", 4) == 0)
        return 0;
    return program_fail("probe", 1, "%s: %.3s %s", url, code, body + 4);
}

int probe(struct config *config, const void *arg)
{
    const struct probe_options *options = arg;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const int64_t number = config->metrics_port ? config->metrics_port : config->http_port;
    const int64_t deadline_ms = now_ms() + options->timeout_ms;
    struct addrinfo *address = NULL;
    const char *host = config->http_host;
    char port[24], url[128], request[256], answer[ANSWER_MAX];
    if (number == 0)
        return program_fail("probe", EXIT_CONFIG,
                            "HTTP_PORT and METRICS_PORT are 0: nobody knows which port the service "
                            "was given; set one of them");
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    (void)snprintf(port, sizeof(port), "%" PRIi64, number);
    (void)snprintf(url, sizeof(url),
                   strchr(host, ':') ? "http://[%.64s]:%s%s" : "http://%.64s:%s%s", host, port,
                   path_of(options->ask));
    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                   path_of(options->ask));
    const int failed = getaddrinfo(host, port, &hints, &address);
    if (failed)
        return program_fail("probe", EXIT_CONFIG, "HTTP_HOST: '%s': %s", host,
                            gai_strerror(failed));
    const int fd = connect_by(address, deadline_ms);
    freeaddrinfo(address);
    if (fd < 0)
        return program_fail("probe", 1, "%s: nobody answers: %s", url, strerrordesc_np(errno));
    const bool answered = exchange(fd, request, deadline_ms, answer);
    const int reason = errno;
    (void)close(fd);
    if (!answered)
        return program_fail("probe", 1, "%s: no answer: %s", url, strerrordesc_np(reason));
    return judge(url, answer);
}
