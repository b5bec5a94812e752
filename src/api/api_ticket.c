/* SPDX-License-Identifier: MIT */
/*
 * api_ticket: what a buyer has after paying: the ticket, the way to it, and the address to which payment pages return.
 *
 *   GET  /ticket/{token}            the ticket. Whoever has the link may see it, in any browser, for good
 *   GET  /ticket/{token}/event.ics  its appointment, for a calendar
 *   GET  /tickets/{eventId}         the buyer's purchases of an event: 303 to the only one's ticket, or a list
 *        ?reservation=ID            303 to its ticket; not sold yet: the page "confirming", which asks again by itself
 *        &proof=PROOF               the same in a browser that is not the buyer's (token_write_return)
 *        &payment=cancelled         the buyer has not paid
 *   POST /tickets/{eventId}         303 to the same address by GET: some payment pages return with a form
 *
 * Why this way: a guest's cookie ends, and who pays in an app often comes back in another browser. So a ticket is shown
 * to its link alone, of which PostgreSQL has the hash: neither a new key nor a lost cookie ends it. The pages read
 * PostgreSQL only, so that tickets are shown whatever becomes of Redis. They change nothing but the links.
 * Called by: api's route table. PostgreSQL gone: 503 and the state "unavailable", which tries again by itself.
 */
#include "api/api_page.h"

#include "base/shared_clock.h"
#include "page/calendar.h"
#include "page/qr.h"
#include "queue/catalog_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_LEN          43 /* of a link; base64url of 32 bytes */
#define ROWS_MAX           (256 * 1024)
#define CODE_MAX           4096
#define QUIET              4 /* modules of light ground around a code */
#define RESERVATIONS_SHOWN 50
#define RETRY_S            10
#define CONFIRMING_S       3

/* A request, between its answers of PostgreSQL. */
struct ticket_call {
    const char *state;            /* of the page */
    struct reservation_list list; /* freed when the request is answered */
    bool calendar;                /* the appointment is wanted, not the page */
    char event[EVENT_ID_MAX + 1];
};

static bool equal(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

static struct ticket_call *new_call(struct api_call *call)
{
    struct ticket_call *ticket = http_req_alloc(call->req, sizeof(*ticket));
    call->state = ticket;
    return ticket;
}

/* ---- the page ---- */

static void begin(struct page *page, struct api_call *call, const char *state,
                  const struct event *event)
{
    char key[64];
    api_page_begin(page, call);
    api_page_set(page, "event_id", event ? api_page_copy(page, event->id) : NULL);
    api_page_event(page, event);
    api_page_set(page, "state", state);
    (void)snprintf(key, sizeof(key), "ticket_%s_title", state);
    api_page_set(page, "heading", message(page->language, key));
    (void)snprintf(key, sizeof(key), "ticket_%s_lead", state);
    api_page_set(page, "lead", message(page->language, key));
}

/* "HZZW-RXPT": a number that is read out keeps its beat. */
static const char *number_text(struct page *page, const char *number)
{
    return api_page_printf(page, "%.4s-%s", number, strlen(number) > 4 ? number + 4 : "");
}

static const char *seat_text(struct page *page, const struct reserved_seat *seat)
{
    const struct message_value name[] = {
        {"section", seat->section},
        {"row", seat->row},
        {"number", api_page_printf(page, "%" PRId64, seat->number)},
        {NULL, NULL}};
    return api_page_message(page, "seat_name", name);
}

/* Sets the code of a seat, if this pod can sign one. */
static void set_code(struct page *page, const struct reservation *reservation,
                     const struct reserved_seat *seat)
{
    struct buf code, path;
    int size;
    buf_init(&code, CODE_MAX);
    buf_init(&path, ROWS_MAX);
    const struct eticket ticket = {.event = reservation->event,
                                   .number = reservation->number,
                                   .seat = seat->id,
                                   .section = seat->section,
                                   .row = seat->row,
                                   .seat_number = seat->number};
    if (eticket_sign(page->call->api->keys, &ticket, &code) == ST_OK &&
        qr_write_path(buf_str(&code), code.len, &path, &size) == ST_OK) {
        api_page_set(page, "code_view",
                     api_page_printf(page, "%d %d %d %d", -QUIET, -QUIET, size + 2 * QUIET,
                                     size + 2 * QUIET));
        api_page_set(page, "code_path", api_page_copy(page, buf_str(&path)));
    }
    buf_clear(&code);
    buf_clear(&path);
}

static void set_seats(struct page *page, const struct reservation *reservation, bool valid)
{
    struct buf rows;
    buf_init(&rows, 2 * ROWS_MAX);
    for (size_t i = 0; i < reservation->seat_count; i++) {
        const struct reserved_seat *seat = &reservation->seats[i];
        struct page row = *page;
        const struct message_value name[] = {{"seat", seat_text(&row, seat)}, {NULL, NULL}};
        api_page_set(&row, "label", api_page_message(&row, "ticket_code", name));
        api_page_set(&row, "section", seat->section);
        api_page_set(&row, "row", seat->row);
        api_page_set_number(&row, "seat_number", seat->number);
        if (valid)
            set_code(&row, reservation, seat);
        if (api_page_fill(&row, "ticket_seat.html", &rows) != ST_OK)
            buf_reset(&rows);
    }
    api_page_set_buf(page, "seats", &rows);
}

static const char *link_of(struct page *page)
{
    const char *own_url = api_own_url(page->call);
    return own_url ? api_page_printf(page, "%s/ticket/%s", own_url, page->call->param) : NULL;
}

static void show_ticket(struct api_call *call, const struct reservation *reservation,
                        const struct event *event)
{
    const bool valid = strcmp(reservation->status, "confirmed") == 0;
    struct page page;
    begin(&page, call, valid ? "valid" : "refunded", event);
    api_page_set(&page, "number", number_text(&page, reservation->number));
    api_page_set(&page, "total", api_page_money(&page, reservation->total, reservation->currency));
    if (reservation->refunded > 0)
        api_page_set(&page, "refunded",
                     api_page_money(&page, reservation->refunded, reservation->currency));
    api_page_set(&page, "link", link_of(&page));
    api_page_set(&page, "valid", valid ? "1" : NULL);
    if (event->starts_at_ms > 0) {
        static const struct {
            const char *name;
            enum locale_form form;
        } parts[] = {{"month", LOCALE_MONTH}, {"day", LOCALE_DAY}, {"weekday", LOCALE_WEEKDAY}};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            api_page_set(&page, parts[i].name,
                         api_page_time(&page, event, event->starts_at_ms, parts[i].form));
    }
    if (valid && event->starts_at_ms > 0)
        api_page_set(&page, "calendar", api_page_own(&page, "/ticket/%s/event.ics", call->param));
    set_seats(&page, reservation, valid);
    api_page_answer(&page, 200, "ticket.html");
}

static void answer_calendar(struct api_call *call, const struct reservation *reservation,
                            const struct event *event)
{
    struct page page;
    struct buf seats, *file = &call->api->text;
    api_page_begin(&page, call);
    buf_init(&seats, ROWS_MAX);
    for (size_t i = 0; i < reservation->seat_count; i++) {
        buf_add_str(&seats, seat_text(&page, &reservation->seats[i]));
        buf_add_char(&seats, '\n');
    }
    buf_add_str(&seats, number_text(&page, reservation->number));
    buf_reset(file);
    calendar_write(
        &(struct calendar_entry){.uid = api_page_printf(&page, "%s@tiketi", reservation->id),
                                 .at_ms = event->starts_at_ms,
                                 .now_ms = shared_clock_ms(),
                                 .summary = event->title,
                                 .location = event->venue,
                                 .description = buf_str(&seats),
                                 .url = link_of(&page)},
        file);
    buf_clear(&seats);
    call->present = NULL;
    http_req_add_header(call->req, "Content-Disposition", "attachment; filename=\"ticket.ics\"");
    api_answer_text(call, "text/calendar; charset=utf-8", buf_str(file), file->len);
}

/* The buyer's purchases, if there are several. */
static void show_list(struct api_call *call, const struct reservation_list *list,
                      const struct event *event)
{
    struct page page;
    struct buf rows;
    begin(&page, call, "list", event);
    buf_init(&rows, ROWS_MAX);
    for (size_t i = 0; i < list->count; i++) {
        const struct reservation *one = &list->items[i];
        struct page row = page;
        if (strcmp(one->status, "confirmed") != 0)
            continue;
        api_page_set(&row, "reservation", one->id);
        api_page_set(&row, "number", number_text(&row, one->number));
        api_page_set(&row, "count", api_page_count(&row, "ticket_seats", one->seat_count));
        if (api_page_fill(&row, "ticket_link.html", &rows) != ST_OK)
            buf_reset(&rows);
    }
    api_page_set_buf(&page, "links", &rows);
    api_page_answer(&page, 200, "ticket.html");
}

/* A state before the seats are sold, or without that: it shows nothing of the reservation. */
static void show_state(struct api_call *call, const char *state,
                       const struct reservation *reservation, const struct event *event)
{
    struct page page;
    begin(&page, call, state, event);
    if (reservation->own) /* another browser can do nothing */
        api_page_set(&page, strcmp(state, "late") == 0 ? "again" : "back", "1");
    if (strcmp(state, "confirming") == 0)
        api_page_set_number(&page, "refresh", CONFIRMING_S);
    api_page_answer(&page, 200, "ticket.html");
}

/* ---- presenter: problems ---- */

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    const bool unknown = problem->status == 400 || problem->status == 404;
    struct page page;
    begin(&page, call, unknown ? "unknown" : "unavailable", NULL);
    if (!unknown)
        api_page_set_number(&page, "refresh", RETRY_S);
    api_page_answer(&page, problem->status, "ticket.html");
}

const struct api_presenter api_ticket_presenter = {.problem = show_problem};

/* ---- the answers of PostgreSQL ---- */

/* The same for a ticket that does not exist, and for one that somebody else may see. */
static void refuse(struct api_call *call)
{
    api_problem(call, 404, "unknown-ticket", "There is no such ticket.", NULL);
}

/* The last answer. */
static void event_read(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    const struct ticket_call *ticket = call->state;
    struct reservation_list list = ticket->list; /* the request may be gone after the answer */
    if (status != ST_OK)
        api_fail(call, status);
    else if (ticket->calendar &&
             (event->starts_at_ms == 0 || strcmp(list.items->status, "confirmed") != 0))
        refuse(call);
    else if (ticket->calendar)
        answer_calendar(call, list.items, event);
    else if (strcmp(ticket->state, "ticket") == 0)
        show_ticket(call, list.items, event);
    else if (strcmp(ticket->state, "list") == 0)
        show_list(call, &list, event);
    else
        show_state(call, ticket->state, list.items, event);
    reservation_list_clear(&list);
}

/* Reads the event, then shows this state. */
static void show(struct api_call *call, const char *state, const char *event)
{
    struct ticket_call *ticket = call->state;
    ticket->state = state;
    (void)snprintf(ticket->event, sizeof(ticket->event), "%s", event);
    const enum status st = catalog_fetch(call->api->db, ticket->event, event_read, call);
    if (st != ST_OK)
        event_read(call, st, NULL);
}

static void link_followed(void *arg, enum status status, const char *outcome, const char *json,
                          size_t len)
{
    struct api_call *call = arg;
    struct ticket_call *ticket = call->state;
    (void)outcome;
    if (status == ST_OK)
        status = reservation_read(json, len, &ticket->list);
    if (status == ST_NOT_FOUND)
        refuse(call);
    else if (status != ST_OK)
        api_fail(call, status);
    else
        show(call, "ticket", ticket->list.items->event);
}

static void redirect(struct api_call *call, const char *path, const char *id, const char *query)
{
    struct buf *location = &call->api->text;
    buf_reset(location);
    buf_printf(location, "%s%s%s", path, id, query);
    api_page_redirect(call, buf_str(location));
}

/* The state that shows a reservation that was not sold; NULL: its buyer was led on. */
static const char *unsold_state(struct api_call *call, const struct reservation *reservation)
{
    const char *payment = http_req_query(call->req, "payment");
    const bool cancelled = equal(payment, "cancelled") || equal(payment, "failed");
    const bool held = strcmp(reservation->status, "held") == 0;
    if (reservation->own && (cancelled || !reservation->paying)) {
        if (held)
            redirect(call, "/buy/", call->param, cancelled ? "?payment=cancelled" : "");
        else
            redirect(call, "/wait/", call->param, "");
        return NULL;
    }
    if (!held)
        return "late";
    return cancelled ? "elsewhere" : "confirming";
}

static void link_made(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    struct ticket_call *ticket = call->state;
    (void)outcome;
    reservation_list_clear(&ticket->list); /* the list that this one was found in */
    if (status == ST_OK)
        status = reservation_read(json, len, &ticket->list);
    if (status != ST_OK) {
        if (status == ST_NOT_FOUND || status == ST_DENIED)
            refuse(call);
        else
            api_fail(call, status);
        return;
    }
    struct reservation_list list = ticket->list;
    const char *token = list.items->link_token;
    const char *state = NULL;
    if (token)
        redirect(call, "/ticket/", token, "");
    else
        state = unsold_state(call, list.items);
    if (state) {
        show(call, state, call->param);
        return;
    }
    reservation_list_clear(&list);
}

/* Asks for the link of a reservation. */
static enum status make_link(struct api_call *call, const char *id, bool proven)
{
    const char *key = eticket_key(call->api->keys);
    const struct reservation_link link = {
        .buyer = call->buyer, .proven = proven, .event = call->param, .id = id, .key = key};
    return key ? reservation_link(call->api->db, &link, link_made, call) : ST_UNAVAILABLE;
}

static void listed(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    struct api_call *call = arg;
    struct ticket_call *ticket = call->state;
    struct reservation_list *list = &ticket->list;
    const struct reservation *bought = NULL;
    size_t count = 0;
    (void)outcome;
    if (status == ST_OK)
        status = reservation_list_read(json, len, list);
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].status, "confirmed") == 0) {
            bought = &list->items[i];
            count++;
        }
    }
    if (status == ST_OK && count > 1) {
        show(call, "list", call->param);
        return;
    }
    if (status == ST_OK && bought)
        status = make_link(call, bought->id, false);
    struct reservation_list read = *list;
    if (status == ST_OK && bought)
        return;
    if (status == ST_OK)
        redirect(call, "/wait/", call->param, "");
    else
        api_fail(call, status);
    reservation_list_clear(&read);
}

/* ---- routes ---- */

static enum status follow(struct api_call *call, bool calendar)
{
    struct ticket_call *ticket = new_call(call);
    ticket->calendar = calendar;
    if (strlen(call->param) == TOKEN_LEN)
        return reservation_of_link(call->api->db, call->param, link_followed, call);
    refuse(call);
    return ST_OK;
}

static enum status ticket_start(struct api_call *call)
{
    return follow(call, false);
}

static enum status calendar_start(struct api_call *call)
{
    return follow(call, true);
}

static enum status tickets_start(struct api_call *call)
{
    const char *id = http_req_query(call->req, "reservation");
    const char *proof = http_req_query(call->req, "proof");
    (void)new_call(call);
    if (call->new_guest)
        call->guest = false; /* no cookie: this browser has nothing */
    if (id)
        return make_link(call, id,
                         proof && token_read_return(call->api->keys, proof, strlen(proof), id,
                                                    shared_clock_ms()));
    const struct reservation_query query = {
        .buyer = call->buyer, .event = call->param, .current = true, .limit = RESERVATIONS_SHOWN};
    return api_list_reservations(call, &query, listed);
}

static enum status returned_by_post(struct api_call *call)
{
    redirect(call, "/tickets/", call->param, http_req_query_text(call->req));
    return ST_OK;
}

const struct api_route api_ticket_routes[] = {
    {"GET", "/ticket/{token}", AUTH_NONE, 0, ticket_start, API_BODY_NONE},
    {"GET", "/ticket/{token}/event.ics", AUTH_NONE, 0, calendar_start, API_BODY_NONE},
    {"GET", "/tickets/{eventId}", AUTH_BUYER, 0, tickets_start, API_BODY_NONE},
    {"POST", "/tickets/{eventId}", AUTH_NONE, 0, returned_by_post, API_BODY_NONE},
    {0},
};
