/* SPDX-License-Identifier: MIT */
/* Settings as they are typed, as the JSON that the service takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/ctl_setting.h"

/* The JSON that these settings make, or the sentence that refuses one. */
static const char *written(const char *const *settings, struct buf *out)
{
    char error[200] = "";
    struct json *object = json_new_object();
    buf_init(out, 4096);
    for (; *settings && *error == '\0'; settings++)
        (void)ctl_setting_add(object, *settings, error, sizeof(error));
    if (*error != '\0')
        buf_add_str(out, error);
    else
        json_write(object, out);
    json_free(object);
    return buf_str(out);
}

#define WRITES(expected, ...)                                                                      \
    do {                                                                                           \
        struct buf out;                                                                            \
        assert_string_equal(written((const char *const[]){__VA_ARGS__, NULL}, &out), expected);    \
        buf_clear(&out);                                                                           \
    } while (0)

static void values_have_their_type(void **state)
{
    (void)state;
    WRITES("{\"threshold\":500,\"allowGuests\":false,\"opensAt\":null,\"noShow\":0.25}",
           "threshold=500", "allowGuests=false", "opensAt=null", "noShow=0.25");
    WRITES("{\"title\":\"1984\",\"venue\":\"true\",\"artist\":\"a=b\"}", "title=1984", "venue=true",
           "artist=a=b");
    WRITES("{\"threshold\":\"many\"}", "threshold=many"); /* the service says what is wrong */
    WRITES("{\"threshold\":\"\"}", "threshold=");
}

static void times_have_units(void **state)
{
    (void)state;
    WRITES("{\"intervalMs\":5000,\"idleTimeoutMs\":90000,\"claimMs\":250}", "interval=5s",
           "idleTimeout=1.5m", "claim=250ms");
    WRITES("{\"intervalMs\":700}", "intervalMs=700");
    WRITES("{\"closeGraceMs\":60000}", "closeGrace=1m");
    WRITES("{\"closeGraceMs\":null}", "closeGrace=none");
    WRITES("interval must be a time such as 250ms, 5s, 15m or 1h (without a unit: seconds)",
           "interval=soon");
}

static void rules_and_members(void **state)
{
    (void)state;
    WRITES("{\"surge\":[{\"queueAbove\":5000,\"threshold\":2000},{\"queueAbove\":20000,"
           "\"threshold\":4000}]}",
           "surge=5000:2000,20000:4000");
    WRITES("{\"surge\":[]}", "surge=none");
    WRITES("{\"returnUrls\":[\"https://shop.example\",\"http://localhost:8000/a\"]}",
           "returnUrls=https://shop.example,http://localhost:8000/a");
    WRITES("{\"returnUrls\":[]}", "returnUrls=none");
    WRITES("surge must be rules such as 5000:2000,20000:4000, or none", "surge=5000-2000");
    WRITES("surge must be rules such as 5000:2000,20000:4000, or none", "surge=5000:");
    WRITES("{\"outflowPerMinute\":600}", "outflow=600");
    WRITES("{\"branding\":{\"name\":\"7\",\"primary\":\"#aa0000\"},\"links\":{\"help\":null}}",
           "branding.name=7", "branding.primary=#aa0000", "links.help=null");
}

static void what_is_no_setting_is_refused(void **state)
{
    (void)state;
    WRITES("'threshold' is no setting: NAME=VALUE", "threshold");
    WRITES("'=5' is no setting: NAME=VALUE", "=5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_their_type),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(rules_and_members),
        cmocka_unit_test(what_is_no_setting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
