/* SPDX-License-Identifier: MIT */
/* notify: who is told, by which addresses; whose watchdog it is; a manager that is gone or busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* A manager that listens at this address. */
static int listen_at(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t len = strlen(text);
    memcpy(address.sun_path, text, len);
    if (text[0] == '@')
        address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    return fd;
}

static void assert_heard(int fd, const char *expected)
{
    char data[1024] = "";
    const ssize_t len = recv(fd, data, sizeof(data) - 1, 0);
    assert_int_equal(len, (ssize_t)strlen(expected));
    assert_string_equal(data, expected);
}

static void open_at(struct notify *notify, const char *address, const char *watchdog,
                    const char *pid)
{
    assert_int_equal(address ? setenv("NOTIFY_SOCKET", address, 1) : unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(watchdog ? setenv("WATCHDOG_USEC", watchdog, 1) : unsetenv("WATCHDOG_USEC"),
                     0);
    assert_int_equal(pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID"), 0);
    notify_open(notify);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static void test_a_path_and_an_abstract_name(void **state)
{
    char folder[] = "/tmp/tiketi-notify-XXXXXX", path[80], name[80];
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(name, sizeof(name), "@%s", folder);
    const char *const addresses[] = {path, name};
    for (int i = 0; i < 2; i++) {
        struct notify notify;
        const int fd = listen_at(addresses[i]);
        open_at(&notify, addresses[i], NULL, NULL);
        assert_int_equal(notify.watchdog_ms, 0);
        notify_send(&notify, "READY=%d\nSTATUS=%s", 1, "serving");
        assert_heard(fd, "READY=1\nSTATUS=serving");
        assert_int_equal(close(fd), 0);
        notify_send(&notify, "STOPPING=1"); /* nobody is there: lost, and no signal */
        notify_close(&notify);
        notify_send(&notify, "STOPPING=1");
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_nobody_is_told(void **state)
{
    char longest[300];
    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    const char *const addresses[] = {NULL, "", "socket", "vsock:2:1234", "/", "@", longest};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct notify notify;
        open_at(&notify, addresses[i], "30000000", NULL);
        assert_int_equal(notify.fd, -1);
        assert_int_equal(notify.watchdog_ms, 0);
        notify_send(&notify, "READY=1");
        notify_close(&notify);
    }
}

static void test_the_watchdog_is_that_of_this_process(void **state)
{
    struct notify notify;
    char own[32];
    (void)state;
    (void)snprintf(own, sizeof(own), "%d", (int)getpid());
    const struct {
        const char *usec, *pid;
        uint64_t ms;
    } cases[] = {{"30000000", NULL, 30000},
                 {"30000000", own, 30000},
                 {"30000000", "1", 0},
                 {"30000000", "x", 0},
                 {"soon", own, 0},
                 {"-1", own, 0},
                 {"", own, 0},
                 {NULL, own, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_at(&notify, "/tmp/nobody", cases[i].usec, cases[i].pid);
        assert_true(notify.fd >= 0);
        assert_int_equal(notify.watchdog_ms, cases[i].ms);
        notify_close(&notify);
    }
}

/* Nobody reads: the sender waits for a second at most. */
static void test_a_busy_manager(void **state)
{
    struct notify notify;
    char address[64];
    (void)state;
    (void)snprintf(address, sizeof(address), "@tiketi-test-notify-%d", (int)getpid());
    const int fd = listen_at(address);
    open_at(&notify, address, NULL, NULL);
    while (sendto(notify.fd, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&notify.to,
                  notify.to_len) == 1)
        ;
    assert_int_equal(errno, EAGAIN);
    (void)alarm(30);
    notify_send(&notify, "WATCHDOG=1");
    (void)alarm(0);
    notify_close(&notify);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_and_an_abstract_name),
        cmocka_unit_test(test_nobody_is_told),
        cmocka_unit_test(test_the_watchdog_is_that_of_this_process),
        cmocka_unit_test(test_a_busy_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
