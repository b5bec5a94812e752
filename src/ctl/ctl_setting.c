/* SPDX-License-Identifier: MIT */
/*
 * ctl_setting: "interval=5s" -> {"intervalMs":5000}.
 *
 * Why this way: the service knows its settings and says what is wrong with a value, so none is checked here; only what
 * is written in another way for people is turned into what the service takes. Called by: ctl_event, ctl_forecast. Pure.
 */
#include "ctl/ctl_setting.h"

#include "base/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 64

const char *const ctl_setting_names[] = {"threshold",
                                         "interval",
                                         "promotion",
                                         "outflow",
                                         "surge",
                                         "idleTimeout",
                                         "sessionLimit",
                                         "hold",
                                         "claim",
                                         "silent",
                                         "closeGrace",
                                         "autoHold",
                                         "maxSeats",
                                         "placesPerNetwork",
                                         "allowGuests",
                                         "title",
                                         "artist",
                                         "venue",
                                         "startsAt",
                                         "opensAt",
                                         "closesAt",
                                         "timeZone",
                                         "askEmail",
                                         "returnUrls",
                                         "links.help",
                                         "branding.name",
                                         "branding.primary",
                                         "branding.background",
                                         NULL};

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(name, *list) == 0)
            return true;
    }
    return false;
}

static bool refuse(char *error, size_t error_size, const char *format, const char *text)
{
    (void)snprintf(error, error_size, format, text);
    return false;
}

/* "5000:2000,20000:4000" or "none". */
static struct json *read_surge(const char *text)
{
    static const char digits[] = "0123456789";
    struct json *list = json_new_array();
    while (*text != '\0' && strcmp(text, "none") != 0) {
        const size_t above = strspn(text, digits);
        const size_t threshold = text[above] == ':' ? strspn(text + above + 1, digits) : 0;
        const char *end = text + above + 1 + threshold;
        if (above == 0 || threshold == 0 || (*end != ',' && *end != '\0')) {
            json_free(list);
            return NULL;
        }
        struct json *rule = json_new_object();
        json_set_int(rule, "queueAbove", strtoll(text, NULL, 10));
        json_set_int(rule, "threshold", strtoll(text + above + 1, NULL, 10));
        json_append(list, rule);
        text = *end == ',' ? end + 1 : end;
    }
    return list;
}

/* "https://shop.example,https://other.example/tickets" or "none". */
static struct json *read_list(const char *text)
{
    struct json *list = json_new_array();
    while (*text != '\0' && strcmp(text, "none") != 0) {
        const size_t len = strcspn(text, ", ");
        if (len > 0)
            json_append_str(list, text, len);
        text += len + (text[len] != '\0');
    }
    return list;
}

/* Sets a number, true, false or null; a text if it is none of them, or if the setting is a text. */
static void set_value(struct json *object, const char *name, const char *value)
{
    static const char *const texts[] = {"title",    "artist",   "venue",    "startsAt", "opensAt",
                                        "closesAt", "timeZone", "askEmail", "name",     NULL};
    char *end;
    const int64_t number = strtoll(value, &end, 10);
    const bool whole = *value != '\0' && *end == '\0' && !is_one_of(name, texts);
    const double real = strtod(value, &end);
    const bool fraction = *value != '\0' && *end == '\0' && !is_one_of(name, texts);
    const bool truth =
        (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) && !is_one_of(name, texts);
    if (strcmp(value, "null") == 0)
        json_set_null(object, name);
    else if (whole)
        json_set_int(object, name, number);
    else if (fraction)
        json_set_real(object, name, real);
    else if (truth)
        json_set_bool(object, name, *value == 't');
    else
        json_set_str(object, name, value);
}

static bool add_plain(struct json *object, const char *name, const char *value, char *error,
                      size_t error_size)
{
    static const char *const durations[] = {
        "interval",   "idleTimeout", "sessionLimit", "hold",   "claim", "silent",
        "closeGrace", "visit",       "visitSpread",  "arrive", NULL};
    if (strcmp(name, "closeGrace") == 0 && strcmp(value, "none") == 0) {
        json_set_null(object, "closeGraceMs");
    } else if (is_one_of(name, durations)) {
        char full[NAME_MAX_BYTES + 4];
        int64_t ms;
        if (!options_read_duration(value, &ms))
            return refuse(
                error, error_size,
                "%s must be a time such as 250ms, 5s, 15m or 1h (without a unit: seconds)", name);
        (void)snprintf(full, sizeof(full), "%sMs", name);
        json_set_int(object, full, ms);
    } else if (strcmp(name, "surge") == 0) {
        struct json *rules = read_surge(value);
        if (!rules)
            return refuse(error, error_size,
                          "%s must be rules such as 5000:2000,20000:4000, or none", name);
        json_set(object, name, rules);
    } else if (strcmp(name, "returnUrls") == 0) {
        json_set(object, name, read_list(value));
    } else {
        set_value(object, strcmp(name, "outflow") == 0 ? "outflowPerMinute" : name, value);
    }
    return true;
}

bool ctl_setting_add(struct json *object, const char *text, char *error, size_t error_size)
{
    char name[NAME_MAX_BYTES];
    const char *equals = strchr(text, '=');
    const size_t len = equals ? (size_t)(equals - text) : 0;
    if (len == 0 || len >= sizeof(name))
        return refuse(error, error_size, "'%.60s' is no setting: NAME=VALUE", text);
    (void)snprintf(name, sizeof(name), "%.*s", (int)len, text);
    char *dot = strchr(name, '.');
    if (!dot)
        return add_plain(object, name, equals + 1, error, error_size);
    *dot = '\0';
    if (!json_is_object(json_get(object, name)))
        json_set(object, name, json_new_object());
    set_value(json_member(object, name), dot + 1, equals + 1);
    return true;
}
