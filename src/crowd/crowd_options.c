/* SPDX-License-Identifier: MIT */
/* crowd_options: what a rehearsal was asked for: its table. Pure. Called by: crowd. */
#include "crowd/crowd_options.h"

#include "auth/token.h"
#include "base/options.h"

#include <string.h>

#define AT(field) offsetof(struct crowd_options, field)
#define DAY_MS    OPTIONS_DAY_MS

static const struct option_row options[] = {
    {"users", OPT_COUNT, AT(users), 1, CROWD_USERS_MAX, NULL, "N", "how many buyers (required)"},
    {"processes", OPT_COUNT, AT(processes), 1, CROWD_PROCESSES_MAX, NULL, "N",
     "share them among so many processes; by default as many as the limit of open files asks for"},
    {"connections", OPT_COUNT, AT(connections), 1, CROWD_USERS_MAX, NULL, "N",
     "they share so many HTTP connections in all, kept open, as behind an ingress; by default each "
     "has his own"},
    {"event", OPT_TEXT, AT(event), 0, 0, NULL, "ID", "the event (required)"},
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
     "who has to wait opens his socket so long after his answer; by default at once"},
    {"buy", OPT_SHARE, AT(buy), 0, 0, "0.8", "SHARE",
     "of those who enter, this share reserves and pays"},
    {"abandon", OPT_SHARE, AT(abandon), 0, 0, "0.1", "SHARE",
     "this share leaves again; the rest goes silent until it is evicted"},
    {"think", OPT_RANGE, AT(think_min_ms), 0, DAY_MS, "0.2s..2s", "A..B",
     "how long they think once inside"},
    {"max-time", OPT_DURATION, AT(max_time_ms), 1000, DAY_MS, "15m", "TIME",
     "ends by then, whatever happens"},
    {"seed", OPT_COUNT, AT(seed), 0, INT64_MAX, "1", "N", "of every choice the buyers make"},
    {"json", OPT_TEXT, AT(json), 0, 0, NULL, "FILE", "writes the report there as JSON too"},
    {"guests", OPT_FLAG, AT(guests), 0, 0, NULL, NULL,
     "guests by cookie, even where JWT_SECRET is set"},
    {"no-sockets", OPT_FLAG, AT(no_sockets), 0, 0, NULL, NULL,
     "they poll their status and open no WebSocket"},
    {"no-check", OPT_FLAG, AT(no_check), 0, 0, NULL, NULL,
     "does not read Redis and PostgreSQL (REDIS_URL, DATABASE_URL): fewer promises are checked"},
    {"allow-remote", OPT_FLAG, AT(allow_remote), 0, 0, NULL, NULL,
     "the service may be on another machine"},
    {"strict", OPT_FLAG, AT(strict), 0, 0, NULL, NULL,
     "what had to be tried again counts as an error"},
    {"help", OPT_FLAG, AT(help), 0, 0, NULL, NULL, "this text"},
    {0},
};

void crowd_options_help(FILE *out)
{
    (void)fputs(
        "usage: tiketi crowd --users N --event ID --provider URL [option…]\n\n"
        "A rehearsal: N virtual buyers arrive over real HTTP and WebSocket, wait, enter, reserve,\n"
        "and pay or give up. Ends with a report: how long it took, and whether the promises were\n"
        "kept. Exit code 1 when one was broken or a request failed.\n\n",
        out);
    options_help(options, out);
    (void)fputs(
        "\nBuyers are users signed with JWT_SECRET where that is set, else guests. Times: 250ms, "
        "5s,\n15m, 1h.\n",
        out);
}

enum status crowd_options_parse(int argc, char **argv, struct crowd_options *ret_options,
                                char *error, size_t error_size)
{
    struct crowd_options out = {0};
    struct options_error refused = {""};
    const enum status st = options_parse(options, argc, argv, &out, &refused);
    const char *missing = st != ST_OK ? refused.text : NULL;
    if (st != ST_OK)
        out.help = false;
    else if (out.users == 0)
        missing = "--users N is required";
    else if (out.event == NULL || !token_is_event_id(out.event, strlen(out.event)))
        missing = "--event ID is required: 1 to 64 of A-Z a-z 0-9 _ -";
    else if (out.buy + out.abandon > 1.0 + 1e-9)
        missing = "--buy and --abandon are shares of the same buyers: together at most 1";
    else if (out.buy > 0 && out.provider == NULL)
        missing = "paying needs --provider URL (or --buy 0)";
    if (missing != NULL && !out.help) {
        (void)snprintf(error, error_size, "%s", missing);
        return ST_INVALID;
    }
    *ret_options = out;
    return ST_OK;
}
