/* SPDX-License-Identifier: MIT */
/*
 * oidc_claims: what the claims about a person mean here: their role, their domain, their name.
 *
 * Called by: api_oidc, api (oidc_roles_valid). Pure.
 */
#include "auth/oidc.h"

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The next "value=role" of a mapping from *at on. False: there is none, or it is malformed (*ret_valid). */
static bool next_rule(const char **at, const char **ret_value, size_t *ret_len,
                      enum user_role *ret_role, bool *ret_valid)
{
    *ret_valid = true;
    if (**at == '\0')
        return false;
    const size_t item = strcspn(*at, ",");
    const char *equals = memrchr(*at, '=', item);
    *ret_value = *at;
    *ret_len = equals ? (size_t)(equals - *at) : 0;
    *ret_valid = equals && *ret_len > 0 && role_read(equals + 1, item - *ret_len - 1, ret_role) &&
                 role_is_a_persons(*ret_role);
    *at += item + ((*at)[item] == ',');
    return *ret_valid;
}

bool oidc_roles_valid(const char *mapping)
{
    const char *value;
    size_t len;
    enum user_role role;
    bool valid;
    while (next_rule(&mapping, &value, &len, &role, &valid))
        ;
    return valid;
}

/* Raises *role to what one value of the claim gives; `value` NULL: what anybody gets. */
static void take_value(const char *mapping, const char *value, enum user_role *role)
{
    const char *rule;
    size_t len;
    enum user_role given;
    bool valid;
    if (!mapping) {
        if (value && role_read(value, strlen(value), &given) && role_is_a_persons(given) &&
            given > *role)
            *role = given;
        return;
    }
    while (next_rule(&mapping, &rule, &len, &given, &valid)) {
        const bool fits = value ? strlen(value) == len && memcmp(value, rule, len) == 0
                                : len == 1 && *rule == '*';
        if (fits && given > *role)
            *role = given;
    }
}

/* The claim of this path; NULL: there is none. A name that has dots itself (a URL) is looked for as a whole first. */
static const struct json *claim_at(const struct json *claims, const char *path)
{
    const struct json *whole = json_get(claims, path);
    const char *dot = strchr(path, '.');
    char name[128];
    if (whole || !dot || (size_t)(dot - path) >= sizeof(name))
        return whole;
    (void)snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
    return claim_at(json_get(claims, name), dot + 1);
}

bool oidc_read_role(const struct json *claims, const char *path, const char *mapping,
                    enum user_role *ret_role)
{
    enum user_role role = USER_BUYER;
    const struct json *claim = claim_at(claims, path);
    const char *one = json_str_value(claim);
    take_value(mapping, NULL, &role);
    if (one)
        take_value(mapping, one, &role);
    for (size_t i = 0; json_is_array(claim) && i < json_array_len(claim); i++) {
        const char *value = json_str_value(json_array_at(claim, i));
        if (value)
            take_value(mapping, value, &role);
    }
    *ret_role = role;
    return role != USER_BUYER;
}

bool oidc_in_domains(const struct json *claims, const char *domains)
{
    const char *email = json_str(claims, "email"), *at = email ? strrchr(email, '@') : NULL;
    if (!at || at == email || !json_bool(claims, "email_verified", false))
        return false;
    const size_t len = strlen(++at);
    while (*domains) {
        domains += strspn(domains, ", ");
        const size_t item = strcspn(domains, ", ");
        if (item > 0 && item == len && strncasecmp(domains, at, len) == 0)
            return true;
        domains += item;
    }
    return false;
}

void oidc_read_name(const struct json *claims, const char *fallback, char *out)
{
    static const char *const keys[] = {"name", "preferred_username", "email"};
    char text[TEXT_BYTES(STAFF_NAME_MAX) + 1];
    (void)snprintf(out, STAFF_NAME_MAX + 1, "%s", fallback);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = json_str(claims, keys[i]);
        if (!value || text_clean(TEXT_LINE, value, strlen(value), STAFF_NAME_MAX, text) != ST_OK ||
            text[0] == '\0')
            continue;
        size_t len = 0, n;
        while (text[len] != '\0' && (n = utf8_len(text + len, strlen(text + len))) > 0 &&
               len + n <= STAFF_NAME_MAX)
            len += n;
        text[len] = '\0';
        memcpy(out, text, len + 1);
        return;
    }
}
