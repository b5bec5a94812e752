/* SPDX-License-Identifier: MIT */
/*
 * mailer: the sender of the outbox.
 *
 *   claim   every second, and when a mail has ended: as many mails as there are free connections
 *   send    compose (mail_text) -> smtp_client -> outbox_sent | outbox_failed
 *   upkeep  every 10 s: parks, deletes and counts
 *
 * Why this way: what is claimed is sent at once, so a claim of two minutes is longer than an attempt may take (MAIL_MS),
 * and no other pod sends the mail meanwhile. A server that cannot be reached stops the claims of this pod for a growing
 * time, so that an hour without it does not use up the attempts of ten thousand mails.
 * Called by: worker, beside the processor. Owns: the connections to the mail server, the mails under way.
 * PostgreSQL gone: nothing is claimed. The mail server gone: mails wait in the outbox; no purchase waits for them.
 */
#include "processor/mailer.h"

#include "base/email.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/http_client.h"
#include "net/smtp_client.h"
#include "processor/mail_text.h"
#include "selling/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS    8
#define MAIL_MS        45000  /* for one mail */
#define CLAIM_MS       120000 /* far above MAIL_MS */
#define CLAIM_EVERY_MS 1000
#define UPKEEP_MS      10000
#define UPKEEP_LIMIT   1000
#define PAUSE_MAX_MS   60000
#define CLOSE_MS       3000
#define CLAIMED_MAX    (1 << 20) /* bytes of a claim's JSON */
#define MAIL_SIZE      (256 * 1024)

struct mailer {
    struct mailer_opts opts;
    char from_name[EMAIL_NAME_SIZE], from_address[EMAIL_SIZE];
    struct http_client *http;
    struct smtp_client *smtp; /* NULL: MAIL_URL is not set */
    struct loop_timer *claim_timer, *upkeep_timer, *close_timer;
    bool claiming, keeping;
    unsigned sending;  /* mails that the server has not answered yet */
    unsigned pending;  /* outstanding callbacks of the database */
    uint64_t pause_ms; /* the last pause; 0: the server is reached */
    bool warned;       /* mail waits and MAIL_URL is not set */
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* A claimed mail on its way. */
struct letter {
    struct mailer *mailer;
    char id[24], claim[40], event[65];
    int64_t attempts;
};

/* ---- the end ---- */

static void mailer_gone(void *arg)
{
    struct mailer *mailer = arg;
    const loop_cb cb = mailer->close_cb;
    void *cb_arg = mailer->close_arg;
    loop_timer_close(mailer->close_timer);
    smtp_client_close(mailer->smtp);
    http_client_close(mailer->http);
    free(mailer);
    if (cb)
        cb(cb_arg);
}

static void collect(struct mailer *mailer)
{
    if (mailer->closing && mailer->sending == 0 && mailer->pending == 0)
        loop_defer(mailer->opts.loop, &mailer->closed);
}

/* Gives up the mails that the server has not answered: they are due again when their claims end. */
static void close_late(void *arg)
{
    struct mailer *mailer = arg;
    struct smtp_client *smtp = mailer->smtp;
    mailer->smtp = NULL;
    smtp_client_close(smtp);
    collect(mailer);
}

/* ---- the outcome of a mail ---- */

static void recorded(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    struct letter *letter = arg;
    struct mailer *mailer = letter->mailer;
    (void)json, (void)len;
    mailer->pending--;
    if (status == ST_OK && strcmp(outcome, "parked") == 0) {
        metrics_add(METRIC_MAILS_PARKED, 1);
        if (!mailer->closing)
            loop_timer_set(mailer->upkeep_timer, 0); /* counts it for the metrics at once */
        log_error("mail parked", LOG_TEXT("id", letter->id), LOG_TEXT("event", letter->event),
                  LOG_NUM("attempts", letter->attempts));
    } else if (status != ST_OK) { /* it is due again when its claim ends */
        log_warn("outcome of a mail not recorded", LOG_TEXT("id", letter->id),
                 LOG_TEXT("status", status_name(status)));
    }
    free(letter);
    collect(mailer);
}

/* Records the outcome; `letter` is freed when that is done. */
static void record(struct letter *letter, enum status status, const char *error)
{
    struct mailer *mailer = letter->mailer;
    struct db *db = mailer->opts.db;
    const struct outbox_failure failure = {letter->id, letter->claim, error, status == ST_CONFLICT};
    const enum status st = status == ST_OK          ? outbox_sent(db, letter->id, recorded, letter)
                           : status == ST_NOT_FOUND ? outbox_drop(db, letter->id, recorded, letter)
                                                    : outbox_failed(db, &failure, recorded, letter);
    mailer->pending++;
    if (st != ST_OK)
        recorded(letter, st, NULL, NULL, 0);
}

/* A server that does not answer, or takes no mail at all, is left alone for 1 s, 2 s, 4 s … at most a minute. */
static void note_reached(struct mailer *mailer, bool reached)
{
    const uint64_t next = mailer->pause_ms == 0 ? 1000 : 2 * mailer->pause_ms;
    if (!reached && mailer->pause_ms == 0)
        log_warn("mail server not reached, mail waits in the outbox");
    if (reached && mailer->pause_ms > 0)
        log_info("mail server reached again");
    mailer->pause_ms = reached ? 0 : next < PAUSE_MAX_MS ? next : PAUSE_MAX_MS;
    if (!mailer->closing)
        loop_timer_set(mailer->claim_timer, mailer->pause_ms);
}

static void on_answer(void *arg, enum status status, unsigned code, const char *error)
{
    struct letter *letter = arg;
    struct mailer *mailer = letter->mailer;
    char reason[160];
    mailer->sending--;
    if (!mailer->smtp && status != ST_OK) { /* close_late has given it up */
        free(letter);
        collect(mailer);
        return;
    }
    metrics_add(status == ST_OK ? METRIC_MAILS_SENT : METRIC_MAILS_FAILED, 1);
    if (status == ST_OK)
        log_info("mail sent", LOG_TEXT("id", letter->id), LOG_TEXT("event", letter->event),
                 LOG_NUM("attempts", letter->attempts));
    else
        log_warn("mail not sent", LOG_TEXT("id", letter->id), LOG_TEXT("event", letter->event),
                 LOG_NUM("attempts", letter->attempts), LOG_NUM("reply", code),
                 LOG_TEXT("status", status_name(status)), LOG_TEXT("step", error));
    (void)snprintf(reason, sizeof(reason), "%s, reply %u: %s", status_name(status), code, error);
    note_reached(mailer, status == ST_OK || status == ST_CONFLICT || status == ST_BUSY);
    record(letter, status, reason);
}

/* ---- sending ---- */

/* Sends one of the mails of a claim. */
static void send_mail(struct mailer *mailer, const struct json *mail, const char *claim)
{
    const char *id = json_str(mail, "id"), *event = json_str(json_get(mail, "event"), "id");
    const char *state = json_str(json_get(mail, "reservation"), "status");
    struct letter *letter;
    struct buf data;
    if (!id || strlen(id) >= sizeof(letter->id) || !event || !claim)
        return;
    letter = xcalloc(1, sizeof(*letter));
    letter->mailer = mailer;
    letter->attempts = json_int(mail, "attempts", 0);
    (void)snprintf(letter->id, sizeof(letter->id), "%s", id);
    (void)snprintf(letter->claim, sizeof(letter->claim), "%s", claim);
    (void)snprintf(letter->event, sizeof(letter->event), "%s", event);
    if (!state ||
        strcmp(state, "confirmed") != 0) { /* refunded meanwhile: the mail would be wrong */
        log_info("mail dropped, its purchase was refunded", LOG_TEXT("id", id),
                 LOG_TEXT("event", event));
        record(letter, ST_NOT_FOUND, NULL);
        return;
    }
    buf_init(&data, MAIL_SIZE);
    const struct mail_text text = {.mail = mail,
                                   .from_name = mailer->from_name,
                                   .from_address = mailer->from_address,
                                   .path_prefix = config_prefix(mailer->opts.config),
                                   .public_url = mailer->opts.config->public_url};
    enum status st = mail_text_write(&text, &data);
    const bool written = st == ST_OK;
    if (written)
        st = smtp_client_send(mailer->smtp,
                              &(struct smtp_mail){.from = mailer->from_address,
                                                  .to = json_str(mail, "recipient"),
                                                  .data = buf_str(&data),
                                                  .len = data.len},
                              on_answer, letter);
    buf_clear(&data);
    if (st == ST_OK) {
        mailer->sending++;
        return;
    }
    log_error("mail not written", LOG_TEXT("id", id), LOG_TEXT("event", event),
              LOG_TEXT("status", status_name(st)));
    record(letter, written ? ST_BUSY : ST_CONFLICT, "not written");
}

static void claimed(void *arg, enum status status, const char *outcome, const char *body,
                    size_t len)
{
    struct mailer *mailer = arg;
    (void)outcome;
    mailer->claiming = false;
    mailer->pending--;
    if (status == ST_OK && !mailer->closing) {
        struct json *result = json_parse(body, len, CLAIMED_MAX, NULL);
        const struct json *mails = json_get(result, "mails");
        for (size_t i = 0; i < json_array_len(mails); i++)
            send_mail(mailer, json_array_at(mails, i), json_str(result, "claim"));
        json_free(result);
    }
    collect(mailer);
}

static void on_claim(void *arg)
{
    struct mailer *mailer = arg;
    const unsigned capacity = smtp_client_capacity(mailer->smtp);
    loop_timer_set(mailer->claim_timer, CLAIM_EVERY_MS);
    /* After a failure one mail tries whether the server is there. */
    if (mailer->claiming || capacity == 0 || (mailer->pause_ms > 0 && mailer->sending > 0) ||
        outbox_claim(mailer->opts.db, "confirmation", mailer->pause_ms > 0 ? 1 : capacity, CLAIM_MS,
                     claimed, mailer) != ST_OK)
        return;
    mailer->claiming = true;
    mailer->pending++;
}

/* ---- upkeep ---- */

static void kept(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct mailer *mailer = arg;
    (void)outcome;
    mailer->keeping = false;
    mailer->pending--;
    if (status != ST_OK) {
        collect(mailer);
        return;
    }
    struct json *result = json_parse(body, len, CLAIMED_MAX, NULL);
    const int64_t pending = json_int(result, "pending", 0);
    const int64_t parked_now = json_int(result, "parkedNow", 0);
    metrics_set(GAUGE_OUTBOX_PENDING, (double)pending);
    metrics_set(GAUGE_OUTBOX_PARKED, (double)json_int(result, "parked", 0));
    metrics_set(GAUGE_OUTBOX_AGE, (double)json_int(result, "oldestSeconds", 0));
    metrics_add(METRIC_MAILS_PARKED, (uint64_t)parked_now);
    if (parked_now > 0)
        log_error("mail parked, no pod could send it for three days", LOG_NUM("mails", parked_now));
    if (pending > 0 && !mailer->smtp && !mailer->warned && !mailer->closing)
        log_warn("mail waits in the outbox, MAIL_URL is not set", LOG_NUM("mails", pending));
    mailer->warned = pending > 0;
    json_free(result);
    collect(mailer);
}

static void on_upkeep(void *arg)
{
    struct mailer *mailer = arg;
    loop_timer_set(mailer->upkeep_timer, UPKEEP_MS);
    if (mailer->keeping || outbox_upkeep(mailer->opts.db, UPKEEP_LIMIT, kept, mailer) != ST_OK)
        return;
    mailer->keeping = true;
    mailer->pending++;
}

/* ---- life ---- */

enum status mailer_new(const struct mailer_opts *opts, struct mailer **ret)
{
    const struct config *config = opts->config;
    struct mailer *mailer = xcalloc(1, sizeof(*mailer));
    mailer->opts = *opts;
    mailer->closed = (struct loop_task){.cb = mailer_gone, .arg = mailer};
    const struct http_client_opts http = {.loop = opts->loop,
                                          .at_once = CONNECTIONS,
                                          .queue_max = CONNECTIONS,
                                          .allow = config->outbound_allow,
                                          .ca_file = config->mail_ca_file};
    const enum status st = http_client_new(&http, &mailer->http);
    if (st != ST_OK) {
        free(mailer);
        return st;
    }
    mailer->upkeep_timer = loop_timer_new(opts->loop, on_upkeep, mailer);
    loop_timer_set(mailer->upkeep_timer, 0);
    if (config->mail_url &&
        email_read_named(config->mail_from, mailer->from_name, mailer->from_address) == ST_OK) {
        mailer->smtp =
            smtp_client_new(&(struct smtp_client_opts){.loop = opts->loop,
                                                       .http = mailer->http,
                                                       .url = config->mail_url,
                                                       .tls_required = config->mail_tls_required,
                                                       .connections = CONNECTIONS,
                                                       .timeout_ms = MAIL_MS});
        mailer->claim_timer = loop_timer_new(opts->loop, on_claim, mailer);
        loop_timer_set(mailer->claim_timer, 0);
    }
    *ret = mailer;
    return ST_OK;
}

void mailer_close(struct mailer *mailer, loop_cb cb, void *arg)
{
    mailer->closing = true;
    mailer->close_cb = cb;
    mailer->close_arg = arg;
    loop_timer_close(mailer->claim_timer);
    loop_timer_close(mailer->upkeep_timer);
    mailer->claim_timer = mailer->upkeep_timer = NULL;
    mailer->close_timer = loop_timer_new(mailer->opts.loop, close_late, mailer);
    const uint64_t grace_ms = (uint64_t)mailer->opts.config->drain_ms / 4;
    loop_timer_set(mailer->close_timer, grace_ms < CLOSE_MS ? grace_ms : CLOSE_MS);
    collect(mailer);
}
