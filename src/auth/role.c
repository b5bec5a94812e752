/* SPDX-License-Identifier: MIT */
/*
 * role: the names of the roles, and of the rights at an event.
 *
 * Called by: token, sign_in, oidc, event, api_route, api_team, console.
 */
#include "auth/role.h"

#include <string.h>

static const char *const names[USER_ROLES] = {
    [USER_BUYER] = "buyer",   [USER_DOOR] = "door", [USER_SERVICE] = "service",
    [USER_VIEWER] = "viewer", [USER_SRE] = "sre",   [USER_ORGANIZER] = "organizer",
    [USER_ADMIN] = "admin"};

const char *role_name(enum user_role role)
{
    return names[role];
}

bool role_is_a_persons(enum user_role role)
{
    return role != USER_BUYER && role != USER_SERVICE;
}

bool role_read(const char *name, size_t len, enum user_role *ret_role)
{
    for (unsigned i = 0; i < USER_ROLES; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            *ret_role = (enum user_role)i;
            return true;
        }
    }
    return false;
}

static const char *const rights[] = {"", "viewer", "editor", "owner"};

const char *right_name(enum staff_right right)
{
    return rights[right];
}

enum staff_right right_read(const char *name)
{
    for (unsigned i = RIGHT_VIEWER; name && i <= RIGHT_OWNER; i++) {
        if (strcmp(rights[i], name) == 0)
            return (enum staff_right)i;
    }
    return RIGHT_NONE;
}
