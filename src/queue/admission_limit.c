/* SPDX-License-Identifier: MIT */
/*
 * admission_limit: reads what lua/shared.lua says about the limit in force, and writes it for people.
 *
 * Why this way: the scripts decide, so they alone say why; C repeats no rule.
 * Called by: queue_tick (a tick's answer), processor_runner (which tells it to the api), api_operate. Pure.
 */
#include "queue/admission_limit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [LIMITED_BY_THRESHOLD] = "threshold", [LIMITED_BY_OUTFLOW] = "outflow",
    [LIMITED_BY_SEATS] = "seats",         [LIMITED_BY_PAUSED] = "paused",
    [LIMITED_BY_SCHEDULED] = "scheduled", [LIMITED_BY_RESTORING] = "restoring",
    [LIMITED_BY_CLOSED] = "closed",       [LIMITED_BY_EMPTY] = "empty",
    [LIMITED_BY_STARTING] = "starting",   [LIMITED_BY_BACKEND] = "backend",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *admission_limited_by_name(enum admission_limited_by by)
{
    return (size_t)by < COUNT(names) ? names[by] : "?";
}

enum status admission_limit_parse(const char *text, struct admission_limit *ret_limit)
{
    struct admission_limit limit = {.seats_left = -1};
    int64_t *const numbers[] = {&limit.waiting,   &limit.inside,  &limit.threshold,
                                &limit.base,      &limit.outflow, &limit.outflow_wait_ms,
                                &limit.seats_left};
    const size_t len = strcspn(text, " ");
    size_t by = 0;
    while (by < COUNT(names) && (strncmp(names[by], text, len) != 0 || names[by][len] != '\0'))
        by++;
    if (by == COUNT(names))
        return ST_INVALID;
    limit.by = (enum admission_limited_by)by;
    text += len;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        char *end;
        if (*text++ != ' ')
            return ST_INVALID;
        if (i + 1 == COUNT(numbers) && strcmp(text, "-") == 0)
            break; /* seats do not limit */
        *numbers[i] = strtoll(text, &end, 10);
        if (end == text || *numbers[i] < 0)
            return ST_INVALID;
        text = end;
        if (i + 1 == COUNT(numbers) && *text != '\0')
            return ST_INVALID;
    }
    *ret_limit = limit;
    return ST_OK;
}

void admission_limit_print(const struct admission_limit *limit, struct buf *out)
{
    buf_printf(out, "%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " ",
               names[limit->by], limit->waiting, limit->inside, limit->threshold, limit->base,
               limit->outflow, limit->outflow_wait_ms);
    if (limit->seats_left >= 0)
        buf_printf(out, "%" PRId64, limit->seats_left);
    else
        buf_add_char(out, '-');
}

void admission_limit_write(const struct admission_limit *limit, struct json *body)
{
    struct json *out = json_new_object();
    json_set_int(out, "waiting", limit->waiting);
    json_set_int(out, "inside", limit->inside);
    json_set_int(out, "threshold", limit->threshold);
    json_set_int(out, "baseThreshold", limit->base);
    json_set_int(out, "outflowPerMinute", limit->outflow);
    json_set_int(out, "outflowWaitMs", limit->outflow_wait_ms);
    if (limit->seats_left >= 0)
        json_set_int(out, "seatsLeft", limit->seats_left);
    else
        json_set_null(out, "seatsLeft");
    json_set(body, "limits", out);
}
