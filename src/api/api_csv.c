/* SPDX-License-Identifier: MIT */
/*
 * api_csv: the seats of a hall as CSV: import while the file arrives, export page by page.
 *
 *   import   head -> (piece of body -> csv -> columns)* -> role, owner and If-Match -> seats_import, one
 *            transaction: all or nothing
 *   export   role and owner -> (page of PostgreSQL -> piece of the answer)* -> the last piece; or an abort
 *
 * Why this way: neither the file nor the answer is ever whole in memory. The seats of a file are, in the columns that
 * PostgreSQL takes, so at most IMPORTS_MAX uploads run at once; a further one gets 503. A refused file is still read to
 * its end, because clients do not read an answer while they send.
 * Called by: api (heads and ends of requests), api_admin (seats), api's route table (export). Owns: the import of a
 * call until its request is done. With PostgreSQL gone: an import changes nothing, an export is aborted.
 */
#include "api/api_internal.h"

#include "base/csv.h"
#include "base/log.h"
#include "base/memory.h"
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IMPORT_BODY_MAX (16 * 1024 * 1024)
#define IMPORT_SEATS    100000
#define IMPORTS_MAX     4 /* uploads at once, per worker */
#define TEXT_MAX        64

/* ---- the columns of a file ---- */

enum field { SECTION, ROW, NUMBER, PRICE, CURRENCY, FIELD_COUNT };
enum kind { KIND_TEXT, KIND_INT, KIND_CURRENCY };

static const struct {
    const char *name;
    enum kind kind;
    int64_t least, most;
} fields[FIELD_COUNT] = {
    [SECTION] = {"section", KIND_TEXT, 0, 0},       [ROW] = {"row", KIND_TEXT, 0, 0},
    [NUMBER] = {"number", KIND_INT, 1, 1000000},    [PRICE] = {"price", KIND_INT, 0, 1000000000000},
    [CURRENCY] = {"currency", KIND_CURRENCY, 0, 0},
};

struct api_import {
    bool refused; /* too many uploads at once: the body is thrown away */
    struct csv *csv;
    enum field field_of[FIELD_COUNT]; /* index: the column of the file */
    bool has_header;
    uint64_t
        blank_line; /* the first empty line; lines may be empty only at the end of the file. 0: none */
    size_t seats;
    struct buf columns[CURRENCY]; /* as array literals of PostgreSQL */
    char currency[4];
    struct { /* the first error; line 0: none */
        uint64_t line;
        char field[64];
        char detail[128];
    } error;
};

/* Stores the error. Always returns false. */
static bool refuse(struct api_import *import, uint64_t line, const char *field, const char *detail)
{
    /* The field may be a column name of the file. If it is too long, it is cut at the end of a UTF-8 character. */
    size_t len = strnlen(field, sizeof(import->error.field));
    while (len == sizeof(import->error.field) || (len > 0 && (field[len] & 0xc0) == 0x80))
        len--;
    import->error.line = line;
    (void)snprintf(import->error.field, sizeof(import->error.field), "%.*s", (int)len, field);
    (void)snprintf(import->error.detail, sizeof(import->error.detail), "%s", detail);
    return false;
}

static bool refuse_field(struct api_import *import, uint64_t line, enum field field)
{
    char detail[128];
    const char *name = fields[field].name;
    if (fields[field].kind == KIND_TEXT)
        (void)snprintf(detail, sizeof(detail), "%s must be a text of 1 to %d characters.", name,
                       TEXT_MAX);
    else if (fields[field].kind == KIND_CURRENCY)
        (void)snprintf(detail, sizeof(detail),
                       "currency must be three capital letters, such as EUR.");
    else
        (void)snprintf(detail, sizeof(detail),
                       "%s must be an integer from %" PRId64 " to %" PRId64 ".", name,
                       fields[field].least, fields[field].most);
    return refuse(import, line, name, detail);
}

/* ---- a row ---- */

static bool read_header(struct api_import *import, uint64_t line, const struct csv_cell *cells,
                        size_t count)
{
    bool given[FIELD_COUNT] = {false};
    for (size_t i = 0; i < count; i++) {
        enum field field = SECTION;
        while (field < FIELD_COUNT && strcmp(fields[field].name, cells[i].text) != 0)
            field++;
        if (field == FIELD_COUNT)
            return refuse(import, line, cells[i].text,
                          "There is no column of this name: the columns are section, row, number, "
                          "price and currency.");
        if (given[field])
            return refuse(import, line, cells[i].text, "This column is given twice.");
        given[field] = true;
        import->field_of[i] = field;
    }
    for (enum field field = SECTION; field < FIELD_COUNT; field++) {
        if (!given[field])
            return refuse(import, line, fields[field].name, "This column is needed.");
    }
    import->has_header = true;
    return true;
}

/* Like the texts of JSON bodies, it must not have control characters; U+0080 to U+009F are among them. */
static bool is_text(const struct csv_cell *cell)
{
    const unsigned char *at = (const unsigned char *)cell->text;
    size_t characters = 0;
    for (; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
            return false;
        characters += (*at & 0xc0) != 0x80;
    }
    return characters >= 1 && characters <= TEXT_MAX;
}

static bool is_int(const struct csv_cell *cell, int64_t least, int64_t most)
{
    if (cell->len == 0 || cell->len > 13 || strspn(cell->text, "0123456789") != cell->len)
        return false;
    const int64_t value = strtoll(cell->text, NULL, 10);
    return value >= least && value <= most;
}

/* Appends an element of an array literal of PostgreSQL. */
static void add_quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (size_t len; *text != '\0'; text += len) {
        if (*text == '"' || *text == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, *text++);
        }
        len = strcspn(text, "\"\\");
        buf_add(out, text, len);
    }
    buf_add_char(out, '"');
}

static bool read_cell(struct api_import *import, uint64_t line, enum field field,
                      const struct csv_cell *cell)
{
    if (field == CURRENCY) {
        if (cell->len != 3 || strspn(cell->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
            return refuse_field(import, line, field);
        if (import->currency[0] == '\0')
            memcpy(import->currency, cell->text, sizeof(import->currency));
        if (strcmp(import->currency, cell->text) != 0)
            return refuse(import, line, "currency",
                          "All seats of an event must have one currency.");
        return true;
    }
    struct buf *column = &import->columns[field];
    const bool good = fields[field].kind == KIND_TEXT
                          ? is_text(cell)
                          : is_int(cell, fields[field].least, fields[field].most);
    if (!good)
        return refuse_field(import, line, field);
    buf_add_char(column, column->len > 0 ? ',' : '{');
    if (fields[field].kind == KIND_TEXT)
        add_quoted(column, cell->text);
    else
        buf_add(column, cell->text, cell->len);
    return true;
}

static bool on_row(void *arg, uint64_t line, const struct csv_cell *cells, size_t count)
{
    struct api_import *import = arg;
    if (count == 1 && cells[0].len == 0 && import->has_header) {
        if (import->blank_line == 0)
            import->blank_line = line;
        return true;
    }
    if (import->blank_line > 0)
        return refuse(import, import->blank_line, "", "This line is empty.");
    if (!import->has_header)
        return read_header(import, line, cells, count);
    if (count < FIELD_COUNT)
        return refuse(import, line, fields[import->field_of[count]].name,
                      "This line has fewer cells than the header.");
    if (count > FIELD_COUNT)
        return refuse(import, line, "", "This line has more cells than the header.");
    if (++import->seats > IMPORT_SEATS)
        return refuse(import, line, "", "An event has at most 100,000 seats.");
    for (size_t i = 0; i < count; i++) {
        if (!read_cell(import, line, import->field_of[i], &cells[i]))
            return false;
    }
    return true;
}

/* ---- the file ---- */

bool api_sends_csv(const struct http_req *req)
{
    const char *type = http_req_header(req, "Content-Type");
    return type && strncasecmp(type, "text/csv", 8) == 0 &&
           (type[8] == '\0' || type[8] == ';' || type[8] == ' ');
}

static bool on_body(void *arg, struct http_req *req, const char *data, size_t len)
{
    struct api_call *call = arg;
    (void)req;
    return csv_feed(call->import->csv, data, len) == ST_OK;
}

void api_import_begin(struct api_call *call, bool allowed)
{
    struct api *api = call->api;
    struct api_import *import = NULL;
    if (allowed) {
        call->import = import = xcalloc(1, sizeof(*import));
        import->refused = api->imports == IMPORTS_MAX;
    }
    if (!import || import->refused) {
        http_req_stream_body(call->req, IMPORT_BODY_MAX, NULL, NULL);
        return;
    }
    api->imports++;
    import->csv = csv_new(on_row, import);
    for (size_t i = 0; i < CURRENCY; i++)
        buf_init(&import->columns[i], DB_PARAMS_MAX);
    http_req_stream_body(call->req, IMPORT_BODY_MAX, on_body, call);
}

/* Frees the columns, when they were sent to PostgreSQL or the request is over. */
static void import_clear(struct api_import *import)
{
    csv_free(import->csv);
    import->csv = NULL;
    for (size_t i = 0; i < CURRENCY; i++)
        buf_clear(&import->columns[i]);
}

void api_import_end(struct api_call *call)
{
    struct api_import *import = call->import;
    if (!import)
        return;
    if (!import->refused)
        call->api->imports--;
    import_clear(import);
    free(import);
    call->import = NULL;
}

/* Ends the file and closes the array literals. True: all of the file is valid. */
static bool import_complete(struct api_import *import)
{
    const enum status st = csv_end(import->csv);
    const struct csv_error *error = csv_error(import->csv);
    if (error->line > 0 && import->error.line == 0) {
        const bool known = import->has_header && error->column < FIELD_COUNT;
        (void)refuse(import, error->line, known ? fields[import->field_of[error->column]].name : "",
                     error->detail);
    }
    if (st == ST_OK && !import->has_header)
        (void)refuse(import, 1, "section", "A header line is needed.");
    else if (st == ST_OK && import->seats == 0)
        (void)refuse(import, 2, "", "The file has no seats.");
    for (size_t i = 0; i < CURRENCY; i++)
        buf_add_char(&import->columns[i], '}');
    return import->error.line == 0;
}

enum status api_import_store(struct api_call *call, const char *event, int64_t version,
                             reservation_cb cb)
{
    struct api_import *import = call->import;
    if (import->refused)
        return ST_FULL;
    if (!import_complete(import)) {
        struct json *more = json_new_object();
        json_set_int(more, "line", (int64_t)import->error.line);
        api_answer_problem(call, &(struct api_problem){.status = 400,
                                                       .code = "invalid",
                                                       .detail = import->error.detail,
                                                       .field = import->error.field,
                                                       .more = more});
        json_free(more);
        return ST_OK;
    }
    const struct buf *columns = import->columns;
    enum status st = ST_OK;
    for (size_t i = 0; i < CURRENCY && st == ST_OK; i++)
        st = buf_status(&columns[i]);
    if (st == ST_OK)
        st = reservation_import_seats(call->api->db,
                                      &(struct seat_import){
                                          .event = event,
                                          .actor = call->user.sub,
                                          .version = version,
                                          .sections = buf_str(&columns[SECTION]),
                                          .rows = buf_str(&columns[ROW]),
                                          .numbers = buf_str(&columns[NUMBER]),
                                          .prices = buf_str(&columns[PRICE]),
                                          .currency = import->currency,
                                      },
                                      cb, call);
    import_clear(import);
    return st;
}

/* ---- export ---- */

struct export_call {
    struct seat_cursor last; /* the last seat that was read; all zero: none yet */
    bool begun;              /* the answer has begun */
    const char *first;       /* the first piece, read before the answer began; NULL: sent */
    size_t first_len;
};

static const char header_line[] =
    "id,section,row,number,price,currency,status,reservationNumber,buyer,heldUntil\r\n";

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
        http_reply_piece(req, first, export->first_len, HTTP_PIECE_MORE);
        return;
    }
    const enum status st =
        reservation_export_seats(call->api->db, call->param, &export->last, export_paged, call);
    if (st != ST_OK)
        export_abort(call, st);
}

/* Begins the answer after the first page was read, so that a dead backend can still be answered with 503. */
static void export_begin(struct api_call *call, const char *lines, size_t len)
{
    struct export_call *export = call->state;
    char disposition[EVENT_ID_MAX + 64];
    char *first = http_req_alloc(call->req, sizeof(header_line) + len);
    memcpy(first, header_line, sizeof(header_line) - 1);
    if (len > 0)
        memcpy(first + sizeof(header_line) - 1, lines, len);
    export->first = first;
    export->first_len = sizeof(header_line) - 1 + len;
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
        export_begin(call, lines, len);
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
    call->state = http_req_alloc(call->req, sizeof(struct export_call));
    return api_staff_event(call, export_fetched);
}

const struct api_route api_csv_routes[] = {
    {"GET", "/api/admin/events/{eventId}/export.csv", AUTH_STAFF, API_OWNERS, export_start,
     API_BODY_NONE},
    {0},
};
