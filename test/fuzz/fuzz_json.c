/* SPDX-License-Identifier: MIT */
/* json: an accepted text is written as JSON that reads back to the same text; the readers keep their limits. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void read_fields(const struct json *value)
{
    static const char *const known[] = {"text", "number", "flag", "at", "list", NULL};
    struct json_error error;
    const char *text = NULL;
    int64_t number = 5, ms = 0;
    bool flag = false;
    if (json_read_str(value, "text", 16, &text, &error) == ST_OK && text)
        check(strlen(text) <= 16);
    if (json_read_int(value, "number", 1, 10, &number, &error) == ST_OK)
        check(number >= 1 && number <= 10);
    if (json_read_bool(value, "flag", &flag, &error) != ST_OK)
        check(strcmp(error.field, "flag") == 0);
    if (json_read_time(value, "at", &ms, &error) != ST_OK)
        check(strcmp(error.field, "at") == 0);
    if (json_known_keys(value, known, &error) != ST_OK)
        check(error.detail[0] != '\0');
    const struct json *list = json_get(value, "list");
    for (size_t i = 0; i < json_array_len(list); i++)
        (void)json_str_value(json_array_at(list, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_error error = {0};
    struct buf once, twice;
    struct json *value = json_parse((const char *)data, size, INPUT_MAX, &error);
    if (!value) {
        check(memchr(error.field, '\0', sizeof(error.field)) && error.detail[0] != '\0');
        return 0;
    }
    check(size <= INPUT_MAX);
    read_fields(value);
    buf_init(&once, (size_t)8 * INPUT_MAX);
    buf_init(&twice, (size_t)8 * INPUT_MAX);
    json_write(value, &once);
    check(buf_status(&once) == ST_OK);
    struct json *again = json_parse(once.data, once.len, once.max, &error);
    check(again);
    json_write(again, &twice);
    check(strcmp(once.data, twice.data) == 0);
    /* buf_add_json_str makes a JSON string of any bytes. */
    buf_reset(&once);
    buf_add_json_str(&once, (const char *)data, size);
    struct json *quoted = !memchr(data, '\0', size)
                              ? json_parse(once.data, once.len, once.max, &error)
                              : json_new_array();
    check(quoted);
    json_free(quoted);
    json_free(again);
    json_free(value);
    buf_clear(&once);
    buf_clear(&twice);
    return 0;
}
