/* SPDX-License-Identifier: MIT */
/*
 * trace: what names the request that a thread is working for.
 *
 * Why this way: a loop works for one request at a time, so one pointer for each thread says which. Who starts an operation
 * that ends later (db, http_client) copies it, and enters the copy around its callback.
 * Called by: api, db, http_client enter; log and they read. Owns: the pointer of each thread, and its source of span ids.
 */
#include "base/trace.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static _Thread_local const struct trace *current;
static _Thread_local uint64_t span_state;

static const char hex[] = "0123456789abcdef";

void trace_enter(const struct trace *trace)
{
    current = trace;
}

const struct trace *trace_current(void)
{
    return current;
}

/* ---- ids of requests ---- */

bool trace_request_id_valid(const char *text)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t len = text ? strnlen(text, TRACE_REQUEST_ID_MAX + 1) : 0;
    return len > 0 && len <= TRACE_REQUEST_ID_MAX && strspn(text, chars) == len;
}

void trace_request_id_write(struct trace *trace, const char *prefix, uint64_t number)
{
    char digits[16];
    size_t count = 0, len = strnlen(prefix, 16);
    do {
        digits[count++] = hex[number & 15];
        number >>= 4;
    } while (number > 0);
    memcpy(trace->request_id, prefix, len);
    while (count > 0)
        trace->request_id[len++] = digits[--count];
    trace->request_id[len] = '\0';
}

/* ---- traceparent: version "-" trace-id "-" parent-id "-" flags ---- */

#define TRACE_AT  3
#define PARENT_AT 36
#define FLAGS_AT  53
#define END_AT    55

/* Are the `len` bytes lower-case hex digits? */
static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0' || !strchr(hex, text[i]))
            return false;
    return true;
}

static bool is_zero(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

/* A number that no other span of the trace is likely to have (splitmix64); never 0. */
static uint64_t new_span(void)
{
    if (span_state == 0 &&
        getrandom(&span_state, sizeof(span_state), GRND_NONBLOCK) != (ssize_t)sizeof(span_state))
        span_state = clock_mono_ns() ^ (uint64_t)(uintptr_t)&span_state;
    span_state += 0x9e3779b97f4a7c15u;
    uint64_t z = span_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z ? z : 1;
}

bool trace_parent_read(struct trace *trace, const char *header)
{
    if (!header || strnlen(header, END_AT) < END_AT || !is_hex(header, 2) || header[2] != '-' ||
        memcmp(header, "ff", 2) == 0)
        return false;
    const bool later = memcmp(header, "00", 2) != 0; /* it may have more fields */
    if (!is_hex(header + TRACE_AT, 32) || header[TRACE_AT + 32] != '-' ||
        !is_hex(header + PARENT_AT, 16) || header[PARENT_AT + 16] != '-' ||
        !is_hex(header + FLAGS_AT, 2) || is_zero(header + TRACE_AT, 32) ||
        is_zero(header + PARENT_AT, 16))
        return false;
    if (header[END_AT] != '\0' && !(later && header[END_AT] == '-'))
        return false;
    memcpy(trace->trace_id, header + TRACE_AT, 32);
    trace->trace_id[32] = '\0';
    memcpy(trace->flags, header + FLAGS_AT, 2);
    trace->flags[2] = '\0';
    uint64_t span = new_span();
    for (int i = 15; i >= 0; i--, span >>= 4)
        trace->span_id[i] = hex[span & 15];
    trace->span_id[16] = '\0';
    return true;
}

bool trace_parent_write(const struct trace *trace, char out[TRACE_PARENT_SIZE])
{
    if (trace->trace_id[0] == '\0')
        return false;
    char *at = out;
    at = mempcpy(at, "00-", 3);
    at = mempcpy(at, trace->trace_id, 32);
    *at++ = '-';
    at = mempcpy(at, trace->span_id, 16);
    at = mempcpy(at, "-0", 2);
    *at++ = strchr("13579bdf", trace->flags[1])
                ? '1'
                : '0'; /* sampled; other flags are not ours to say */
    *at = '\0';
    return true;
}
