/* SPDX-License-Identifier: MIT */
/*
 * identity: the rules by which a buyer is recognized and a proof is believed.
 *
 * Why this way: HTTP and WebSocket carry the same proofs in different places (headers and cookies; a
 * handshake and messages). Each role takes them out of its own request; this file decides whether they are valid.
 * Called by: api, gateway. Owns nothing.
 */
#include "auth/identity.h"

#include "net/client_ip.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the sender ---- */

bool identity_origin_allowed(const char *allowed, const char *origin, const char *host)
{
    if (!origin)
        return true;
    const char *scheme_end = strstr(origin, "://"); /* "null", of a sandboxed page, has none */
    const char *authority = scheme_end && host ? scheme_end + 3 : NULL;
    if (allowed)
        return client_ip_origin_listed(allowed, origin) ||
               (authority && *authority && strcasecmp(authority, host) == 0);
    return authority && client_ip_same_host(authority, host);
}

const char *identity_bearer(const char *authorization)
{
    static const char scheme[] = "Bearer";
    const size_t len = sizeof(scheme) - 1;
    if (strncasecmp(authorization, scheme, len) != 0)
        return NULL;
    const char *token = authorization + len + strspn(authorization + len, " \t");
    return token > authorization + len || *token == '\0' ? token : NULL;
}

enum status identity_read_user(struct token_keys *keys, const char *jwt, size_t len, int64_t now_ms,
                               struct user *ret_user, char *ret_buyer)
{
    const enum status st = token_read_user(keys, jwt, len, now_ms, ret_user);
    if (st != ST_OK)
        return st;
    ret_buyer[0] = 'u';
    ret_buyer[1] = ':';
    (void)stpcpy(ret_buyer + 2, ret_user->sub);
    return ST_OK;
}

/* ---- ticket ---- */

enum status identity_read_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                 const struct identity_proof *proof, struct ticket *ret_ticket)
{
    if (memo &&
        ticket_memo_get(memo, proof->text, proof->len, proof->event, proof->buyer, ret_ticket))
        return ST_OK;
    if (ticket_read(keys, proof->text, proof->len, ret_ticket) != ST_OK)
        return ST_UNAUTHORIZED;
    if (strcmp(ret_ticket->event, proof->event) != 0 ||
        strcmp(ret_ticket->buyer, proof->buyer) != 0)
        return ST_DENIED;
    if (memo)
        ticket_memo_put(memo, proof->text, proof->len, ret_ticket);
    return ST_OK;
}

enum status identity_write_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                  const struct identity_place *place, uint64_t lowest,
                                  struct buf *out)
{
    struct ticket ticket; /* not zeroed, to save 200 bytes of writing in every join */
    const size_t before = out->len;
    const size_t event_len = strnlen(place->event, EVENT_ID_MAX);
    const size_t buyer_len = strnlen(place->buyer, BUYER_ID_MAX);
    memcpy(ticket.event, place->event, event_len);
    ticket.event[event_len] = '\0';
    memcpy(ticket.buyer, place->buyer, buyer_len);
    ticket.buyer[buyer_len] = '\0';
    ticket.place = place->place;
    ticket.epoch = place->epoch;
    ticket.lowest = lowest;
    const enum status st = ticket_sign(keys, &ticket, out);
    if (st == ST_OK && memo)
        ticket_memo_put(memo, buf_str(out) + before, out->len - before, &ticket);
    return st;
}

/* ---- pass ---- */

enum status identity_read_pass(struct token_keys *keys, const struct identity_proof *proof,
                               int64_t now_ms, struct pass *ret_pass)
{
    if (pass_read(keys, proof->text, proof->len, now_ms, ret_pass) != ST_OK)
        return ST_UNAUTHORIZED;
    if (strcmp(ret_pass->event, proof->event) != 0 ||
        (proof->buyer && strcmp(ret_pass->buyer, proof->buyer) != 0))
        return ST_DENIED;
    return ST_OK;
}

int64_t identity_pass_expiry(const struct identity_admission *admission, int64_t now_ms)
{
    int64_t expiry_ms = now_ms + admission->pass_ttl_ms;
    if (admission->turns_end_ms > 0 && admission->turns_end_ms < expiry_ms)
        expiry_ms = admission->turns_end_ms;
    const int64_t session_end_ms = admission->since_ms + admission->session_limit_ms;
    return admission->session_limit_ms > 0 && session_end_ms < expiry_ms ? session_end_ms
                                                                         : expiry_ms;
}

int64_t identity_turn_end(const struct identity_admission *admission, int64_t pay_until_ms)
{
    const int64_t end_ms =
        pay_until_ms > 0 ? pay_until_ms : admission->since_ms + admission->session_limit_ms;
    return admission->turns_end_ms > 0 && admission->turns_end_ms < end_ms ? admission->turns_end_ms
                                                                           : end_ms;
}

bool identity_admission_lasts(const struct identity_admission *admission, int64_t now_ms)
{
    const int64_t life_ms =
        admission->session_limit_ms > 0 ? admission->session_limit_ms : admission->pass_ttl_ms;
    return admission->since_ms + life_ms > now_ms &&
           (admission->turns_end_ms == 0 || admission->turns_end_ms > now_ms);
}

enum status identity_write_pass(struct token_keys *keys, const struct identity_place *place,
                                const struct identity_admission *admission, int64_t now_ms,
                                struct buf *out, int64_t *ret_expires_ms)
{
    struct pass pass = {.place = place->place,
                        .epoch = place->epoch,
                        .iat_s = admission->since_ms / 1000,
                        .exp_s = identity_pass_expiry(admission, now_ms) / 1000,
                        .names_guest = admission->names_guest};
    (void)snprintf(pass.event, sizeof(pass.event), "%s", place->event);
    (void)snprintf(pass.buyer, sizeof(pass.buyer), "%s", place->buyer);
    *ret_expires_ms = pass.exp_s * 1000;
    return pass_sign(keys, &pass, out);
}
