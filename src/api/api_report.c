/* SPDX-License-Identifier: MIT */
/*
 * api_report: the report of a sale, as JSON and as CSV.
 *
 *   role and owner -> report_get (numbers) -> api_promises -> the answer
 *
 * Why this way: SQL counts, and api_promises proves the promises. At most API_REPORTS_MAX run at once in a worker; a further
 * one gets 503.
 * Called by: api's route table. Owns: the numbers of each report under way. With PostgreSQL gone: 503.
 */
#include "api/api_promises.h"

#include "base/buf.h"
#include "selling/history.h"

#include <stdlib.h>

#define REPORT_BYTES (1 << 20)

struct report {
    bool csv;
    struct json *body;
};

/* Frees what the report has; the caller answers next. */
static void end_report(struct api_call *call)
{
    struct report *report = call->state;
    call->api->reports--;
    json_free(report->body);
}

static void fail_report(struct api_call *call, enum status status)
{
    end_report(call);
    api_fail(call, status);
}

static void csv_written(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len)
{
    struct api_call *call = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, 2 * REPORT_BYTES, NULL) : NULL;
    const char *csv = json_str(body, "csv");
    struct buf text;
    (void)outcome;
    end_report(call);
    if (!csv) {
        json_free(body);
        api_fail(call, status == ST_OK ? ST_INTERNAL : status);
        return;
    }
    buf_init(&text, 2 * REPORT_BYTES);
    buf_add_str(&text, "\xef\xbb\xbf"); /* Excel takes a file without the mark for the country's */
    buf_add_str(&text, csv);
    json_free(body);
    http_req_add_header(call->req, "Content-Disposition", "attachment; filename=\"report.csv\"");
    api_answer_text(call, "text/csv; charset=utf-8", buf_str(&text), text.len);
    buf_clear(&text);
}

static void log_replayed(struct api_call *call, enum status status, struct json *promises)
{
    struct report *report = call->state;
    if (status != ST_OK) {
        fail_report(call, status);
        return;
    }
    json_remove(report->body, "seatsSoldTwice");
    json_set(report->body, "promises", promises);
    if (!report->csv) {
        struct json *body = report->body;
        report->body = NULL;
        end_report(call);
        api_answer_json(call, 200, body);
        json_free(body);
        return;
    }
    struct buf text;
    buf_init(&text, REPORT_BYTES);
    json_write(report->body, &text);
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = history_report_csv(call->api->db, buf_str(&text), csv_written, call);
    buf_clear(&text);
    if (st != ST_OK)
        fail_report(call, st);
}

static void numbers_read(void *arg, enum status status, const char *outcome, const char *json,
                         size_t len)
{
    struct api_call *call = arg;
    struct report *report = call->state;
    (void)outcome;
    if (status == ST_OK && !(report->body = json_parse(json, len, REPORT_BYTES, NULL)))
        status = ST_INTERNAL;
    if (status == ST_OK)
        status = api_promises_start(call, call->param, json_int(report->body, "seatsSoldTwice", 0),
                                    log_replayed);
    if (status != ST_OK)
        fail_report(call, status);
}

static enum status report_fetched(struct api_call *call, const struct event *event)
{
    if (call->api->reports >= API_REPORTS_MAX)
        return ST_FULL;
    call->api->reports++;
    const enum status st = history_report(call->api->db, event->id, numbers_read, call);
    if (st != ST_OK)
        end_report(call);
    return st;
}

static enum status start_report(struct api_call *call, bool csv)
{
    struct report *report = http_req_alloc(call->req, sizeof(*report));
    report->csv = csv;
    call->state = report;
    return api_staff_event(call, report_fetched);
}

static enum status json_start(struct api_call *call)
{
    return start_report(call, false);
}

static enum status csv_start(struct api_call *call)
{
    return start_report(call, true);
}

const struct api_route api_report_routes[] = {
    {"GET", "/api/admin/events/{eventId}/report", AUTH_STAFF, API_OWNERS, json_start,
     API_BODY_NONE},
    {"GET", "/api/admin/events/{eventId}/report.csv", AUTH_STAFF, API_OWNERS, csv_start,
     API_BODY_NONE},
    {0},
};
