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
#include "base/shared_clock.h"

#include <string.h>

size_t api_sent_proofs(struct api_call *call, const char *header, enum cookie_kind kind,
                       const char *event, struct cookie *ret_list, bool *ret_header)
{
    const char *text = http_req_header(call->req, header);
    *ret_header = text != NULL;
    if (!text)
        return cookie_jar_find(api_jar(call), kind, event, ret_list);
    ret_list[0] = (struct cookie){.kind = kind, .value = text, .len = strlen(text)};
    return ret_list[0].len > 0 ? 1 : 0;
}

static enum status read_ticket(struct api_call *call, const char *event)
{
    const struct api *api = call->api;
    struct cookie list[COOKIE_TRIES];
    struct ticket ticket;
    enum status st = ST_OK;
    bool in_header;
    const size_t count =
        api_sent_proofs(call, "X-Tiketi-Ticket", COOKIE_TICKET, event, list, &in_header);
    for (size_t i = 0; i < count; i++) {
        const struct cookie *sent = &list[i];
        const struct identity_proof proof = {
            .text = sent->value, .len = sent->len, .event = event, .buyer = call->buyer};
        st = identity_read_ticket(api->keys, api->tickets, &proof, &ticket);
        if (st != ST_OK)
            continue;
        call->proof.ticket_place = ticket.place;
        call->proof.ticket_epoch = ticket.epoch;
        call->ticket_lowest = ticket.lowest;
        if (ticket_is_current(api->keys, sent->value, sent->len)) {
            call->ticket = sent->value;
            call->ticket_len = sent->len;
            call->ticket_in_cookie = !in_header;
        }
        break;
    }
    return in_header ? st : ST_OK;
}

static enum status read_pass(struct api_call *call, const char *event)
{
    struct cookie list[COOKIE_TRIES];
    struct pass pass;
    enum status st = ST_OK;
    bool in_header;
    const size_t count =
        api_sent_proofs(call, "X-Tiketi-Pass", COOKIE_PASS, event, list, &in_header);
    for (size_t i = 0; i < count; i++) {
        const struct identity_proof proof = {
            .text = list[i].value, .len = list[i].len, .event = event, .buyer = call->buyer};
        st = identity_read_pass(call->api->keys, &proof, shared_clock_ms(), &pass);
        if (st != ST_OK)
            continue;
        call->proof.pass_place = pass.place;
        call->proof.pass_epoch = pass.epoch;
        call->proof.pass_since_ms = pass.iat_s * 1000;
        call->pass_expires_ms = pass.exp_s * 1000;
        if (!pass.names_guest && pass_is_current(call->api->keys, list[i].value, list[i].len)) {
            call->pass = list[i].value;
            call->pass_len = list[i].len;
            call->pass_in_cookie = !in_header;
        }
        break;
    }
    return in_header ? st : ST_OK;
}

/* A proof in a header must be valid. Of those in cookies the first valid one counts; others are ignored (the buyer has
 * logged in, the keys were changed, it has expired, or another site has planted it). */
enum status api_read_proof(struct api_call *call, const char *event)
{
    const enum status st = read_ticket(call, event);
    return st == ST_OK ? read_pass(call, event) : st;
}

enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb)
{
    struct queue *queue = call->api->queue;
    if (call->proof.pass_place > 0)
        return queue_join(queue, QUEUE_CLAIM,
                          &(struct queue_buyer){event, call->buyer, &call->proof, NULL}, cb, call);
    return queue_is_inside(queue, event, call->buyer, cb, call);
}

const char *api_places_network(const struct api_call *call, const struct event *event, char *out)
{
    if (!call->counts || event->places_per_network == 0)
        return NULL;
    client_ip_network(call->client, out);
    return out;
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

static struct identity_admission admission_of(const struct event *event,
                                              const struct queue_place *place)
{
    return (struct identity_admission){.since_ms = place->since_ms,
                                       .session_limit_ms = event->session_limit_ms,
                                       .turns_end_ms = event_turns_end_ms(event)};
}

int64_t api_turn_end(const struct event *event, const struct queue_place *place)
{
    const struct identity_admission admission = admission_of(event, place);
    return identity_turn_end(&admission, place->pay_until_ms);
}

bool api_pass_is_due(const struct api_call *call, const struct event *event,
                     const struct queue_place *place)
{
    const int64_t now_ms = shared_clock_ms();
    struct identity_admission admission = admission_of(event, place);
    admission.pass_ttl_ms = call->api->config->pass_ttl_ms;
    const int64_t left_ms = call->pass_expires_ms - now_ms;
    const int64_t fresh_ms = identity_pass_expiry(&admission, now_ms) - now_ms;
    return call->proof.pass_place != place->number ||
           call->proof.pass_since_ms != place->since_ms / 1000 * 1000 || 2 * left_ms < fresh_ms ||
           left_ms > fresh_ms;
}

enum status api_write_pass(struct api_call *call, const struct event *event,
                           const struct queue_place *place, uint64_t epoch, struct buf *out,
                           int64_t *ret_expires_ms)
{
    const struct identity_place of = {
        .event = event->id, .buyer = call->buyer, .place = place->number, .epoch = epoch};
    struct identity_admission admission = admission_of(event, place);
    admission.pass_ttl_ms = call->api->config->pass_ttl_ms;
    admission.names_guest = call->one_cookie;
    return identity_write_pass(call->api->keys, &of, &admission, shared_clock_ms(), out,
                               ret_expires_ms);
}
