/* SPDX-License-Identifier: MIT */
/*
 * api_proof: reads the ticket and the pass of a request from header or cookie, and writes them for the answer.
 *
 * Why this way: auth/identity decides whether a proof is valid, for the gateway as well; this file knows where HTTP
 * carries it. The result is in call->proof, verified for this event and this buyer.
 * Called by: api_queue, api_reservation, api_gate. Owns nothing.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/clock.h"

#include <string.h>

const char *api_sent_proof(struct api_call *call, const char *header, const char *prefix,
                           const char *event, size_t *ret_len, bool *ret_header)
{
    const char *text = http_req_header(call->req, header);
    *ret_header = text != NULL;
    if (text) {
        *ret_len = strlen(text);
        return text;
    }
    char name[IDENTITY_COOKIE_SIZE];
    identity_cookie_name(prefix, event, name);
    return http_req_cookie(call->req, name, ret_len);
}

/* A proof in a header must be valid. One in a cookie that is no longer valid (the buyer has logged in, the keys were
 * changed, it has expired) is ignored. */
enum status api_read_proof(struct api_call *call, const char *event)
{
    const struct api *api = call->api;
    struct identity_proof proof = {.event = event, .buyer = call->buyer};
    struct ticket ticket;
    struct pass pass;
    bool in_header;
    enum status st = ST_NOT_FOUND;

    proof.text = api_sent_proof(call, "X-Tiketi-Ticket", IDENTITY_TICKET_COOKIE, event, &proof.len,
                                &in_header);
    if (proof.text && proof.len > 0)
        st = identity_read_ticket(api->keys, api->tickets, &proof, &ticket);
    if (st == ST_OK) {
        call->proof.ticket_place = ticket.place;
        call->proof.ticket_epoch = ticket.epoch;
        call->ticket_lowest = ticket.lowest;
        if (ticket_is_current(api->keys, proof.text, proof.len)) {
            call->ticket = proof.text;
            call->ticket_len = proof.len;
            call->ticket_in_cookie = !in_header;
        }
    } else if (st != ST_NOT_FOUND && in_header) {
        return st;
    }

    proof.text =
        api_sent_proof(call, "X-Tiketi-Pass", IDENTITY_PASS_COOKIE, event, &proof.len, &in_header);
    st = ST_NOT_FOUND;
    if (proof.text && proof.len > 0)
        st = identity_read_pass(api->keys, &proof, clock_wall_ms(), &pass);
    if (st == ST_OK) {
        call->proof.pass_place = pass.place;
        call->proof.pass_epoch = pass.epoch;
        call->proof.pass_since_ms = pass.iat_s * 1000;
    } else if (st != ST_NOT_FOUND && in_header) {
        return st;
    }
    return ST_OK;
}

enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb)
{
    struct queue *queue = call->api->queue;
    if (call->proof.pass_place > 0)
        return queue_join(queue, QUEUE_RESUME,
                          &(struct queue_buyer){event, call->buyer, &call->proof}, cb, call);
    return queue_is_inside(queue, event, call->buyer, cb, call);
}

/* A buyer who sent a ticket will probably send this one next, so the memo keeps it: verified already. */
enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                             uint64_t epoch, uint64_t lowest, struct buf *out)
{
    const struct identity_place of = {
        .event = event, .buyer = call->buyer, .place = place, .epoch = epoch};
    return identity_write_ticket(call->api->keys,
                                 call->proof.ticket_place > 0 ? call->api->tickets : NULL, &of,
                                 lowest, out);
}

enum status api_write_pass(struct api_call *call, const struct event *event,
                           const struct queue_place *place, uint64_t epoch, struct buf *out,
                           int64_t *ret_expires_ms)
{
    const struct identity_place of = {
        .event = event->id, .buyer = call->buyer, .place = place->number, .epoch = epoch};
    const struct identity_admission admission = {.since_ms = place->since_ms,
                                                 .session_limit_ms = event->session_limit_ms,
                                                 .pass_ttl_ms = call->api->config->pass_ttl_ms};
    return identity_write_pass(call->api->keys, &of, &admission, clock_wall_ms(), out,
                               ret_expires_ms);
}
