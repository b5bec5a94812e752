/* SPDX-License-Identifier: MIT */
/* crowd_scan: what it finds in valid JSON is what the JSON parser finds. A name that is written with escapes is not found. */
#include "fuzz.h"

#include "base/json.h"
#include "crowd/crowd_scan.h"

#define COUNT 4

static void compare(const struct json *value, struct crowd_span span, bool escapes)
{
    check(!value == !span.text || (escapes && value));
    if (!value || !span.text)
        return;
    const char *text = json_str_value(value);
    if (text)
        check(json_str_value_len(value) == span.len && memcmp(text, span.text, span.len) == 0);
    else if (json_is_integer(value) && span.len <= 15 && *span.text != '-')
        check(json_int_value(value, -1) == crowd_span_int(span));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[COUNT] = {"event", "position", "ticket", "a"};
    struct crowd_span spans[COUNT];
    struct json_error error;
    const char *text = (const char *)data;
    const bool found = crowd_scan(text, size, keys, spans, COUNT);
    for (size_t i = 0; found && i < COUNT; i++) {
        check(!spans[i].text ||
              (spans[i].text >= text && spans[i].text + spans[i].len <= text + size));
        check(crowd_span_int(spans[i]) >= 0);
        (void)crowd_span_is(spans[i], "open");
    }
    struct json *json = json_parse(text, size, 65536, &error);
    if (found && json_is_object(json))
        for (size_t i = 0; i < COUNT; i++)
            compare(json_get(json, keys[i]), spans[i], memchr(text, '\\', size) != NULL);
    json_free(json);
    return 0;
}
