/* SPDX-License-Identifier: MIT */
/* role: what a user may do, as tokens, sessions and the command line name it; and what a member of an event's team may do
 * with that event. Pure. */
#ifndef TIKETI_ROLE_H
#define TIKETI_ROLE_H

#include <stdbool.h>
#include <stddef.h>

/* In the order of what they may do: of two roles that somebody has, the greater one counts. `service` is that of a shop's
 * server: only a token has it, nobody signs in with it. */
enum user_role {
    USER_BUYER,
    USER_DOOR,
    USER_SERVICE,
    USER_VIEWER,
    USER_SRE,
    USER_ORGANIZER,
    USER_ADMIN
};
#define USER_ROLES (USER_ADMIN + 1)

/* "organizer". Static. */
const char *role_name(enum user_role role);
/* May a person sign in with it? */
bool role_is_a_persons(enum user_role role);
/* False: no role has this name. */
bool role_read(const char *name, size_t len, enum user_role *ret_role);

/* Of one event. In the order of what they may do. */
enum staff_right { RIGHT_NONE, RIGHT_VIEWER, RIGHT_EDITOR, RIGHT_OWNER };

/* "editor"; "": RIGHT_NONE. Static. */
const char *right_name(enum staff_right right);
/* NULL, or no name of a right: RIGHT_NONE. */
enum staff_right right_read(const char *name);

#endif
