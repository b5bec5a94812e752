/* SPDX-License-Identifier: MIT */
/* log: each line is one JSON object, whatever is in it; a terminal gets text; a call site is limited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "base/trace.h"
#include "block.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *captured;
static int real_stderr;

static void capture(void)
{
    captured = tmpfile();
    assert_non_null(captured);
    real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(fileno(captured), STDERR_FILENO) >= 0);
}

/* What was written since capture(); borrowed until the next call. */
static const char *release(void)
{
    static char text[256 * 1024];
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    (void)close(real_stderr);
    rewind(captured);
    text[fread(text, 1, sizeof(text) - 1, captured)] = '\0';
    (void)fclose(captured);
    return text;
}

/* The only line captured, as JSON; release it with json_free. */
static struct json *only_line(void)
{
    struct json_error error;
    const char *text = release();
    const char *newline = strchr(text, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    struct json *line = json_parse(text, strlen(text) - 1, 16384, &error);
    assert_true(json_is_object(line));
    return line;
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void each_line_is_a_json_object(void **state)
{
    (void)state;
    capture();
    log_thread_name("api-0");
    log_info("listening", LOG_NUM("port", 8080), LOG_TEXT("host", "::"), LOG_TEXT("none", NULL),
             LOG_NUM("low", INT64_MIN));
    log_thread_name(NULL);
    struct json *line = only_line();
    const char *time = json_str(line, "time");
    assert_non_null(time);
    assert_int_equal(strlen(time), 24);
    assert_int_equal(time[23], 'Z');
    assert_string_equal(json_str(line, "level"), "info");
    assert_string_equal(json_str(line, "message"), "listening");
    assert_string_equal(json_str(line, "worker"), "api-0");
    assert_int_equal(json_int(line, "port", 0), 8080);
    assert_string_equal(json_str(line, "host"), "::");
    assert_string_equal(json_str(line, "none"), "");
    assert_true(json_int(line, "low", 0) == INT64_MIN);
    assert_false(json_has(line, "suppressed"));
    json_free(line);
}

static void special_characters_are_escaped(void **state)
{
    (void)state;
    capture();
    log_warn("a\"b\\c\n{\"level\":\"error\"}\x1b[31m\x7f", LOG_TEXT("x", "\xff\xc3\xa9\xc2\x9b"
                                                                         "31m\xed\xa0\x80"));
    struct json *line = only_line();
    assert_string_equal(json_str(line, "level"), "warn");
    assert_string_equal(json_str(line, "message"), "a\"b\\c\n{\"level\":\"error\"}\x1b[31m\x7f");
    assert_string_equal(json_str(line, "x"), "\xef\xbf\xbd\xc3\xa9\xc2\x9b"
                                             "31m\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    json_free(line);
}

static void long_texts_are_cut(void **state)
{
    char text[5000];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    capture();
    log_info(text, LOG_TEXT("k", text));
    struct json *line = only_line();
    assert_int_equal(strlen(json_str(line, "message")), 1024 + 3);
    assert_string_equal(json_str(line, "k") + 1024, "...");
    assert_false(json_has(line, "cut"));
    json_free(line);
}

/* The worst case: each byte needs six. The line is still one JSON object. */
static void a_line_too_long_loses_whole_fields(void **state)
{
    char text[513]; /* a line holds one such text, and not two */
    (void)state;
    memset(text, 1, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    capture();
    log_info(text, LOG_TEXT("a", "kept"), LOG_TEXT("b", text), LOG_TEXT("c", text),
             LOG_NUM("d", 4));
    struct json *line = only_line();
    assert_int_equal(strlen(json_str(line, "message")), 512);
    assert_string_equal(json_str(line, "a"), "kept");
    assert_false(json_has(line, "b"));
    assert_false(json_has(line, "c"));
    assert_int_equal(json_int(line, "d", 0), 4);
    assert_int_equal(json_int(line, "cut", 0), 1);
    json_free(line);
}

static void levels_are_parsed_and_obeyed(void **state)
{
    enum log_level level = LOG_LEVEL_WARN;
    (void)state;
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_false(log_level_parse("Error", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    capture();
    log_debug("no");
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("no");
    log_error("yes");
    log_set_level(LOG_LEVEL_OFF);
    log_error("no");
    log_write(LOG_LEVEL_OFF, NULL, "no", NULL, 0);
    log_set_level(LOG_LEVEL_INFO);
    struct json *line = only_line();
    assert_string_equal(json_str(line, "message"), "yes");
    json_free(line);
}

static void flood(int lines)
{
    for (int i = 0; i < lines; i++)
        log_info("flood");
}

static void a_call_site_is_limited(void **state)
{
    (void)state;
    capture();
    flood(1000);
    const size_t first = lines_of(release());
    assert_in_range(first, 10, 20); /* 20: a new second began meanwhile */
    block_ms(1050);                 /* the call site may log again in the next second */
    capture();
    log_info("another call site is not limited");
    flood(1);
    const char *text = release();
    char want[64];
    (void)snprintf(want, sizeof(want), "\"suppressed\":%zu}", 1000 - first);
    assert_int_equal(lines_of(text), 2);
    assert_non_null(strstr(text, want));
}

static void *write_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        log_write(LOG_LEVEL_INFO, NULL, "a line of some length to be written whole", NULL, 0);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    (void)state;
    capture();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    const char *text = release();
    assert_int_equal(lines_of(text), 800);
    while (*text != '\0') {
        const size_t len = strcspn(text, "\n");
        struct json *line = json_parse(text, len, 4096, NULL);
        assert_non_null(line);
        json_free(line);
        text += len + 1;
    }
}

static void a_line_names_the_request_in_hand(void **state)
{
    const struct trace trace = {.request_id = "abc-1",
                                .trace_id = "0af7651916cd43dd8448eb211c80319c"};
    struct json *line;
    (void)state;
    trace_enter(&trace);
    capture();
    log_info("in hand");
    line = only_line();
    assert_string_equal(json_str(line, "requestId"), "abc-1");
    assert_string_equal(json_str(line, "traceId"), trace.trace_id);
    json_free(line);
    capture();
    log_info("of another", LOG_TEXT("requestId", "other"));
    line = only_line();
    assert_string_equal(json_str(line, "requestId"), "other");
    assert_false(json_has(line, "traceId"));
    json_free(line);
    trace_enter(NULL);
    capture();
    log_info("in nobody's hand");
    line = only_line();
    assert_false(json_has(line, "requestId"));
    json_free(line);
}

static void a_line_says_who_we_are(void **state)
{
    (void)state;
    log_identify("1.2.3", "pod-7", "api,gateway");
    capture();
    log_info("listening");
    struct json *line = only_line();
    assert_string_equal(json_str(line, "version"), "1.2.3");
    assert_string_equal(json_str(line, "pod"), "pod-7");
    assert_string_equal(json_str(line, "role"), "api,gateway");
    json_free(line);
}

static void the_access_log_has_neither_level_nor_limit(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_OFF);
    capture();
    for (int i = 0; i < 100; i++)
        log_access("request", &LOG_NUM("status", 200), 1);
    log_set_level(LOG_LEVEL_INFO);
    assert_int_equal(lines_of(release()), 100);
}

/* Fills the pipe on stderr, which nobody reads, with lines of one kind. Returns the bytes in it. */
static int fill(bool access, int lines)
{
    int queued = 0;
    for (int i = 0; i < lines; i++) {
        if (access)
            log_access("request", &LOG_NUM("status", 200), 1);
        else
            log_write(LOG_LEVEL_INFO, NULL, "a line", NULL, 0);
    }
    assert_int_equal(ioctl(STDERR_FILENO, FIONREAD, &queued), 0);
    return queued;
}

/* A write would wait for ever, and this test with it. The last test: log_never_block cannot be taken back. */
static void who_reads_slowly_stops_nobody(void **state)
{
    static char text[256 * 1024];
    int ends[2];
    size_t len = 0;
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    const int size = fcntl(ends[1], F_GETPIPE_SZ);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    (void)close(ends[1]);
    log_never_block();
    const int access = fill(true, 2000), all = fill(false, 2000);
    const int again = fill(true, 100); /* of the access log nothing more is taken */
    while (all > (int)len)
        len += (size_t)read(ends[0], text + len, (size_t)all - len);
    log_info("the reader is back");
    len += (size_t)read(ends[0], text + len, sizeof(text) - 1 - len);
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    (void)close(ends[0]);
    text[len] = '\0';
    assert_in_range(access, size / 2,
                    size / 2 + 4096);         /* the other half is for what matters more */
    assert_in_range(all, size * 3 / 4, size); /* a page is left before a line that does not fit */
    assert_int_equal(again, all);
    size_t lines = 0, reported = 0;
    for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        struct json *line = json_parse(at, strcspn(at, "\n"), 4096, NULL);
        assert_non_null(line); /* none is cut in two */
        reported += (size_t)json_int(line, "lost", 0);
        lines++;
        json_free(line);
    }
    assert_int_equal(lines + reported, 2000 + 2000 + 100 + 1);
}

/* log checks its stderr once per process, so a child process sees the terminal. */
static void a_terminal_gets_text(void **state)
{
    int master;
    char text[1024] = "";
    size_t len = 0;
    (void)state;
    const pid_t pid = forkpty(&master, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", "test_log", "speak", (char *)NULL);
        _exit(1);
    }
    for (;;) {
        const ssize_t n = read(master, text + len, sizeof(text) - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    (void)waitpid(pid, NULL, 0);
    (void)close(master);
    assert_non_null(strstr(text, "Z info  hello \\u001b[0m port=8080 name=a b\r\n"));
    assert_null(strchr(text, '{'));
    assert_null(strchr(text, 0x1b));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_json_object),
        cmocka_unit_test(special_characters_are_escaped),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_line_too_long_loses_whole_fields),
        cmocka_unit_test(levels_are_parsed_and_obeyed),
        cmocka_unit_test(a_call_site_is_limited),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(a_line_names_the_request_in_hand),
        cmocka_unit_test(the_access_log_has_neither_level_nor_limit),
        cmocka_unit_test(a_terminal_gets_text),
        cmocka_unit_test(a_line_says_who_we_are),
        cmocka_unit_test(who_reads_slowly_stops_nobody),
    };
    if (argc == 2 && strcmp(argv[1], "speak") == 0) {
        log_info("hello \x1b[0m", LOG_NUM("port", 8080), LOG_TEXT("name", "a b"));
        return 0;
    }
    capture(); /* so that log checks a file, not a terminal */
    log_info("first");
    (void)release();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
