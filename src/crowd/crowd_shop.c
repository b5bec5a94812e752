/* SPDX-License-Identifier: MIT */
/*
 * crowd_shop: reports the health of a shop that slows down.
 *
 *   every REPORT_MS: POST …/health -> the answer says how many are inside and what the threshold is -> the next report
 *
 * Why this way: the whole loop is real but the shop: the service's own route, its scripts and its lease holder. The
 * answer to a report has the number inside, so that nothing else is asked.
 * Called by: crowd, in its first process. Owns: one connection at a time. Without an answer the next report is due all
 * the same.
 */
#include "crowd/crowd_shop.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "queue/feedback.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOW_MS    1000.0
#define REPORT_MS  2000
#define ANSWER_MAX 65536
#define TOKEN_MS   60000

struct crowd_shop {
    struct crowd *crowd;
    struct loop_timer *timer;
    struct dial *conn;
    double inside; /* as the last answer said */
    struct buf text;
};

static void hang_up(struct crowd_shop *shop)
{
    dial_close(shop->conn);
    shop->conn = NULL;
}

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_shop *shop = arg;
    struct crowd_tally *tally = &shop->crowd->tally;
    struct json *body = json_parse(answer->body, answer->len, ANSWER_MAX, NULL);
    if (answer->code == 200) {
        const int64_t threshold = json_int(body, "threshold", 0);
        shop->inside = (double)json_int(body, "currentUsers", 0);
        crowd_samples_add(&tally->shop_inside, (uint64_t)shop->inside);
        crowd_samples_add(&tally->shop_threshold, (uint64_t)threshold);
    } else {
        crowd_notes_add(&tally->failures, "the shop's report was refused", "%u %s", answer->code,
                        json_str(body, "detail") ? json_str(body, "detail") : "");
    }
    json_free(body);
    hang_up(shop);
}

static void on_end(void *arg, enum dial_end end, unsigned close_code)
{
    struct crowd_shop *shop = arg;
    (void)end, (void)close_code;
    shop->conn = NULL;
}

static void report(void *arg)
{
    static const struct dial_ops ops = {.on_answer = on_answer, .on_end = on_end};
    struct crowd_shop *shop = arg;
    struct crowd *crowd = shop->crowd;
    const struct dial_target *target = &crowd->http[0];
    char body[64];
    loop_timer_set(shop->timer, REPORT_MS);
    hang_up(shop);
    const double p95 = feedback_shop_p95_ms(shop->inside, (double)crowd->options->shop, SLOW_MS);
    const int len = snprintf(body, sizeof(body), "{\"p95Ms\":%.1f,\"errorRate\":0}", p95);
    crowd->tally.shop_reports++;
    crowd->tally.shop_slow += p95 > SLOW_MS;
    buf_reset(&crowd->token);
    buf_reset(&shop->text);
    if (token_write_user(crowd->keys, "tiketi-crowd", "admin", clock_wall_ms(), TOKEN_MS,
                         &crowd->token) != ST_OK)
        return;
    buf_printf(&shop->text,
               "POST %s/api/admin/events/%s/health HTTP/1.1\r\nHost: %s\r\nUser-Agent: "
               "tiketi-crowd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
               "Authorization: Bearer %s\r\n\r\n%s",
               target->path, crowd->options->event, target->host, len, buf_str(&crowd->token),
               body);
    if (buf_status(&shop->text) != ST_OK)
        return;
    shop->conn = dial_open(crowd->net, target, 0, &ops, shop);
    dial_request(shop->conn, buf_str(&shop->text), shop->text.len);
}

struct crowd_shop *crowd_shop_new(struct crowd *crowd)
{
    struct crowd_shop *shop = xcalloc(1, sizeof(*shop));
    shop->crowd = crowd;
    buf_init(&shop->text, 8192);
    shop->timer = loop_timer_new(crowd->loop, report, shop);
    loop_timer_set(shop->timer, 0);
    return shop;
}

void crowd_shop_stop(struct crowd_shop *shop)
{
    if (!shop)
        return;
    loop_timer_stop(shop->timer);
    hang_up(shop);
}

void crowd_shop_free(struct crowd_shop *shop)
{
    if (!shop)
        return;
    loop_timer_close(shop->timer);
    buf_clear(&shop->text);
    free(shop);
}
