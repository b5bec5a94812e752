/* SPDX-License-Identifier: MIT */
/*
 * ctl_print: tables and lists on the terminal.
 *
 * Why this way: what organizers and buyers wrote is shown, so control characters never reach the terminal, and widths
 * are counted as the terminal does, where a Korean letter takes two columns.
 * Called by: ctl_event, ctl_forecast, ctl_hall, ctl_record, ctl_top. Owns: tables until they are printed.
 */
#include "ctl/ctl_print.h"

#include "base/locale.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct ctl_table {
    const char *const *heads;
    size_t columns, rows;
    char **cells; /* columns of each row */
};

/* Columns on the terminal. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    mbstate_t state = {0};
    wchar_t letter;
    for (size_t len; *text != '\0'; text += len) {
        /* safe with a state of its own; NOLINTNEXTLINE(concurrency-mt-unsafe) */
        len = mbrtowc(&letter, text, strlen(text), &state);
        if (len == (size_t)-1 || len == (size_t)-2) { /* not UTF-8, or not the terminal's */
            len = 1;
            letter = L'?';
            state = (mbstate_t){0};
        }
        const int columns = wcwidth(letter);
        width += columns > 0 ? (size_t)columns : 0;
    }
    return width;
}

/* C0, DEL and C1: terminals may obey them. */
static void hide_controls(char *text)
{
    unsigned char *at = (unsigned char *)text;
    for (; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            at[0] = at[1] = '?';
    }
}

struct ctl_table *ctl_table_new(const char *const *heads, size_t columns)
{
    struct ctl_table *table = xcalloc(1, sizeof(*table));
    table->heads = heads;
    table->columns = columns;
    return table;
}

void ctl_table_add(struct ctl_table *table, const char *const *cells)
{
    const size_t used = table->rows * table->columns;
    table->cells = xrealloc(table->cells, (used + table->columns) * sizeof(*table->cells));
    for (size_t i = 0; i < table->columns; i++) {
        table->cells[used + i] = xstrdup(cells[i] ? cells[i] : "");
        hide_controls(table->cells[used + i]);
    }
    table->rows++;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    const size_t own = width_of(text), pad = width > own ? width - own : 0;
    if (right)
        (void)printf("%*s%s", (int)pad, "", text);
    else
        (void)printf("%s%*s", text, last ? 0 : (int)pad, "");
    (void)fputs(last ? "\n" : "  ", stdout);
}

void ctl_table_print(struct ctl_table *table)
{
    for (size_t row = 0; row <= table->rows; row++) { /* row 0: the heads */
        for (size_t i = 0; i < table->columns; i++) {
            const bool right = table->heads[i][0] == '>';
            const char *head = table->heads[i] + right;
            size_t width = width_of(head);
            for (size_t r = 0; r < table->rows; r++) {
                const size_t cell = width_of(table->cells[r * table->columns + i]);
                width = cell > width ? cell : width;
            }
            print_cell(row == 0 ? head : table->cells[(row - 1) * table->columns + i], width, right,
                       i + 1 == table->columns);
        }
    }
    ctl_table_free(table);
}

void ctl_table_free(struct ctl_table *table)
{
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

const char *ctl_text(const struct json *value, char *out)
{
    struct buf text;
    out[0] = '\0';
    if (!value || json_is_null(value))
        return out;
    const char *string = json_str_value(value);
    buf_init(&text, 1u << 20);
    if (string)
        buf_add_str(&text, string);
    else
        json_write(value, &text);
    (void)snprintf(out, CTL_CELL_SIZE, "%s", buf_str(&text));
    buf_clear(&text);
    hide_controls(out);
    return out;
}

const char *ctl_money(int64_t amount, const char *currency, char *out)
{
    struct buf text;
    buf_init(&text, CTL_CELL_SIZE - 1);
    if (currency)
        locale_money(&text, LANGUAGE_EN, amount, currency);
    else
        buf_add_int(&text, amount);
    (void)snprintf(out, CTL_CELL_SIZE, "%s", buf_str(&text));
    buf_clear(&text);
    return out;
}

static void print_member(void *arg, const char *key, const struct json *value)
{
    const char *outer = arg;
    char name[CTL_CELL_SIZE], text[CTL_CELL_SIZE];
    (void)snprintf(name, sizeof(name), "%s%s%s", outer, *outer ? "." : "", key);
    if (json_is_object(value)) {
        json_each(value, print_member, name);
        return;
    }
    if (*ctl_text(value, text) != '\0')
        (void)printf("%-26s %s\n", name, text);
}

void ctl_print_members(const struct json *object)
{
    char none[] = "";
    json_each(object, print_member, none);
}

void ctl_print_json(const struct json *value)
{
    struct buf text;
    buf_init(&text, 64u << 20);
    json_write(value, &text);
    (void)printf("%s\n", buf_str(&text));
    buf_clear(&text);
}
