/* SPDX-License-Identifier: MIT */
/*
 * sign_in: the signed texts of signing in: the one-time link to the console, the invitation to an event, the cookie of a session of staff, the token
 * of its forms; what a browser keeps while its user is at the identity provider, and the cookie of a buyer who came from
 * there. All are signed with keys that are derived from TICKET_KEYS, so every pod can read them without a backend. A text
 * of one kind is never taken for one of another. A struct sign_in_keys belongs to one thread.
 */
#ifndef TIKETI_SIGN_IN_H
#define TIKETI_SIGN_IN_H

#include "auth/role.h"
#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAFF_ID_SIZE     33  /* 32 hex digits and a NUL */
#define STAFF_SUBJECT_MAX 255 /* bytes */
#define STAFF_NAME_MAX    160 /* bytes */
#define STAFF_EVENTS_MAX  8   /* ids */
#define STAFF_EVENTS_SIZE 521 /* of a list of them, separated by commas */
#define STAFF_CSRF_SIZE   44  /* 43 digits and a NUL */

#define STAFF_LINK_MS    (10 * 60 * 1000)
#define STAFF_SESSION_MS (12 * 3600 * 1000)

struct sign_in_keys;

struct sign_in_keys *sign_in_keys_new(void);       /* NULL: OpenSSL has no SHA-256 */
void sign_in_keys_free(struct sign_in_keys *keys); /* wipes them; NULL is fine */
/* Adds keys that are derived from `seed`: the first ones sign, all verify. `kid` names the seed. ST_INVALID: OpenSSL
 * failed, or there are 64 keys. */
MUST_CHECK enum status sign_in_keys_add(struct sign_in_keys *keys, const char *kid,
                                        const void *seed, size_t len);

/* Who somebody is, and what they may do. */
struct staff_grant {
    char
        id[STAFF_ID_SIZE]; /* of the link or the session: random, and secret like the text itself */
    char subject[STAFF_SUBJECT_MAX + 1]; /* what events are owned by */
    char name[STAFF_NAME_MAX + 1];       /* for people: in the console and the audit */
    enum user_role role;
    /* Ids of events. An organizer may use these beside their own; all others only these. "": an organizer their own,
     * all others every one. */
    char events[STAFF_EVENTS_SIZE];
    int64_t expires_ms;
};

/* Is this event in the list (see staff_grant)? */
bool staff_events_have(const char *events, const char *event);

/* Append the text of a link or a session. ST_UNAVAILABLE: there is no key; ST_TOO_LARGE. On failure nothing was appended.
 */
MUST_CHECK enum status sign_in_link_write(struct sign_in_keys *keys,
                                          const struct staff_grant *grant, struct buf *out);
MUST_CHECK enum status sign_in_session_write(struct sign_in_keys *keys,
                                             const struct staff_grant *grant, struct buf *out);
/* ST_UNAUTHORIZED: it is not a text of ours and of this kind. ST_GONE: it has expired; *ret is filled. */
MUST_CHECK enum status sign_in_link_read(struct sign_in_keys *keys, const char *text, size_t len,
                                         int64_t now_ms, struct staff_grant *ret);
MUST_CHECK enum status sign_in_session_read(struct sign_in_keys *keys, const char *text, size_t len,
                                            int64_t now_ms, struct staff_grant *ret);

/* A link that shares an event with a person. */
#define STAFF_INVITATION_MS (INT64_C(7) * 24 * 3600 * 1000)
struct sign_in_invitation {
    char id[STAFF_ID_SIZE]; /* random, and secret like the text itself */
    char event[65];
    char name[STAFF_NAME_MAX + 1]; /* of the person, as the inviter writes it */
    enum staff_right right;
    int64_t expires_ms;
};
/* As sign_in_link_write and sign_in_link_read. */
MUST_CHECK enum status sign_in_invitation_write(struct sign_in_keys *keys,
                                                const struct sign_in_invitation *invitation,
                                                struct buf *out);
MUST_CHECK enum status sign_in_invitation_read(struct sign_in_keys *keys, const char *text,
                                               size_t len, int64_t now_ms,
                                               struct sign_in_invitation *ret);

/* The token that each form of a session carries, into out[STAFF_CSRF_SIZE]. ST_UNAVAILABLE: there is no key. */
MUST_CHECK enum status sign_in_csrf_write(struct sign_in_keys *keys, const char *session,
                                          char *out);
bool sign_in_csrf_holds(struct sign_in_keys *keys, const char *session, const char *text);

/* What a browser keeps between its way to the identity provider and back. */
#define STAFF_VERIFIER_SIZE 65 /* 64 hex digits and a NUL */
struct sign_in_errand {
    char state[STAFF_ID_SIZE]; /* names the errand in the address that the provider leads back to */
    char nonce[STAFF_ID_SIZE];
    char verifier[STAFF_VERIFIER_SIZE]; /* of PKCE */
    char event[65];                     /* a buyer's; "": staff */
    char previous[STAFF_ID_SIZE];       /* the session that the new one replaces; "": none */
    int64_t expires_ms;
};
/* As sign_in_link_write and sign_in_link_read. */
MUST_CHECK enum status sign_in_errand_write(struct sign_in_keys *keys,
                                            const struct sign_in_errand *errand, struct buf *out);
MUST_CHECK enum status sign_in_errand_read(struct sign_in_keys *keys, const char *text, size_t len,
                                           int64_t now_ms, struct sign_in_errand *ret);

/* The cookie of a buyer whom the identity provider has named. The id is "o:" and the text of a hash (oidc.h). */
#define SIGN_IN_BUYER_SIZE 46 /* bytes of the id, with the NUL */
#define SIGN_IN_BUYER_MS   (INT64_C(7) * 24 * 3600 * 1000)
MUST_CHECK enum status sign_in_buyer_write(struct sign_in_keys *keys, const char *buyer,
                                           int64_t expires_ms, struct buf *out);
/* Writes the id into out[SIGN_IN_BUYER_SIZE]. */
bool sign_in_buyer_read(struct sign_in_keys *keys, const char *text, size_t len, int64_t now_ms,
                        char *out);

#endif
