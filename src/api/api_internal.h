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
#include "auth/cookie_jar.h"
#include "auth/jwks.h"
#include "auth/return_url.h"
#include "auth/staff_session.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/language.h"
#include "base/shared_text.h"
#include "base/trace.h"
#include "net/client_ip.h"
#include "net/httpd.h"
#include "net/overload.h"
#include "queue/admission.h"
#include "queue/catalog_store.h"
#include "queue/listing.h"
#include "queue/presence.h"
#include "selling/reservation.h"

struct api_call;
struct oidc;
struct http_client;
struct client_ip;
struct pictures;
struct client_limit;
struct api_push;
struct api_deep;
struct metrics_http_meter;

/* A port on which requests come. */
struct api_door {
    struct api *api;
    struct httpd *httpd;
    /* Of the route table: the first one that is served here, and the first one that is not any more. */
    size_t first_route, end_route;
};

struct api {
    struct loop *loop;
    const struct config *config;
    struct redis *redis;
    struct queue *queue;
    struct db *db;
    struct catalog *catalog;
    struct seat_maps *seat_maps;
    struct stock_cache *stock;
    struct presence *presence;
    struct ticket_memo *tickets;
    struct pictures *pictures;
    struct listing *listing;
    struct home_pages *home; /* the home page as it was last written (api_home.c) */
    struct token_keys *keys;
    struct jwks *jwks;     /* of JWT_JWKS_URL */
    struct api_push *push; /* NULL: no push messages are sent */
    /* Of api_readiness.c; NULL: nothing was checked yet. */
    struct http_client *payment_check, *mail_check;
    const struct api_health *health;
    struct api_deep *deep;         /* NULL: not asked for yet */
    struct api_door front, probes; /* probes.httpd is NULL without a port of its own */
    const struct client_ip *client_ip;
    struct client_limit *limit;
    struct overload overload; /* of requests that wait to be read */
    struct staff_sessions *sessions;
    struct http_client *http; /* for oidc */
    struct oidc *oidc;        /* NULL: no identity provider is set */
    struct loop_timer *second;
    struct buf text;                /* scratch: the answer being written */
    struct buf ticket;              /* scratch: a ticket being written */
    struct buf pass;                /* scratch: a pass being written */
    struct buf header;              /* scratch: a header value being written */
    struct buf page;                /* scratch: the page being written */
    unsigned imports;               /* CSV uploads that are being read */
    unsigned reports;               /* reports that are being made (api_report.c) */
    struct hold_call *busy_holds;   /* holds that wait for a locked row (api_reservation.c) */
    struct loop_timer *busy_timer;  /* runs api_retry_holds */
    struct api_process *processing; /* `process` and `admit` requests that wait for the processor */
    struct api_forecast *forecasts; /* those that run (api_forecast.c) */
    char request_prefix[17];        /* random; an id of ours is this and the request's number */
    uint64_t request_seq;
    unsigned open_calls;
    struct metrics_http_meter *meter; /* shows open_calls, and the connections of `front` */
    uint64_t seconds;
    loop_cb close_cb;
    void *close_arg;
};

/* ---- what is answered ---- */

/* Why a request was not carried out: a problem document (RFC 9457). All borrowed. */
struct api_problem {
    unsigned status;         /* HTTP status code */
    const char *code;        /* "seat-taken": `code`, and the last part of `type` */
    const char *detail;      /* a sentence for a person; NULL: none */
    const char *field;       /* the field at fault; NULL: none */
    const struct json *more; /* an object whose members are added (seats, line …); NULL: none */
    unsigned retry_s;        /* Retry-After of 429 and 503; 0: a second */
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
    /* Only `status`, the offer, `version` and `revision` are set: for heartbeat, leave, and buyers without a place. */
    bool brief;
    /* The event's version, and Redis' time (ms) of the script or index that this comes from: a page ignores what is
     * older than what it has. revision 0: nothing was asked. */
    uint64_t version;
    int64_t revision;
    const struct event *event;  /* the catalog's copy */
    uint64_t place;             /* queue/reference.h writes it for people */
    uint64_t position;          /* from 1, the lowest ever shown to this buyer; 0: inside */
    uint64_t queue_size;        /* buyers waiting */
    uint64_t threshold, active; /* buyers allowed inside, buyers inside */
    struct wait_estimate wait;  /* until admission; !known: no estimate yet */
    struct stock_forecast seats_at_turn; /* !known: no forecast */
    int64_t next_poll_s;                 /* when to poll again; 0: left out of the answer */
    const char *ticket;                  /* NULL: none */
    size_t ticket_len;
    /* Queued, because an offer ran out or the turn was idle: only a claim brings the buyer back to the head. */
    bool unclaimed;
    int64_t claim_from_ms; /* no claim before this time does so; 0: any does */
    /* Inside: the turn is an offer until this time, unless it is claimed; 0: it is claimed. */
    int64_t claim_expires_ms;
    /* What a buyer with a claimed turn gets; NULL and 0: none. */
    const char *pass;
    size_t pass_len;
    int64_t pass_expires_ms;
    const char *return_url; /* where they go next; NULL: not named */
    uint64_t epoch;         /* of the admission */
    int64_t turn_ends_ms;   /* end of the session or, while a payment is pending, its deadline */
};

/* The answer of pay: a payment that was begun, or one that is complete because there was nothing to pay. Borrowed:
 * valid until the presenter returns. */
struct api_order {
    const char *reservation, *number;
    const char *status;   /* pending, confirmed */
    const char *provider; /* NULL: nothing to pay */
    const char *
        reference; /* our id of the payment, under which the provider reports; NULL: nothing to pay */
    int64_t amount; /* in minor units */
    const char *currency;
    const char *expires_at;  /* RFC 3339; NULL: never */
    const char *payment_url; /* where to pay; NULL: nothing to pay, or no page is configured */
    /* where the payment page leads back to, with a proof of the reservation; NULL: nothing to pay, or our own URL is not
     * known */
    const char *return_url;
    char signature[65]; /* hex HMAC-SHA-256 of the order (api_payment.c); "": nothing to pay */
};

/* Signs the order, because the buyer carries it to the payment page and could change it. ST_UNAVAILABLE:
 * PAYMENT_WEBHOOK_SECRETS is not set. */
MUST_CHECK enum status api_sign_order(struct api_call *call, struct api_order *order);
/* Appends the URL of the payment page with this order, which has a payment_url. NULL: no such argument. */
void api_order_url(const struct api_order *order, const char *language, const char *zone,
                   struct buf *out);

/* "queued", "sold_out" …: `status` of a queue answer. Static. */
const char *api_turn_word(enum api_turn_status status);
/* Appends the turn as the JSON of an API answer. */
void api_turn_write(const struct api_turn *turn, struct buf *out);
/* Appends the problem as the JSON of an API answer. */
void api_problem_write(struct api_call *call, const struct api_problem *problem, struct buf *out);

/* ---- the request ---- */

enum api_auth {
    AUTH_NONE,  /* public */
    AUTH_BUYER, /* a user by JWT, or a guest by cookie (a new guest when there is none) */
    AUTH_STAFF  /* a JWT with one of the route's roles, or a session of staff with one */
};

struct api_route;

/* Functions that show the answers of a page's route as HTML. One of them runs per request, at most once, and must then
 * answer the request. It borrows what it is given until it returns: it copies what it needs later (http_req_strdup).
 * Where a member is NULL, such an answer is sent as JSON. */
struct api_presenter {
    /* Before all others: may answer in the place of a problem, with another status unless httpd has refused the request.
     * False: it did not. */
    bool (*instead)(struct api_call *call, const struct api_problem *problem);
    /* Must answer before it returns, because httpd ends a refused request at once. The handler may not have run: then
     * call->handled is false (malformed, too large, over the rate …). */
    void (*problem)(struct api_call *call, const struct api_problem *problem);
    /* A problem that came after the handler began. May start operations and answer later. NULL: `problem` is used. */
    void (*late_problem)(struct api_call *call, const struct api_problem *problem);
    void (*turn)(struct api_call *call, const struct api_turn *turn);
    void (*order)(struct api_call *call, const struct api_order *order);
    /* A reservation was held or cancelled. */
    void (*reservation)(struct api_call *call);
    /* An event was changed: as it is now. */
    void (*event)(struct api_call *call, const struct event *event);
};

/* See api_staff_event. */
typedef enum status (*api_event_step)(struct api_call *call, const struct event *event);

struct api_call {
    struct api *api;
    const struct api_door *door;
    char client[CLIENT_IP_SIZE];
    const struct api_presenter *present; /* the page's, until it has run; NULL: JSON */
    struct http_req *req;
    int64_t guest_day; /* the day on which the guest cookie was set, since 1970; 0: no cookie */
    const struct api_route *route; /* NULL: no route fits */
    unsigned metric;               /* the route's id in metrics.h */
    bool handled;   /* the handler has begun, so the answer may wait for operations */
    bool counts;    /* `client` is set; false: limits of addresses do not count this client */
    bool cacheable; /* the handler has set Cache-Control, so "no-store" is not added */
    bool has_jar, ticket_in_cookie, pass_in_cookie;
    bool guest, new_guest;
    bool outside;      /* the path is not below PATH_PREFIX, nor a probe's: there is nothing */
    bool passed_guest; /* a pass alone names the guest (cookie_jar_passed_guest) */
    bool one_cookie;   /* the answer sets one at most: a pass that it sets names the guest */
    bool other_host;   /* cookies are for a host that COOKIE_DOMAIN does not reach */
    bool has_user;
    bool origin_allowed;          /* the answer names the origin of ALLOWED_ORIGINS that asks */
    bool body_dropped;            /* the sender was not known when it began to arrive */
    bool return_refused;          /* see api_take_return */
    char param[EVENT_ID_MAX + 1]; /* the id in the path; "": none, or not valid as an id */
    char buyer[BUYER_ID_MAX + 1]; /* "u:…", "o:…" or "g:…" */
    struct jwks_wait keys_wait;
    struct cookie_jar jar;    /* has_jar; see api_jar */
    size_t proof_bytes;       /* of the tickets and passes that the answer sets */
    struct queue_proof proof; /* from ticket and pass, verified for this event and buyer */
    uint64_t ticket_lowest;   /* the lowest position shown, according to the ticket; 0: none */
    const char *ticket; /* the ticket that was sent, if it needs no new signature; else NULL */
    size_t ticket_len;
    /* The pass that was sent, if it is signed with the key that signs now, and names no guest; else NULL. */
    const char *pass;
    size_t pass_len;
    int64_t pass_expires_ms; /* of the pass in `proof` */
    uint64_t started_ns;
    const char *if_match;      /* what a form says in its place; NULL: the header If-Match counts */
    struct json *body;         /* parsed when the route takes one; freed with the call */
    struct buf large;          /* a body of API_BODY_EVENT over HTTP_BODY_MAX */
    struct api_import *import; /* the upload of a CSV body, owned by api_csv.c; NULL: none */
    api_event_step staff_step; /* see api_staff_event */
    const struct return_url *target; /* see api_take_return; NULL: none was sent */
    void *state;                     /* the handler's own data, from http_req_alloc */
    struct user user;                /* the sender of a valid JWT (has_user), or of a session */
    enum staff_right right;          /* at the event that api_staff_event has fetched */
    /* The session of AUTH_STAFF that its cookie proves; NULL: the sender has a JWT. From http_req_alloc. */
    const struct staff_grant *session;
    const char *actor;        /* see api_actor */
    const char *problem_code; /* of the problem that is answered; NULL: none */
    struct trace trace;       /* with the request's id, from the start */
};

/* A handler answers at once, or starts an operation whose callback answers; in both cases it returns ST_OK. When it
 * returns another status it has not answered, and api.c answers with api_fail. */
typedef enum status (*api_handler)(struct api_call *call);

/* JSON is parsed into call->body, whole; CSV goes to call->import while it arrives. An event may be larger than other
 * bodies (EVENT_BODY_MAX), because it may carry pictures. */
enum api_body { API_BODY_NONE, API_BODY_JSON, API_BODY_JSON_OR_CSV, API_BODY_EVENT };

struct api_route {
    const char *method; /* "*": any */
    /* "/api/queue/check/{eventId}": the parameter goes to call->param. A second one may end the path, and {path*} stands
     * for the rest of it, slashes included: the handler reads these from http_req_path. */
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
#define API_STAFF      (API_READERS | API_ROLE(DOOR))
/* What a route about one event takes of a member of its team. Without these: viewer for GET, else editor. */
#define API_OF_OWNER  (1u << 16)
#define API_OF_VIEWER (1u << 17)
/* The route exists only with COMPAT_TIKETI_NODE. */
#define API_OF_PREDECESSOR (1u << 18)

/* Whom a route refuses when requests wait too long (api_load.c). */
enum api_load {
    API_LOAD_NONE,    /* nobody */
    API_LOAD_OPENING, /* newcomers first: who comes has no place yet, unless a proof says so */
    API_LOAD_WAITING  /* those who are known to wait */
};

/* A registered route, with the parts of its path before and after the parameter. */
struct bound_route {
    const struct api_route *route;
    const struct api_presenter *present; /* NULL: answers are JSON */
    const char *suffix;                  /* NULL: no parameter */
    size_t prefix_len;
    size_t middle_len; /* of the suffix up to a second parameter; 0: there is none */
    const char *end;   /* of the path, behind the second parameter; NULL: there is none */
    unsigned metric;
    bool api;         /* part of the API: not a page or one of its files */
    bool rest;        /* the parameter is the rest of the path, slashes included */
    bool rest_second; /* the second parameter is, and may be empty */
    /* No rate limit: probes, because an orchestrator that gets 429 would kill the pod; and the files of the pages,
     * because a page needs all of its files. */
    bool unlimited;
    enum api_load load;
};

/* The routes of each file; a NULL method ends the array. */
extern const struct api_route api_queue_routes[];
extern const struct api_route api_reservation_routes[];
extern const struct api_route api_payment_routes[];
extern const struct api_route api_seats_routes[];
extern const struct api_route api_admin_routes[];
extern const struct api_route api_change_routes[];
extern const struct api_route api_operate_routes[];
extern const struct api_route api_compat_routes[];
extern const struct api_route api_health_routes[];
extern const struct api_route api_hall_routes[];
extern const struct api_route api_export_routes[];
extern const struct api_route api_feed_routes[];
extern const struct api_route api_hook_routes[];
extern const struct api_route api_forecast_routes[];
extern const struct api_route api_history_routes[];
extern const struct api_route api_report_routes[];
extern const struct api_route api_mail_routes[];
extern const struct api_route api_people_routes[];
extern const struct api_route api_ban_routes[];
extern const struct api_route api_readiness_routes[];
extern const struct api_route api_team_routes[];
extern const struct api_route api_invitation_routes[];
extern const struct api_route api_checkin_routes[];
extern const struct api_route api_door_routes[];
extern const struct api_route api_gate_routes[];
extern const struct api_route api_key_routes[];
extern const struct api_route api_ops_routes[];
extern const struct api_route api_metrics_routes[];
extern const struct api_route api_asset_routes[];
extern const struct api_route api_root_routes[];
extern const struct api_route api_brand_routes[];
extern const struct api_route api_home_routes[];
extern const struct api_route api_wait_routes[];
extern const struct api_route api_enter_routes[];
extern const struct api_route api_handoff_routes[];
extern const struct api_route api_buy_routes[];
extern const struct api_route api_ticket_routes[];
extern const struct api_route api_staff_routes[];
extern const struct api_route api_console_routes[];
extern const struct api_route api_push_routes[];
extern const struct api_route api_oidc_routes[];
extern const struct api_route api_console_view_routes[];
extern const struct api_route api_console_form_routes[];
extern const struct api_route api_console_preview_routes[];
/* The route for a method and path, and its parameter in *ret_param and *ret_len, if it has one; NULL: none. HEAD uses
 * the route of GET. Borrowed: lives as long as the process. */
const struct bound_route *api_find_route(const struct api_door *door, const char *method,
                                         const char *path, const char **ret_param, size_t *ret_len);
/* Of a path that is only written in another way, such as "/wait/{id}/" or "/wait/a%2Db": redirects to the way that a
 * route knows. False: there is none, and nothing was answered. */
bool api_redirect_to_canonical(struct api_call *call);
/* No route fits. 404 if the path is unknown; else OPTIONS gets the list of methods, and others get 405. */
void api_answer_unrouted(struct api_call *call);
bool api_takes_any_method(const struct api_route *route);
/* Is it the path of a probe, or of the metrics? */
bool api_is_probe(const char *path);
/* Where the routes of api_ops.c, of api_metrics.c, and then no more begin; they are the last ones. */
size_t api_ops_routes_at(void);
size_t api_metrics_routes_at(void);
size_t api_routes_end(void);
/* Appends the names of these roles to `text`, a buffer of `size` bytes. */
void api_add_roles(unsigned roles, const char *between, char *text, size_t size);
/* The metrics' id of requests that no route fits. */
unsigned api_unknown_metric(void);

/* Ends the checks under way; none begins afterwards, because api_close has been called. */
void api_readiness_stop(struct api *api);

struct home_pages *api_home_new(void);
void api_home_free(struct home_pages *home); /* NULL is fine */
/* The presenters of the pages' routes. */
extern const struct api_presenter api_gate_presenter;
extern const struct api_presenter api_home_presenter;
extern const struct api_presenter api_wait_presenter;
extern const struct api_presenter api_enter_presenter;
extern const struct api_presenter api_buy_presenter;
extern const struct api_presenter api_ticket_presenter;
extern const struct api_presenter api_console_presenter;
extern const struct api_presenter api_console_form_presenter;

/* The id that logs and problems name the request by. Borrowed; lives as long as the request. */
const char *api_request_id(struct api_call *call);

/* Writes what the log says of an answer. Call once for each. */
struct api_answered {
    unsigned status;
    uint64_t took_us;
    int64_t bytes; /* of the body; -1: it is sent in pieces */
};
void api_log_answer(const struct api_call *call, const struct api_answered *answered);
/* Writes who has changed which field of an event, from what to what: a line for each field, or one if none is another. `verb`
 * as in the audit. */
void api_log_change(struct api_call *call, const char *verb, const struct event *before,
                    const struct event *after);

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
/* 200 with a text that is shared, not copied: compressed for those who accept gzip. The ETag is `tag`, at most 40
 * characters, which stands for the content; 304 is answered to a client that has it. */
void api_answer_shared(struct api_call *call, const char *type, const char *tag,
                       const struct shared_text *text);
/* 200 in pieces that `more` supplies (http_reply_stream); its `arg` is the call. */
void api_answer_stream(struct api_call *call, const char *type, http_more_cb more);
/* Does Accept-Encoding name this coding ("br", "gzip") with a weight above 0? */
bool api_accepts(const struct api_call *call, const char *coding);
/* Adds ETag and Cache-Control. True: the client has this version already, and 304 was answered. */
bool api_not_modified(struct api_call *call, const char *etag, const char *cache_control);

/* These two answer through the route's presenter, or as JSON where it has none. */
void api_answer_turn(struct api_call *call, const struct api_turn *turn);
void api_answer_order(struct api_call *call, const struct api_order *order);
/* Answers through the route's presenter, or as JSON. Adds Retry-After to 503 and 429, WWW-Authenticate to 401. */
void api_answer_problem(struct api_call *call, const struct api_problem *problem);
/* ---- load (api_load.c) ---- */

enum api_load api_load_of(const struct api_route *route);
/* Are requests waiting so long before they are read that this one, of a route with this load, is refused? Then it has
 * answered. */
bool api_load_refuses(struct api_call *call, enum api_load load);
/* Answers that the buyer may come again, and when: the joins before theirs wait too long for Redis. */
void api_load_refuse(struct api_call *call, bool newcomer);

void api_problem(struct api_call *call, unsigned status, const char *code, const char *detail,
                 const char *field);
/* The client has met a limit: if its peer is a proxy that TRUSTED_PROXIES lacks, the log says so. */
void api_limit_met(struct api_call *call);
/* Answers with the problem that stands for a status. */
void api_fail(struct api_call *call, enum status status);
/* Like api_fail, for a status of catalog or queue: ST_NOT_FOUND is answered as unknown-event. */
void api_fail_event(struct api_call *call, enum status status);
/* Answers with the field, the sentence and the reason of the error. */
void api_refuse(struct api_call *call, unsigned status, const char *code,
                const struct json_error *error);
/* The same for a sentence without values; `field` NULL: none. */
void api_refuse_as(struct api_call *call, unsigned status, const char *code, const char *reason,
                   const char *detail, const char *field);
/* Like api_refuse: 400, invalid. */
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

/* ---- cookies: api_cookie.c ---- */

/* The cookies of the request. The first call must come before the handler waits for anything. */
const struct cookie_jar *api_jar(struct api_call *call);
/* Sets (or with NULL removes) the ticket's or the pass's cookie of the event in the path. */
void api_set_proof(struct api_call *call, enum cookie_kind kind, const char *value,
                   int64_t max_age_s);
/* For every answer: sets the guest's cookie where it is due, and removes old tickets and passes when there are too
 * many. */
void api_add_cookies(struct api_call *call);
/* For a request whose head is too large: removes the tickets and passes that were sent. */
void api_clear_proofs(struct api_call *call);
/* Sets the cookie of a buyer whom the identity provider has named. */
MUST_CHECK enum status api_set_buyer(struct api_call *call, const char *buyer);
/* The browser forgets them. */
void api_clear_buyer(struct api_call *call);
/* Is the buyer known by that cookie? (Not by a token of the shop, and no guest.) */
bool api_signed_in_here(const struct api_call *call);
/* Sets a cookie of this host alone, HttpOnly and over HTTPS with the prefix __Host-. `name`: without the prefix; `value`
 * NULL: removes it; `site`: its SameSite. */
void api_set_host_cookie(struct api_call *call, const char *name, const char *value,
                         int64_t max_age_s, const char *site);
/* The value of such a cookie; NULL: none was sent. Lives as long as the request. */
const char *api_host_cookie(struct api_call *call, const char *name, size_t *ret_len);
/* Sets a cookie that holds a choice of the user, such as the language, for a year. */
void api_set_preference(struct api_call *call, const char *name, const char *value);

/* ---- where the buyer goes after their admission: api_return.c ---- */

/* Reads `?return=` into call->target, if it was sent. `event`: whose returnUrls count. False: it must not be followed, and
 * 400 invalid was answered. */
bool api_take_return(struct api_call *call, const struct event *event);
/* "return=/shop/x": the same for a link to one of our own pages, which reads it anew; NULL: none was sent, or it was refused.
 * Lives as long as the request, as do the texts of the next two. */
const char *api_return_query(struct api_call *call);
/* The same for another URL. NULL: it is too long. */
const char *api_return_parameter(struct api_call *call, const char *url);
/* The path of one of our own pages with a parameter (NULL: none) and with the return that was sent. */
const char *api_own_address(struct api_call *call, const char *path, const char *parameter);
/* Do our cookies reach the host of this URL of another origin? */
bool api_shares_cookies(struct api_call *call, const struct return_url *url);
/* For the way to the identity provider and back: a cookie keeps the return that was sent with a request about the event in the
 * path; and "return=…" of what it has kept for this event, which uses the cookie up. NULL: nothing. */
void api_keep_return(struct api_call *call);
const char *api_kept_return(struct api_call *call, const char *event);
/* "/wait/{eventId}" with the return that was sent, and a parameter that may be NULL. */
const char *api_wait_address(struct api_call *call, const char *parameter);

/* ---- where the buyer's browser is: api_origin.c ---- */

/* Does a trusted proxy say that the buyer's connection to it is HTTPS? */
bool api_over_https(const struct api_call *call);
/* The authority ("host" or "host:port") that the browser asked for: a trusted proxy's X-Forwarded-Host or Forwarded,
 * else Host. NULL: none was sent. Lives as long as the request. */
const char *api_authority(const struct api_call *call);
/* "https://host": PUBLIC_URL, else the scheme and the authority of this request; links to our own pages begin with it.
 * NULL: neither is known. Lives as long as the request. */
const char *api_public_url(const struct api_call *call);
/* PATH_PREFIX; "" without one. What leads a browser to a path of ours has it in front: templates by {{prefix}}, scripts by
 * web/place.js, answers by api_page_redirect. */
const char *api_prefix(const struct api *api);
/* The public URL with the prefix, for links that leave the page; NULL: not known. */
const char *api_own_url(const struct api_call *call);

/* ---- who sends a request: api_identity.c ---- */

/* Reads the user from `Authorization: Bearer …` into the call. ST_NOT_FOUND: there is no such header; another scheme
 * claims nothing here. ST_BUSY: the token's key is not known yet. */
MUST_CHECK enum status api_identify_user(struct api_call *call);
/* Reads from cookies who has signed in at the identity provider, or the guest; or makes a new guest. */
void api_identify_visitor(struct api_call *call);
/* Reads the sender's identity and checks that they may use the route. False: refused, and the problem was answered; or
 * api_proceed runs later. An invalid bearer token is refused: its sender does not become a guest. */
bool api_identify(struct api_call *call);
/* Was it sent by a page of another site, which must not act with a guest's cookie? */
bool api_origin_is_foreign(const struct api_call *call);
/* Has the sender one of the route's roles? False: 403 was answered. */
bool api_role_allows(struct api_call *call);
/* True unless the buyer is a guest and the event does not allow guests; then 401 was answered. */
bool api_allows_buyer(struct api_call *call, const struct event *event);
/* For staff routes about one event: fetches it from PostgreSQL, answers 403 to those with whom it is not shared, or whose
 * right at it is too small for the route; else notes the right and runs `step`, which borrows the event until it
 * returns. A status of the step other than ST_OK is answered. Returns what the handler should return. */
MUST_CHECK enum status api_staff_event(struct api_call *call, api_event_step step);

/* ---- parameters and bodies: api_params.c ---- */

/* Parses a JSON body into call->body, as is done before the handler of a route with API_BODY_JSON. False: the body is not
 * valid, and 400 was answered. */
bool api_parse_body(struct api_call *call);
/* For routes whose body must be absent or {}. False: the body has fields, and 400 was answered. */
bool api_body_is_empty(struct api_call *call);
/* 1 to 18 digits and nothing else. */
bool api_is_number(const char *text);
/* A number, a dot and an id: the form of `next` in lists that are ordered by time (cursor_of in sql/functions). */
bool api_is_cursor(const char *text);
/* Reads ?before=&limit= of a paged list. `before` must have the form that is_before tests (api_is_number, api_is_cursor),
 * and the limit is 1 to `most`, which is also the default. False: *error is filled. */
bool api_read_page(struct api_call *call, bool (*is_before)(const char *text), int64_t most,
                   int64_t *ret_limit, struct json_error *error);
/* Reads a parameter of the query that is 1 or 0, or absent: 0. False: *error is filled. */
bool api_read_flag(struct api_call *call, const char *name, bool *ret, struct json_error *error);
/* A seat id, which is a string of digits or a positive integer, as text that lives as long as the request. NULL: it is
 * neither. */
const char *api_read_seat_id(struct api_call *call, const struct json *value);
/* Where a file is accepted as well: the body is no JSON, so it probably is that file. Fills *error if it looks so. */
void api_hint_csv(const struct api_call *call, struct json_error *error);

/* ---- steps of a request: api.c ---- */

/* Runs `cb` with the call: at once if the catalog has the event, else when it was loaded, with ST_NOT_FOUND if there
 * is no such event. Returns what the handler should return. */
MUST_CHECK enum status api_with_event(struct api_call *call, const char *event, catalog_cb cb);
/* Parses the body and runs the handler, when the sender is known. */
void api_proceed(struct api_call *call);

/* ---- staff: api_staff.c ---- */

/* Recognizes the sender of an AUTH_STAFF route by the cookie of their session. True: the request may go on now. False:
 * it was refused and answered, or api_proceed runs later. */
bool api_staff_identify(struct api_call *call);
/* The same of a request whose body begins to arrive, without asking PostgreSQL: api_staff_identify follows. Nothing is
 * answered. */
bool api_staff_may_send(struct api_call *call, const struct api_route *route);
/* Who acts, for the audit: name, role and, if it is another text, the subject, with tabs between them. Lives as long as
 * the request. */
const char *api_actor(struct api_call *call);
/* The token of this session's forms; "": the sender has a JWT. Lives as long as the request. */
const char *api_csrf(struct api_call *call);
/* What the sender may do with this event, as far as their role goes; `event` from catalog_fetch_for. */
enum staff_right api_staff_right(const struct api_call *call, const struct event *event);
/* What the route takes. */
enum staff_right api_route_right(const struct api_route *route);
/* The subject of somebody who has no account, but came by an invitation, begins with this. They may use what is shared
 * with them, and nothing else, whatever their role. */
#define API_INVITED "i:"
bool api_staff_invited(const struct api_call *call);
/* Which events the sender may list. Borrows from the call. */
struct catalog_choice api_staff_choice(const struct api_call *call);
/* Removes the cookie of a session. */
void api_drop_session(struct api_call *call);
/* Sets the cookie of a session. ST_TOO_LARGE: it does not fit into a cookie. */
MUST_CHECK enum status api_set_session(struct api_call *call, const struct staff_grant *session);
/* The session whose cookie was sent, valid and not expired, whatever PostgreSQL says. False: there is none. */
bool api_sent_session(struct api_call *call, struct staff_grant *ret);
/* Has this address tries left to sign in? False: 429 was answered. */
bool api_may_try(struct api_call *call);
/* A try was wrong. */
void api_count_try(struct api_call *call);
/* Was the request sent by a page of another origin, which must not act with a session? */
bool api_staff_foreign(const struct api_call *call);

/* ---- ticket and pass: api_proof.c ---- */

/* The proof that was sent in its header (*ret_header: true), else those in cookies of this event, the best first; as
 * values in ret_list[COOKIE_TRIES]. Returns how many. They live as long as the request. */
size_t api_sent_proofs(struct api_call *call, const char *header, enum cookie_kind kind,
                       const char *event, struct cookie *ret_list, bool *ret_header);
/* Reads ticket and pass from header or cookie into call->proof. ST_OK, also if none was sent; ST_DENIED: one in a
 * header belongs to another buyer or event; ST_UNAUTHORIZED: one in a header is not valid. */
MUST_CHECK enum status api_read_proof(struct api_call *call, const char *event);
/* Appends a ticket for this buyer. */
MUST_CHECK enum status api_write_ticket(struct api_call *call, const char *event, uint64_t place,
                                        uint64_t epoch, uint64_t lowest, struct buf *out);
/* Answers a buyer whom staff have shut out. */
void api_refuse_banned(struct api_call *call);
/* When the turn of a buyer inside ends, at the latest; ms since 1970. */
int64_t api_turn_end(const struct event *event, const struct queue_place *place);
/* The network that a new place of the event counts for, in out[CLIENT_NETWORK_SIZE]; NULL: it counts for none. */
const char *api_places_network(const struct api_call *call, const struct event *event, char *out);
/* Appends a pass for an admission. It expires PASS_TTL_MS from now, or when the session ends if that is earlier. */
MUST_CHECK enum status api_write_pass(struct api_call *call, const struct event *event,
                                      const struct queue_place *place, uint64_t epoch,
                                      struct buf *out, int64_t *ret_expires_ms);
/* Is it time for a new pass: does that which was sent (call->proof, pass_expires_ms) have less than half the life left that a
 * new one would have, or is it of another admission, or valid beyond the end of the turn? */
bool api_pass_is_due(const struct api_call *call, const struct event *event,
                     const struct queue_place *place);
/* Claims, and asks Redis whether the buyer is inside. If Redis has lost the admission, a verified pass restores it. */
MUST_CHECK enum status api_ask_inside(struct api_call *call, const char *event, queue_join_cb cb);

/* ---- steps that the JSON routes and the pages share ----
 * Each is used as a handler and answers with a turn, an order, a reservation or a problem. */

/* Claims. Answers a buyer whose ticket is of the present epoch as the route `status` does (they take no place). Answers all
 * others, and with `join` everybody, as the route `check` does (they may take a place). */
MUST_CHECK enum status api_visit(struct api_call *call, bool join);
/* Answers with the buyer's turn and never takes a place. claims: the buyer is there, so an offer becomes their turn. */
MUST_CHECK enum status api_status(struct api_call *call, bool claims);
/* Leaves the queue; the turn is left or not_in_queue. */
MUST_CHECK enum status api_leave(struct api_call *call);
/* Repeats the holds that found a row locked; `arg` is the api. */
void api_retry_holds(void *arg);
/* Repeats all of them now, for the last time: the database must refuse statements. */
void api_end_holds(struct api *api);
/* The request has ended: it waits no longer. */
void api_forget_hold(struct api_call *call);
/* POST /api/reservations; the request for seats is in call->body. */
MUST_CHECK enum status api_hold(struct api_call *call);
/* Lists the caller's reservations as reservation_list does; `cb` gets the call. A guest who came without a cookie has none:
 * then PostgreSQL is not asked, and `cb` runs before this returns. */
MUST_CHECK enum status api_list_reservations(struct api_call *call,
                                             const struct reservation_query *query,
                                             reservation_cb cb);
/* Pays or cancels the reservation `id`, which must live as long as the request. `email` is what the buyer typed; NULL or
 * blank: nothing. `language`: that of the mail. */
MUST_CHECK enum status api_pay(struct api_call *call, const char *id, const char *email,
                               enum language language);
MUST_CHECK enum status api_cancel(struct api_call *call, const char *id);
/* Publishes that the seat map of an event has changed. The message may be lost. */
void api_publish_seats_changed(struct api *api, const char *event);

/* ---- events for staff: api_admin.c, api_change.c ---- */

/* Answers with the event as its organizer sees it, and its version as ETag. */
void api_answer_owned(struct api_call *call, unsigned code, const struct event *event);
/* The handler of `clear`, which the route of the predecessor has as well: that one takes no confirmation. */
MUST_CHECK enum status api_clear(struct api_call *call);
/* ---- pictures: api_brand.c ---- */

/* A pictures_cb: answers with what was read; `arg` is the call. */
void api_answer_picture(void *arg, enum status status, const char *type, const char *data,
                        size_t len);

/* ---- seats ---- */

/* Reads If-Match: `"12"`, `W/"12"` or `12`. 0: `*` or no header, any version. -1: not valid. */
int64_t api_read_if_match(const struct api_call *call);

/* ---- CSV uploads: api_csv.c ---- */

/* Does its Content-Type say that the body is CSV? */
bool api_sends_csv(const struct http_req *req);
/* Called from on_head. Reads the body as seats while it arrives; if not allowed, reads it and throws it away. */
void api_import_begin(struct api_call *call, bool allowed);
/* Stores or checks the seats of a complete body, whose columns it adds to `order`. If a line is wrong and more than a check
 * is wanted, answers with the errors and stores nothing. ST_FULL: too many uploads at once, the body was thrown away. */
MUST_CHECK enum status api_import_store(struct api_call *call, struct seat_import *order,
                                        reservation_cb cb);
/* Answers what api_import_store's callback was told, with the lines of the file. */
void api_import_answer(struct api_call *call, enum status status, const char *outcome,
                       const char *json, size_t len);
/* Ends the upload, if there is one; called when the request is over. */
void api_import_end(struct api_call *call);

/* ---- push messages: api_push.c ---- */

/* *ret is new; NULL without VAPID_KEYS. ST_INVALID: a setting cannot be used, which was logged. */
MUST_CHECK enum status api_push_new(const struct config *config, struct api_push **ret);
void api_push_free(struct api_push *push); /* NULL is fine */
/* After a reload: other VAPID_KEYS. NULL is fine. */
void api_push_reconfigure(struct api_push *push, const struct config *config);
/* The key that browsers subscribe with; NULL: no push messages are sent. Borrowed. */
const char *api_push_key(const struct api *api);

/* ---- readiness: api_ops.c, api_deep.c ---- */

/* May the answer say what is wrong with the backends? Not where strangers can ask: HTTP_PORT. */
bool api_tells_details(const struct api_call *call);
/* Returns new: what /readyz answers with. */
struct json *api_ready_body(const struct api_call *call);
/* Answers 200, or 503 when not ok. Takes `body`. */
void api_answer_ready(struct api_call *call, bool ok, struct json *body);
/* A handler: /readyz?deep=1. */
MUST_CHECK enum status api_deep_start(struct api_call *call);

/* ---- calls from api.c ---- */

/* A `processed` message of the channel. Borrowed. */
void api_process_on_message(struct api *api, const struct json *payload);
/* Stops waiting for the processor, if the request did; called when the request is over. */
void api_process_forget(struct api_call *call);
/* Ends the request's forecast, if one runs; called when the request is over. */
void api_forecast_forget(struct api_call *call);
/* The request waits no longer for the checks of api_deep_start; called when it is over. */
void api_deep_forget(struct api_call *call);

#endif
