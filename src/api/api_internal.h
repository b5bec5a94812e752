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

/* `eventInfo` of a queue answer as JSON, kept for the event that was shown last. */
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
    unsigned imports;               /* CSV uploads that are being read */
    struct api_process *processing; /* `process` and `admit` requests that wait for the processor */
    char request_prefix[17];        /* random; a request id is this and the request's number */
    uint64_t request_seq;
    unsigned open_calls;
    uint64_t seconds;
    uint64_t opened_ms;
    loop_cb close_cb;
    void *close_arg;
    bool backends_awaited; /* both were reached once, or BACKEND_WAIT_MS have passed (api_ops.c) */
};

/* ---- what is answered ---- */

/* Why a request was not carried out: a problem document (RFC 9457). All borrowed. */
struct api_problem {
    unsigned status;         /* HTTP status code */
    const char *code;        /* "seat-taken": `code`, and the last part of `type` */
    const char *detail;      /* a sentence for a person; NULL: none */
    const char *field;       /* the field at fault; NULL: none */
    const struct json *more; /* an object whose members are added (seats, line …); NULL: none */
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
    bool brief; /* only `status` is set: for heartbeat, leave, and buyers without a place */
    const struct event *event;  /* the catalog's copy */
    uint64_t place;             /* the queue number; queue/reference.h writes it for people */
    uint64_t position;          /* from 1, the lowest ever shown to this buyer; 0: inside */
    uint64_t queue_size;        /* buyers waiting */
    uint64_t threshold, active; /* buyers allowed inside, buyers inside */
    struct wait_estimate wait;  /* until admission; !known: no estimate yet */
    int64_t next_poll_s;        /* when to poll again; 0: left out of the answer */
    const char *ticket;         /* NULL: none */
    size_t ticket_len;
    const char *pass; /* for a buyer inside; NULL: none */
    size_t pass_len;
    int64_t pass_expires_ms;
};

/* The answer of pay: a payment that was begun, or one that is complete because there was nothing to pay. Borrowed:
 * valid until the presenter returns. */
struct api_order {
    const char *reservation, *number;
    const char *status;    /* pending, confirmed */
    const char *provider;  /* NULL: nothing to pay */
    const char *reference; /* the provider's id of the payment; NULL: nothing to pay */
    int64_t amount;        /* in minor units */
    const char *currency;
    const char *expires_at;  /* RFC 3339; NULL: never */
    const char *payment_url; /* where to pay; NULL: nothing to pay, or no page is configured */
    char signature[65];      /* hex HMAC-SHA-256 of the order (api_payment.c); "": nothing to pay */
};

/* "queued", "sold_out" …: `status` of a queue answer. Static. */
const char *api_turn_word(enum api_turn_status status);
/* Appends the turn as the JSON of an API answer. */
void api_turn_write(struct api *api, const struct api_turn *turn, struct buf *out);
/* Appends the problem as the JSON of an API answer. */
void api_problem_write(struct api_call *call, const struct api_problem *problem, struct buf *out);

/* ---- the request ---- */

enum api_auth {
    AUTH_NONE,  /* public */
    AUTH_BUYER, /* a user by JWT, or a guest by cookie (a new guest when there is none) */
    AUTH_STAFF  /* a JWT with one of the route's roles */
};

struct api_route;

/* Functions that show the answers of a page's route as HTML. One of them runs per request, at most once, and must then
 * answer the request. It borrows what it is given until it returns: it copies what it needs later (http_req_strdup).
 * Where a member is NULL, such an answer is sent as JSON. */
struct api_presenter {
    /* Must answer before it returns, because httpd ends a refused request at once. The handler may not have run: then
     * call->handled is false (malformed, too large, over the rate …). */
    void (*problem)(struct api_call *call, const struct api_problem *problem);
    /* A problem that came after the handler began. May start operations and answer later. NULL: `problem` is used. */
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
    bool handled; /* the handler has begun, so the answer may wait for operations */
    const struct api_presenter *present; /* the page's, until it has run; NULL: JSON */
    struct http_req *req;
    int64_t guest_day; /* the day on which the guest cookie was set, since 1970; 0: no cookie */
    const struct api_route *route; /* NULL: no route fits */
    unsigned metric;               /* the route's id in metrics.h */
    char param[EVENT_ID_MAX + 1];  /* the id in the path; "": none, or not valid as an id */
    char buyer[BUYER_ID_MAX + 1];  /* "u:…" or "g:…" */
    bool guest, new_guest;
    bool has_user;
    bool cacheable;           /* the handler has set Cache-Control, so "no-store" is not added */
    struct queue_proof proof; /* from ticket and pass, verified for this event and buyer */
    uint64_t ticket_lowest;   /* the lowest position shown, according to the ticket; 0: none */
    const char *ticket; /* the ticket that was sent, if it needs no new signature; else NULL */
    size_t ticket_len;
    bool ticket_in_cookie;
    uint64_t request_number;
    uint64_t started_ns;
    struct json *body;         /* parsed when the route takes one; freed with the call */
    struct api_import *import; /* the upload of a CSV body, owned by api_csv.c; NULL: none */
    api_event_step staff_step; /* see api_staff_event */
    void *state;               /* the handler's own data, from http_req_alloc */
    struct user user;          /* the sender of a valid JWT (has_user) */
    char request_id[33];       /* written by the first api_request_id */
};

/* A handler answers at once, or starts an operation whose callback answers; in both cases it returns ST_OK. When it
 * returns another status it has not answered, and api.c answers with api_fail. */
typedef enum status (*api_handler)(struct api_call *call);

/* JSON is parsed into call->body, whole; CSV goes to call->import while it arrives. */
enum api_body { API_BODY_NONE, API_BODY_JSON, API_BODY_JSON_OR_CSV };

struct api_route {
    const char *method;
    /* "/api/queue/check/{eventId}": at most one parameter, which goes to call->param. {path*} stands for the rest of
     * the path, slashes included; the handler reads it from http_req_path. */
    const char *path;
    enum api_auth auth;
    unsigned roles; /* for AUTH_STAFF: the allowed API_ROLE bits */
    api_handler handler;
    enum api_body takes_body;
};

/* Roles of AUTH_STAFF routes. Of each event's routes, api_staff_event lets an organizer use only those of their
 * own events. */
#define API_ROLE(role) (1u << USER_##role)
#define API_OWNERS     (API_ROLE(ADMIN) | API_ROLE(ORGANIZER))
#define API_OPERATORS  (API_OWNERS | API_ROLE(SRE))
#define API_READERS    (API_OPERATORS | API_ROLE(VIEWER))

/* The routes of each file; a NULL method ends the array. */
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
/* The presenters of the pages' routes. */
extern const struct api_presenter api_home_presenter;
extern const struct api_presenter api_wait_presenter;
extern const struct api_presenter api_buy_presenter;

/* The id that logs and problems name the request by. Borrowed; lives as long as the request. */
const char *api_request_id(struct api_call *call);

/* ---- answering: each function answers the request, which may be freed when it returns; bodies are copied unless the
 * comment says otherwise ---- */

/* application/json, also on a route with a presenter. */
void api_answer(struct api_call *call, unsigned code, const char *json, size_t len);
void api_answer_json(struct api_call *call, unsigned code, const struct json *body);
/* 200 with another content type. */
void api_answer_text(struct api_call *call, const char *type, const char *body, size_t len);
/* HTML, for presenters. */
void api_answer_page(struct api_call *call, unsigned code, const char *html, size_t len);
/* 200 with bytes that are never freed, such as embedded files. They are not copied. */
void api_answer_static(struct api_call *call, const char *type, const char *body, size_t len);
/* 200 with JSON that is shared, not copied; `release` runs when the last byte was sent (http_reply_shared). */
void api_answer_shared(struct api_call *call, const char *json, size_t len,
                       void (*release)(void *owner), void *owner);
/* 200 in pieces that `more` supplies (http_reply_stream); its `arg` is the call. */
void api_answer_stream(struct api_call *call, const char *type, http_more_cb more);
/* Adds ETag and Cache-Control. True: the client has this version already, and 304 was answered. */
bool api_not_modified(struct api_call *call, const char *etag, const char *cache_control);

/* These two answer through the route's presenter, or as JSON where it has none. */
void api_answer_turn(struct api_call *call, const struct api_turn *turn);
void api_answer_order(struct api_call *call, const struct api_order *order);
/* Answers through the route's presenter, or as JSON. Adds Retry-After to 503 and 429, WWW-Authenticate to 401. */
void api_answer_problem(struct api_call *call, const struct api_problem *problem);
void api_problem(struct api_call *call, unsigned status, const char *code, const char *detail,
                 const char *field);
/* Answers with the problem that stands for a status. */
void api_fail(struct api_call *call, enum status status);
/* Like api_fail, for a status of catalog or queue: ST_NOT_FOUND is answered as unknown-event. */
void api_fail_event(struct api_call *call, enum status status);
/* Answers 400 with the field and the sentence of the error. */
void api_invalid(struct api_call *call, const struct json_error *error);
/* Answers with the result of an SQL function. ST_OK: its body, with `ok_code` (or the presenter's reservation). Another
 * status: the problem named `outcome`, with all members of the body; without a body, api_fail. */
void api_answer_outcome(struct api_call *call, enum status status, unsigned ok_code,
                        const char *outcome, const char *json, size_t len);

/* Callbacks (`arg` is the call) for functions of catalog and reservation whose JSON needs no change: they answer with
 * it and 200, or with the problem. */
void api_answer_list(void *arg, enum status status, const char *json, size_t len);
void api_answer_stored(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len);

/* Sets (or with NULL removes) an HttpOnly cookie "<prefix><name>". */
void api_set_cookie(struct api_call *call, const char *prefix, const char *name, const char *value,
                    int64_t max_age_s);
/* Sets a cookie that holds a choice of the user, such as the language, for a year. */
void api_set_preference(struct api_call *call, const char *name, const char *value);
/* Does a trusted proxy say that the buyer's connection to it is HTTPS? */
bool api_over_https(const struct api_call *call);

/* ---- what several handlers ask of a request ---- */

/* True unless the buyer is a guest and the event does not allow guests; then 401 was answered. */
bool api_allows_buyer(struct api_call *call, const struct event *event);
/* For staff routes about one event: fetches it from PostgreSQL, answers 403 to organizers who do not own it, else runs
 * `step`, which borrows the event until it returns. A status of the step other than ST_OK is answered. Returns what
 * the handler should return. */
MUST_CHECK enum status api_staff_event(struct api_call *call, api_event_step step);
/* Runs `cb` with the call: at once if the catalog has the event, else when it was loaded, with ST_NOT_FOUND if there
 * is no such event. Returns what the handler should return. */
MUST_CHECK enum status api_with_event(struct api_call *call, const char *event, catalog_cb cb);
/* For routes whose body must be absent or {}. False: the body has fields, and 400 was answered. */
bool api_body_is_empty(struct api_call *call);
/* 1 to 18 digits and nothing else. */
bool api_is_number(const char *text);
/* Reads ?before=&limit= of a paged list. `before` must be an id, and the limit is 1 to `most`, which is also the
 * default. False: *error is filled. */
bool api_read_page(struct api_call *call, int64_t most, int64_t *ret_limit,
                   struct json_error *error);

/* ---- ticket and pass: api_proof.c ---- */

/* The text of a proof from its header (*ret_header: true), else from the cookie "<prefix><event>"; NULL: none was
 * sent. Lives as long as the request. */
const char *api_sent_proof(struct api_call *call, const char *header, const char *prefix,
                           const char *event, size_t *ret_len, bool *ret_header);
/* Reads ticket and pass from header or cookie into call->proof. ST_OK, also if none was sent; ST_DENIED: one in a
 * header belongs to another buyer or event; ST_UNAUTHORIZED: one in a header is not valid. */
MUST_CHECK enum status api_read_proof(struct api_call *call, const char *event);
/* Appends a ticket for this buyer. */
MUST_CHECK enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                                        uint64_t epoch, uint64_t lowest, struct buf *out);
/* Appends a pass for an admission. It expires PASS_TTL_MS from now, or when the session ends if that is earlier. */
MUST_CHECK enum status api_write_pass(struct api_call *call, const struct event *event,
                                      const struct queue_place *place, uint64_t epoch,
                                      struct buf *out, int64_t *ret_expires_ms);
/* Asks Redis whether the buyer is inside. If Redis has lost the admission, a verified pass restores it. */
MUST_CHECK enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb);

/* ---- steps that the JSON routes and the pages share ----
 * Each is used as a handler and answers with a turn, an order, a reservation or a problem. */

/* Does what `status` does for a buyer with a ticket of this epoch, and what `check` does for others; with `join`, what
 * `check` does for everybody. */
MUST_CHECK enum status api_visit(struct api_call *call, bool join);
/* Answers with the buyer's turn and never takes a place. */
MUST_CHECK enum status api_status(struct api_call *call);
/* Leaves the queue; the turn is left or not_in_queue. */
MUST_CHECK enum status api_leave(struct api_call *call);
/* POST /api/reservations; the request for seats is in call->body. */
MUST_CHECK enum status api_hold(struct api_call *call);
/* Pays or cancels the reservation `id`, which must live as long as the request. */
MUST_CHECK enum status api_pay(struct api_call *call, const char *id);
MUST_CHECK enum status api_cancel(struct api_call *call, const char *id);
/* Publishes that the seat map of an event has changed. The message may be lost. */
void api_publish_seats_changed(struct api *api, const char *event);

/* ---- CSV uploads: api_csv.c ---- */

/* Does its Content-Type say that the body is CSV? */
bool api_sends_csv(const struct http_req *req);
/* Called from on_head. Reads the body as seats while it arrives; if not allowed, reads it and throws it away. */
void api_import_begin(struct api_call *call, bool allowed);
/* Stores the seats of a complete body; `version` 0 stands for any version of the event. If a line is wrong, answers
 * with that line and stores nothing. ST_FULL: too many uploads at once, the body was thrown away. */
MUST_CHECK enum status api_import_store(struct api_call *call, const char *event, int64_t version,
                                        reservation_cb cb);
/* Ends the upload, if there is one; called when the request is over. */
void api_import_end(struct api_call *call);

/* ---- calls from api.c ---- */

/* Called once, before the first request. */
void api_queue_open(struct api *api);
/* A `processed` message of the channel. Borrowed. */
void api_process_on_message(struct api *api, const struct json *payload);
/* Stops waiting for the processor, if the request did; called when the request is over. */
void api_process_forget(struct api_call *call);

#endif
