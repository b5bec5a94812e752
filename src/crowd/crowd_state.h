/* SPDX-License-Identifier: MIT */
/*
 * crowd_state: the data of a rehearsal: what all buyers share, and what each of them remembers. The crowd's other
 * files work on it.
 */
#ifndef TIKETI_CROWD_STATE_H
#define TIKETI_CROWD_STATE_H

#include "auth/token.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/table.h"
#include "client/agenda.h"
#include "client/dial.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_tally.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* Called at the end of a step: ST_OK, or why it failed. */
typedef void (*crowd_done_cb)(void *arg, enum status status);

struct crowd_buyer {
    struct crowd *crowd;
    struct table_node node; /* in the crowd's roster, by buyer id */
    struct agenda_item due; /* the buyer's only timer */
    struct dial *http, *socket;
    const struct dial_target *asked;           /* the target that `http` is connected to */
    char *guest, *ticket, *pass, *reservation; /* NULL until known; guest: the cookie */
    char *order, *reference; /* of the payment; `order` only until it is charged */

    uint64_t place, epoch; /* as in the ticket */
    uint64_t lowest;       /* the lowest position shown; 0: none */
    uint64_t
        sleeps_at; /* a sleeper closes the page at this position or a lower one; 0: not again */
    uint64_t first_position;
    uint64_t asked_ns;       /* when the request under way was made, by clock_mono_ns */
    uint64_t think_until_ms; /* when to act, by loop_now_ms */
    uint64_t heard_ms;       /* when the socket last had a message or ping, by loop_now_ms */

    struct replay_witness witness;
    int64_t out_since_ms; /* wall clock when the buyer got out of touch; 0: in touch */
    int64_t entry_ms;     /* wall clock when the entry message came; 0: none has */

    /* the buyer's last admission in the log */
    int64_t admitted_ms; /* 0: never admitted */
    uint64_t admitted_place, admitted_epoch, admitted_n;

    /* the first estimate of each confidence, ESTIMATE_HIGH and ESTIMATE_LOW: when it was told (wall clock; 0: none was), and
     * the seconds */
    int64_t told_ms[2];
    uint32_t told_s[2];

    uint64_t seat_sum; /* sum of crowd_seat_hash over the buyer's seats */
    uint8_t seat_count;

    uint8_t state;             /* enum buyer_state */
    uint8_t plan, step, waits; /* enums crowd_plan, crowd_step, crowd_waits */
    uint16_t attempts;         /* failures and refusals in a row: how long to wait */
    uint16_t unanswered;       /* failures in a row */
    bool queued;               /* the first answer told the buyer to wait */
    bool direct;               /* the first answer admitted the buyer */
    bool pushed;               /* the entry came as a message on the socket */
    bool joined;               /* the socket under way has answered join-queue */
    bool
        settled; /* has had a socket with an answer to join-queue; --no-sockets: has waited --settle */
    bool log_inside;   /* according to the log the buyer is inside */
    bool log_departed; /* according to the log the admission has ended */
    bool log_kept;     /* and the place was kept */
    bool sleeper;      /* closes the page once while waiting: --sleep */
    bool missed;       /* according to the log an offer ran out */
    bool resumed;      /* was let in again after that */
};

#define CROWD_TARGETS_MAX 16

struct crowd {
    const struct config *config;
    const struct crowd_options *options;
    struct crowd_history *history; /* NULL: --history is not given */
    struct loop *loop;
    struct dial_net *net;     /* for sockets and the provider's books */
    struct dial_net *web_net; /* for requests; another one with --connections */
    struct agenda *agenda;
    struct token_keys *keys;
    struct dial_target http[CROWD_TARGETS_MAX], ws[CROWD_TARGETS_MAX], provider;
    unsigned http_count,
        ws_count;           /* pods; a buyer's number and failures decide which one they use */
    uint32_t first;         /* number of buyers[0] in the whole crowd */
    unsigned part, parts;   /* index of this process, and how many there are */
    bool users;             /* the buyers are users with JWTs; false: guests */
    char tag[9];            /* random; part of the ids of this run's buyers */
    uint64_t random;        /* state of crowd_random */
    struct buf text, token; /* scratch */

    struct crowd_buyer *buyers;
    uint32_t count;
    struct table roster; /* buyer id -> buyer */

    uint64_t begun_ns;        /* when the run began, by clock_mono_ns */
    struct crowd_tally tally; /* counts of this process */
};

#endif
