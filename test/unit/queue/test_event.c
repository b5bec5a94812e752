/* SPDX-License-Identifier: MIT */
/* An event's fields and their limits, and its row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "queue/event.h"

static const struct config config = {
    .queue_threshold = 1000,
    .queue_interval_ms = 10000,
    .queue_idle_timeout_ms = 90000,
    .queue_session_limit_ms = 600000,
    .hold_ms = 300000,
};

static struct json *parse(const char *text)
{
    struct json_error error;
    struct json *value = json_parse(text, strlen(text), 65536, &error);
    assert_non_null(value);
    return value;
}

static enum status read_body(struct event *event, const char *text, bool creating,
                             struct json_error *error)
{
    struct json *body = parse(text);
    enum status st = event_read_json(event, body, creating, error);
    json_free(body);
    return st;
}

static struct event titled(void)
{
    struct event event;
    event_init(&event, &config);
    (void)snprintf(event.title, sizeof(event.title), "T");
    event.threshold = 5;
    return event;
}

static void statuses_have_names(void **state)
{
    (void)state;
    enum event_status status;
    for (int i = EVENT_DRAFT; i <= EVENT_CLOSED; i++) {
        assert_int_equal(event_status_parse(event_status_name((enum event_status)i), &status),
                         ST_OK);
        assert_int_equal(status, i);
    }
    assert_string_equal(event_status_name(EVENT_SOLD_OUT), "sold_out");
    assert_int_equal(event_status_parse("Open", &status), ST_INVALID);
    assert_int_equal(event_status_parse("", &status), ST_INVALID);
}

static void a_title_is_enough(void **state)
{
    (void)state;
    struct json_error error;
    struct event event;
    event_init(&event, &config);
    assert_int_equal(read_body(&event, "{\"title\":\"Concert\"}", true, &error), ST_OK);
    assert_string_equal(event.title, "Concert");
    assert_int_equal(event.status, EVENT_DRAFT);
    assert_int_equal(event.version, 1);
    assert_int_equal(event.epoch, 1);
    assert_int_equal(event.threshold, 1000);
    assert_int_equal(event.interval_ms, 10000);
    assert_int_equal(event.auto_hold, 1);
    assert_int_equal(event.max_seats, 4);
    assert_true(event.allow_guests);
    assert_int_equal(event.ask_email, EVENT_ASK_NO);
    assert_string_equal(event.id, "");
}

static void every_field_is_read(void **state)
{
    (void)state;
    struct json_error error;
    struct event event;
    event_init(&event, &config);
    assert_int_equal(
        read_body(&event,
                  "{\"id\":\"e-1_X\",\"title\":\"T\",\"artist\":\"A\",\"venue\":\"V\","
                  "\"startsAt\":\"2031-05-01T22:00:00+02:00\",\"opensAt\":\"2031-04-01T10:00:00Z\","
                  "\"closesAt\":\"2031-05-01T20:00:00.250Z\",\"threshold\":7,\"intervalMs\":20,"
                  "\"idleTimeoutMs\":1500,\"sessionLimitMs\":1600,\"holdMs\":1700,"
                  "\"surge\":[{\"queueAbove\":50,\"threshold\":9},{\"queueAbove\":20,"
                  "\"threshold\":8}],\"outflowPerMinute\":60,\"autoHold\":2,\"maxSeats\":6,"
                  "\"allowGuests\":false,\"askEmail\":\"optional\"}",
                  true, &error),
        ST_OK);
    assert_string_equal(event.id, "e-1_X");
    assert_string_equal(event.artist, "A");
    assert_string_equal(event.venue, "V");
    assert_int_equal(event.closes_at_ms - event.starts_at_ms, 250);
    assert_true(event.opens_at_ms > 0 && event.opens_at_ms < event.starts_at_ms);
    assert_int_equal(event.surge_count, 2);
    assert_int_equal(event.surge[0].queue_above, 20); /* in order */
    assert_int_equal(event.surge[1].threshold, 9);
    assert_int_equal(event.outflow_per_minute, 60);
    assert_int_equal(event.auto_hold, 2);
    assert_int_equal(event.max_seats, 6);
    assert_false(event.allow_guests);
    assert_int_equal(event.ask_email, EVENT_ASK_OPTIONAL);
}

/* {"NAME":value}: the body is accepted, its value stored and written again; or refused by that name. */
static void check_setting(const char *name, int64_t value, bool valid)
{
    char body[128];
    struct json_error error;
    struct event event = titled();
    event.max_seats = 100; /* autoHold may not exceed it */
    if (strcmp(name, "maxSeats") == 0)
        event.auto_hold = 0;
    (void)snprintf(body, sizeof(body), "{\"%s\":%lld}", name, (long long)value);
    assert_int_equal(read_body(&event, body, false, &error), valid ? ST_OK : ST_INVALID);
    if (!valid) {
        assert_string_equal(error.field, name);
        return;
    }
    struct json *out = event_write_json(&event);
    assert_int_equal(json_int(out, name, -1), value);
    json_free(out);
}

static void a_closing_ends_turns_or_not(void **state)
{
    static const struct {
        const char *body;
        int64_t grace_ms;
        bool valid;
    } bodies[] = {
        {"{\"closeGraceMs\":null}", EVENT_GRACE_NONE, true},
        {"{\"closeGraceMs\":0}", 0, true},
        {"{\"closeGraceMs\":604800000}", 604800000, true},
        {"{\"closeGraceMs\":604800001}", 0, false},
        {"{\"closeGraceMs\":-1}", 0, false},
        {"{\"closeGraceMs\":\"0\"}", 0, false},
    };
    (void)state;
    assert_int_equal(titled().close_grace_ms, EVENT_GRACE_NONE);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct json_error error;
        struct event event = titled();
        event.close_grace_ms = 5000;
        assert_int_equal(read_body(&event, bodies[i].body, false, &error),
                         bodies[i].valid ? ST_OK : ST_INVALID);
        if (!bodies[i].valid) {
            assert_string_equal(error.field, "closeGraceMs");
            continue;
        }
        assert_int_equal(event.close_grace_ms, bodies[i].grace_ms);
        struct json *out = event_write_json(&event);
        assert_int_equal(json_int(out, "closeGraceMs", EVENT_GRACE_NONE), bodies[i].grace_ms);
        json_free(out);
        out = event_write_public(&event);
        assert_false(json_has(out, "closeGraceMs"));
        json_free(out);
    }
}

static void turns_end_a_grace_after_the_earlier_closing(void **state)
{
    static const struct {
        int64_t grace_ms, closes_ms, closed_ms;
        enum event_status status;
        int64_t end_ms;
    } cases[] = {
        {EVENT_GRACE_NONE, 5000, 4000, EVENT_CLOSED, 0},
        {300, 0, 0, EVENT_OPEN, 0},
        {300, 5000, 0, EVENT_OPEN, 5300},
        {300, 0, 4000, EVENT_CLOSED, 4300},
        {300, 5000, 4000, EVENT_CLOSED, 4300},
        {300, 5000, 6000, EVENT_CLOSED, 5300},
        {0, 5000, 4000, EVENT_OPEN, 5000}, /* reopened: what it was closed at says nothing */
        {0, 0, 4000, EVENT_CLOSED, 4000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct event event = titled();
        event.close_grace_ms = cases[i].grace_ms;
        event.closes_at_ms = cases[i].closes_ms;
        event.closed_at_ms = cases[i].closed_ms;
        event.status = cases[i].status;
        assert_int_equal(event_turns_end_ms(&event), cases[i].end_ms);
    }
}

static void every_setting_has_its_limits(void **state)
{
    (void)state;
#define SETTING(name_, member_, limits_, initial_) {name_, limits_},
    static const struct {
        const char *name;
        int64_t min, max;
    } settings[] = {EVENT_SETTINGS(SETTING)};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        check_setting(settings[i].name, settings[i].min, true);
        check_setting(settings[i].name, settings[i].max, true);
        check_setting(settings[i].name, settings[i].min - 1, false);
        check_setting(settings[i].name, settings[i].max + 1, false);
    }
}

static void what_is_absent_stays(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = titled();
    event.opens_at_ms = 1000;
    event.threshold = 5;
    (void)snprintf(event.venue, sizeof(event.venue), "V");
    assert_int_equal(read_body(&event, "{\"artist\":\"A\"}", false, &error), ST_OK);
    assert_int_equal(event.threshold, 5);
    assert_int_equal(event.opens_at_ms, 1000);
    assert_string_equal(event.venue, "V");
    assert_int_equal(
        read_body(&event, "{\"opensAt\":null,\"venue\":null,\"surge\":null}", false, &error),
        ST_OK);
    assert_int_equal(event.opens_at_ms, 0);
    assert_string_equal(event.venue, "");
}

static void every_bad_field_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field;
    } cases[] = {
        {"{\"threshold\":-1}", "threshold"},
        {"{\"threshold\":1.5}", "threshold"},
        {"{\"threshold\":\"5\"}", "threshold"},
        {"{\"threshold\":null}", "threshold"},
        {"{\"threshold\":99999999999}", "threshold"},
        {"{\"intervalMs\":1}", "intervalMs"},
        {"{\"idleTimeoutMs\":0}", "idleTimeoutMs"},
        {"{\"sessionLimitMs\":-5}", "sessionLimitMs"},
        {"{\"holdMs\":true}", "holdMs"},
        {"{\"maxSeats\":0}", "maxSeats"},
        {"{\"autoHold\":5}", "autoHold"},
        {"{\"maxSeats\":1,\"autoHold\":2}", "autoHold"},
        {"{\"outflowPerMinute\":-1}", "outflowPerMinute"},
        {"{\"allowGuests\":\"yes\"}", "allowGuests"},
        {"{\"allowGuests\":null}", "allowGuests"},
        {"{\"askEmail\":\"maybe\"}", "askEmail"},
        {"{\"promotion\":\"now\"}", "promotion"},
        {"{\"promotion\":null}", "promotion"},
        {"{\"promotion\":1}", "promotion"},
        {"{\"loginUrl\":\"http://shop.example/\"}", "loginUrl"},
        {"{\"loginUrl\":\"mailto:a@b.example\"}", "loginUrl"},
        {"{\"loginUrl\":\"https://shop.example/#in\"}", "loginUrl"},
        {"{\"loginUrl\":7}", "loginUrl"},
        {"{\"returnUrls\":\"https://shop.example\"}", "returnUrls"},
        {"{\"returnUrls\":[7]}", "returnUrls[0]"},
        {"{\"returnUrls\":[\"https://shop.example\",\"/shop\"]}", "returnUrls[1]"},
        {"{\"returnUrls\":[\"https://shop.example\",\"https://SHOP.example/\"]}", "returnUrls[1]"},
        {"{\"returnUrls\":[\"https://*.shop.example\"]}", "returnUrls[0]"},
        {"{\"returnUrls\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}", "returnUrls"},
        {"{\"language\":\"English\"}", "language"},
        {"{\"language\":\"pt_BR\"}", "language"},
        {"{\"language\":\"pt-\"}", "language"},
        {"{\"language\":true}", "language"},
        {"{\"askEmail\":null}", "askEmail"},
        {"{\"askEmail\":true}", "askEmail"},
        {"{\"branding\":[]}", "branding"},
        {"{\"branding\":{\"colour\":\"#000000\"}}", "branding.colour"},
        {"{\"branding\":{\"name\":7}}", "branding.name"},
        {"{\"branding\":{\"primary\":\"red\"}}", "branding.primary"},
        {"{\"branding\":{\"primary\":\"#12345\"}}", "branding.primary"},
        {"{\"branding\":{\"primary\":\"#12345g\"}}", "branding.primary"},
        {"{\"branding\":{\"background\":\"#1234567\"}}", "branding.background"},
        {"{\"branding\":{\"logo\":\"https://elsewhere/a.png\"}}", "branding.logo"},
        {"{\"branding\":{\"logo\":\"data:text/html;base64,AAAA\"}}", "branding.logo"},
        {"{\"branding\":{\"logo\":\"data:image/png;base64,\"}}", "branding.logo"},
        {"{\"branding\":{\"logo\":\"data:image/png;base64,AAA\"}}", "branding.logo"},
        {"{\"branding\":{\"logo\":\"data:image/png;base64,A)A=\"}}", "branding.logo"},
        {"{\"title\":\"\"}", "title"},
        {"{\"title\":null}", "title"},
        {"{\"title\":7}", "title"},
        {"{\"artist\":\"a\\u0007b\"}", "artist"},
        {"{\"opensAt\":\"tomorrow\"}", "opensAt"},
        {"{\"startsAt\":5}", "startsAt"},
        {"{\"opensAt\":\"2031-01-02T00:00:00Z\",\"closesAt\":\"2031-01-01T00:00:00Z\"}",
         "closesAt"},
        {"{\"surge\":{}}", "surge"},
        {"{\"surge\":[5]}", "surge[0]"},
        {"{\"surge\":[{\"queueAbove\":5}]}", "surge[0].threshold"},
        {"{\"surge\":[{\"threshold\":5}]}", "surge[0].queueAbove"},
        {"{\"surge\":[{\"queueAbove\":5,\"threshold\":5},{\"queueAbove\":5,\"threshold\":6}]}",
         "surge[1].queueAbove"},
        {"{\"surge\":[{\"queueAbove\":5,\"threshold\":-5}]}", "surge[0].threshold"},
        {"{\"surge\":[{\"queueAbove\":5,\"threshold\":5,\"x\":1}]}", "surge[0].x"},
        {"{\"nope\":1}", "nope"},
        {"{\"status\":\"open\"}", "status"},
        {"{\"version\":5}", "version"},
        {"{\"id\":\"other\"}", "id"},
        {"[]", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_error error = {0};
        struct event event = titled();
        struct event before = event;
        assert_int_equal(read_body(&event, cases[i].body, false, &error), ST_INVALID);
        assert_string_equal(error.field, cases[i].field);
        assert_true(error.detail[0] != '\0');
        assert_memory_equal(&event, &before, sizeof(event));
    }
}

static void what_is_changed_elsewhere_names_the_way(void **state)
{
    static const struct {
        const char *body, *field, *part;
    } cases[] = {
        {"{\"status\":\"open\"}", "status", "POST …/publish"},
        {"{\"message\":\"Soon.\"}", "message", "POST …/message"},
        {"{\"messages\":null}", "messages", "POST …/message"},
        {"{\"version\":3}", "version", "If-Match"},
        {"{\"seats\":3}", "seats", "…/seats"},
        {"{\"id\":\"e\"}", "id", "cannot be changed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_error error;
        struct event event = titled();
        assert_int_equal(read_body(&event, cases[i].body, false, &error), ST_INVALID);
        assert_string_equal(error.field, cases[i].field);
        assert_non_null(strstr(error.detail, cases[i].part));
    }
}

static void a_surge_rule_raises_the_limit(void **state)
{
    struct json_error error;
    struct event event = titled();
    (void)state;
    const char *const low = "{\"surge\":[{\"queueAbove\":9,\"threshold\":5},"
                            "{\"queueAbove\":7,\"threshold\":4}]}";
    assert_int_equal(read_body(&event, low, false, &error), ST_INVALID);
    assert_string_equal(error.field, "surge[1].threshold");
    /* Against the threshold of the same body. */
    assert_int_equal(read_body(&event,
                               "{\"threshold\":3,\"surge\":[{\"queueAbove\":7,"
                               "\"threshold\":4}]}",
                               false, &error),
                     ST_OK);
    /* An old rule does not keep the base from being raised. */
    assert_int_equal(read_body(&event, "{\"threshold\":150}", false, &error), ST_OK);
    assert_int_equal(event.surge[0].threshold, 4);
}

static void creating_has_rules_of_its_own(void **state)
{
    (void)state;
    struct json_error error;
    struct event event;
    event_init(&event, &config);
    assert_int_equal(read_body(&event, "{}", true, &error), ST_INVALID);
    assert_string_equal(error.field, "title");
    assert_int_equal(read_body(&event, "{\"title\":\"T\",\"id\":\"a b\"}", true, &error),
                     ST_INVALID);
    assert_string_equal(error.field, "id");
    assert_int_equal(read_body(&event, "{\"title\":\"T\",\"id\":\"\"}", true, &error), ST_INVALID);
}

static void long_titles_are_refused(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = titled();
    char body[EVENT_TEXT_MAX + 32];
    for (int len = EVENT_TEXT_MAX; len <= EVENT_TEXT_MAX + 1; len++) {
        (void)snprintf(body, sizeof(body), "{\"title\":\"%0*d\"}", len, 0);
        assert_int_equal(read_body(&event, body, false, &error),
                         len == EVENT_TEXT_MAX ? ST_OK : ST_INVALID);
    }
}

/* What PostgreSQL's event_row gives. */
static const char row_text[] =
    "{\"id\":\"demo\",\"epoch\":2,\"owner\":\"me\",\"seats\":1000,\"surge\":[{\"queueAbove\":5,"
    "\"threshold\":6}],\"title\":\"T\",\"venue\":\"\",\"artist\":\"A\",\"holdMs\":300000,"
    "\"opened\":true,\"status\":\"sold_out\",\"opensAt\":null,\"version\":4,\"autoHold\":0,"
    "\"closesAt\":\"2031-01-01T00:00:00.000Z\",\"maxSeats\":4,\"startsAt\":null,"
    "\"timeZone\":\"Asia/Seoul\","
    "\"lastPlace\":1790000000000001,\"threshold\":1000,\"intervalMs\":10000,"
    "\"allowGuests\":false,\"loginUrl\":\"https://shop.example/in\",\"language\":\"pt-BR\","
    "\"returnUrls\":[\"https://shop.example/a\",\"http://localhost:8000\"],"
    "\"askEmail\":\"required\",\"promotion\":\"interval\",\"idleTimeoutMs\":90000,"
    "\"sessionLimitMs\":"
    "600000,"
    "\"outflowPerMinute\":0,\"branding\":{\"name\":\"N\",\"primary\":\"#7a1fa2\","
    "\"background\":null,\"logo\":\"/brand/demo/logo?v=3\","
    "\"image\":\"/brand/demo/image?v=4\"},\"messages\":{\"ko\":\"문\"},"
    "\"links\":{\"seller\":null,\"help\":\"mailto:a@b.example\"},"
    "\"priceFrom\":{\"amount\":5000,\"currency\":\"EUR\"}}";

static void a_row_is_read_whole(void **state)
{
    (void)state;
    struct event event;
    struct json *row = parse(row_text);
    assert_int_equal(event_read_row(&event, row), ST_OK);
    json_free(row);
    assert_string_equal(event.id, "demo");
    assert_string_equal(event.owner, "me");
    assert_int_equal(event.status, EVENT_SOLD_OUT);
    assert_int_equal(event.version, 4);
    assert_int_equal(event.epoch, 2);
    assert_int_equal(event.seats, 1000);
    assert_int_equal(event.last_place, 1790000000000001);
    assert_true(event.opened);
    assert_int_equal(event.opens_at_ms, 0);
    assert_true(event.closes_at_ms > 0);
    assert_int_equal(event.auto_hold, 0);
    assert_int_equal(event.surge[0].threshold, 6);
    assert_false(event.allow_guests);
    assert_int_equal(event.ask_email, EVENT_ASK_REQUIRED);
    assert_int_equal(event.promotion, EVENT_INTERVAL);
    assert_string_equal(event.brand.name, "N");
    assert_string_equal(event.brand.primary, "#7a1fa2");
    assert_string_equal(event.brand.background, "");
    assert_int_equal(event.brand.logo, 3);
}

static void a_broken_row_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}", "[]", "{\"id\":\"a\",\"owner\":\"b\",\"status\":\"odd\",\"version\":1,\"epoch\":1}",
        "{\"id\":\"a\",\"owner\":\"b\",\"status\":\"open\",\"version\":0,\"epoch\":1}"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct event event = titled();
        struct json *row = parse(rows[i]);
        assert_int_equal(event_read_row(&event, row), ST_INVALID);
        assert_string_equal(event.title, "T");
        json_free(row);
    }
}

static void branding_changes_by_parts(void **state)
{
    (void)state;
    struct event event = titled();
    struct json_error error;
    const char *base64;
    struct json *body = parse("{\"branding\":{\"name\":\"N\",\"primary\":\"#7A1fa2\","
                              "\"logo\":\"data:image/svg+xml;base64,PHN2Zy8+\"}}");
    assert_int_equal(event_read_json(&event, body, false, &error), ST_OK);
    assert_string_equal(event.brand.primary, "#7A1fa2");
    assert_string_equal(event_picture_type(event.new_logo, &base64), "image/svg+xml");
    assert_string_equal(base64, "PHN2Zy8+");
    json_free(body);
    event.new_logo = NULL;
    assert_int_equal(
        read_body(&event, "{\"branding\":{\"background\":\"#101010\"}}", false, &error), ST_OK);
    assert_string_equal(event.brand.name, "N");
    assert_string_equal(event.brand.background, "#101010");
    assert_null(event.new_logo);
    assert_int_equal(
        read_body(&event, "{\"branding\":{\"primary\":null,\"logo\":null}}", false, &error), ST_OK);
    assert_string_equal(event.brand.primary, "");
    assert_string_equal(event.new_logo, "");
    assert_int_equal(read_body(&event, "{\"branding\":null}", false, &error), ST_OK);
    assert_string_equal(event.brand.name, "");
    assert_string_equal(event.brand.background, "");
}

static void json_goes_out_flat_and_comes_back(void **state)
{
    (void)state;
    static const char staff[] = "|threshold|intervalMs|silentMs|outflowPerMinute|thresholdMin|"
                                "targetP95Ms|targetErrorPercent|"
                                "autoHold|placesPerNetwork|";
    struct event event, again = titled();
    struct json *row = parse(row_text);
    struct buf text, expected;
    assert_int_equal(event_read_row(&event, row), ST_OK);
    struct json *out = event_write_json(&event);
    buf_init(&text, 4096);
    json_write(out, &text);
    buf_init(&expected, 4096);
    buf_add_str(
        &expected,
        "{\"id\":\"demo\",\"title\":\"T\",\"artist\":\"A\",\"venue\":\"\",\"startsAt\":null,"
        "\"opensAt\":null,\"closesAt\":\"2031-01-01T00:00:00.000Z\","
        "\"timeZone\":\"Asia/Seoul\",\"status\":\"sold_out\","
        "\"message\":null,\"messages\":{\"ko\":\"문\"},\"version\":4,");
#define WRITE(name_, member_, limits_, initial_)                                                   \
    if (!strstr(staff, "|" name_ "|"))                                                             \
        buf_printf(&expected, "\"%s\":%lld,", name_, (long long)event.member_);
    EVENT_SETTINGS(WRITE)
    buf_add_str(&expected,
                "\"rehearsal\":false,\"allowGuests\":false,"
                "\"loginUrl\":\"https://shop.example/in\",\"language\":\"pt-BR\","
                "\"askEmail\":\"required\",\"branding\":{\"name\":\"N\",\"primary\":\"#7a1fa2\","
                "\"background\":null,"
                "\"logo\":\"/brand/demo/logo?v=3\",\"image\":\"/brand/demo/image?v=4\"},"
                "\"links\":{\"seller\":null,\"help\":\"mailto:a@b.example\",\"terms\":null,"
                "\"refunds\":null,\"privacy\":null},"
                "\"priceFrom\":{\"amount\":5000,\"currency\":\"EUR\"}");
    /* This is what everybody may see. */
    struct json *public = event_write_public(&event);
    struct buf public_text;
    buf_init(&public_text, 4096);
    json_write(public, &public_text);
    json_free(public);
    assert_int_equal(public_text.len, expected.len + 1);
    assert_memory_equal(public_text.data, expected.data, expected.len);
    buf_clear(&public_text);
#define WRITE_STAFF(name_, member_, limits_, initial_)                                             \
    if (strstr(staff, "|" name_ "|"))                                                              \
        buf_printf(&expected, ",\"%s\":%lld", name_, (long long)event.member_);
    EVENT_SETTINGS(WRITE_STAFF)
    buf_add_str(&expected, ",\"closeGraceMs\":null,\"surge\":[{\"queueAbove\":5,\"threshold\":6}],"
                           "\"promotion\":\"interval\","
                           "\"returnUrls\":[\"https://shop.example/a\","
                           "\"http://localhost:8000\"]}");
    assert_string_equal(buf_str(&text), buf_str(&expected));
    buf_clear(&expected);
    json_set_str(out, "owner", "me");
    json_set_int(out, "epoch", 2);
    assert_int_equal(event_read_row(&again, out), ST_OK);
    assert_int_equal(again.closes_at_ms, event.closes_at_ms);
    assert_int_equal(again.promotion, EVENT_INTERVAL);
    assert_string_equal(again.return_urls, "https://shop.example/a http://localhost:8000");
    buf_clear(&text);
    json_free(out);
    json_free(row);
}

static void links_are_addresses(void **state)
{
    static const char *const good[] = {"https://shop.example/terms?a=1&b=%20#x",
                                       "mailto:help@shop.example"};
    static const char *const bad[] = {
        "http://shop.example", "javascript:alert(1)", "https://",
        "//shop.example",      "https://a b",         "mailto:nobody",
        "https://a/<b>",       "https://ä.example",   "https://a\\\"b"};
    (void)state;
    struct json_error error;
    char body[256];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct event event = titled();
        (void)snprintf(body, sizeof(body), "{\"links\":{\"help\":\"%s\"}}", good[i]);
        assert_int_equal(read_body(&event, body, false, &error), ST_OK);
        assert_string_equal(event.links[EVENT_LINK_HELP], good[i]);
        assert_int_equal(read_body(&event, "{\"links\":{\"terms\":null}}", false, &error), ST_OK);
        assert_string_equal(event.links[EVENT_LINK_HELP], good[i]);
        assert_int_equal(read_body(&event, "{\"links\":null}", false, &error), ST_OK);
        assert_string_equal(event.links[EVENT_LINK_HELP], "");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct event event = titled();
        (void)snprintf(body, sizeof(body), "{\"links\":{\"help\":\"%s\"}}", bad[i]);
        assert_int_equal(read_body(&event, body, false, &error), ST_INVALID);
        assert_string_equal(error.field, "links.help");
    }
}

static void a_message_has_languages(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = titled();
    struct json *body = parse("{\"text\":{\"ko\":\"문\",\"ja\":\"戸\"}}");
    assert_int_equal(event_read_message(&event, body, &error), ST_OK);
    json_free(body);
    assert_string_equal(event_message(&event, LANGUAGE_JA), "戸");
    assert_string_equal(event_message(&event, LANGUAGE_EN), "문"); /* the first that there is */
    body = parse("{\"text\":\"Doors\"}");
    assert_int_equal(event_read_message(&event, body, &error), ST_OK);
    json_free(body);
    assert_string_equal(event_message(&event, LANGUAGE_JA), "Doors");
    assert_null(event_write_messages(&event));
    body = parse("{\"text\":{\"fr\":\"Portes\"}}");
    assert_int_equal(event_read_message(&event, body, &error), ST_INVALID);
    assert_string_equal(error.field, "text.fr");
    json_free(body);
    assert_string_equal(event.message, "Doors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(a_title_is_enough),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(a_closing_ends_turns_or_not),
        cmocka_unit_test(turns_end_a_grace_after_the_earlier_closing),
        cmocka_unit_test(every_setting_has_its_limits),
        cmocka_unit_test(what_is_absent_stays),
        cmocka_unit_test(every_bad_field_is_named),
        cmocka_unit_test(what_is_changed_elsewhere_names_the_way),
        cmocka_unit_test(a_surge_rule_raises_the_limit),
        cmocka_unit_test(creating_has_rules_of_its_own),
        cmocka_unit_test(long_titles_are_refused),
        cmocka_unit_test(a_row_is_read_whole),
        cmocka_unit_test(a_broken_row_is_refused),
        cmocka_unit_test(branding_changes_by_parts),
        cmocka_unit_test(json_goes_out_flat_and_comes_back),
        cmocka_unit_test(links_are_addresses),
        cmocka_unit_test(a_message_has_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
