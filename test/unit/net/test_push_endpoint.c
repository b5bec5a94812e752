/* SPDX-License-Identifier: MIT */
/* push_endpoint: addresses of push services, and what may not be one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/push_endpoint.h"

#include <string.h>

static void the_addresses_of_push_services_are_taken(void **state)
{
    static const struct {
        const char *text, *origin;
    } right[] = {
        {"https://fcm.googleapis.com/fcm/send/d-x:APA91b_-x", "https://fcm.googleapis.com"},
        {"https://updates.push.services.mozilla.com/wpush/v2/gAAAA", /* and so on */
         "https://updates.push.services.mozilla.com"},
        {"https://web.push.apple.com/QGuQyavXutnMH", "https://web.push.apple.com"},
        {"https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2f",
         "https://wns2-par02p.notify.windows.com"},
        {"https://Push.Example:8443/a@b", "https://Push.Example:8443"},
        {"https://8.8.8.8/x", "https://8.8.8.8"},
        {"https://[2606:4700::1111]:444/x", "https://[2606:4700::1111]:444"},
        {"https://127.0.0.1:9/x", "https://127.0.0.1:9"}, /* allowed below */
        {"https://push.example", "https://push.example"},
    };
    struct client_ip *allowed;
    const char *reason;
    char error[160];
    (void)state;
    assert_int_equal(client_ip_new("127.0.0.1", &allowed, error, sizeof(error)), ST_OK);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        const size_t len = push_endpoint_check(right[i].text, allowed, &reason);
        if (len != strlen(right[i].origin) || strncmp(right[i].text, right[i].origin, len) != 0)
            fail_msg("%s: %zu, %s", right[i].text, len, reason);
    }
    client_ip_free(allowed);
}

static void what_may_not_be_one_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "https://",
        "https:///x",
        "http://push.example/x",
        "HTTPS://push.example/x",
        "ftp://push.example/x",
        "//push.example/x",
        "https://user@push.example/x",
        "https://user:password@push.example/x",
        "https://push.example:80@10.0.0.1/x",
        "https://push.example@10.0.0.1/x",
        "https://push.example#@10.0.0.1/x",
        "https://push.example\\@10.0.0.1/x",
        "https://push.example/x#y",
        "https://push.example/x y",
        "https://push.example/x\ny",
        "https://push.example/\xc3\xa9",
        "https://push.example:/x",
        "https://push.example:0/x",
        "https://push.example:65536/x",
        "https://push.example:4294967739/x",
        "https://push.example:44a/x",
        "https://push..example/x",
        "https://.example/x",
        "https://push.example./x",
        "https://push%2eexample/x",
        "https://localhost/x",
        "https://postgres/x",
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f.0.0.1/x",
        "https://0177.0.0.01/x",
        "https://1.2.3.4.5/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[fd00::1]/x",
        "https://[fe80::1%25eth0]/x",
        "https://[2606:4700::1111/x",
        "https://[2606:4700::1111]x/x",
        "https://[]/x",
        "https://2606:4700::1111/x",
    };
    struct client_ip *none;
    char error[160], large[PUSH_ENDPOINT_MAX + 2] = "https://push.example/";
    const char *reason;
    (void)state;
    assert_int_equal(client_ip_new(NULL, &none, error, sizeof(error)), ST_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        reason = NULL;
        if (push_endpoint_check(wrong[i], none, &reason) != 0 || !reason)
            fail_msg("taken: %s", wrong[i]);
    }
    memset(large + strlen(large), 'x', PUSH_ENDPOINT_MAX + 1 - strlen(large));
    assert_int_equal(push_endpoint_check(large, none, &reason), 0);
    large[PUSH_ENDPOINT_MAX] = '\0';
    assert_int_equal(push_endpoint_check(large, none, &reason), strlen("https://push.example"));
    client_ip_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_addresses_of_push_services_are_taken),
        cmocka_unit_test(what_may_not_be_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
