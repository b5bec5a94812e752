/* SPDX-License-Identifier: MIT */
/*
 * api_proof: the ticket and the pass of a request: read from header or cookie, and written.
 *
 * Called by: api_*.c. What was read is in call->proof, verified for this event and this buyer.
 */
#include "api/api_internal.h"

#include "auth/ticket_memo.h"
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The text of a proof: from its header, else from its cookie. */
static const char *proof_text(struct api_call *call, const char *header, const char *prefix,
                              const char *event, size_t *ret_len, bool *ret_sent)
{
    const char *text = http_req_header(call->req, header);
    if (text != NULL) {
        *ret_len = strlen(text);
        *ret_sent = true;
        return text;
    }
    char name[EVENT_ID_MAX + 32];
    const size_t prefix_len = strlen(prefix);
    assert(prefix_len + EVENT_ID_MAX < sizeof(name));
    memcpy(name, prefix, prefix_len + 1);
    memcpy(name + prefix_len, event, strlen(event) + 1); /* not printf: on the way of every join */
    *ret_sent = false;
    return http_req_cookie(call->req, name, ret_len);
}

/* What a ticket says that holds and is this buyer's for this event. */
static enum status read_ticket(struct api_call *call, const char *event, const char *text,
                               size_t len, struct ticket *ticket)
{
    struct api *api = call->api;
    if (ticket_memo_get(api->tickets, text, len, event, call->buyer, ticket))
        return ST_OK;
    const enum status st = ticket_read(api->keys, text, len, ticket);
    if (st != ST_OK)
        return ST_UNAUTHORIZED;
    if (strcmp(ticket->event, event) != 0 || strcmp(ticket->buyer, call->buyer) != 0)
        return ST_DENIED;
    ticket_memo_put(api->tickets, text, len, ticket);
    return ST_OK;
}

/* A proof sent in a header is a claim and must hold. A cookie is only kept for the buyer: one that
 * no longer fits (he logged in, the keys were changed, it expired) is passed over. */
static enum status take_ticket(struct api_call *call, const char *event)
{
    bool sent;
    size_t len;
    struct ticket ticket;
    const char *text = proof_text(call, "X-Tiketi-Ticket", "tiketi_ticket_", event, &len, &sent);
    if (text == NULL || len == 0)
        return ST_OK;
    const enum status st = read_ticket(call, event, text, len, &ticket);
    if (st != ST_OK)
        return sent ? st : ST_OK;
    call->proof.ticket_place = ticket.place;
    call->proof.ticket_epoch = ticket.epoch;
    call->ticket_lowest = ticket.lowest;
    if (ticket_is_current(call->api->keys, text, len)) {
        call->ticket = text;
        call->ticket_len = len;
        call->ticket_kept = !sent;
    }
    return ST_OK;
}

static enum status take_pass(struct api_call *call, const char *event)
{
    bool sent;
    size_t len;
    struct pass pass;
    const char *text = proof_text(call, "X-Tiketi-Pass", "tiketi_pass_", event, &len, &sent);
    if (text == NULL || len == 0)
        return ST_OK;
    const enum status st = pass_read(call->api->keys, text, len, clock_wall_ms(), &pass);
    const bool own =
        st == ST_OK && strcmp(pass.event, event) == 0 && strcmp(pass.buyer, call->buyer) == 0;
    if (sent && !own)
        return st != ST_OK ? ST_UNAUTHORIZED : ST_DENIED;
    if (own) {
        call->proof.pass_place = pass.place;
        call->proof.pass_epoch = pass.epoch;
        call->proof.pass_since_ms = pass.iat_s * 1000;
    }
    return ST_OK;
}

enum status api_read_proof(struct api_call *call, const char *event)
{
    const enum status st = take_ticket(call, event);
    return st == ST_OK ? take_pass(call, event) : st;
}

enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb)
{
    struct queue *queue = call->api->queue;
    if (call->proof.pass_place > 0)
        return queue_join(queue, QUEUE_RESUME, event, call->buyer, &call->proof, cb, call);
    return queue_is_inside(queue, event, call->buyer, cb, call);
}

enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                             uint64_t epoch, uint64_t lowest, struct buf *out)
{
    struct ticket ticket = {.place = place, .epoch = epoch, .lowest = lowest};
    memcpy(ticket.event, event, strnlen(event, EVENT_ID_MAX));
    memcpy(ticket.buyer, call->buyer, strnlen(call->buyer, BUYER_ID_MAX));
    const size_t before = out->len;
    const enum status st = ticket_sign(call->api->keys, &ticket, out);
    if (st == ST_OK && call->proof.ticket_place > 0) /* he brought one, and will bring this one */
        ticket_memo_put(call->api->tickets, buf_str(out) + before, out->len - before, &ticket);
    return st;
}

enum status api_write_pass(struct api_call *call, const struct event *event,
                           const struct queue_place *place, uint64_t epoch, struct buf *out,
                           int64_t *ret_expires_ms)
{
    int64_t expires_ms = clock_wall_ms() + call->api->config->pass_ttl_ms;
    const int64_t session_end_ms = place->since_ms + event->session_limit_ms;
    if (event->session_limit_ms > 0 && session_end_ms < expires_ms)
        expires_ms = session_end_ms;
    struct pass pass = {.place = place->place,
                        .epoch = epoch,
                        .iat_s = place->since_ms / 1000,
                        .exp_s = expires_ms / 1000};
    (void)snprintf(pass.event, sizeof(pass.event), "%s", event->id);
    (void)snprintf(pass.buyer, sizeof(pass.buyer), "%s", call->buyer);
    *ret_expires_ms = pass.exp_s * 1000;
    return pass_sign(call->api->keys, &pass, out);
}
