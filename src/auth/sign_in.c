/* SPDX-License-Identifier: MIT */
/*
 * sign_in: JWS (HS256) of short JSON objects, whose member "t" is the kind of the text, and MACs for forms.
 *
 * Why this way: what a session says is in the cookie itself, so a pod can go on serving staff while PostgreSQL, which
 * knows what was revoked, is gone. Each key is derived from an entry of the key ring for this purpose alone: no ticket,
 * pass or token of the shop can be taken for one of these texts. The kind is checked after the signature, so that a link
 * is no session although one key signs both. A form's token is a MAC of the session's id: nothing is stored for it, and
 * it ends with the session.
 * Called by: token (keys), cookie_jar, api_staff, api_console, api_invitation, api_oidc, api_team, console. Owns: the keys, wiped at the end.
 */
#include "auth/sign_in.h"

#include "auth/jws.h"
#include "auth/mac.h"
#include "base/base64url.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 64
#define TEXT_MAX 4096

struct sign_in_keys {
    struct jws_ring *ring;
    struct mac *forms[KEYS_MAX];
    size_t count;
    struct buf payload; /* scratch */
};

struct sign_in_keys *sign_in_keys_new(void)
{
    struct jws_ring *ring = jws_ring_new();
    if (!ring)
        return NULL;
    struct sign_in_keys *keys = xcalloc(1, sizeof(*keys));
    keys->ring = ring;
    buf_init(&keys->payload, TEXT_MAX);
    return keys;
}

void sign_in_keys_free(struct sign_in_keys *keys)
{
    if (!keys)
        return;
    jws_ring_free(keys->ring);
    for (size_t i = 0; i < keys->count; i++)
        mac_free(keys->forms[i]);
    buf_clear(&keys->payload);
    free(keys);
}

enum status sign_in_keys_add(struct sign_in_keys *keys, const char *kid, const void *seed,
                             size_t len)
{
    unsigned char key[MAC_LEN];
    struct mac *mac =
        keys->count < KEYS_MAX ? mac_new_derived(seed, len, "tiketi staff form") : NULL;
    enum status st = mac && mac_derive(seed, len, "tiketi staff sign-in", key, sizeof(key))
                         ? jws_ring_add_hs256(keys->ring, kid, key, sizeof(key))
                         : ST_INVALID;
    explicit_bzero(key, sizeof(key));
    if (st != ST_OK)
        mac_free(mac);
    else
        keys->forms[keys->count++] = mac;
    return st;
}

bool staff_events_have(const char *events, const char *event)
{
    const size_t len = strlen(event);
    while (*events) {
        const size_t item = strcspn(events, ",");
        if (item == len && memcmp(events, event, len) == 0)
            return true;
        events += item + (events[item] == ',');
    }
    return false;
}

/* ---- texts ---- */

static enum status sign(struct sign_in_keys *keys, const char *kind, struct json *payload,
                        struct buf *out)
{
    json_set_str(payload, "t", kind);
    buf_reset(&keys->payload);
    json_write(payload, &keys->payload);
    json_free(payload);
    if (buf_status(&keys->payload) != ST_OK)
        return ST_TOO_LARGE;
    return jws_sign(keys->ring, buf_str(&keys->payload), keys->payload.len, out);
}

/* Returns the new payload of a text of this kind; NULL: it is none. */
static struct json *verify(struct sign_in_keys *keys, const char *kind, const char *text,
                           size_t len)
{
    buf_reset(&keys->payload);
    if (jws_verify(keys->ring, text, len, &keys->payload) != ST_OK)
        return NULL;
    struct json *payload = json_parse(buf_str(&keys->payload), keys->payload.len, TEXT_MAX, NULL);
    const char *found = json_str(payload, "t");
    if (found && strcmp(found, kind) == 0)
        return payload;
    json_free(payload);
    return NULL;
}

/* Copies a text member into out[size]. False: it is absent or too long. */
static bool take(const struct json *payload, const char *key, char *out, size_t size)
{
    const char *text = json_str(payload, key);
    const size_t len = text ? strlen(text) : size;
    if (len >= size)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

static enum status write_grant(struct sign_in_keys *keys, const char *kind,
                               const struct staff_grant *grant, struct buf *out)
{
    struct json *payload = json_new_object();
    json_set_str(payload, "i", grant->id);
    json_set_str(payload, "s", grant->subject);
    json_set_str(payload, "n", grant->name);
    json_set_str(payload, "r", role_name(grant->role));
    json_set_str(payload, "e", grant->events);
    json_set_int(payload, "x", grant->expires_ms);
    return sign(keys, kind, payload, out);
}

static enum status read_grant(struct sign_in_keys *keys, const char *kind, const char *text,
                              size_t len, int64_t now_ms, struct staff_grant *ret)
{
    struct staff_grant grant = {0};
    struct json *payload = verify(keys, kind, text, len);
    const char *role = json_str(payload, "r");
    const bool ok = role && role_read(role, strlen(role), &grant.role) &&
                    take(payload, "i", grant.id, sizeof(grant.id)) &&
                    take(payload, "s", grant.subject, sizeof(grant.subject)) &&
                    take(payload, "n", grant.name, sizeof(grant.name)) &&
                    take(payload, "e", grant.events, sizeof(grant.events));
    grant.expires_ms = json_int(payload, "x", 0);
    json_free(payload);
    if (!ok)
        return ST_UNAUTHORIZED;
    *ret = grant;
    return now_ms < grant.expires_ms ? ST_OK : ST_GONE;
}

enum status sign_in_link_write(struct sign_in_keys *keys, const struct staff_grant *grant,
                               struct buf *out)
{
    return write_grant(keys, "link", grant, out);
}

enum status sign_in_link_read(struct sign_in_keys *keys, const char *text, size_t len,
                              int64_t now_ms, struct staff_grant *ret)
{
    return read_grant(keys, "link", text, len, now_ms, ret);
}

enum status sign_in_session_write(struct sign_in_keys *keys, const struct staff_grant *grant,
                                  struct buf *out)
{
    return write_grant(keys, "session", grant, out);
}

enum status sign_in_session_read(struct sign_in_keys *keys, const char *text, size_t len,
                                 int64_t now_ms, struct staff_grant *ret)
{
    return read_grant(keys, "session", text, len, now_ms, ret);
}

enum status sign_in_invitation_write(struct sign_in_keys *keys,
                                     const struct sign_in_invitation *invitation, struct buf *out)
{
    struct json *payload = json_new_object();
    json_set_str(payload, "i", invitation->id);
    json_set_str(payload, "e", invitation->event);
    json_set_str(payload, "n", invitation->name);
    json_set_str(payload, "r", right_name(invitation->right));
    json_set_int(payload, "x", invitation->expires_ms);
    return sign(keys, "invitation", payload, out);
}

enum status sign_in_invitation_read(struct sign_in_keys *keys, const char *text, size_t len,
                                    int64_t now_ms, struct sign_in_invitation *ret)
{
    struct sign_in_invitation invitation = {0};
    struct json *payload = verify(keys, "invitation", text, len);
    const bool ok = take(payload, "i", invitation.id, sizeof(invitation.id)) &&
                    take(payload, "e", invitation.event, sizeof(invitation.event)) &&
                    take(payload, "n", invitation.name, sizeof(invitation.name));
    invitation.right = right_read(json_str(payload, "r"));
    invitation.expires_ms = json_int(payload, "x", 0);
    json_free(payload);
    if (!ok || invitation.right == RIGHT_NONE)
        return ST_UNAUTHORIZED;
    *ret = invitation;
    return now_ms < invitation.expires_ms ? ST_OK : ST_GONE;
}

enum status sign_in_errand_write(struct sign_in_keys *keys, const struct sign_in_errand *errand,
                                 struct buf *out)
{
    struct json *payload = json_new_object();
    json_set_str(payload, "s", errand->state);
    json_set_str(payload, "n", errand->nonce);
    json_set_str(payload, "v", errand->verifier);
    json_set_str(payload, "e", errand->event);
    json_set_str(payload, "p", errand->previous);
    json_set_int(payload, "x", errand->expires_ms);
    return sign(keys, "errand", payload, out);
}

enum status sign_in_errand_read(struct sign_in_keys *keys, const char *text, size_t len,
                                int64_t now_ms, struct sign_in_errand *ret)
{
    struct sign_in_errand errand = {0};
    struct json *payload = verify(keys, "errand", text, len);
    const bool ok = take(payload, "s", errand.state, sizeof(errand.state)) &&
                    take(payload, "n", errand.nonce, sizeof(errand.nonce)) &&
                    take(payload, "v", errand.verifier, sizeof(errand.verifier)) &&
                    take(payload, "e", errand.event, sizeof(errand.event)) &&
                    take(payload, "p", errand.previous, sizeof(errand.previous));
    errand.expires_ms = json_int(payload, "x", 0);
    json_free(payload);
    if (!ok)
        return ST_UNAUTHORIZED;
    *ret = errand;
    return now_ms < errand.expires_ms ? ST_OK : ST_GONE;
}

enum status sign_in_buyer_write(struct sign_in_keys *keys, const char *buyer, int64_t expires_ms,
                                struct buf *out)
{
    struct json *payload = json_new_object();
    json_set_str(payload, "b", buyer);
    json_set_int(payload, "x", expires_ms);
    return sign(keys, "buyer", payload, out);
}

bool sign_in_buyer_read(struct sign_in_keys *keys, const char *text, size_t len, int64_t now_ms,
                        char *out)
{
    struct json *payload = verify(keys, "buyer", text, len);
    const bool ok =
        json_int(payload, "x", 0) > now_ms && take(payload, "b", out, SIGN_IN_BUYER_SIZE);
    json_free(payload);
    return ok;
}

/* ---- forms ---- */

static bool form_mac(struct mac *mac, const char *session, unsigned char *out)
{
    char text[64];
    const int len = snprintf(text, sizeof(text), "form:%.32s", session);
    return mac_of(mac, text, (size_t)len, out);
}

enum status sign_in_csrf_write(struct sign_in_keys *keys, const char *session, char *out)
{
    unsigned char mac[MAC_LEN];
    struct buf text;
    if (keys->count == 0 || !form_mac(keys->forms[0], session, mac))
        return ST_UNAVAILABLE;
    buf_init(&text, STAFF_CSRF_SIZE - 1);
    base64url_encode(mac, sizeof(mac), &text);
    const enum status st = buf_status(&text);
    if (st == ST_OK)
        memcpy(out, buf_str(&text), text.len + 1);
    buf_clear(&text);
    return st;
}

bool sign_in_csrf_holds(struct sign_in_keys *keys, const char *session, const char *text)
{
    unsigned char sent[MAC_LEN], own[MAC_LEN];
    bool holds = false;
    if (strlen(text) != STAFF_CSRF_SIZE - 1 ||
        !base64url_decode_into(text, STAFF_CSRF_SIZE - 1, sent))
        return false;
    for (size_t i = 0; i < keys->count && !holds; i++)
        holds = form_mac(keys->forms[i], session, own) && mac_equal(own, sent, sizeof(sent));
    return holds;
}
