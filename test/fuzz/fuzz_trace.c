/* SPDX-License-Identifier: MIT */
/* trace: lines: traceparent, X-Request-Id. What is taken over is well-formed, and is read back. */
#include "fuzz.h"

#include "base/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    struct trace trace = {0}, back = {0};
    const char *line = NULL;
    char out[TRACE_PARENT_SIZE];
    size_t len = 0;
    char *header = next_line(&data, &size, &line, &len) ? text_new(line, len) : text_new("", 0);
    char *id = next_line(&data, &size, &line, &len) ? text_new(line, len) : text_new("", 0);
    const bool taken = trace_parent_read(&trace, header);
    check(taken == trace_parent_write(&trace, out));
    if (taken) {
        check(strspn(trace.trace_id, hex) == 32 && strspn(trace.span_id, hex) == 16);
        check(trace_parent_read(&back, out) && strcmp(back.trace_id, trace.trace_id) == 0);
        check(strncmp(header + 3, trace.trace_id, 32) == 0);
    }
    if (trace_request_id_valid(id))
        check(strlen(id) <= TRACE_REQUEST_ID_MAX && !strpbrk(id, " \"\\\r\t,;:/"));
    free(header);
    free(id);
    return 0;
}
