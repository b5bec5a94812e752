/* SPDX-License-Identifier: MIT */
/* crowd_options: the options of a rehearsal. Pure. Called by: crowd. */
#include "crowd/crowd_options.h"

#include "auth/token.h"

#include <string.h>

#define AT(field) offsetof(struct crowd_options, field)
#define DAY_MS    OPTIONS_DAY_MS

const struct option_row crowd_option_rows[] = {
    {"users", OPT_COUNT | OPT_REQUIRED, AT(users), 1, CROWD_USERS_MAX, NULL, "N",
     "how many buyers"},
    {"processes", OPT_COUNT, AT(processes), 1, CROWD_PROCESSES_MAX, NULL, "N",
     "share them among so many processes; by default as many as the limit of open files asks for"},
    {"connections", OPT_COUNT, AT(connections), 1, CROWD_USERS_MAX, NULL, "N",
     "they share so many HTTP connections in all, kept open, as behind an ingress; by default each "
     "has their own"},
    {"event", OPT_TEXT | OPT_REQUIRED, AT(event), 0, 0, NULL, "ID", "the event"},
    {"url", OPT_TEXT, AT(url), 0, 0, NULL, "URL",
     "the service; default http://127.0.0.1:HTTP_PORT; several, comma-separated: pods, taken in "
     "turns"},
    {"provider", OPT_TEXT, AT(provider), 0, 0, NULL, "URL",
     "the payment provider (`tiketi provider`); needed unless --buy 0"},
    {"ws", OPT_TEXT, AT(ws), 0, 0, NULL, "URL",
     "its sockets, likewise; default ws://(host of the url):WS_PORT/ws"},
    {"arrive", OPT_DURATION, AT(arrive_ms), 0, DAY_MS, "5s", "TIME",
     "they arrive spread over this time"},
    {"settle", OPT_RANGE, AT(settle_min_ms), 0, DAY_MS, "0", "A..B",
     "a waiting buyer opens their socket, or polls first, so long after the answer; by default at "
     "once"},
    {"buy", OPT_SHARE, AT(buy), 0, 0, "0.8", "SHARE",
     "this share of the admitted buyers reserves and pays"},
    {"abandon", OPT_SHARE, AT(abandon), 0, 0, "0.1", "SHARE",
     "this share leaves again; the rest goes silent until it is evicted"},
    {"sleep", OPT_SHARE, AT(sleep), 0, 0, "0", "SHARE",
     "this share of the waiting buyers closes the page somewhere in the queue, and comes back"},
    {"asleep", OPT_RANGE, AT(asleep_min_ms), 0, DAY_MS, "2m..3m", "A..B", "after so long"},
    {"think", OPT_RANGE, AT(think_min_ms), 0, DAY_MS, "0.2s..2s", "A..B",
     "how long they think once inside"},
    {"shop", OPT_COUNT, AT(shop), 1, CROWD_USERS_MAX, NULL, "N",
     "a shop reports its health, which is slow with more than N buyers inside; the event needs "
     "thresholdMin, and JWT_SECRETS must be set"},
    {"max-time", OPT_DURATION, AT(max_time_ms), 1000, DAY_MS, "15m", "TIME",
     "ends by then, whatever happens"},
    {"seed", OPT_COUNT, AT(seed), 0, INT64_MAX, "1", "N", "of every choice the buyers make"},
    {"json", OPT_TEXT, AT(json), 0, 0, NULL, "FILE", "writes the report there as JSON too"},
    {"history", OPT_TEXT, AT(history), 0, 0, NULL, "FILE",
     "writes each request, answer and message there, a line of JSON each; with several processes "
     "to "
     "FILE.0, FILE.1 ..."},
    {"guests", OPT_FLAG, AT(guests), 0, 0, NULL, NULL,
     "guests by cookie, even where JWT_SECRETS is set"},
    {"no-sockets", OPT_FLAG, AT(no_sockets), 0, 0, NULL, NULL,
     "they poll their status and open no WebSocket"},
    {"no-check", OPT_FLAG, AT(no_check), 0, 0, NULL, NULL,
     "does not read Redis and PostgreSQL (REDIS_URL, DATABASE_URL): fewer promises are checked"},
    {"allow-remote", OPT_FLAG, AT(allow_remote), 0, 0, NULL, NULL,
     "the service may be on another machine"},
    {"strict", OPT_FLAG, AT(strict), 0, 0, NULL, NULL,
     "what had to be tried again counts as an error"},
    {0},
};

enum status crowd_options_check(const struct crowd_options *options, struct options_error *error)
{
    if (!token_is_event_id(options->event, strlen(options->event)))
        return options_refuse(error, "--event must have 1 to 64 characters of A-Z a-z 0-9 _ -");
    if (options->buy + options->abandon > 1.0 + 1e-9)
        return options_refuse(
            error, "--buy and --abandon are shares of the same buyers: at most 1 together");
    if (options->buy > 0 && !options->provider)
        return options_refuse(error, "--provider URL is required, unless --buy is 0");
    return ST_OK;
}
