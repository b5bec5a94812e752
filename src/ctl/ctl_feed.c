/* SPDX-License-Identifier: MIT */
/*
 * ctl_feed: prints the feed of an event, page by page.
 *
 * Why this way: the lines are printed as the service wrote them, for a pipe; the `sequence` of the last one asks for the next
 * page. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_feed.h"

#include "base/process.h"
#include "ctl/ctl_http.h"

#include <stdio.h>
#include <string.h>

#define EVERY_MS 1000

/* The `sequence` of the last line. False: there is no line. */
static bool read_last(const struct ctl_answer *answer, char *sequence, size_t size)
{
    const char *text = buf_str(&answer->text);
    size_t end = answer->text.len, begin;
    while (end > 0 && text[end - 1] == '\n')
        end--;
    for (begin = end; begin > 0 && text[begin - 1] != '\n';)
        begin--;
    struct json *line = json_parse(text + begin, end - begin, answer->text.len, NULL);
    const char *last = json_str(line, "sequence");
    if (last)
        (void)snprintf(sequence, size, "%s", last);
    json_free(line);
    return last != NULL;
}

/* Prints one page. *ret_more: there was something, so there may be more. */
static enum ctl_exit print_page(const struct ctl_run *run, char *sequence, size_t size,
                                bool *ret_more)
{
    struct ctl_answer answer;
    struct buf path;
    buf_init(&path, 4096);
    buf_add_str(&path, "/feed?after=");
    buf_add_query(&path, sequence);
    if (run->options.types) {
        buf_add_str(&path, "&types=");
        buf_add_query(&path, run->options.types);
    }
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = buf_str(&path)},
        &answer);
    *ret_more = exit == CTL_OK && read_last(&answer, sequence, size);
    if (exit == CTL_OK)
        (void)fwrite(buf_str(&answer.text), 1, answer.text.len, stdout);
    (void)fflush(stdout);
    ctl_answer_clear(&answer);
    buf_clear(&path);
    return exit;
}

int ctl_feed(struct ctl_run *run)
{
    char sequence[64];
    bool more = true;
    enum ctl_exit exit = CTL_OK;
    (void)snprintf(sequence, sizeof(sequence), "%s", run->options.after ? run->options.after : "0");
    process_note_signals();
    while (exit == CTL_OK && process_noted_signal() == 0) {
        exit = print_page(run, sequence, sizeof(sequence), &more);
        if (exit == CTL_OK && !more && (!run->options.follow || !ctl_wait_ms(EVERY_MS)))
            break;
    }
    return (int)exit;
}
