/* SPDX-License-Identifier: MIT */
/*
 * api: the HTTP face of one worker: route table, identity, problem answers (RFC 9457), CORS, rate
 * limit; the only map from enum status to an HTTP answer. Handlers live in api_*.c.
 */
#ifndef TIKETI_API_H
#define TIKETI_API_H

#include "auth/token.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/json.h"
#include "net/db.h"
#include "net/httpd.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/catalog.h"
#include "queue/presence.h"
#include "queue/queue.h"
#include "selling/reservation.h"
#include "selling/seat_map.h"

#include <stdbool.h>
#include <stdint.h>

#define API_GUEST_COOKIE "tiketi_guest"

struct client_ip;
struct logos;
struct rate_limit;

/* Shared by the workers of the process; written by main's thread, read by all. */
struct api_health {
    _Atomic bool ready; /* false while starting and draining */
    _Atomic bool draining;
};

/* What is shown of an event in every answer, as JSON: of the one last shown. */
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
    struct buf text;   /* the answer being written */
    struct buf token;  /* a ticket or pass being written */
    struct buf header; /* a header value being written */
    struct buf page;   /* the page being written */
    struct api_event_info event_info;
    unsigned imports;               /* seats being uploaded as CSV */
    struct api_process *processing; /* `process` requests waiting for their answer */
    char request_prefix[17];        /* random; the rest of a request id counts up */
    uint64_t request_seq;
    unsigned open_calls;
    uint64_t seconds;
    uint64_t opened_ms;
    bool settled; /* the backends were reached once, or it has waited long enough for them */
};

struct api_opts {
    struct loop *loop;
    const struct config *config;
    struct redis *redis;
    struct queue *queue;
    struct db *db;
    struct catalog *catalog;
    struct seat_maps *seat_maps;
    struct token_keys *keys;
    const struct api_health *health;
    uint16_t port;
    unsigned connection_limit;
};

/* Registers the route table; once, before threads start. ops_only: a process without the api role
 * still answers its probes and /metrics. */
void api_register_routes(bool ops_only);
/* For `tiketi routes`: one line per registered route: method, path, who may (`none`, `buyer`, or the
 * roles). */
void api_print_routes(FILE *out);
MUST_CHECK enum status api_open(const struct api_opts *opts, struct api **ret_api);
void api_on_message(struct api *api, const char *data, size_t len); /* QUEUE_CHANNEL */
void api_on_seen(struct api *api, const char *event, const char *buyer,
                 const struct queue_place *place);
void api_quiesce(struct api *api);
unsigned api_busy(const struct api *api); /* requests not yet answered */
void api_close(struct api *api, loop_cb cb, void *arg);

/* ---- for api_*.c alone ---- */

enum api_auth {
    AUTH_NONE,  /* public */
    AUTH_BUYER, /* a user by JWT, or a guest by cookie (one is made when there is none) */
    AUTH_STAFF  /* a JWT with one of the route's roles */
};

struct api_route;
struct api_call;

/* Shows as a page what would have been answered as JSON (api_page.h). A problem from before the handler
 * (call->handled is false: the request was malformed, too large, over the rate …) must be answered before
 * this returns: httpd ends such a request at once, and a callback would find it freed. */
typedef void (*api_presenter)(struct api_call *call, unsigned code, const char *json, size_t len);

struct api_call {
    struct api *api;
    bool answered;
    bool handled;          /* its handler ran: it may wait for operations */
    api_presenter present; /* of a page, until it has run */
    struct http_req *req;
    int64_t guest_day;             /* of the cookie he brought */
    const struct api_route *route; /* NULL: none fits */
    unsigned metric;               /* its id in metrics.h */
    char param[EVENT_ID_MAX + 1];  /* the {…} of the route */
    char buyer[BUYER_ID_MAX + 1];  /* "u:…" or "g:…" */
    bool guest, new_guest;
    bool has_user;
    bool cacheable;           /* the handler has said for how long: no "no-store" */
    struct queue_proof proof; /* of ticket and pass, verified for this event and buyer */
    uint64_t ticket_lowest;
    const char *ticket; /* as it came, where the same ticket would be written again; or NULL */
    size_t ticket_len;
    bool ticket_kept; /* it came as a cookie */
    uint64_t request_number;
    uint64_t started_ns;
    struct json *body;         /* parsed when the route takes one; freed with the call */
    struct api_import *import; /* a body of CSV: api_csv's */
    void *state;               /* the handler's own, from http_req_alloc */
    struct user user;          /* of AUTH_STAFF, or of a buyer with a JWT */
    char request_id[33];       /* made when asked for: api_request_id */
};

/* Answers at once (http_reply) or returns ST_OK with an operation under way. Any other status:
 * api answers with the mapped problem. */
typedef enum status (*api_handler)(struct api_call *call);

/* JSON is parsed into call->body, whole; CSV goes to call->import while it arrives. */
enum api_body { API_BODY_NONE, API_BODY_JSON, API_BODY_JSON_OR_CSV };

struct api_route {
    const char *method;
    const char *path; /* "/api/queue/check/{eventId}": one parameter at most; {path*} takes all that
                         is left, and the handler reads it by itself */
    enum api_auth auth;
    unsigned roles; /* AUTH_STAFF: bits 1 << enum user_role */
    api_handler handler;
    enum api_body takes_body;
};

/* For logs and errors. Borrowed; lives as long as the request. */
const char *api_request_id(struct api_call *call);

/* Answers with a JSON body made in api->text or elsewhere. */
void api_answer(struct api_call *call, unsigned code, const char *json, size_t len);
/* Bytes that outlive the process, such as what is embedded; not copied. */
void api_answer_static(struct api_call *call, const char *type, const char *body, size_t len);
/* A cookie of no secret, for a year. */
void api_set_preference(struct api_call *call, const char *name, const char *value);
/* 200 with another content type. */
void api_answer_text(struct api_call *call, const char *type, const char *body, size_t len);
/* The same with any code: a page, which no presenter looks at again. */
void api_answer_page(struct api_call *call, unsigned code, const char *html, size_t len);
/* 200 with JSON that is shared: see http_reply_shared. */
void api_answer_shared(struct api_call *call, const char *json, size_t len,
                       void (*release)(void *owner), void *owner);
/* Adds ETag and Cache-Control. True: the caller has this very version, and was answered 304. */
bool api_not_modified(struct api_call *call, const char *etag, const char *cache_control);
/* 200 in pieces: http_reply_stream, with the call as `arg`. */
void api_answer_stream(struct api_call *call, const char *type, http_more_cb more);
/* A DOM; from 400 on it is a problem document. */
void api_answer_json(struct api_call *call, unsigned code, const struct json *body);
/* application/problem+json: type "about:blank#code"-like slug, title, status, detail, field. */
void api_problem(struct api_call *call, unsigned code, const char *slug, const char *detail,
                 const char *field);
/* The problem that stands for a status. Adds Retry-After to 503 and 429. */
void api_fail(struct api_call *call, enum status status);
void api_invalid(struct api_call *call, const struct json_error *error);
/* For routes whose body may be absent or empty. False: it has fields, and that was answered. */
bool api_takes_nothing(struct api_call *call);
/* What an SQL function said: its body with `ok_code`; or the problem its outcome stands for, with the
 * body's detail, field and seats; or api_fail where it said nothing. */
void api_answer_outcome(struct api_call *call, enum status status, unsigned ok_code,
                        const char *outcome, const char *json, size_t len);
/* Tells the pods that the seat map of an event is another: a hint. */
void api_publish_seats_changed(struct api *api, const char *event);

/* Ticket and pass from header or cookie into call->proof: ST_OK with none; ST_DENIED when one in a
 * header is of another buyer or event; ST_UNAUTHORIZED when it does not hold. */
MUST_CHECK enum status api_read_proof(struct api_call *call, const char *event);
/* Appends a pass for an admission and gives its expiry: PASS_TTL_MS from now, or the session's end. */
MUST_CHECK enum status api_write_pass(struct api_call *call, const struct event *event,
                                      const struct queue_place *place, uint64_t epoch,
                                      struct buf *out, int64_t *ret_expires_ms);
/* Appends the ticket of this buyer. */
MUST_CHECK enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                                        uint64_t epoch, uint64_t lowest, struct buf *out);
/* Sets (or with NULL removes) an HttpOnly cookie "<prefix><name>". */
void api_set_cookie(struct api_call *call, const char *prefix, const char *name, const char *value,
                    int64_t max_age_s);
/* Is the buyer inside? With a verified pass he also comes back in, where Redis has lost him. */
MUST_CHECK enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb);
/* The queue's answer as `check` gives it to a newcomer and `status` to whoever has a ticket of this
 * epoch; with `join`, as `check` to everybody. For pages. */
MUST_CHECK enum status api_visit(struct api_call *call, bool join);
/* The same for `leave`. */
MUST_CHECK enum status api_leave(struct api_call *call);
/* The same for `status`, which never takes a place. */
MUST_CHECK enum status api_status(struct api_call *call);
/* The same for POST /api/reservations (its order in call->body), and for paying and cancelling the
 * reservation `id`, which lives as long as the request. */
MUST_CHECK enum status api_hold(struct api_call *call);
MUST_CHECK enum status api_pay(struct api_call *call, const char *id);
MUST_CHECK enum status api_cancel(struct api_call *call, const char *id);
/* The buyer's own connection is HTTPS, as a proxy of ours says. */
bool api_over_https(const struct api_call *call);
/* The reason phrase of a code, as problem documents carry it. Static. */
const char *api_title(unsigned code);
/* True when this buyer may take part: guests only where the event allows them. Answers 401 else. */
bool api_admits_buyer(struct api_call *call, const struct event *event);

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
/* How the answers on their routes look as pages. */
void api_home_present(struct api_call *call, unsigned code, const char *json, size_t len);
void api_buy_present(struct api_call *call, unsigned code, const char *json, size_t len);
void api_wait_present(struct api_call *call, unsigned code, const char *json, size_t len);
/* Roles of AUTH_STAFF routes. */
#define API_ROLE(role) (1u << USER_##role)
#define API_STAFF      (API_ROLE(ADMIN) | API_ROLE(ORGANIZER))
#define API_OPERATORS  (API_STAFF | API_ROLE(SRE))
#define API_READERS    (API_OPERATORS | API_ROLE(VIEWER))
/* 1 to 18 digits and nothing else. */
bool api_is_number(const char *text);
/* Reads ?before=&limit= of a paged list: an id, and 1 to `most` (which is the default). False with
 * *error filled. */
bool api_read_page(struct api_call *call, int64_t most, int64_t *ret_limit,
                   struct json_error *error);
/* May this member of staff act on the event? An organizer only on his own. False: answered 403. */
bool api_staff_may(struct api_call *call, const struct event *event);
/* Is its body CSV, as far as it says? */
bool api_sends_csv(const struct http_req *req);
/* From on_head: reads the body as seats; of one who is not allowed to, it is thrown away. */
void api_import_begin(struct api_call *call, bool allowed);
/* The body is complete: stores its seats, if they are good and `version` (when not 0) is the event's
 * still; else answers which line is not. ST_FULL: too many at once, nothing was read. */
MUST_CHECK enum status api_import_store(struct api_call *call, const char *event, int64_t version,
                                        reservation_cb cb);
void api_import_end(struct api_call *call); /* the request is over */
void api_queue_open(struct api *api);       /* before the first request */
void api_process_on_message(struct api *api, const struct json *payload);
void api_process_forget(struct api_call *call); /* the request is over */

#endif
