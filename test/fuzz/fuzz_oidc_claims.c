/* SPDX-License-Identifier: MIT */
/*
 * oidc_claims: the first line is a mapping of roles, the rest what an identity provider says about a person. Nobody gets a
 * role of buyers, or one that a valid mapping does not name; a name fits, is UTF-8 and has no tab, which would add a
 * column to the audit.
 */
#include "fuzz.h"

#include "auth/oidc.h"
#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_new(data, size), *rest = strchr(text, '\n');
    char name[STAFF_NAME_MAX + 1];
    enum user_role role = USER_BUYER;
    if (rest)
        *rest++ = '\0';
    struct json *claims = rest ? json_parse(rest, strlen(rest), 65536, NULL) : NULL;
    const bool valid = oidc_roles_valid(text);
    if (oidc_read_role(claims, "a.role", text, &role)) {
        check(role > USER_BUYER && role < USER_ROLES);
        check(!valid || strstr(text, role_name(role)));
    } else {
        check(role == USER_BUYER);
    }
    if (oidc_read_role(claims, "a.role", NULL, &role))
        check(strstr(rest, "role"));
    oidc_read_name(claims, "o:fallback", name);
    check(strlen(name) > 0 && utf8_is_valid(name, strlen(name)) && !strchr(name, '\t'));
    if (oidc_in_domains(claims, "hall.example"))
        check(json_bool(claims, "email_verified", false) && json_str(claims, "email"));
    json_free(claims);
    free(text);
    return 0;
}
