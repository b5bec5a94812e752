/* SPDX-License-Identifier: MIT */
/*
 * crowd_history: writes what the buyers of this process asked, sent and were told, for a checker.
 *
 * Why this way: lines that are written as things happen, in the order of one loop, need no memory and survive a crash of
 * the crowd up to the last page of the stream. Answers go in as they came, as text, so that the checker judges the bytes
 * and not what the crowd has understood. Called by: the buyer's files, crowd (open, close). Owns: the file and a scratch
 * buffer. A disk that is full loses lines, which the close tells.
 */
#include "crowd/crowd_history.h"

#include "base/memory.h"
#include "crowd/crowd_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_MAX (2 * DIAL_BODY_MAX)
#define PAGE     (256 * 1024)

struct crowd_history {
    FILE *out;
    struct buf line;
    bool failed;
};

struct crowd_history *crowd_history_open(const char *path, unsigned part, unsigned parts)
{
    char name[4096];
    const int len = parts > 1 ? snprintf(name, sizeof(name), "%s.%u", path, part)
                              : snprintf(name, sizeof(name), "%s", path);
    FILE *out = len > 0 && (size_t)len < sizeof(name) ? fopen(name, "we") : NULL;
    if (!out)
        return NULL;
    struct crowd_history *history = xcalloc(1, sizeof(*history));
    history->out = out;
    (void)setvbuf(out, NULL, _IOFBF, PAGE);
    buf_init(&history->line, LINE_MAX);
    return history;
}

enum status crowd_history_close(struct crowd_history *history)
{
    if (!history)
        return ST_OK;
    const bool lost = fclose(history->out) != 0 || history->failed;
    buf_clear(&history->line);
    free(history);
    return lost ? ST_UNAVAILABLE : ST_OK;
}

/* Begins a line with what all lines have. NULL: the crowd keeps no history. */
static struct buf *begin(const struct crowd_buyer *buyer)
{
    struct crowd_history *history = buyer->crowd->history;
    char id[BUYER_ID_MAX + 1];
    struct timespec now;
    if (!history)
        return NULL;
    struct buf *line = &history->line;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    crowd_buyer_id(buyer, id);
    buf_reset(line);
    buf_add_str(line, "{\"at\":");
    buf_add_int(line, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    buf_add_str(line, ",\"number\":");
    buf_add_uint(line, crowd_buyer_number(buyer));
    buf_add_str(line, ",\"buyer\":");
    buf_add_json_str(line, id, strlen(id));
    return line;
}

static void end(const struct crowd_buyer *buyer, struct buf *line)
{
    struct crowd_history *history = buyer->crowd->history;
    buf_add_str(line, "}\n");
    if (buf_status(line) != ST_OK || fwrite(buf_str(line), 1, line->len, history->out) != line->len)
        history->failed = true;
    if (line->failed) { /* sticky: the next line must fit again */
        buf_clear(line);
        buf_init(line, LINE_MAX);
    }
}

static void add_text(struct buf *line, const char *key, const char *text, size_t len)
{
    buf_add_str(line, ",\"");
    buf_add_str(line, key);
    buf_add_str(line, "\":");
    buf_add_json_str(line, text, len);
}

static void add_int(struct buf *line, const char *key, int64_t value)
{
    buf_add_str(line, ",\"");
    buf_add_str(line, key);
    buf_add_str(line, "\":");
    buf_add_int(line, value);
}

static void add_word(struct buf *line, const char *key, const char *word)
{
    add_text(line, key, word, strlen(word));
}

void crowd_history_ask(const struct crowd_buyer *buyer, enum crowd_step step)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_word(line, "ask", crowd_step_name(step));
    add_word(line, "to", buyer->asked->host);
    end(buyer, line);
}

void crowd_history_answer(const struct crowd_buyer *buyer, enum crowd_step step,
                          const struct dial_answer *answer)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_word(line, "answer", crowd_step_name(step));
    add_word(line, "to", buyer->asked->host);
    add_int(line, "code", answer->code);
    add_int(line, "retry", answer->retry_after_ms);
    add_text(line, "body", answer->body, answer->len);
    end(buyer, line);
}

void crowd_history_none(const struct crowd_buyer *buyer, enum crowd_step step, const char *why)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_word(line, "none", crowd_step_name(step));
    add_word(line, "to", buyer->asked->host);
    add_word(line, "why", why);
    end(buyer, line);
}

void crowd_history_socket(const struct crowd_buyer *buyer, const char *what, unsigned code,
                          const char *why)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_word(line, "socket", what);
    add_word(line, "to", crowd_buyer_ws(buyer)->host);
    if (code != 0)
        add_int(line, "code", code);
    if (why)
        add_word(line, "why", why);
    end(buyer, line);
}

void crowd_history_message(const struct crowd_buyer *buyer, const char *text, size_t len)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_text(line, "message", text, len);
    end(buyer, line);
}

void crowd_history_state(const struct crowd_buyer *buyer, const char *state)
{
    struct buf *line = begin(buyer);
    if (!line)
        return;
    add_word(line, "state", state);
    end(buyer, line);
}
