/* SPDX-License-Identifier: MIT */
/*
 * mail_text: writes the mail about a purchase in the buyer's language.
 *
 * Why this way: plain text, so that it reads the same in every program and no picture is loaded; base64, so that no server
 * on the way changes a line; names in the header as encoded words (RFC 2047). The Message-ID is that of the outbox, the
 * same in every attempt, so that a mailbox that gets the mail twice can show it once.
 * Called by: mailer. Pure.
 */
#include "processor/mail_text.h"

#include "base/base64url.h"
#include "base/clock.h"
#include "base/email.h"
#include "base/locale.h"
#include "base/utf8.h"
#include "page/messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BODY_MAX   (64 * 1024)
#define WORD_BYTES 45 /* of text in an encoded word, which has at most 75 characters */
#define LINE_BYTES 57 /* of text in a line of base64 of 76 characters */

/* ---- header ---- */

static void add_base64(struct buf *out, const char *data, size_t len)
{
    const size_t from = out->len;
    base64url_encode(data, len, out);
    for (char *c = out->data + from; out->len > from && c < out->data + out->len; c++) {
        if (*c == '-')
            *c = '+';
        else if (*c == '_')
            *c = '/';
    }
    for (size_t i = len; i % 3 != 0; i++)
        buf_add_char(out, '=');
}

/* Adds text of people to a header line: as it is, or as encoded words, each on a line of its own. */
static void add_words(struct buf *out, const char *text)
{
    const size_t len = strlen(text);
    bool plain = len < 200 && !strstr(text, "=?");
    for (size_t i = 0; i < len; i++)
        plain = plain && text[i] >= ' ' && text[i] <= '~';
    if (plain) {
        buf_add(out, text, len);
        return;
    }
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        for (size_t c; at + n < len && (c = utf8_len(text + at + n, len - at - n)) > 0; n += c) {
            if (n + c > WORD_BYTES)
                break;
        }
        if (n == 0)
            return;
        buf_add_str(out, at > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
        add_base64(out, text + at, n);
        buf_add_str(out, "?=");
        at += n;
    }
}

static void add_address(struct buf *out, const char *name, const char *address)
{
    bool ascii = true;
    for (const char *c = name; *c != '\0'; c++)
        ascii = ascii && *c >= ' ' && *c <= '~';
    if (name[0] != '\0') {
        buf_add_str(out, ascii ? "\"" : ""); /* email_read_named refuses quotes and backslashes */
        add_words(out, name);
        buf_add_str(out, ascii ? "\" " : " ");
    }
    buf_printf(out, "<%s>", address);
}

static void add_date(struct buf *out, int64_t ms)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    (void)gmtime_r(&seconds, &t);
    buf_printf(out, "%.3s, %02d %.3s %d %02d:%02d:%02d +0000", days + 3 * t.tm_wday, t.tm_mday,
               months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* ---- body ---- */

static void add_line(struct buf *out, const char *text)
{
    if (text && *text != '\0') {
        buf_add_str(out, text);
        buf_add_str(out, "\r\n");
    }
}

static void add_message(struct buf *out, enum language language, const char *key, const char *name,
                        const char *value)
{
    message_write(out, language, key, (const struct message_value[]){{name, value}, {NULL, NULL}});
    buf_add_str(out, "\r\n");
}

static const char *write_money(struct buf *out, enum language language, const struct json *owner,
                               const char *member)
{
    const char *currency = json_str(owner, "currency");
    buf_reset(out);
    locale_money(out, language, json_int(owner, member, 0), currency ? currency : "");
    return buf_str(out);
}

static void add_event(struct buf *out, enum language language, const struct json *event)
{
    const char *zone = json_str(event, "timeZone"), *starts = json_str(event, "startsAt");
    int64_t ms;
    add_line(out, json_str(event, "title"));
    add_line(out, json_str(event, "artist"));
    if (starts && clock_parse_rfc3339(starts, &ms) == ST_OK) {
        locale_time(out, language, zone ? zone : "", ms, LOCALE_FULL);
        buf_add_str(out, " (");
        locale_time(out, language, zone ? zone : "", ms, LOCALE_ZONE);
        buf_add_str(out, ")\r\n");
    }
    add_line(out, json_str(event, "venue"));
}

static void add_seats(struct buf *out, enum language language, const struct json *seats)
{
    struct buf seat_text, price;
    buf_init(&seat_text, 4096);
    buf_init(&price, 128);
    for (size_t i = 0; i < json_array_len(seats); i++) {
        const struct json *seat = json_array_at(seats, i);
        char number[24];
        (void)snprintf(number, sizeof(number), "%" PRId64, json_int(seat, "number", 0));
        const struct message_value name[] = {{"section", json_str(seat, "section")},
                                             {"row", json_str(seat, "row")},
                                             {"number", number},
                                             {NULL, NULL}};
        buf_reset(&seat_text);
        message_write(&seat_text, language, "seat_name", name);
        buf_add_str(out, "- ");
        message_write(
            out, language, "mail_seat",
            (const struct message_value[]){{"seat", buf_str(&seat_text)},
                                           {"price", write_money(&price, language, seat, "price")},
                                           {NULL, NULL}});
        buf_add_str(out, "\r\n");
    }
    buf_clear(&seat_text);
    buf_clear(&price);
}

static void write_body(const struct mail_text *text, enum language language, struct buf *out)
{
    const struct json *reservation = json_get(text->mail, "reservation");
    const char *ticket = json_str(json_get(text->mail, "payload"), "ticket");
    const char *number = json_str(reservation, "reservationNumber");
    struct buf total;
    char shown[32] = ""; /* in two groups, as the ticket's page shows it */
    if (number && strlen(number) > 4)
        (void)snprintf(shown, sizeof(shown), "%.4s-%.20s", number, number + 4);
    if (json_bool(json_get(text->mail, "event"), "rehearsal", false)) {
        add_message(out, language, "rehearsal", NULL, NULL);
        buf_add_str(out, "\r\n");
    }
    add_message(out, language, "mail_lead", NULL, NULL);
    buf_add_str(out, "\r\n");
    add_event(out, language, json_get(text->mail, "event"));
    buf_add_str(out, "\r\n");
    add_message(out, language, "mail_number", "number", shown);
    add_seats(out, language, json_get(reservation, "seats"));
    buf_init(&total, 128);
    add_message(out, language, "mail_total", "total",
                write_money(&total, language, reservation, "totalAmount"));
    buf_clear(&total);
    buf_add_str(out, "\r\n");
    if (ticket && text->public_url) {
        add_message(out, language, "mail_tickets", NULL, NULL);
        buf_printf(out, "%s%s/ticket/%s\r\n\r\n", text->public_url, text->path_prefix, ticket);
        add_message(out, language, "mail_keep", NULL, NULL);
        buf_add_str(out, "\r\n");
    }
    add_message(out, language, "mail_why", NULL, NULL);
}

/* ---- the whole ---- */

enum status mail_text_write(const struct mail_text *text, struct buf *out)
{
    const struct json *mail = text->mail;
    const char *id = json_str(mail, "messageId"), *to = json_str(mail, "recipient");
    const char *created = json_str(mail, "createdAt"), *code = json_str(mail, "language");
    const char *title = json_str(json_get(mail, "event"), "title");
    char address[EMAIL_SIZE];
    enum language language = LANGUAGE_EN;
    struct buf body, subject;
    int64_t ms;
    if (!id || !to || !created || !title || !json_get(mail, "reservation") ||
        email_read(to, address) != ST_OK || address[0] == '\0' ||
        clock_parse_rfc3339(created, &ms) != ST_OK)
        return ST_INVALID;
    if (code)
        (void)language_parse(code, strlen(code), &language);
    buf_init(&body, BODY_MAX);
    buf_init(&subject, 4096);
    message_write(&subject, language, "mail_subject",
                  (const struct message_value[]){{"title", title}, {NULL, NULL}});
    write_body(text, language, &body);

    buf_add_str(out, "Date: ");
    add_date(out, ms);
    buf_add_str(out, "\r\nFrom: ");
    add_address(out, text->from_name, text->from_address);
    buf_printf(out, "\r\nTo: <%s>\r\nMessage-ID: <%s%s>\r\nSubject: ", address, id,
               strchr(text->from_address, '@'));
    add_words(out, buf_str(&subject));
    buf_printf(out,
               "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: base64\r\nContent-Language: %s\r\n"
               "Auto-Submitted: auto-generated\r\n\r\n",
               language_code(language));
    for (size_t at = 0; at < body.len; at += LINE_BYTES) {
        add_base64(out, body.data + at, body.len - at < LINE_BYTES ? body.len - at : LINE_BYTES);
        buf_add_str(out, "\r\n");
    }
    const enum status st = body.failed || subject.failed ? ST_TOO_LARGE : buf_status(out);
    buf_clear(&body);
    buf_clear(&subject);
    return st;
}
