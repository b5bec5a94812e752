/* SPDX-License-Identifier: MIT */
/*
 * api_csv: the seats of a hall from a CSV file, read while it arrives.
 *
 *   head -> (piece of body -> csv -> columns)* -> role, owner and If-Match -> seats_import, one transaction: all or
 *   nothing. Rows of empty cells are skipped.
 *
 * Why this way: the file is never whole in memory. Its seats are, in the columns that PostgreSQL takes, so at most
 * IMPORTS_MAX uploads run at once; a further one gets 503. Up to ERRORS_MAX errors are collected, so that a file is
 * mended in one go; the rows without errors are checked by PostgreSQL as well when nothing but a check is wanted. A refused
 * file is still read to its end, because clients do not read an answer while they send.
 * Called by: api (heads and ends of requests), api_hall. Owns: the import of a call until its request is done. With
 * PostgreSQL gone: an import changes nothing.
 */
#include "api/api_internal.h"

#include "base/csv.h"
#include "base/locale.h"
#include "base/memory.h"
#include "base/text.h"
#include "selling/reservation.h"
#include "selling/seat_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IMPORT_BODY_MAX (16 * 1024 * 1024)
#define IMPORT_SEATS    100000
#define IMPORTS_MAX     4   /* uploads at once, per worker */
#define ERRORS_MAX      100 /* of a file */

/* ---- the columns of a file ---- */

enum field { SECTION, ROW, NUMBER, PRICE, CURRENCY, FIELD_COUNT, IGNORED = FIELD_COUNT };
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

/* What an export has besides (api_export.c): the import passes over it. */
static const char *const export_only[] = {
    "id",       "status",           "blockReason", "reservationNumber", "reservationId",
    "buyer",    "heldUntil",        "soldAt",      "soldFor",           "paidAt",
    "provider", "paymentReference", "timeZone"};

/* From this seat on, the first is 1, each is so many lines further down than its number. */
struct line_of {
    uint32_t seat, further;
};

struct file_error {
    uint64_t line;
    struct json_error why; /* field: the column; "": the whole line */
};

struct api_import {
    bool refused; /* too many uploads at once: the body is thrown away */
    struct csv *csv;
    enum field field_of[CSV_CELLS_MAX]; /* index: the column of the file */
    size_t column_count;                /* 0: the header has not come */
    bool ignores;                       /* the file has columns of export_only */
    bool any;                           /* the file is not empty */
    bool broken;                        /* the rest of the file cannot be read */
    char separator;                     /* of the cells; '\0': a file of one column */
    size_t seats;                       /* without those that have errors */
    uint32_t further;             /* how many lines further down than its number the last seat is */
    struct buf lines;             /* struct line_of for each change of `further`, ascending */
    struct buf columns[CURRENCY]; /* as array literals of PostgreSQL */
    char currency[4];
    struct buf errors; /* struct file_error, at most ERRORS_MAX, in the order of lines */
};

static size_t error_count(const struct api_import *import)
{
    return import->errors.len / sizeof(struct file_error);
}

/* Adds an error. Always returns false. */
static bool add_error(struct api_import *import, uint64_t line, const struct json_error *why)
{
    const struct file_error error = {.line = line, .why = *why};
    if (error_count(import) < ERRORS_MAX)
        buf_add(&import->errors, &error, sizeof(error));
    return false;
}

/* The same; the field may be a column name of the file. */
static bool refuse(struct api_import *import, uint64_t line, const char *field, const char *reason,
                   const char *message)
{
    struct json_error why;
    char column[64];
    size_t len = strnlen(field, sizeof(column));
    /* If it is too long, it is cut at the end of a UTF-8 character. */
    while (len == sizeof(column) || (len > 0 && (field[len] & 0xc0) == 0x80))
        len--;
    (void)snprintf(column, sizeof(column), "%.*s", (int)len, field);
    (void)json_refuse(&why, column, reason, "%s", message);
    return add_error(import, line, &why);
}

/* An error after which the rest of the file cannot be read. */
static bool give_up(struct api_import *import, uint64_t line, const char *field, const char *reason,
                    const char *message)
{
    import->broken = true;
    return refuse(import, line, field, reason, message);
}

/* ---- a price that is none ---- */

/* The price that a text such as "150,000", "₩150000" or "12.50" means, in minor units; -1: it cannot be told. A last
 * comma or point with one or two digits behind it is the decimal one. */
static int64_t meant_price(const char *text, int decimals)
{
    char whole[16] = "", part[3] = "";
    const char *point = NULL;
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        const size_t digits = strspn(at + 1, "0123456789");
        if ((*at == '.' || *at == ',') && digits >= 1 && digits <= 2 && at[1 + digits] == '\0')
            point = at;
    }
    for (const char *at = text; *at != '\0' && at != point; at++) {
        if (*at == '-' || *at == '(')
            return -1;
        if (*at >= '0' && *at <= '9' && len + 1 < sizeof(whole))
            whole[len++] = *at;
    }
    if (point)
        (void)snprintf(part, sizeof(part), "%s", point + 1);
    if (len == 0 || len > 12 || (decimals < (int)strlen(part) && strspn(part, "0") != strlen(part)))
        return -1;
    int64_t value = strtoll(whole, NULL, 10);
    for (int i = 0; i < decimals; i++)
        value = 10 * value + (i < (int)strlen(part) ? part[i] - '0' : 0);
    return value <= fields[PRICE].most ? value : -1;
}

static bool refuse_price(struct api_import *import, uint64_t line, const char *text,
                         const char *currency)
{
    struct json_error why;
    const int decimals = locale_currency_decimals(currency);
    const int64_t meant = decimals < 0 ? -1 : meant_price(text, decimals);
    const char *unit = decimals < 0 ? "the currency" : currency;
    if (strlen(text) == strspn(text, "0123456789") || meant < 0)
        (void)json_refuse(
            &why, "price", "not-a-price",
            "price must be an integer from 0 to 1000000000000, in the smallest unit of %s, "
            "without separators and signs.",
            unit);
    else
        (void)json_refuse(
            &why, "price", "price-with-separators",
            "price must be an integer in the smallest unit of %s, without separators and "
            "signs: write %" PRId64 ".",
            unit, meant);
    return add_error(import, line, &why);
}

static bool refuse_field(struct api_import *import, uint64_t line, enum field field)
{
    struct json_error why;
    const char *name = fields[field].name;
    if (fields[field].kind == KIND_TEXT)
        (void)json_refuse(&why, name, "seat-name", "%s" SEAT_NAME_RULE, name);
    else
        (void)json_refuse(&why, name, "not-in-range",
                          "%s must be an integer from %" PRId64 " to %" PRId64 ".", name,
                          fields[field].least, fields[field].most);
    return add_error(import, line, &why);
}

/* ---- a row ---- */

#define CELL_SIZE (TEXT_BYTES(SEAT_NAME_MAX) + 1)

/* Writes the clean form of a cell to `out`. False: it is too long, or has a character that no text may have. */
static bool read_text(const struct csv_cell *cell, char out[CELL_SIZE])
{
    return text_clean(TEXT_NAME, cell->text, cell->len, SEAT_NAME_MAX, out) == ST_OK;
}

static bool is_empty(const struct csv_cell *cells, size_t count)
{
    char text[CELL_SIZE];
    size_t i = 0;
    while (i < count && read_text(&cells[i], text) && text[0] == '\0')
        i++;
    return i == count;
}

/* "section", "row" …; FIELD_COUNT: it is none of them. */
static enum field field_named(const char *name)
{
    enum field field = SECTION;
    while (field < FIELD_COUNT && strcmp(fields[field].name, name) != 0)
        field++;
    return field;
}

static bool is_export_only(const char *name)
{
    for (size_t i = 0; i < sizeof(export_only) / sizeof(export_only[0]); i++) {
        if (strcmp(export_only[i], name) == 0)
            return true;
    }
    return false;
}

/* Is it the last name of a header to which the next line was joined, such as "currencyVIP"? */
static bool is_joined(const char *name)
{
    for (enum field field = SECTION; field < FIELD_COUNT; field++) {
        if (strncmp(name, fields[field].name, strlen(fields[field].name)) == 0)
            return true;
    }
    return false;
}

#define ONE_LINE                                                                                   \
    "All lines have arrived as one: curl -d removes the line ends, so send the file with "         \
    "--data-binary."

static bool read_header(struct api_import *import, uint64_t line, const struct csv_cell *cells,
                        size_t count)
{
    bool given[FIELD_COUNT] = {false};
    for (size_t i = 0; i < count; i++) {
        char name[CELL_SIZE];
        const bool is_text = read_text(&cells[i], name);
        const enum field field = is_text ? field_named(name) : FIELD_COUNT;
        import->field_of[i] = field;
        if (field == FIELD_COUNT && is_text && is_export_only(name)) {
            import->ignores = true;
            continue;
        }
        if (field == FIELD_COUNT && is_text && count > FIELD_COUNT && is_joined(name))
            return give_up(import, line, "", "one-line", ONE_LINE);
        if (field == FIELD_COUNT)
            return give_up(import, line, cells[i].text, "unknown-column",
                           "There is no column of this name: the columns are section, row, number, "
                           "price and currency.");
        if (given[field])
            return give_up(import, line, cells[i].text, "named-twice",
                           "This column is given twice.");
        given[field] = true;
    }
    for (enum field field = SECTION; field < FIELD_COUNT; field++) {
        if (!given[field])
            return give_up(import, line, fields[field].name, "needed", "This column is needed.");
    }
    import->column_count = count;
    return true;
}

static bool is_int(const char *text, int64_t least, int64_t most)
{
    const size_t len = strlen(text);
    if (len == 0 || len > 13 || strspn(text, "0123456789") != len)
        return false;
    const int64_t value = strtoll(text, NULL, 10);
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

/* Takes away the apostrophes that an export has put in front of what a spreadsheet would run as a formula (csv_text in
 * sql/functions/common.sql). */
static void remove_guards(char *text)
{
    static const char *const formulas[] = {"-", "=", "+", "@", "＝", "＋", "－", "＠"};
    char *out = text;
    for (const char *at = text; *at != '\0'; at++) {
        bool guard = *at == '\'' && (at == text || at[-1] == ';');
        if (guard) {
            guard = false;
            for (size_t i = 0; i < sizeof(formulas) / sizeof(formulas[0]); i++)
                guard = guard || strncmp(at + 1, formulas[i], strlen(formulas[i])) == 0;
        }
        if (!guard)
            *out++ = *at;
    }
    *out = '\0';
}

/* Checks the cells of a seat, by field. */
static bool check_seat(struct api_import *import, uint64_t line, char text[FIELD_COUNT][CELL_SIZE],
                       const bool is_text[FIELD_COUNT])
{
    struct json_error why;
    bool good = true;
    for (enum field field = SECTION; field <= ROW; field++) {
        if (is_text[field])
            remove_guards(text[field]);
        if (!is_text[field] || text[field][0] == '\0')
            good = refuse_field(import, line, field);
    }
    if (!is_text[NUMBER] || !is_int(text[NUMBER], fields[NUMBER].least, fields[NUMBER].most))
        good = refuse_field(import, line, NUMBER);
    if (!is_text[PRICE] || !is_int(text[PRICE], fields[PRICE].least, fields[PRICE].most))
        good = refuse_price(import, line, text[PRICE], text[CURRENCY]);
    if (strcmp(text[CURRENCY], import->currency) == 0 && import->currency[0] != '\0')
        return good;
    if (seat_currency_check(text[CURRENCY], "currency", &why) != ST_OK)
        return add_error(import, line, &why);
    if (import->currency[0] != '\0') {
        (void)json_refuse(&why, "currency", "other-currency",
                          "All seats of an event have one currency; the seats before have %s.",
                          import->currency);
        return add_error(import, line, &why);
    }
    memcpy(import->currency, text[CURRENCY], sizeof(import->currency));
    return good;
}

static void add_seat(struct api_import *import, uint64_t line, char text[FIELD_COUNT][CELL_SIZE])
{
    if (line - ++import->seats != import->further) {
        import->further = (uint32_t)(line - import->seats);
        const struct line_of here = {(uint32_t)import->seats, import->further};
        buf_add(&import->lines, &here, sizeof(here));
    }
    for (enum field field = SECTION; field < CURRENCY; field++) {
        struct buf *column = &import->columns[field];
        buf_add_char(column, column->len > 0 ? ',' : '{');
        if (fields[field].kind == KIND_TEXT)
            add_quoted(column, text[field]);
        else
            buf_add_str(column, text[field]);
    }
}

static void read_seat(struct api_import *import, uint64_t line, const struct csv_cell *cells)
{
    char text[FIELD_COUNT][CELL_SIZE] = {""};
    bool is_text[FIELD_COUNT] = {false};
    for (size_t i = 0; i < import->column_count; i++) {
        const enum field field = import->field_of[i];
        if (field == IGNORED)
            continue;
        is_text[field] = read_text(&cells[i], text[field]);
        if (!is_text[field])
            text[field][0] = '\0';
    }
    if (check_seat(import, line, text, is_text))
        add_seat(import, line, text);
}

static bool on_row(void *arg, uint64_t line, const struct csv_cell *cells, size_t count)
{
    struct api_import *import = arg;
    const size_t columns = import->column_count;
    if (is_empty(cells, count)) /* spreadsheets write them between and after the seats */
        return true;
    if (columns == 0)
        return read_header(import, line, cells, count);
    if (count < columns) {
        const enum field field = import->field_of[count];
        (void)refuse(import, line, field == IGNORED ? "" : fields[field].name, "cells-missing",
                     "This line has fewer cells than the header.");
    } else if (count > columns) {
        (void)refuse(import, line, "", "cells-too-many",
                     "This line has more cells than the header: a price is written without "
                     "separators, 150000 and not 150,000.");
    } else if (import->seats == IMPORT_SEATS) {
        return give_up(import, line, "", "seats-too-many", "An event has at most 100,000 seats.");
    } else {
        read_seat(import, line, cells);
    }
    return error_count(import) < ERRORS_MAX;
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
    call->import->any = call->import->any || len > 0;
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
    import->further = 1; /* the header */
    buf_init(&import->lines, IMPORT_SEATS * sizeof(struct line_of));
    buf_init(&import->errors, ERRORS_MAX * sizeof(struct file_error));
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
    buf_clear(&import->lines);
    buf_clear(&import->errors);
    free(import);
    call->import = NULL;
}

/* Ends the file and closes the array literals. */
static void import_complete(struct api_import *import)
{
    const enum status st = csv_end(import->csv);
    const struct csv_error *error = csv_error(import->csv);
    import->separator = csv_separator(import->csv);
    if (error->line > 0) {
        const bool known = error->column < import->column_count;
        const enum field field = known ? import->field_of[error->column] : IGNORED;
        const bool is_header = import->column_count == 0 && error->column == CSV_CELLS_MAX;
        (void)give_up(import, error->line, field == IGNORED ? "" : fields[field].name,
                      is_header ? "one-line" : error->reason, is_header ? ONE_LINE : error->detail);
    }
    if (st == ST_OK && import->column_count == 0)
        (void)give_up(import, 1, import->any ? "section" : "",
                      import->any ? "header-needed" : "file-empty",
                      import->any ? "A header line is needed." : "The file is empty.");
    else if (st == ST_OK && import->seats == 0 && error_count(import) == 0)
        (void)give_up(import, 2, "", "no-seats", "The file has no seats.");
    for (size_t i = 0; i < CURRENCY; i++)
        buf_add_str(&import->columns[i], import->columns[i].len > 0 ? "}" : "{}");
}

/* ---- the answer ---- */

/* The line of the file that has the seat of this number, from 1. */
static int64_t line_of_seat(const struct api_import *import, int64_t seat)
{
    struct line_of noted = {0, 1};
    for (size_t at = 0; at < import->lines.len; at += sizeof(noted)) {
        struct line_of next;
        memcpy(&next, import->lines.data + at, sizeof(next));
        if (next.seat > seat)
            break;
        noted = next;
    }
    return seat + noted.further;
}

static struct json *new_error(const struct file_error *of)
{
    struct json *error = json_new_object();
    json_set_int(error, "line", (int64_t)of->line);
    json_set_str(error, "field", of->why.field);
    json_set_str(error, "message", of->why.detail);
    json_set_reason(error, &of->why);
    return error;
}

/* Joins the errors of the file and those of PostgreSQL (NULL: none), both in the order of their lines. New. */
static struct json *merge_errors(const struct api_import *import, struct json *found)
{
    struct json *out = json_new_array();
    struct file_error error;
    size_t at = 0, i = 0;
    while (json_array_len(out) < ERRORS_MAX &&
           (at < import->errors.len || i < json_array_len(found))) {
        struct json *other = json_element(found, i);
        const int64_t seat = json_int(other, "seat", 0);
        const int64_t line = seat > 0 ? line_of_seat(import, seat) : INT64_MAX;
        if (at < import->errors.len)
            memcpy(&error, import->errors.data + at, sizeof(error));
        if (at < import->errors.len && (!other || (int64_t)error.line <= line)) {
            json_append(out, new_error(&error));
            at += sizeof(error);
        } else {
            json_remove(other, "seat");
            if (seat > 0)
                json_set_int(other, "line", line);
            json_append(out, json_new_copy(other));
            i++;
        }
    }
    return out;
}

/* Answers with the first error, and all of them in `errors`. */
static void answer_errors(struct api_call *call, unsigned status, const char *code,
                          struct json *errors)
{
    char detail[1024];
    const struct json *first = json_array_at(errors, 0);
    const int64_t line = json_int(first, "line", 0);
    struct json *more = json_new_object();
    if (line > 0)
        json_set_int(more, "line", line);
    json_set(more, "errors", errors);
    if (json_has(first, "reason"))
        json_set(more, "reason", json_new_copy(json_get(first, "reason")));
    if (json_has(first, "values"))
        json_set(more, "values", json_new_copy(json_get(first, "values")));
    if (line > 0)
        (void)snprintf(detail, sizeof(detail), "Line %" PRId64 ": %s", line,
                       json_str(first, "message"));
    else
        (void)snprintf(detail, sizeof(detail), "%s", json_str(first, "message"));
    api_answer_problem(call, &(struct api_problem){.status = status,
                                                   .code = code,
                                                   .detail = detail,
                                                   .field = json_str(first, "field"),
                                                   .more = more});
    json_free(more);
}

enum status api_import_store(struct api_call *call, struct seat_import *order, reservation_cb cb)
{
    struct api_import *import = call->import;
    if (import->refused)
        return ST_FULL;
    import_complete(import);
    if (error_count(import) > 0 && !order->only_checks) {
        answer_errors(call, 400, "invalid", merge_errors(import, NULL));
        return ST_OK;
    }
    const struct buf *columns = import->columns;
    enum status st = ST_OK;
    for (size_t i = 0; i < CURRENCY && st == ST_OK; i++)
        st = buf_status(&columns[i]);
    order->sections = buf_str(&columns[SECTION]);
    order->rows = buf_str(&columns[ROW]);
    order->numbers = buf_str(&columns[NUMBER]);
    order->prices = buf_str(&columns[PRICE]);
    order->currency = import->seats > 0 ? import->currency : NULL;
    if (st == ST_OK)
        st = reservation_import_seats(call->api->db, order, cb, call);
    import_clear(import);
    return st;
}

void api_import_answer(struct api_call *call, enum status status, const char *outcome,
                       const char *json, size_t len)
{
    static const char *const names[] = {"comma", "semicolon", "tab"};
    const struct api_import *import = call->import;
    struct json *body = json ? json_parse(json, len, len, NULL) : NULL;
    struct json *found = json_member(body, "errors");
    if (!body || (status != ST_OK && !found)) {
        api_answer_outcome(call, status, 201, outcome, json, len);
    } else if (status != ST_OK) {
        answer_errors(call, status == ST_CONFLICT ? 409 : 400, outcome,
                      merge_errors(import, found));
    } else {
        const bool checked = strcmp(outcome, "checked") == 0;
        if (checked) {
            struct json *errors = merge_errors(import, found);
            json_set(body, "errors", errors);
            json_set_bool(body, "complete", !import->broken && json_array_len(errors) < ERRORS_MAX);
        }
        json_set_str(body, "separator",
                     names[import->separator == ';'    ? 1
                           : import->separator == '\t' ? 2
                                                       : 0]);
        json_set_bool(body, "isExport", import->ignores);
        api_answer_json(call, checked ? 200 : 201, body);
    }
    json_free(body);
}
