/* SPDX-License-Identifier: MIT */
/*
 * api_internal: what the files api_*.c share: the request in hand, how it is answered, identity and proofs,
 * the steps that the JSON routes and the pages have in common. Nobody else includes it.
 *
 *   handler -> fills a struct (turn, order, problem …) -> the route's presenter writes it:
 *              as JSON (no presenter), or as a page (api_wait.c, api_buy.c, api_home.c)
 *
 * So nothing is decided twice, and a page never parses JSON that this process has written.
 */
#ifndef TIKETI_API_INTERNAL_H
#define TIKETI_API_INTERNAL_H

#include "api/api.h"
#include "base/buf.h"
#include "base/json.h"
#include "net/httpd.h"
#include "queue/admission.h"
#include "queue/catalog_store.h"
#include "queue/presence.h"
#include "selling/reservation.h"

struct api_call;
struct client_ip;
struct logos;
struct rate_limit;

/* The part of a queue answer that describes the event, as JSON: of the event last shown. */
struct api_event_info {
    char event[EVENT_ID_MAX + 1];
    int64_t version;
    struct buf json;
};

struct api {
    struct loop *loop;
    const struct config *config;
    struct redis *redis;
    struct queue *queue;
    struct db *db;
    struct catalog *catalog;
    struct seat_maps *seat_maps;
    struct presence *presence;
    struct ticket_memo *tickets;
    struct logos *logos;
    struct token_keys *keys;
    const struct api_health *health;
    struct httpd *httpd;
    struct client_ip *client_ip;
    struct rate_limit *limit;
    struct loop_timer *second;
    struct buf text;   /* scratch: the answer being written */
    struct buf ticket; /* scratch: a ticket being written */
    struct buf pass;   /* scratch: a pass being written */
    struct buf header; /* scratch: a header value being written */
    struct buf page;   /* scratch: the page being written */
    struct api_event_info event_info;
    unsigned imports;               /* CSV uploads under way */
    struct api_process *processing; /* `process` and `admit` requests that wait for the processor */
    char request_prefix[17];        /* random; the rest of a request id counts up */
    uint64_t request_seq;
    unsigned open_calls;
    uint64_t seconds;
    uint64_t opened_ms;
    loop_cb close_cb;
    void *close_arg;
    bool settled; /* the backends were reached once, or SETTLE_MS have passed (api_ops.c) */
};

/* ---- what is answered ---- */

/* Why a request was not carried out: a problem document (RFC 9457). All borrowed. */
struct api_problem {
    unsigned status;         /* HTTP status code */
    const char *code;        /* "seat-taken": `code`, and the last part of `type` */
    const char *detail;      /* a sentence for a person; NULL: none */
    const char *field;       /* the field at fault; NULL: none */
    const struct json *more; /* an object with further members (seats, line …), or NULL */
};

enum api_turn_status {
    TURN_QUEUED,
    TURN_SCHEDULED,
    TURN_PAUSED,
    TURN_SOLD_OUT,
    TURN_RESTORING,
    TURN_ACTIVE, /* inside */
    TURN_NOT_IN_QUEUE,
    TURN_LEFT
};

/* Where a buyer stands: the answer of check, status, heartbeat and leave. Borrowed: valid until the presenter
 * returns. */
struct api_turn {
    enum api_turn_status status;
    bool brief;                 /* only `status` is set: heartbeat, leave, no place */
    const struct event *event;  /* of the catalog */
    uint64_t place;             /* the queue number; queue/reference.h writes it for people */
    uint64_t position;          /* 1-based, the lowest ever shown; 0: inside */
    uint64_t queue_size;        /* of the waiting */
    uint64_t threshold, active; /* inside: allowed, present */
    struct wait_estimate wait;  /* of the waiting; !known: no estimate yet */
    int64_t next_poll_s;        /* 0: not said */
    const char *ticket;         /* NULL: none */
    size_t ticket_len;
    const char *pass; /* inside; NULL: none */
    size_t pass_len;
    int64_t pass_expires_ms;
};

/* A payment that was begun (or, where nothing costs anything, completed): the answer of pay. Borrowed: valid
 * until the presenter returns. */
struct api_order {
    const char *reservation, *number;
    const char *status;    /* pending, confirmed */
    const char *provider;  /* this and `reference`: NULL when there is nothing to pay */
    const char *reference; /* of the payment, at the provider */
    int64_t amount;        /* in minor units */
    const char *currency;
    const char *expires_at;  /* RFC 3339; NULL: never */
    const char *payment_url; /* where to pay; NULL: nothing to pay, or no page is configured */
    char signature[65];      /* HMAC-SHA-256 of the above in hex; "": nothing to pay */
};

/* "queued", "sold_out" …: `status` of a queue answer. Static. */
const char *api_turn_word(enum api_turn_status status);
/* Append the JSON that the API answers with. */
void api_turn_write(struct api *api, const struct api_turn *turn, struct buf *out);
void api_problem_write(struct api_call *call, const struct api_problem *problem, struct buf *out);

/* ---- the request ---- */

enum api_auth {
    AUTH_NONE,  /* public */
    AUTH_BUYER, /* a user by JWT, or a guest by cookie (a new guest when there is none) */
    AUTH_STAFF  /* a JWT with one of the route's roles */
};

struct api_route;

/* How the answers of a page's route are shown. Each runs at most once per request and takes over the duty to
 * answer it. What it is given is borrowed and gone when it returns: copy what must last (http_req_strdup).
 * A NULL member: such an answer goes out as JSON. */
struct api_presenter {
    /* Must answer before it returns: the handler may not have run (call->handled is false: malformed, too
     * large, over the rate …), and httpd ends a refused request at once. */
    void (*problem)(struct api_call *call, const struct api_problem *problem);
    /* NULL: as `problem`. A problem that came after the handler began: may start operations and answer later. */
    void (*late_problem)(struct api_call *call, const struct api_problem *problem);
    void (*turn)(struct api_call *call, const struct api_turn *turn);
    void (*order)(struct api_call *call, const struct api_order *order);
    /* A reservation was held or cancelled. */
    void (*reservation)(struct api_call *call);
};

/* See api_staff_event. */
typedef enum status (*api_event_step)(struct api_call *call, const struct event *event);

struct api_call {
    struct api *api;
    bool handled;                        /* its handler has begun: it may wait for operations */
    const struct api_presenter *present; /* of a page, until it has run; NULL: JSON */
    struct http_req *req;
    int64_t guest_day;             /* of the cookie that came; 0: none */
    const struct api_route *route; /* NULL: none fits */
    unsigned metric;               /* its id in metrics.h */
    char param[EVENT_ID_MAX + 1];  /* the {…} of the route; "": none, or not an id */
    char buyer[BUYER_ID_MAX + 1];  /* "u:…" or "g:…" */
    bool guest, new_guest;
    bool has_user;
    bool cacheable;           /* the handler has set Cache-Control: no "no-store" */
    struct queue_proof proof; /* of ticket and pass, verified for this event and buyer */
    uint64_t ticket_lowest;
    const char *ticket; /* as it came, where the same ticket would be written again; or NULL */
    size_t ticket_len;
    bool ticket_kept; /* it came as a cookie */
    uint64_t request_number;
    uint64_t started_ns;
    struct json *body;         /* parsed when the route takes one; freed with the call */
    struct api_import *import; /* a body of CSV: api_csv.c's */
    api_event_step staff_step; /* see api_staff_event */
    void *state;               /* the handler's own, from http_req_alloc */
    struct user user;          /* of AUTH_STAFF, or of a buyer with a JWT */
    char request_id[33];       /* made when asked for: api_request_id */
};

/* A handler answers at once or returns ST_OK with an operation under way, whose callback answers. Any other
 * status: api.c answers with the problem that stands for it. */
typedef enum status (*api_handler)(struct api_call *call);

/* JSON is parsed into call->body, whole; CSV goes to call->import while it arrives. */
enum api_body { API_BODY_NONE, API_BODY_JSON, API_BODY_JSON_OR_CSV };

struct api_route {
    const char *method;
    /* "/api/queue/check/{eventId}": at most one parameter. {path*} takes the rest, which the handler reads itself. */
    const char *path;
    enum api_auth auth;
    unsigned roles; /* AUTH_STAFF: bits 1 << enum user_role */
    api_handler handler;
    enum api_body takes_body;
};

/* Roles of AUTH_STAFF routes. Of each event's routes, api_staff_event lets an organizer use only those of their
 * own events. */
#define API_ROLE(role) (1u << USER_##role)
#define API_OWNERS     (API_ROLE(ADMIN) | API_ROLE(ORGANIZER))
#define API_OPERATORS  (API_OWNERS | API_ROLE(SRE))
#define API_READERS    (API_OPERATORS | API_ROLE(VIEWER))

/* The routes of each file: arrays ended by a NULL method. */
extern const struct api_route api_queue_routes[];
extern const struct api_route api_reservation_routes[];
extern const struct api_route api_payment_routes[];
extern const struct api_route api_seats_routes[];
extern const struct api_route api_admin_routes[];
extern const struct api_route api_operate_routes[];
extern const struct api_route api_csv_routes[];
extern const struct api_route api_gate_routes[];
extern const struct api_route api_ops_routes[];
extern const struct api_route api_asset_routes[];
extern const struct api_route api_brand_routes[];
extern const struct api_route api_home_routes[];
extern const struct api_route api_wait_routes[];
extern const struct api_route api_buy_routes[];
/* Of the routes that are pages. */
extern const struct api_presenter api_home_presenter;
extern const struct api_presenter api_wait_presenter;
extern const struct api_presenter api_buy_presenter;

/* For logs and problems. Borrowed; lives as long as the request. */
const char *api_request_id(struct api_call *call);

/* ---- answering: each answers the request, which may be gone afterwards; bodies are copied unless it says
 * otherwise ---- */

/* application/json, whatever the route's presenter. */
void api_answer(struct api_call *call, unsigned code, const char *json, size_t len);
void api_answer_json(struct api_call *call, unsigned code, const struct json *body);
/* 200 with another content type. */
void api_answer_text(struct api_call *call, const char *type, const char *body, size_t len);
/* HTML, of a presenter. */
void api_answer_page(struct api_call *call, unsigned code, const char *html, size_t len);
/* 200 with bytes that outlive the process, such as what is embedded: not copied. */
void api_answer_static(struct api_call *call, const char *type, const char *body, size_t len);
/* 200 with JSON that is shared, not copied: see http_reply_shared. */
void api_answer_shared(struct api_call *call, const char *json, size_t len,
                       void (*release)(void *owner), void *owner);
/* 200 in pieces: http_reply_stream, with the call as `arg`. */
void api_answer_stream(struct api_call *call, const char *type, http_more_cb more);
/* Adds ETag and Cache-Control. True: the caller has this version, and was answered 304. */
bool api_not_modified(struct api_call *call, const char *etag, const char *cache_control);

/* By the route's presenter, else as JSON. */
void api_answer_turn(struct api_call *call, const struct api_turn *turn);
void api_answer_order(struct api_call *call, const struct api_order *order);
/* Adds Retry-After to 503 and 429, WWW-Authenticate to 401. */
void api_answer_problem(struct api_call *call, const struct api_problem *problem);
void api_problem(struct api_call *call, unsigned status, const char *code, const char *detail,
                 const char *field);
/* The problem that stands for a status. */
void api_fail(struct api_call *call, enum status status);
/* The same for a status of catalog or queue, whose ST_NOT_FOUND is about the event of the route: unknown-event. */
void api_fail_event(struct api_call *call, enum status status);
/* 400 with the field and the sentence of the error. */
void api_invalid(struct api_call *call, const struct json_error *error);
/* What an SQL function said: its body with `ok_code`; or the problem its outcome stands for, with all members
 * of the body; or api_fail where it said nothing. */
void api_answer_outcome(struct api_call *call, enum status status, unsigned ok_code,
                        const char *outcome, const char *json, size_t len);

/* Callbacks for calls of catalog and reservation whose JSON is the answer as it is: 200, or the problem. `arg`:
 * the call. */
void api_answer_list(void *arg, enum status status, const char *json, size_t len);
void api_answer_stored(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len);

/* Sets (or with NULL removes) an HttpOnly cookie "<prefix><name>". */
void api_set_cookie(struct api_call *call, const char *prefix, const char *name, const char *value,
                    int64_t max_age_s);
/* Sets a cookie without a secret, for a year. */
void api_set_preference(struct api_call *call, const char *name, const char *value);
/* Is the buyer's own connection HTTPS, according to a trusted proxy? */
bool api_over_https(const struct api_call *call);

/* ---- what several handlers ask of a request ---- */

/* May this buyer take part: guests only where the event allows them? False: answered 401. */
bool api_admits_buyer(struct api_call *call, const struct event *event);
/* For staff routes about one event: fetches it from PostgreSQL, refuses organizers who do not own it (403), then
 * runs `step`. The event is borrowed until the step returns; a status other than ST_OK is answered. As a handler's
 * result. */
MUST_CHECK enum status api_staff_event(struct api_call *call, api_event_step step);
/* Runs `cb` with the call: at once when this pod knows the event, else when it was loaded, with ST_NOT_FOUND when
 * there is no such event. As a handler's result. */
MUST_CHECK enum status api_with_event(struct api_call *call, const char *event, catalog_cb cb);
/* For routes whose body may be absent or {}. False: it has fields, and that was answered. */
bool api_takes_nothing(struct api_call *call);
/* 1 to 18 digits and nothing else. */
bool api_is_number(const char *text);
/* Reads ?before=&limit= of a paged list: an id, and 1 to `most` (the default). False: *error is filled. */
bool api_read_page(struct api_call *call, int64_t most, int64_t *ret_limit,
                   struct json_error *error);

/* ---- ticket and pass: api_proof.c ---- */

/* The text of a proof from its header, else from the cookie "<prefix><event>"; NULL: none was sent. Lives as
 * long as the request. */
const char *api_sent_proof(struct api_call *call, const char *header, const char *prefix,
                           const char *event, size_t *ret_len, bool *ret_header);
/* Ticket and pass from header or cookie into call->proof: ST_OK also with none; ST_DENIED when one in a header
 * is of another buyer or event; ST_UNAUTHORIZED when one in a header is not valid. */
MUST_CHECK enum status api_read_proof(struct api_call *call, const char *event);
/* Appends the ticket of this buyer. */
MUST_CHECK enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                                        uint64_t epoch, uint64_t lowest, struct buf *out);
/* Appends a pass for an admission and gives its expiry: PASS_TTL_MS from now, or the session's end. */
MUST_CHECK enum status api_write_pass(struct api_call *call, const struct event *event,
                                      const struct queue_place *place, uint64_t epoch,
                                      struct buf *out, int64_t *ret_expires_ms);
/* Is the buyer inside? With a verified pass an admission that Redis has lost is restored. */
MUST_CHECK enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb);

/* ---- steps that the JSON routes and the pages share ----
 * As handlers: they answer with a turn, an order, a reservation or a problem. */

/* The turn as `check` answers it to a newcomer and `status` to a buyer with a ticket of this epoch; with
 * `join`, as `check` to everybody. */
MUST_CHECK enum status api_visit(struct api_call *call, bool join);
/* The turn as `status` answers it, which never takes a place. */
MUST_CHECK enum status api_status(struct api_call *call);
/* Leaves; the turn is left or not_in_queue. */
MUST_CHECK enum status api_leave(struct api_call *call);
/* POST /api/reservations, the request for seats in call->body. */
MUST_CHECK enum status api_hold(struct api_call *call);
/* Pays or cancels the reservation `id`, which must live as long as the request. */
MUST_CHECK enum status api_pay(struct api_call *call, const char *id);
MUST_CHECK enum status api_cancel(struct api_call *call, const char *id);
/* Tells the pods that the seat map of an event has changed. A hint: it may be lost. */
void api_publish_seats_changed(struct api *api, const char *event);

/* ---- CSV uploads: api_csv.c ---- */

/* Is its body CSV, by Content-Type? */
bool api_sends_csv(const struct http_req *req);
/* From on_head: reads the body as seats; !allowed: it is read and thrown away. */
void api_import_begin(struct api_call *call, bool allowed);
/* The body is complete: stores its seats, if they are good and `version` (when not 0) is still the event's;
 * else answers which line is wrong. ST_FULL: too many uploads at once, nothing was read. */
MUST_CHECK enum status api_import_store(struct api_call *call, const char *event, int64_t version,
                                        reservation_cb cb);
/* Ends the upload, if there is one; called when the request is over. */
void api_import_end(struct api_call *call);

/* ---- calls from api.c ---- */

void api_queue_open(struct api *api); /* before the first request */
void api_process_on_message(struct api *api, const struct json *payload);
void api_process_forget(struct api_call *call); /* the request is over */

#endif
