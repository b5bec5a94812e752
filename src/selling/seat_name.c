/* SPDX-License-Identifier: MIT */
/* seat_name: the names of sections and rows, and the currency of a hall. Called by: api_hall, api_csv. Pure. */
#include "selling/seat_name.h"

#include "base/locale.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum status seat_currency_check(const char *code, const char *field, struct json_error *error)
{
    const bool is_code = strlen(code) == 3 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
    if (!is_code)
        return json_refuse(error, field, "not-a-currency",
                           "currency must be three capital letters, such as KRW.");
    if (locale_currency_decimals(code) < 0)
        return json_refuse(
            error, field, "unknown-currency",
            "%s is no currency in use: currency must be a code of ISO 4217, such as KRW.", code);
    return ST_OK;
}

static enum status clean_one(struct json *object, const char *path, const char *key,
                             bool *ret_changed, struct json_error *error)
{
    char clean[TEXT_BYTES(SEAT_NAME_MAX) + 1];
    char field[sizeof(error->field)];
    const struct json *value = json_get(object, key);
    const char *text = json_str_value(value);
    if (!text)
        return ST_OK;
    const enum status st =
        text_clean(TEXT_NAME, text, json_str_value_len(value), SEAT_NAME_MAX, clean);
    (void)snprintf(field, sizeof(field), "%s%s", path, key);
    if (st != ST_OK)
        return json_refuse(error, field, "seat-name", "%s" SEAT_NAME_RULE, key);
    if (strcmp(clean, text) != 0) {
        json_set_str(object, key, clean);
        *ret_changed = true;
    }
    return ST_OK;
}

/* `known`: the last currency that was found to be one, since all seats have the same. */
static enum status check_currency(const struct json *object, const char *path, char known[4],
                                  struct json_error *error)
{
    char field[sizeof(error->field)];
    const char *code = json_str(object, "currency");
    if (!code || strcmp(code, known) == 0)
        return ST_OK;
    (void)snprintf(field, sizeof(field), "%scurrency", path);
    const enum status st = seat_currency_check(code, field, error);
    if (st == ST_OK)
        memcpy(known, code, 4);
    return st;
}

/* One of the list of seats or of sections. */
static enum status clean_item(struct json *item, const char *path, char currency[4],
                              bool *ret_changed, struct json_error *error)
{
    enum status st = clean_one(item, path, "section", ret_changed, error);
    if (st == ST_OK)
        st = clean_one(item, path, "row", ret_changed, error);
    if (st == ST_OK)
        st = check_currency(item, path, currency, error);
    return st;
}

enum status seat_names_clean(struct json *body, bool *ret_changed, struct json_error *error)
{
    static const char *const lists[] = {"seats", "grid"};
    char currency[4] = "";
    *ret_changed = false;
    enum status st = ST_OK;
    if (!json_is_array(json_get(body, "grid")))
        st = clean_item(json_member(body, "grid"), "grid.", currency, ret_changed, error);
    for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
        struct json *list = json_member(body, lists[l]);
        for (size_t i = 0; i < json_array_len(list) && st == ST_OK; i++) {
            char path[32];
            (void)snprintf(path, sizeof(path), "%s[%zu].", lists[l], i);
            st = clean_item(json_element(list, i), path, currency, ret_changed, error);
        }
    }
    return st;
}
