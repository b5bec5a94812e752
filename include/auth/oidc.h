/* SPDX-License-Identifier: MIT */
/*
 * oidc: signing in by OpenID Connect (Core 1.0, Discovery 1.0): the authorization code flow with PKCE. It asks one identity
 * provider: its metadata, its keys, the token for a code, and the claims about a person. All calls are for the loop's own
 * thread.
 */
#ifndef TIKETI_OIDC_H
#define TIKETI_OIDC_H

#include "auth/role.h"
#include "auth/sign_in.h"
#include "base/status.h"
#include "net/http_client.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;
struct oidc;

/* All texts are borrowed, and live as long as the object. */
struct oidc_opts {
    struct loop *loop;
    struct http_client *http;
    const char *issuer; /* as in the claim iss, without a slash at its end unless that has one */
    const char *client_id;
    const char *client_secret; /* NULL: a public client */
};
struct oidc *oidc_new(const struct oidc_opts *opts); /* returns new */
/* From now on everything fails with ST_UNAVAILABLE. The client may be closed then, which ends what is under way. NULL is
 * fine. */
void oidc_stop(struct oidc *oidc);
/* The client must have been closed. NULL is fine. */
void oidc_free(struct oidc *oidc);

/* One way to the provider and back. Borrowed until the function returns. */
struct oidc_visit {
    const struct sign_in_errand *errand; /* state, nonce and verifier */
    const char *redirect_uri;
    const char *scope; /* "openid …" */
};

/* ST_OK: `url` is where the browser goes, borrowed until the callback returns. ST_UNAVAILABLE: the provider cannot be
 * reached, or says nothing usable about itself; logged. */
typedef void (*oidc_url_cb)(void *arg, enum status status, const char *url);
/* The callback runs exactly once: at once where the provider's metadata is known. */
void oidc_begin(struct oidc *oidc, const struct oidc_visit *visit, oidc_url_cb cb, void *arg);

/* Who has signed in: all borrowed until the callback returns. */
struct oidc_person {
    char id
        [SIGN_IN_BUYER_SIZE]; /* "o:" and a hash of issuer and subject: no shop's user ("u:…") has it */
    const struct json
        *claims; /* of the ID token, and those of the userinfo endpoint that it lacks */
};
/* ST_OK: `person` is set. ST_UNAUTHORIZED: the provider refuses the code, or its token is not valid for us, now, or for
 * this visit; logged with the reason. ST_UNAVAILABLE: as above; nothing is known. */
typedef void (*oidc_person_cb)(void *arg, enum status status, const struct oidc_person *person);
/* `profile`: ask the userinfo endpoint for what the ID token lacks. The callback runs exactly once, and may run before
 * this returns. */
void oidc_redeem(struct oidc *oidc, const struct oidc_visit *visit, const char *code, bool profile,
                 oidc_person_cb cb, void *arg);

/* ---- what the claims say: pure ---- */

/* Are these valid settings: "value=role,value=role" with roles of staff, where the value * stands for anybody? */
bool oidc_roles_valid(const char *mapping);
/* The greatest role that the mapping gives to the values of a claim: a text or a list of texts. `path`: its name, with
 * dots into objects (realm_access.roles). `mapping` NULL: the values are names of roles. False: none. */
bool oidc_read_role(const struct json *claims, const char *path, const char *mapping,
                    enum user_role *ret_role);
/* Has the person a verified e-mail address of one of these domains (comma-separated)? */
bool oidc_in_domains(const struct json *claims, const char *domains);
/* What the person is called: name, else preferred_username, else email, else `fallback`; into out[STAFF_NAME_MAX + 1]. */
void oidc_read_name(const struct json *claims, const char *fallback, char *out);

#endif
