/* SPDX-License-Identifier: MIT */
/*
 * api_export: the seats of a hall as CSV, page by page.
 *
 *   role and owner -> (page of PostgreSQL -> piece of the answer)* -> the last piece; or an abort
 *
 * Why this way: the answer is never whole in memory. Times are those of the event's zone, in a form that spreadsheets read
 * as times. With ?bom=1 the text begins with a byte order mark: without one, Excel takes it for that of the country's old
 * code page; programs that read CSV mostly want none. The import takes this file again (api_csv.c).
 * Called by: api's route table. With PostgreSQL gone: 503, or, once the answer has begun, the connection ends without the
 * last chunk.
 */
#include "api/api_internal.h"

#include "base/log.h"
#include "selling/reservation.h"

#include <stdio.h>
#include <string.h>

struct export_call {
    bool with_mark;          /* a byte order mark is wanted */
    struct seat_cursor last; /* the last seat that was read; all zero: none yet */
    bool begun;              /* the answer has begun */
    const char *first;       /* the first piece, read before the answer began; NULL: it was sent */
    size_t first_len;
    bool is_whole; /* the first piece is all there is */
};

static const char byte_order_mark[] = "\xef\xbb\xbf";
static const char header_line[] =
    "id,section,row,number,price,currency,status,blockReason,reservationNumber,reservationId,buyer,"
    "heldUntil,soldAt,soldFor,paidAt,provider,paymentReference,timeZone\r\n";

static void export_paged(void *arg, enum status status, const char *lines, size_t len,
                         const struct seat_cursor *last);

/* Once the answer has begun, only closing the connection can tell the client of a failure. */
static void export_abort(struct api_call *call, enum status status)
{
    log_warn("csv export aborted", LOG_TEXT("event", call->param),
             LOG_TEXT("requestId", api_request_id(call)), LOG_TEXT("status", status_name(status)));
    http_reply_piece(call->req, NULL, 0, HTTP_PIECE_BROKEN);
}

static void export_more(void *arg, struct http_req *req)
{
    struct api_call *call = arg;
    struct export_call *export = call->state;
    if (export->first) {
        const char *first = export->first;
        export->first = NULL;
        http_reply_piece(req, first, export->first_len,
                         export->is_whole ? HTTP_PIECE_LAST : HTTP_PIECE_MORE);
        return;
    }
    const enum status st =
        reservation_export_seats(call->api->db, call->param, &export->last, export_paged, call);
    if (st != ST_OK)
        export_abort(call, st);
}

/* Begins the answer after the first page was read, so that a dead backend can still be answered with 503. */
static void export_begin(struct api_call *call, const char *lines, size_t len, bool is_whole)
{
    struct export_call *export = call->state;
    char disposition[EVENT_ID_MAX + 64];
    const size_t mark_len = export->with_mark ? sizeof(byte_order_mark) - 1 : 0;
    const size_t head_len = mark_len + sizeof(header_line) - 1;
    char *first = http_req_alloc(call->req, head_len + len + 1);
    memcpy(first, byte_order_mark, mark_len);
    memcpy(first + mark_len, header_line, sizeof(header_line) - 1);
    if (len > 0)
        memcpy(first + head_len, lines, len);
    export->first = first;
    export->first_len = head_len + len;
    export->is_whole = is_whole;
    export->begun = true;
    (void)snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s.csv\"",
                   call->param);
    http_req_add_header(call->req, "Content-Disposition", disposition);
    api_answer_stream(call, "text/csv; charset=utf-8", export_more);
}

static void export_paged(void *arg, enum status status, const char *lines, size_t len,
                         const struct seat_cursor *last)
{
    struct api_call *call = arg;
    struct export_call *export = call->state;
    if (status == ST_OK && last)
        export->last = *last;
    if (status != ST_OK && export->begun)
        export_abort(call, status);
    else if (status != ST_OK)
        api_fail(call, status);
    else if (!export->begun)
        export_begin(call, lines, len, !last);
    else
        http_reply_piece(call->req, lines, len, last ? HTTP_PIECE_MORE : HTTP_PIECE_LAST);
}

static enum status export_fetched(struct api_call *call, const struct event *event)
{
    const struct export_call *export = call->state;
    return reservation_export_seats(call->api->db, event->id, &export->last, export_paged, call);
}

static enum status export_start(struct api_call *call)
{
    struct json_error error = {0};
    struct export_call *export = http_req_alloc(call->req, sizeof(*export));
    call->state = export;
    if (!api_read_flag(call, "bom", &export->with_mark, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, export_fetched);
}

const struct api_route api_export_routes[] = {
    {"GET", "/api/admin/events/{eventId}/export.csv", AUTH_STAFF, API_OWNERS | API_OF_OWNER,
     export_start, API_BODY_NONE},
    {0},
};
