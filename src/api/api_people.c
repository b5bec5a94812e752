/* SPDX-License-Identifier: MIT */
/*
 * api_people: staff routes about one buyer of an event: their story, and the end of their turn.
 *
 *   story    whom -> people_find (PostgreSQL) -> queue_find (Redis: where they stand now) -> people_story
 *   release  whom -> people_find, for a reservation number; or the pass -> queue_leave -> audit entry
 *
 * Why this way: a buyer who waits and was never admitted is known to Redis alone, one whose sale is over to PostgreSQL
 * alone. Looking somebody up is no heartbeat and no claim: lua/find.lua changes nothing of the buyer.
 * Called by: api's route table. Owns nothing. With Redis gone the story has no `now`, and release is 503; with PostgreSQL
 * gone: 503.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/http_text.h"
#include "queue/reference.h"
#include "selling/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORY_MAX (1 << 20)
#define PASS_MAX  4096
/* What a shop's server may do, beside the people who run the event. */
#define API_MACHINES (API_OWNERS | API_ROLE(SERVICE))

/* Whom the request is about. */
struct person {
    char buyer[BUYER_ID_MAX + 1]; /* "": not known yet */
    char number[64];              /* a reservation's number or id; "": none was given */
    uint64_t place;               /* 0: not known */
    bool completed;               /* release: the buyer is done */
    struct queue_proof proof;     /* release by a pass: the admission that ends; else zero */
    struct json *now;             /* story: where they stand */
};

/* Reads what staff write: a buyer id, a support reference, or a reservation's number or id. False: it is none of them. */
static bool read_person(const char *text, struct person *person)
{
    if (token_names_buyer(text) && strlen(text) <= BUYER_ID_MAX) {
        (void)snprintf(person->buyer, sizeof(person->buyer), "%s", text);
        return true;
    }
    if (reference_read(text, &person->place) == ST_OK)
        return true;
    const size_t len = strlen(text);
    if (len == 0 || len >= sizeof(person->number) ||
        strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != len)
        return false;
    (void)snprintf(person->number, sizeof(person->number), "%s", text);
    return true;
}

static void refuse_person(struct api_call *call, const char *field)
{
    api_refuse_as(
        call, 400, "invalid", "unknown-person",
        "Give a buyer id (u:…, o:… or g:…), a support reference such as 1K0R-T4B4-J84, or a "
        "reservation number.",
        field);
}

/* Takes the buyer that people_find found. */
static void take_found(struct person *person, const char *json, size_t len)
{
    struct json *body = json_parse(json, len, HTTP_BODY_MAX, NULL);
    const char *buyer = json_str(body, "buyer"), *place = json_str(body, "place");
    if (buyer)
        (void)snprintf(person->buyer, sizeof(person->buyer), "%s", buyer);
    if (place && person->place == 0)
        person->place = strtoull(place, NULL, 10);
    json_free(body);
}

static enum status find_person(struct api_call *call, reservation_cb cb)
{
    const struct person *person = call->state;
    char place[24];
    (void)snprintf(place, sizeof(place), "%" PRIu64, person->place);
    const struct history_person whom = {.event = call->param,
                                        .buyer = person->buyer[0] ? person->buyer : NULL,
                                        .number = person->number[0] ? person->number : NULL,
                                        .place = place};
    return history_find(call->api->db, &whom, cb, call);
}

/* ---- story ---- */

static void fail_story(struct api_call *call, enum status status)
{
    struct person *person = call->state;
    json_free(person->now);
    if (status == ST_NOT_FOUND)
        api_refuse_as(call, 404, "not-found", "nobody", "Nobody of this event is known by this.",
                      NULL);
    else
        api_fail(call, status);
}

static void story_told(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    struct person *person = call->state;
    struct json *body = status == ST_OK ? json_parse(json, len, STORY_MAX, NULL) : NULL;
    (void)outcome;
    if (!body) {
        fail_story(call, status == ST_OK ? ST_INTERNAL : status);
        return;
    }
    char reference[REFERENCE_SIZE];
    json_set_str(body, "eventId", call->param);
    reference_write(person->place, reference);
    json_set_str(body, "reference", person->place ? reference : NULL);
    if (person->now)
        json_set(body, "now", person->now);
    else
        json_set_null(body, "now");
    api_answer_json(call, 200, body);
    json_free(body);
}

static struct json *write_now(const struct queue_place *place)
{
    static const char *const words[] = {
        [QUEUE_GONE] = "gone",           [QUEUE_WAITING] = "waiting", [QUEUE_PARKED] = "set_aside",
        [QUEUE_UNCLAIMED] = "set_aside", [QUEUE_OFFERED] = "offered", [QUEUE_ACTIVE] = "inside",
        [QUEUE_BANNED] = "banned",
    };
    struct json *now = json_new_object();
    char at[CLOCK_RFC3339_SIZE];
    json_set_str(now, "state", words[place->state]);
    if (place->state == QUEUE_WAITING)
        json_set_int(now, "position", (int64_t)place->position);
    if (place->since_ms) {
        clock_format_rfc3339(place->since_ms, at);
        json_set_str(now, "since", at);
    }
    if (place->state == QUEUE_ACTIVE && place->pay_until_ms) {
        clock_format_rfc3339(place->pay_until_ms, at);
        json_set_str(now, "payingUntil", at);
    }
    return now;
}

static void story_found_now(void *arg, enum status status, const struct queue_found *found)
{
    struct api_call *call = arg;
    struct person *person = call->state;
    char place[24];
    if (status == ST_OK && person->buyer[0] == '\0')
        (void)snprintf(person->buyer, sizeof(person->buyer), "%s", found->buyer);
    if (status == ST_OK && person->buyer[0] != '\0')
        person->now = write_now(&found->place);
    if (status == ST_OK && found->place.number)
        person->place = found->place.number;
    if (person->buyer[0] == '\0') {
        fail_story(call, status == ST_OK ? ST_NOT_FOUND : status);
        return;
    }
    (void)snprintf(place, sizeof(place), "%" PRIu64, person->place);
    const enum status st =
        history_story(call->api->db, call->param, person->buyer, place, story_told, call);
    if (st != ST_OK)
        fail_story(call, st);
}

static void story_found(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len)
{
    struct api_call *call = arg;
    struct person *person = call->state;
    (void)outcome;
    if (status == ST_OK)
        take_found(person, json, len);
    else if (status != ST_NOT_FOUND || person->number[0] != '\0') {
        fail_story(call, status);
        return;
    }
    const enum status st = queue_find(call->api->queue, call->param, person->buyer, person->place,
                                      story_found_now, call);
    if (st != ST_OK)
        story_found_now(call, st, NULL);
}

static enum status story_fetched(struct api_call *call, const struct event *event)
{
    (void)event;
    return find_person(call, story_found);
}

static enum status story_start(struct api_call *call)
{
    struct person *person = http_req_alloc(call->req, sizeof(*person));
    const char *last = strrchr(http_req_path(call->req), '/') + 1;
    const size_t len = strlen(last);
    char *text = http_req_alloc(call->req, len + 1);
    call->state = person;
    if (!http_percent_decode(last, len, text) || !read_person(text, person)) {
        refuse_person(call, "buyer");
        return ST_OK;
    }
    return api_staff_event(call, story_fetched);
}

/* ---- release ---- */

static void answer_released(struct api_call *call, bool released)
{
    const struct person *person = call->state;
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_str(body, "buyer", person->buyer);
    json_set_bool(body, "released", released);
    api_answer_json(call, 200, body);
    json_free(body);
}

/* The slot is free even if the audit entry could not be written, so the answer is 200. */
static void release_audited(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct person *person = call->state;
    (void)json, (void)len;
    if (status != ST_OK)
        log_error("audit entry of release not written", LOG_TEXT("event", call->param),
                  LOG_TEXT("status", status_name(status)), LOG_TEXT("who", call->user.sub),
                  LOG_TEXT("buyer", person->buyer));
    answer_released(call, true);
}

static void release_left(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct person *person = call->state;
    (void)numbers;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        api_fail_event(call, status);
        return;
    }
    /* Redis does not know the event: nobody is inside */
    if (status == ST_NOT_FOUND ||
        place->state != QUEUE_ACTIVE) { /* a repetition, or somebody who is not inside */
        answer_released(call, false);
        return;
    }
    struct buf after;
    buf_init(&after, 1024);
    buf_add_str(&after, "{\"buyer\":");
    buf_add_json_str(&after, person->buyer, strlen(person->buyer));
    buf_printf(&after, ",\"completed\":%s}", person->completed ? "true" : "false");
    const struct catalog_audit_entry entry = {
        .event = call->param, .who = api_actor(call), .verb = "release", .after = buf_str(&after)};
    const enum status st = catalog_audit_note(call->api->db, &entry, release_audited, call);
    buf_clear(&after);
    if (st != ST_OK)
        release_audited(call, st, NULL, 0);
}

static enum status release_person(struct api_call *call)
{
    const struct person *person = call->state;
    const struct queue_buyer buyer = {
        .event_id = call->param, .id = person->buyer, .proof = &person->proof};
    return queue_leave(call->api->queue, &buyer,
                       person->completed ? QUEUE_COMPLETED : QUEUE_RELEASED, release_left, call);
}

static void release_found(void *arg, enum status status, const char *outcome, const char *json,
                          size_t len)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    take_found(call->state, json, len);
    const enum status st = release_person(call);
    if (st != ST_OK)
        api_fail(call, st);
}

static enum status release_fetched(struct api_call *call, const struct event *event)
{
    const struct person *person = call->state;
    if (event->status == EVENT_DRAFT) {
        api_refuse_as(call, 409, "wrong-state", "is-draft", "Nobody is inside a draft.", "status");
        return ST_OK;
    }
    return person->buyer[0] ? release_person(call) : find_person(call, release_found);
}

/* Takes the buyer and the admission that a pass names. It may have expired: the turn may have gone on. */
static enum status read_pass(struct api_call *call, const char *text, struct json_error *error)
{
    struct person *person = call->state;
    const struct identity_proof proof = {.text = text, .len = strlen(text), .event = call->param};
    struct pass pass;
    const enum status st = identity_read_pass(call->api->keys, &proof, 0, &pass);
    if (st != ST_OK)
        return json_refuse(error, "pass", "not-a-pass", "%s",
                           st == ST_DENIED ? "The pass is for another event."
                                           : "This is no pass that was given here.");
    (void)snprintf(person->buyer, sizeof(person->buyer), "%s", pass.buyer);
    person->proof = (struct queue_proof){.pass_place = pass.place, .pass_epoch = pass.epoch};
    return ST_OK;
}

static enum status release_start(struct api_call *call)
{
    static const char *const keys[] = {"buyer", "reservationNumber", "pass", "completed", NULL};
    struct json_error error = {0};
    const char *buyer = NULL, *number = NULL, *pass = NULL;
    struct person *person = http_req_alloc(call->req, sizeof(*person));
    call->state = person;
    enum status st = call->body ? json_known_keys(call->body, keys, &error)
                                : json_refuse(&error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK)
        st = json_read_str(call->body, "buyer", BUYER_ID_MAX, &buyer, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "reservationNumber", 63, &number, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "pass", PASS_MAX, &pass, &error);
    if (st == ST_OK)
        st = json_read_bool(call->body, "completed", &person->completed, &error);
    const char *given = buyer ? buyer : number;
    if (st == ST_OK && !buyer + !number + !pass != 2)
        st = json_refuse(&error, "buyer", "one-of-three",
                         "Give buyer, reservationNumber or pass: one of them.");
    if (st == ST_OK && pass)
        st = read_pass(call, pass, &error);
    if (st != ST_OK || (!given && !pass)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    if (pass)
        return api_staff_event(call, release_fetched);
    if (!read_person(given, person) || !buyer != !person->buyer[0] ||
        (number && !person->number[0])) {
        refuse_person(call, buyer ? "buyer" : "reservationNumber");
        return ST_OK;
    }
    return api_staff_event(call, release_fetched);
}

const struct api_route api_people_routes[] = {
    {"GET", "/api/admin/events/{eventId}/buyers/{buyer}", AUTH_STAFF, API_OWNERS, story_start,
     API_BODY_NONE},
    {"POST", "/api/admin/events/{eventId}/release", AUTH_STAFF, API_MACHINES, release_start,
     API_BODY_JSON},
    {0},
};
