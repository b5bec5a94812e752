/* SPDX-License-Identifier: MIT */
/*
 * ctl_hall: `ctl seats …`: counts an event's seats, imports them and corrects them.
 *
 * Why this way: the file goes to the service as it is, which alone knows what a hall may be; --check asks it beforehand.
 * What takes seats away is asked first. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_hall.h"

#include "base/count.h"
#include "ctl/ctl_http.h"
#include "ctl/ctl_print.h"
#include "ctl/ctl_seat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (16u << 20) /* the service takes no larger one */
#define IMPORT_S 600L        /* such a file over a slow line */

/* ---- count ---- */

/* "€50.00", or "€50.00 to €90.00". */
static const char *prices(const struct json *section, const char *currency, char *out)
{
    char low[CTL_CELL_SIZE], high[CTL_CELL_SIZE];
    const int64_t from = json_int(section, "priceFrom", 0), to = json_int(section, "priceTo", 0);
    (void)ctl_money(from, currency, low);
    (void)snprintf(out, CTL_CELL_SIZE, "%.100s%s%.100s", low, from != to ? " to " : "",
                   from != to ? ctl_money(to, currency, high) : "");
    return out;
}

static void add_section(struct ctl_table *table, const char *name, const struct json *section,
                        const char *currency)
{
    static const char *const counts[] = {"rows", "seats", "free", "held", "sold", "blocked"};
    char texts[6][COUNT_SIZE], price[CTL_CELL_SIZE] = "", revenue[CTL_CELL_SIZE];
    const char *cells[9] = {name};
    for (size_t i = 0; i < 6; i++) {
        if (json_has(section, counts[i]))
            cells[i + 1] = count_write(json_int(section, counts[i], 0), texts[i]);
    }
    cells[7] = json_has(section, "priceFrom") ? prices(section, currency, price) : "";
    cells[8] = ctl_money(json_int(section, "revenue", 0), currency, revenue);
    ctl_table_add(table, cells);
}

static void print_money(const char *name, const struct json *total, const char *key,
                        const char *currency)
{
    char text[CTL_CELL_SIZE];
    if (json_int(total, key, 0) > 0)
        (void)printf("%s: %s\n", name, ctl_money(json_int(total, key, 0), currency, text));
}

static void print_sections(const struct json *answer)
{
    static const char *const heads[] = {"section", ">rows",    ">seats", ">free",   ">held",
                                        ">sold",   ">blocked", ">price", ">revenue"};
    const struct json *sections = json_get(answer, "sections"), *total = json_get(answer, "total");
    const char *currency = json_str(answer, "currency");
    struct ctl_table *table = ctl_table_new(heads, 9);
    for (size_t i = 0; i < json_array_len(sections); i++) {
        const struct json *section = json_array_at(sections, i);
        add_section(table, json_str(section, "section"), section, currency);
    }
    add_section(table, "in all", total, currency);
    ctl_table_print(table);
    print_money("refunded", total, "refunded", currency);
    print_money("refunds due", total, "refundDue", currency);
}

int ctl_seats(struct ctl_run *run)
{
    struct ctl_answer answer;
    const enum ctl_exit exit = ctl_http(
        run, &(struct ctl_request){.method = "GET", .event = run->args[0], .rest = "/sections"},
        &answer);
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(answer.json);
    else if (exit == CTL_OK)
        print_sections(answer.json);
    ctl_answer_clear(&answer);
    return (int)exit;
}

/* ---- import ---- */

/* CTL_USAGE: the file cannot be read, and that was told. */
static enum ctl_exit read_file(const struct ctl_run *run, const char *path, struct buf *out)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    char part[65536];
    int error = file ? 0 : errno;
    for (size_t len; file && (len = fread(part, 1, sizeof(part), file)) > 0;)
        buf_add(out, part, len);
    if (file && ferror(file))
        error = errno;
    if (file && !standard)
        (void)fclose(file);
    if (error != 0) /* one thread; NOLINTNEXTLINE(concurrency-mt-unsafe) */
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s: %s", path, strerror(error));
    if (buf_status(out) != ST_OK)
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s is larger than 16 MiB", path);
    return CTL_OK;
}

/* Tells all errors of the file, a line each. */
static void tell_errors(const struct ctl_run *run, const struct json *body)
{
    const struct json *errors = json_get(body, "errors");
    const size_t count = json_array_len(errors);
    (void)ctl_fail(run, CTL_REFUSED, "%s: %zu error%s%s; no seat was changed", run->args[1], count,
                   count == 1 ? "" : "s",
                   json_bool(body, "complete", true) ? "" : ", and perhaps more");
    for (size_t i = 0; i < count; i++) {
        const struct json *error = json_array_at(errors, i);
        const int64_t line = json_int(error, "line", 0);
        char message[CTL_CELL_SIZE], field[CTL_CELL_SIZE];
        (void)ctl_text(json_get(error, "message"), message);
        (void)ctl_text(json_get(error, "field"), field);
        if (line > 0)
            (void)fprintf(stderr, "line %lld: ", (long long)line);
        (void)fprintf(stderr, "%s%s%s%s\n", message, *field ? " (" : "", field, *field ? ")" : "");
    }
}

/* The hall that it would be. Prices without a currency, as in the file. */
static void print_preview(const struct json *answer)
{
    static const char *const heads[] = {"section", ">rows", ">seats", ">longest row", ">price"};
    const struct json *sections = json_get(answer, "sections");
    char rows[COUNT_SIZE], seats[COUNT_SIZE], longest[COUNT_SIZE], price[CTL_CELL_SIZE];
    struct ctl_table *table = ctl_table_new(heads, 5);
    for (size_t i = 0; i < json_array_len(sections); i++) {
        const struct json *section = json_array_at(sections, i);
        const char *const cells[] = {
            json_str(section, "section"), count_write(json_int(section, "rows", 0), rows),
            count_write(json_int(section, "seats", 0), seats),
            count_write(json_int(section, "widestRow", 0), longest), prices(section, NULL, price)};
        ctl_table_add(table, cells);
    }
    ctl_table_print(table);
    (void)printf("it would have %s seats\n", count_write(json_int(answer, "seats", 0), seats));
}

static void print_stored(const struct ctl_run *run, const struct json *answer)
{
    (void)printf("%s: %lld seats added", run->args[0], (long long)json_int(answer, "added", 0));
    if (json_has(answer, "removed"))
        (void)printf(", %lld removed, %lld changed", (long long)json_int(answer, "removed", 0),
                     (long long)json_int(answer, "changed", 0));
    (void)printf(", %lld in all, version %lld\n", (long long)json_int(answer, "seats", 0),
                 (long long)json_int(answer, "version", 0));
}

/* --version as an If-Match; "": not given. */
static const char *if_match(const struct ctl_run *run, char out[CTL_ETAG_SIZE])
{
    out[0] = '\0';
    if (run->options.version)
        (void)snprintf(out, CTL_ETAG_SIZE, "\"%.40s\"", run->options.version);
    return out;
}

int ctl_seats_import(struct ctl_run *run)
{
    const struct ctl_options *options = &run->options;
    struct ctl_answer answer;
    struct buf file;
    char rest[64], version[CTL_ETAG_SIZE];
    if (options->replace && !options->check && !ctl_confirm(run, "make this file all of its hall"))
        return CTL_USAGE;
    buf_init(&file, FILE_MAX);
    enum ctl_exit exit = read_file(run, run->args[1], &file);
    if (exit != CTL_OK) {
        buf_clear(&file);
        return (int)exit;
    }
    (void)snprintf(rest, sizeof(rest), "/seats?replace=%d&check=%d", (int)options->replace,
                   (int)options->check);
    exit = ctl_http(run,
                    &(struct ctl_request){.method = "POST",
                                          .event = run->args[0],
                                          .rest = rest,
                                          .text = buf_str(&file),
                                          .text_len = file.len,
                                          .type = "text/csv",
                                          .seconds = IMPORT_S,
                                          .if_match = if_match(run, version),
                                          .quiet = true},
                    &answer);
    const bool wrong = json_array_len(json_get(answer.json, "errors")) > 0;
    if (wrong)
        tell_errors(run, answer.json);
    else
        ctl_http_tell(run, &answer, exit);
    if (options->json && (wrong || exit == CTL_OK))
        ctl_print_json(answer.json);
    else if (exit == CTL_OK && options->check)
        print_preview(answer.json);
    else if (exit == CTL_OK)
        print_stored(run, answer.json);
    if (exit == CTL_OK && wrong) /* of a check: the file would be refused */
        exit = CTL_REFUSED;
    ctl_answer_clear(&answer);
    buf_clear(&file);
    return (int)exit;
}

/* ---- correct ---- */

int ctl_seats_correct(struct ctl_run *run)
{
    static const struct {
        const char *verb, *done;
    } words[] = {{"block", "blocked"},
                 {"unblock", "unblocked"},
                 {"reprice", "repriced"},
                 {"rename", "renamed"},
                 {"remove", "removed"}};
    const char *verb = strchr(run->name, ' ') + 1, *done = "changed";
    struct ctl_answer answer;
    char error[200], rest[32], version[CTL_ETAG_SIZE];
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        done = strcmp(verb, words[i].verb) == 0 ? words[i].done : done;
    struct json *body = ctl_seat_body(&run->options, error, sizeof(error));
    if (!body)
        return ctl_fail(run, CTL_USAGE, "%s", error);
    if (strcmp(verb, "reprice") == 0)
        json_set_int(body, "price", run->options.price);
    if (strcmp(verb, "remove") == 0 && !ctl_confirm(run, "remove these seats of it")) {
        json_free(body);
        return CTL_USAGE;
    }
    (void)snprintf(rest, sizeof(rest), "/seats/%s", verb);
    const enum ctl_exit exit = ctl_http(run,
                                        &(struct ctl_request){.method = "POST",
                                                              .event = run->args[0],
                                                              .rest = rest,
                                                              .body = body,
                                                              .if_match = if_match(run, version)},
                                        &answer);
    if (exit == CTL_OK && run->options.json)
        ctl_print_json(answer.json);
    else if (exit == CTL_OK)
        (void)printf("%s: %lld seats %s, %lld in all, version %lld\n", run->args[0],
                     (long long)json_int(answer.json, "changed", 0), done,
                     (long long)json_int(answer.json, "seats", 0),
                     (long long)json_int(answer.json, "version", 0));
    ctl_answer_clear(&answer);
    json_free(body);
    return (int)exit;
}
