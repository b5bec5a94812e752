/* SPDX-License-Identifier: MIT */
/*
 * crowd_memory: what a virtual buyer remembers, and the first check of it: a ticket for another place and a position
 * that rises are broken promises, found where they happen. Tickets are read, not verified: a buyer has no key.
 * Called by: the buyer's files, crowd_audit. Pure.
 */
#include "crowd/crowd_memory.h"

#include "base/base64url.h"
#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t crowd_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void crowd_keep_text(char **field, const char *text)
{
    if (!text || (*field && strcmp(*field, text) == 0))
        return;
    free(*field);
    *field = xstrdup(text);
}

void crowd_buyer_id(const struct crowd_buyer *buyer, char *out)
{
    const struct crowd *crowd = buyer->crowd;
    if (crowd->users)
        (void)snprintf(out, BUYER_ID_MAX + 1, "u:crowd-%s-%u", crowd->tag,
                       (unsigned)(buyer - crowd->buyers));
    else
        (void)snprintf(out, BUYER_ID_MAX + 1, "%.*s", GUEST_ID_LEN,
                       buyer->guest ? buyer->guest : "");
}

uint32_t crowd_buyer_number(const struct crowd_buyer *buyer)
{
    return buyer->crowd->first + (uint32_t)(buyer - buyer->crowd->buyers);
}

/* As behind a load balancer: another pod after each failure. */
const struct dial_target *crowd_buyer_http(const struct crowd_buyer *buyer)
{
    const struct crowd *crowd = buyer->crowd;
    return &crowd->http[(crowd_buyer_number(buyer) + buyer->attempts) % crowd->http_count];
}

const struct dial_target *crowd_buyer_ws(const struct crowd_buyer *buyer)
{
    const struct crowd *crowd = buyer->crowd;
    return &crowd->ws[(crowd_buyer_number(buyer) + buyer->attempts) % crowd->ws_count];
}

struct crowd_buyer *crowd_find_buyer(const struct crowd *crowd, const char *id)
{
    char own[BUYER_ID_MAX + 1];
    const uint32_t hash = table_hash(&crowd->roster, id, strlen(id), "", 0);
    struct table_node *node = table_first(&crowd->roster, hash);
    for (; node; node = table_next(node)) {
        struct crowd_buyer *buyer =
            (struct crowd_buyer *)((char *)node - offsetof(struct crowd_buyer, node));
        crowd_buyer_id(buyer, own);
        if (strcmp(own, id) == 0)
            return buyer;
    }
    return NULL;
}

/* ---- in touch, or not ---- */

void crowd_out_of_touch(struct crowd_buyer *buyer)
{
    if (buyer->out_since_ms == 0)
        buyer->out_since_ms = clock_wall_ms();
}

void crowd_in_touch(struct crowd_buyer *buyer)
{
    if (buyer->out_since_ms == 0)
        return;
    const struct replay_gap gap = {buyer->out_since_ms, clock_wall_ms()};
    const struct replay_gap *longest = &buyer->witness.longest;
    buyer->out_since_ms = 0;
    buyer->witness.latest = gap;
    if (gap.back_ms - gap.gone_ms >= longest->back_ms - longest->gone_ms)
        buyer->witness.longest = gap;
}

struct replay_witness crowd_buyer_witness(const struct crowd_buyer *buyer)
{
    struct replay_witness witness = buyer->witness;
    if (buyer->out_since_ms != 0)
        witness.latest = (struct replay_gap){buyer->out_since_ms, INT64_MAX};
    return witness;
}

/* ---- tickets and positions ---- */

/* Reads place and epoch, unverified; zeros when they cannot be read. */
static void read_ticket(struct crowd *crowd, const char *ticket, uint64_t *ret_place,
                        uint64_t *ret_epoch)
{
    static const char *const keys[] = {"p", "x"};
    struct crowd_span spans[2];
    const char *payload = strchr(ticket, '.');
    const char *stop = payload ? strchr(payload + 1, '.') : NULL;
    *ret_place = *ret_epoch = 0;
    buf_reset(&crowd->token);
    if (!stop ||
        base64url_decode(payload + 1, (size_t)(stop - payload - 1), &crowd->token) != ST_OK ||
        !crowd_scan(buf_str(&crowd->token), crowd->token.len, keys, spans, 2))
        return;
    *ret_place = (uint64_t)crowd_span_int(spans[0]);
    *ret_epoch = (uint64_t)crowd_span_int(spans[1]);
}

void crowd_take_ticket(struct crowd_buyer *buyer, const char *ticket)
{
    char id[BUYER_ID_MAX + 1];
    if (!ticket || (buyer->ticket && strcmp(buyer->ticket, ticket) == 0))
        return;
    uint64_t place, epoch;
    read_ticket(buyer->crowd, ticket, &place, &epoch);
    if (place == 0) {
        crowd_notes_add(&buyer->crowd->tally.failures, "a ticket names no place", "%.100s", ticket);
        buyer->crowd->tally.errors++;
        return;
    }
    if (epoch != buyer->epoch) { /* the event was cleared: the old place means nothing */
        buyer->epoch = epoch;
        buyer->place = 0;
        buyer->lowest = 0;
    }
    if (buyer->place != 0 && buyer->place != place) {
        crowd_buyer_id(buyer, id);
        if (buyer->missed)
            buyer->crowd->tally.missed_lost++;
        else
            buyer->crowd->tally.lost++;
        crowd_notes_add(&buyer->crowd->tally.breaks, "given a ticket for another place",
                        "%s had place %" PRIu64 " and was given %" PRIu64, id, buyer->place, place);
    }
    buyer->place = place;
    crowd_keep_text(&buyer->ticket, ticket);
}

void crowd_take_position(struct crowd_buyer *buyer, int64_t position)
{
    char id[BUYER_ID_MAX + 1];
    if (position <= 0)
        return;
    const uint64_t before = buyer->lowest;
    if (buyer->first_position == 0) {
        buyer->first_position = (uint64_t)position;
        crowd_samples_add(&buyer->crowd->tally.positions, (uint64_t)position);
    }
    if (replay_position(&buyer->lowest, (uint64_t)position))
        return;
    crowd_buyer_id(buyer, id);
    buyer->crowd->tally.risen++;
    crowd_notes_add(&buyer->crowd->tally.breaks, "a position rose",
                    "%s was shown %" PRId64 " after %" PRIu64, id, position, before);
}

enum crowd_confidence crowd_confidence(struct crowd_span word)
{
    return crowd_span_is(word, "low")    ? ESTIMATE_LOW
           : crowd_span_is(word, "high") ? ESTIMATE_HIGH
                                         : ESTIMATE_NONE;
}

void crowd_take_estimate(struct crowd_buyer *buyer, int64_t seconds, enum crowd_confidence how)
{
    if (how == ESTIMATE_NONE || buyer->told_ms[how] != 0 || seconds < 0 || seconds > UINT32_MAX)
        return;
    buyer->told_ms[how] = clock_wall_ms();
    buyer->told_s[how] = (uint32_t)seconds;
}

void crowd_take_guest(struct crowd_buyer *buyer, const char *guest)
{
    struct crowd *crowd = buyer->crowd;
    if (!guest || buyer->guest || crowd->users)
        return;
    buyer->guest = xstrdup(guest);
    table_add(&crowd->roster, &buyer->node,
              table_hash(&crowd->roster, guest, strnlen(guest, GUEST_ID_LEN), "", 0));
}

/* ---- reservations ---- */

uint64_t crowd_seat_hash(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a, then mixed so that sums do not collide */
    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * 0x100000001b3ULL;
    return crowd_mix(hash);
}

/* Ids come as text or as numbers. */
static const char *id_text(const struct json *object, const char *key, char *out, size_t size)
{
    const struct json *value = json_get(object, key);
    if (!value || json_is_null(value))
        return NULL;
    if (json_str_value(value))
        return json_str_value(value);
    (void)snprintf(out, size, "%" PRId64, json_int_value(value, 0));
    return out;
}

bool crowd_take_reservation(struct crowd_buyer *buyer, const struct json *reservation)
{
    char scratch[32];
    const char *event = json_str(reservation, "eventId");
    const char *status = json_str(reservation, "status");
    const char *id = id_text(reservation, "id", scratch, sizeof(scratch));
    const struct json *seats = json_get(reservation, "seats");
    if (!id || !status || strcmp(status, "held") != 0 ||
        (event && strcmp(event, buyer->crowd->options->event) != 0))
        return false;
    crowd_keep_text(&buyer->reservation, id);
    buyer->seat_count = 0;
    buyer->seat_sum = 0;
    for (size_t i = 0; i < json_array_len(seats); i++) {
        const char *seat = id_text(json_array_at(seats, i), "id", scratch, sizeof(scratch));
        buyer->seat_count++;
        buyer->seat_sum += crowd_seat_hash(seat ? seat : "");
    }
    return true;
}
